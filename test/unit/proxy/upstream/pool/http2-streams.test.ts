import t from 'tap';
import { compileHttp2Options } from '../../../../../proxy/config/compile/http-protocol.ts';
import type { UpstreamProtocolModel } from '../../../../../proxy/config/model/cluster.ts';
import type { TlsInfo } from '../../../../../proxy/network/connection.ts';
import { makeCluster, makeLimits, plainOptions } from '../upstream-fixture.ts';
import { setUpPool } from './pool-fixture.ts';

function protocol(parts: Partial<UpstreamProtocolModel> & { maxConcurrentStreams?: number } = {}): UpstreamProtocolModel {
  const { maxConcurrentStreams = 1024, ...others } = parts;
  const http2 = { ...compileHttp2Options(null, ''), maxConcurrentStreams };
  return { ...makeCluster().protocol, kind: 'http2', http2, ...others };
}

t.test('streams share one connection, the waiting ones from the moment it is made', async t => {
  const { connections, streams, events, open, counter, gauge, host } = setUpPool(t, { protocol: protocol() });
  open('a');
  open('b');
  t.equal(connections.length, 1);
  connections[0].establish();
  open('c');
  t.same(events, ['a ready', 'b ready reused', 'c ready reused']);
  t.equal(connections.length, 1);
  t.equal(host.activeRequests, 3);
  for (const stream of streams) stream.respond(200);
  t.equal(host.activeRequests, 0);
  t.equal(connections[0].state, 'open');
  t.equal(counter('cluster.app.upstream_cx_http2_total'), 1);
  t.equal(counter('cluster.app.upstream_cx_http1_total'), 0);
  t.equal(gauge('cluster.app.upstream_rq_active'), 0);
});

t.test('a full connection is joined by another', async t => {
  const { connections, streams, events, open } = setUpPool(t, { protocol: protocol({ maxConcurrentStreams: 2 }) });
  for (const name of ['a', 'b', 'c']) open(name);
  t.equal(connections.length, 2);
  connections[0].establish();
  t.same(events, ['a ready', 'b ready reused']);
  connections[1].establish();
  t.same(events, ['a ready', 'b ready reused', 'c ready']);
  streams[0].respond(200);
  open('d');
  t.equal(connections.length, 2, 'the place of a finished stream is taken');
});

t.test('a lower limit of the peer holds back streams, a higher one lets those that wait begin', async t => {
  const { connections, streams, http2Codecs, events, open } = setUpPool(t, { protocol: protocol() });
  open('a');
  connections[0].establish();
  http2Codecs[0].limitStreams(1);
  open('b');
  t.equal(connections.length, 2);
  t.same(events, ['a ready']);
  http2Codecs[0].limitStreams(2);
  t.same(events, ['a ready', 'b ready reused']);
  http2Codecs[0].limitStreams(0);
  streams[0].respond(200);
  streams[1].respond(200);
  t.equal(connections[0].state, 'open', 'a peer that admits nothing for now is not left');
});

t.test('a connection that said GOAWAY finishes its streams and takes none', async t => {
  const { connections, streams, http2Codecs, events, open, counter } = setUpPool(t, { protocol: protocol() });
  open('a');
  connections[0].establish();
  http2Codecs[0].callbacks.onGoAway();
  open('b');
  t.equal(connections.length, 2);
  connections[1].establish();
  t.same(events, ['a ready', 'b ready']);
  t.equal(connections[0].state, 'open');
  streams[0].respond(200);
  t.equal(connections[0].state, 'closed');
  t.equal(counter('cluster.app.upstream_cx_close_notify'), 1);
  http2Codecs[1].callbacks.onGoAway();
  streams[1].respond(200);
  t.equal(connections[1].state, 'closed');
});

t.test('GOAWAY on an idle connection ends it', async t => {
  const { connections, streams, http2Codecs, open } = setUpPool(t, { protocol: protocol() });
  open('a');
  connections[0].establish();
  streams[0].respond(200);
  http2Codecs[0].callbacks.onGoAway();
  t.equal(connections[0].state, 'closed');
});

t.test('a reset ends one stream, the end of the connection all of them', async t => {
  const { connections, streams, open, gauge, host, counter } = setUpPool(t, { protocol: protocol() });
  for (const name of ['a', 'b', 'c']) open(name);
  connections[0].establish();
  streams[0].reset('local-reset');
  t.equal(connections[0].state, 'open');
  t.equal(host.activeRequests, 2);
  connections[0].end('remote-close');
  t.equal(host.activeRequests, 0);
  t.equal(gauge('cluster.app.upstream_rq_active'), 0);
  t.equal(counter('cluster.app.upstream_cx_destroy_with_active_rq'), 1);
});

