import t from 'tap';
import { HeaderMap } from '../../../../../proxy/http/header-map.ts';
import { HttpPool } from '../../../../../proxy/upstream/pool/http-pool.ts';
import type { WorkerHost } from '../../../../../proxy/upstream/worker-host.ts';
import { makeCluster, makeLimits, plainOptions } from '../upstream-fixture.ts';
import { ignoring, setUpPool as setUp } from './pool-fixture.ts';

t.test('a stream waits for its connection, and the next one reuses it', async t => {
  const { connections, streams, events, open, counter, gauge, host } = setUp(t);
  t.ok(open('a'));
  t.equal(gauge('cluster.app.upstream_rq_pending_active'), 1);
  connections[0].establish();
  t.equal(host.activeRequests, 1);
  streams[0].respond(200);
  t.equal(host.activeRequests, 0);
  t.equal(open('b'), null);
  t.same(events, ['a ready', 'b ready reused']);
  t.equal(connections.length, 1);
  t.equal(counter('cluster.app.upstream_cx_total'), 1);
  t.equal(counter('cluster.app.upstream_rq_total'), 2);
  t.equal(counter('cluster.app.upstream_rq_pending_total'), 1);
  t.equal(gauge('cluster.app.upstream_rq_pending_active'), 0);
});

t.test('the last used connection is used first', async t => {
  const { connections, streams, open } = setUp(t);
  open('a');
  open('b');
  for (const connection of connections) connection.establish();
  streams[0].respond(200);
  streams[1].respond(200);
  open('c');
  t.equal(streams[2].connection, connections[1]);
});

t.test('a failed connect fails everything that waits, with the reason of the transport', async t => {
  const { connections, events, open, counter, gauge } = setUp(t);
  open('a');
  open('b');
  connections[0].end('remote-close', 'delayed connect error: Connection refused');
  t.same(events, [
    'a remote-connection-failure delayed connect error: Connection refused',
    'b remote-connection-failure delayed connect error: Connection refused',
  ]);
  t.equal(counter('cluster.app.upstream_cx_connect_fail'), 1);
  t.equal(counter('cluster.app.upstream_rq_pending_failure_eject'), 2);
  t.equal(gauge('cluster.app.upstream_rq_pending_active'), 0);
});

t.test('a connect that takes too long is a timeout', async t => {
  const { connections, events, open, counter } = setUp(t, { connectTimeoutMs: 20 });
  open('a');
  while (events.length === 0) await new Promise(resolve => setImmediate(resolve));
  t.same(events, ['a timeout']);
  t.equal(connections[0].state, 'closed');
  t.equal(counter('cluster.app.upstream_cx_connect_timeout'), 1);
});

t.test('a cancelled stream leaves the queue and its connection stays for the next', async t => {
  const { connections, events, open, counter } = setUp(t);
  open('a')?.cancel();
  connections[0].establish();
  open('b');
  t.same(events, ['b ready']);
  t.equal(connections.length, 1);
  t.equal(counter('cluster.app.upstream_rq_cancelled'), 1);
});

t.test('a connection that closed while idle is not used', async t => {
  const { connections, streams, events, open, gauge } = setUp(t);
  open('a');
  connections[0].establish();
  streams[0].respond(200);
  connections[0].end('remote-close');
  open('b');
  t.equal(connections.length, 2);
  connections[1].establish();
  t.same(events, ['a ready', 'b ready']);
  t.equal(gauge('cluster.app.upstream_cx_active'), 1);
});

t.test('a response that ends the connection closes it', async t => {
  const { connections, streams, open } = setUp(t);
  open('a');
  connections[0].establish();
  streams[0].respond(200, {}, '', false);
  t.equal(connections[0].state, 'closed');
});

t.test('a connection ends after its last request', async t => {
  const { connections, streams, open, counter } = setUp(t, { maxRequestsPerConnection: 1 });
  open('a');
  connections[0].establish();
  streams[0].respond(200);
  t.equal(connections[0].state, 'closed');
  t.equal(counter('cluster.app.upstream_cx_max_requests'), 1);
});

