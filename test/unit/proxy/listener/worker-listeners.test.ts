import { once } from 'node:events';
import net from 'node:net';
import t from 'tap';
import { detectHttp } from '../../../../proxy/listener/http-inspector.ts';
import { ResponseFlag } from '../../../../proxy/telemetry/response-flags.ts';
import {
  anyMatch,
  createTestListeners,
  filterChain,
  listenerModel,
  type TestListeners,
} from '../../../support/worker-listener.ts';

const inspector = (name: string, disabled: unknown = null) =>
  ({ kind: `envoy.filters.listener.${name}`, name, config: {}, disabled }) as never;
const http = filterChain({ name: 'http', match: { ...anyMatch, applicationProtocols: ['http/1.1', 'h2c'] } });
const tcp = filterChain({ name: 'tcp' });

function start(
  t: { teardown(end: () => void): unknown },
  overrides: Parameters<typeof listenerModel>[0],
): { host: TestListeners; connect: () => net.Socket } {
  const host = createTestListeners();
  host.listeners.update('listener', JSON.stringify(listenerModel(overrides)));
  const port = host.listen();
  const sockets: net.Socket[] = [];
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    host.close();
  });
  return {
    host,
    connect: () => {
      const socket = net.connect(port, '127.0.0.1').on('error', () => {});
      sockets.push(socket);
      return socket;
    },
  };
}

async function echo(socket: net.Socket, text: string): Promise<string> {
  socket.write(text);
  const [data] = (await once(socket, 'data')) as [Buffer];
  return data.toString();
}

t.test('what the inspector looked at reaches the filters, whatever the split', async t => {
  const { host, connect } = start(t, {
    listenerFilters: [inspector('tls_inspector'), inspector('http_inspector')],
    filterChains: [http, tcp],
  });
  const socket = connect();
  socket.setNoDelay(true);
  let received = '';
  socket.on('data', data => (received += data.toString()));
  for (const byte of 'GET / HTTP/1.1\r\n\r\n')
    await new Promise<void>(resolve => socket.write(byte, () => setImmediate(resolve)));
  while (received.length < 18) await once(socket, 'data');
  t.equal(received, 'GET / HTTP/1.1\r\n\r\n');
  t.equal(host.accepted[0].filterChainName, 'http');
  const other = connect();
  t.equal(await echo(other, 'SSH-2.0\r\n'), 'SSH-2.0\r\n');
  t.equal(host.accepted[1].filterChainName, 'tcp');
});

t.test('a disabled inspector does not look', async t => {
  const always = { kind: 'any' };
  const { host, connect } = start(t, { listenerFilters: [inspector('http_inspector', always)], filterChains: [http, tcp] });
  t.equal(await echo(connect(), 'GET / HTTP/1.1\r\n\r\n'), 'GET / HTTP/1.1\r\n\r\n');
  t.equal(host.accepted[0].filterChainName, 'tcp');
});

t.test('a silent client is given the default after the timeout, or is closed', async t => {
  const filters = {
    listenerFilters: [inspector('http_inspector')],
    listenerFiltersTimeoutMs: 20,
    filterChains: [http],
    defaultFilterChain: tcp,
  };
  const going = start(t, { ...filters, continueOnListenerFiltersTimeout: true });
  const socket = going.connect();
  await once(socket, 'connect');
  while (going.host.accepted.length === 0) await new Promise(resolve => setTimeout(resolve, 5));
  t.equal(going.host.accepted[0].filterChainName, 'tcp');
  t.equal(await echo(socket, 'late'), 'late');
  const ending = start(t, filters);
  await once(ending.connect().resume(), 'close');
  t.equal(ending.host.counter('listener.test.downstream_pre_cx_timeout'), 1);
  t.same(ending.host.accepted, []);
});

t.test('a connection that no chain matches is closed and logged with NR', async t => {
  const { host, connect } = start(t, { filterChains: [filterChain({ match: { ...anyMatch, transportProtocol: 'tls' } })] });
  await once(connect().resume(), 'close');
  t.equal(host.counter('listener.test.no_filter_chain_match'), 1);
  t.equal(host.logged[0].responseFlags, ResponseFlag.noRouteFound);
  t.equal(host.logged[0].responseCodeDetails, 'filter_chain_not_found');
});

t.test('an update keeps connections of unchanged chains and ends those of removed ones after the drain time', async t => {
  const web = filterChain({ name: 'web', match: { ...anyMatch, applicationProtocols: ['http/1.1'] } });
  const { host, connect } = start(t, { listenerFilters: [inspector('http_inspector')], filterChains: [web, tcp] });
  const kept = connect();
  const removed = connect();
  t.equal(await echo(kept, 'plain\n'), 'plain\n');
  await echo(removed, 'GET / HTTP/1.1\r\n');
  t.equal(host.accepted[1].filterChainName, 'web');
  host.listeners.update(
    'listener',
    JSON.stringify(listenerModel({ listenerFilters: [inspector('http_inspector')], filterChains: [tcp] })),
  );
  await once(removed.resume(), 'close');
  t.equal(await echo(kept, 'still\n'), 'still\n');
  t.equal(host.stats.gauge('listener.test.downstream_cx_active').value, 1);
});

t.test('HTTP is recognized by its first line', async t => {
  const cases: [string, ReturnType<typeof detectHttp>][] = [
    ['GET / HTTP/1.1\r\n', 'http/1.1'],
    ['POST /x HTTP/1.0\n', 'http/1.0'],
    ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'h2c'],
    ['PRI * HTTP/2.0\r\n', 'incomplete'],
    ['P', 'incomplete'],
    ['GET /', 'incomplete'],
    ['GETX', 'not-http'],
    ['SSH-2.0-x\r\n', 'not-http'],
    ['GET /\r\n', 'http/1.0'],
    ['GET / HTTP/3.0\r\n', 'http/1.0'],
    ['GET / HTTP/1.1x\r\n', 'not-http'],
    ['GET a HTTP/1.1\r\n', 'not-http'],
    ['get\t/  HTTP/1.1 \r\n', 'http/1.1'],
  ];
  for (const [text, detected] of cases) t.equal(detectHttp(Buffer.from(text)), detected, JSON.stringify(text));
});

t.test('above the global limit connections are closed, except on listeners that ignore it', async t => {
  const host = createTestListeners({}, 2);
  t.teardown(() => host.close());
  host.listeners.update('listener', JSON.stringify(listenerModel()));
  host.listeners.update('free', JSON.stringify(listenerModel({ name: 'free', ignoreGlobalConnectionLimit: true })));
  const [limited, free] = [host.listen('listener'), host.listen('free')];
  const open = (port: number): net.Socket => {
    const socket = net.connect(port, '127.0.0.1').on('error', () => {});
    t.teardown(() => socket.destroy());
    return socket;
  };
  const first = open(limited);
  t.equal(await echo(first, 'one'), 'one');
  t.equal(await echo(open(limited), 'two'), 'two');
  await once(open(limited).resume(), 'close');
  t.equal(host.counter('listener.test.downstream_global_cx_overflow'), 1);
  t.equal(await echo(open(free), 'three'), 'three');
  t.equal(await echo(first, 'still'), 'still');
});