t.test('a connection ends after its last request, and lets it finish', async t => {
  const { connections, streams, open, counter } = setUpPool(t, { protocol: protocol(), maxRequestsPerConnection: 2 });
  for (const name of ['a', 'b', 'c']) open(name);
  t.equal(connections.length, 2, 'a connection is expected to carry no more than its requests');
  connections[0].establish();
  streams[0].respond(200);
  t.equal(connections[0].state, 'open');
  streams[1].respond(200);
  t.equal(connections[0].state, 'closed');
  t.equal(counter('cluster.app.upstream_cx_max_requests'), 1);
});

t.test('a protocol error closes the connection', async t => {
  const { connections, http2Codecs, open, counter, host } = setUpPool(t, { protocol: protocol() });
  open('a');
  connections[0].establish();
  http2Codecs[0].callbacks.onProtocolError('http2.violation');
  t.equal(connections[0].state, 'closed');
  t.equal(host.activeRequests, 0);
  t.equal(counter('cluster.app.upstream_cx_protocol_error'), 1);
});

t.test('the request limit holds for streams of one connection too', async t => {
  const limits = makeLimits({ maxRequests: 1 });
  const { connections, streams, events, open } = setUpPool(t, {
    protocol: protocol(),
    circuitBreakers: [limits, makeLimits()],
  });
  open('a');
  connections[0].establish();
  open('b');
  t.same(events, ['a ready', 'b overflow']);
  streams[0].respond(200);
  open('c');
  t.same(events, ['a ready', 'b overflow', 'c ready reused']);
});

t.test('an idle connection ends at its timeout, not while a stream runs', async t => {
  const { connections, streams, open, counter } = setUpPool(t, { protocol: protocol({ idleTimeoutMs: 30 }) });
  open('a');
  open('b');
  connections[0].establish();
  streams[0].respond(200);
  const startMs = performance.now();
  while (performance.now() - startMs < 100) await new Promise(resolve => setImmediate(resolve));
  t.equal(connections[0].state, 'open');
  streams[1].respond(200);
  while (connections[0].state !== 'closed') await new Promise(resolve => setImmediate(resolve));
  t.equal(counter('cluster.app.upstream_cx_idle_timeout'), 1);
});

t.test('a retired pool closes a connection after the last of its streams', async t => {
  const { connections, streams, open, host } = setUpPool(t, { protocol: protocol() });
  open('a');
  open('b');
  connections[0].establish();
  host.retirePools();
  open('c');
  t.equal(connections.length, 2, 'new streams get new connections');
  streams[0].respond(200);
  t.equal(connections[0].state, 'open');
  streams[1].respond(200);
  t.equal(connections[0].state, 'closed');
});

t.test('a cluster that follows the downstream has a pool for each version', async t => {
  const { connections, events, open, http2Codecs } = setUpPool(t, { protocol: protocol({ kind: 'downstream' }) });
  open('one');
  open('two', { ...plainOptions, downstreamProtocol: 'HTTP/2' });
  open('old', { ...plainOptions, downstreamProtocol: 'HTTP/1.0' });
  t.equal(connections.length, 3);
  for (const connection of connections) connection.establish();
  t.equal(http2Codecs.length, 1);
  t.same(events, ['one ready', 'two ready', 'old ready']);
  t.same(
    connections.map(({ options }) => options.alpnFallback),
    [['http/1.1'], ['h2'], ['http/1.1']],
  );
});

t.test('where ALPN decides, a connection carries many streams only once it has agreed on HTTP/2', async t => {
  const tls = (alpn: string) => ({ alpn }) as TlsInfo;
  const { connections, events, open, http2Codecs } = setUpPool(t, { protocol: protocol({ kind: 'auto' }) });
  open('a');
  open('b');
  t.equal(connections.length, 1);
  t.same(connections[0].options.alpnFallback, ['h2', 'http/1.1']);
  connections[0].info = { ...connections[0].info, tls: tls('h2') };
  connections[0].establish();
  t.same(events, ['a ready', 'b ready reused']);
  t.equal(http2Codecs.length, 1);

  const other = setUpPool(t, { protocol: protocol({ kind: 'auto' }) });
  other.open('a');
  other.open('b');
  other.connections[0].establish();
  t.same(other.events, ['a ready']);
  t.equal(other.connections.length, 2, 'HTTP/1 needs a connection for each');
});