t.test('an idle connection ends at its timeout', async t => {
  const model = makeCluster();
  const { connections, streams, open, counter } = setUp(t, { protocol: { ...model.protocol, idleTimeoutMs: 30 } });
  open('a');
  connections[0].establish();
  streams[0].respond(200);
  while (connections[0].state !== 'closed') await new Promise(resolve => setImmediate(resolve));
  t.equal(counter('cluster.app.upstream_cx_idle_timeout'), 1);
});

t.test('circuit breakers hold back streams and connections', async t => {
  const limits = makeLimits({ maxConnections: 1, maxPendingRequests: 1, maxRequests: 1 });
  const { connections, streams, events, open, counter } = setUp(t, { circuitBreakers: [limits, makeLimits()] });
  open('a');
  open('b');
  t.same(events, ['b overflow']);
  t.equal(counter('cluster.app.upstream_rq_pending_overflow'), 1);
  connections[0].establish();
  open('c');
  t.equal(connections.length, 1, 'no second connection');
  t.equal(counter('cluster.app.upstream_cx_overflow'), 1);
  streams[0].respond(200);
  t.same(events, ['b overflow', 'a ready', 'c ready reused']);
  open('d', { ...plainOptions, priority: 1 });
  t.equal(connections.length, 2, 'priority high has limits of its own');
});

t.test('a pool without any connection may have one beyond the limit', async t => {
  const limits = makeLimits({ maxConnections: 0 });
  const { connections, open } = setUp(t, { circuitBreakers: [limits, makeLimits()] });
  open('a');
  t.equal(connections.length, 1);
});

t.test('streams that differ in what a connection promises do not share one', async t => {
  const { connections, open } = setUp(t);
  const alpn = ['istio-http/1.1'];
  open('plain');
  open('alpn', { ...plainOptions, alpnOverride: alpn });
  open('alpn again', { ...plainOptions, alpnOverride: alpn });
  open('name', { ...plainOptions, serverNameOverride: 'n' });
  t.equal(connections.length, 4);
  t.same(connections[1].options.alpnOverride, alpn);
  connections[1].establish();
  const address = { kind: 'socket', address: '10.1.1.1', port: 0 } as const;
  open('source', { ...plainOptions, originalSource: { address, mark: 1337 } });
  t.match(connections[4].options, { bindAddress: address, socketSetup: { transparent: true, mark: 1337 } });
  open('unmarked', { ...plainOptions, originalSource: { address, mark: 0 } });
  t.same(connections[5].options.socketSetup, { transparent: true });
});

t.test('a pool tells when its last connection is gone, so that one per client does not stay for ever', async t => {
  const { connections, streams, host, open } = setUp(t);
  const source = (last: number) => ({ kind: 'socket', address: `10.1.1.${last}`, port: 0 }) as const;
  let idle = 0;
  const pool = new HttpPool(host as WorkerHost, 'http1', plainOptions, () => idle++);
  pool.newStream(ignoring, { onPoolReady: encoder => encoder.encodeHeaders(new HeaderMap(), true), onPoolFailure() {} });
  connections[0].establish();
  streams[0].respond(200);
  t.equal(idle, 0, 'an idle connection is kept');
  connections[0].end('remote-close');
  t.equal(idle, 1);
  const options = { ...plainOptions, originalSource: { address: source(1), mark: 0 } };
  open('first', options);
  connections[1].end('remote-close', 'refused');
  open('second', options);
  t.equal(connections.length, 3, 'a client that comes again gets a new pool');
});

t.test('retired pools close idle connections at once and busy ones after their stream', async t => {
  const { connections, streams, host, open } = setUp(t);
  open('a');
  open('b');
  for (const connection of connections) connection.establish();
  streams[0].respond(200);
  host.retirePools();
  t.equal(connections[0].state, 'closed');
  t.equal(connections[1].state, 'open');
  open('c');
  t.equal(connections.length, 3, 'new streams get new connections');
  streams[1].respond(200);
  t.equal(connections[1].state, 'closed');
});
