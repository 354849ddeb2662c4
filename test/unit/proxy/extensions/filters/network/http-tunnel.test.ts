import t from 'tap';
import type { RequestEncoder, ResponseDecoder, StreamResetReason } from '../../../../../../proxy/http/codec.ts';
import { HeaderMap } from '../../../../../../proxy/http/header-map.ts';
import { type TcpUpstream, Tunneling } from '../../../../../../proxy/extensions/filters/network/tcp-proxy/http-tunnel.ts';
import type { TunnelingModel } from '../../../../../../proxy/extensions/filters/network/tcp-proxy/config.ts';
import { type Protocol, StreamInfo } from '../../../../../../proxy/telemetry/stream-info.ts';
import type { Host, PoolCallbacks } from '../../../../../../proxy/upstream/cluster-manager.ts';
import { makeConnectionInfo } from '../../../router/route-models.ts';
import { plainOptions } from '../../../upstream/upstream-fixture.ts';

const bare: TunnelingModel = {
  hostname: 'target:80',
  usePost: false,
  postPath: '/',
  headersToAdd: [],
  propagateResponseHeaders: false,
  propagateResponseTrailers: false,
};

/** A tunnel over a stream that notes what is written; `answer` is the pool's. */
function openTunnel(changes: Partial<TunnelingModel> = {}) {
  const events: string[] = [];
  const info = new StreamInfo(makeConnectionInfo(), 0, 0);
  let decoder!: ResponseDecoder;
  let pool!: PoolCallbacks;
  let tunnel: TcpUpstream | null = null;
  const encoder = {
    encodeHeaders: (headers: HeaderMap) => events.push(`${headers.method} ${headers.authority} ${headers.path}`),
    encodeData: (data: Buffer, endStream: boolean) => events.push(`data ${data}${endStream ? ' end' : ''}`),
    reset: () => events.push('reset'),
  } as unknown as RequestEncoder;
  const host = {
    cluster: { stats: { countStreamReset: (reason: StreamResetReason) => events.push(`counted ${reason}`) } },
    newStream(_options: unknown, response: ResponseDecoder, callbacks: PoolCallbacks) {
      decoder = response;
      pool = callbacks;
      return { cancel: () => events.push('cancelled') };
    },
  } as unknown as Host;
  const handle = new Tunneling({ ...bare, ...changes }).open(host, plainOptions, info, {
    onPoolReady(upstream) {
      tunnel = upstream;
      upstream.callbacks = {
        onData: (data, endStream) => events.push(`got ${data}${endStream ? ' end' : ''}`),
        onClose: event => events.push(event),
      };
      events.push('open');
    },
    onPoolFailure: (reason, transport) => events.push(`${reason} ${transport}`),
  });
  return {
    events,
    info,
    handle,
    connect: (protocol: Protocol) => pool.onPoolReady(encoder, makeConnectionInfo(), protocol, false),
    respond(status: number, endStream = false) {
      const headers = new HeaderMap();
      headers.status = status;
      headers.add('x-a', 'b');
      decoder.onResponseHeaders(headers, endStream);
    },
    decoder: () => decoder,
    tunnel: () => tunnel as unknown as TcpUpstream,
  };
}

t.test('a tunnel is open once the upstream agrees, and its bodies are the bytes', async t => {
  const { events, connect, respond, decoder, tunnel } = openTunnel();
  connect('HTTP/2');
  respond(200);
  tunnel().write(Buffer.from('ping'), false);
  decoder().onResponseData(Buffer.from('pong'), true);
  tunnel().write(Buffer.alloc(0), true);
  t.strictSame(events, ['CONNECT target:80 ', 'open', 'data ping', 'got pong end', 'data  end', 'remote-close']);
});

t.test('POST has a path', async t => {
  const { events, connect } = openTunnel({ usePost: true, postPath: '/x' });
  connect('HTTP/1.1');
  t.strictSame(events, ['POST target:80 /x']);
});

t.test('only 200 agrees on HTTP/2, any success on HTTP/1, and nothing that ends at once', async t => {
  const answerTo = (protocol: Protocol, status: number, endStream = false): string | undefined => {
    const { events, connect, respond } = openTunnel();
    connect(protocol);
    respond(status, endStream);
    return events.at(-1);
  };
  t.equal(answerTo('HTTP/2', 204), 'remote-connection-failure tunnel_response:204');
  t.equal(answerTo('HTTP/1.1', 204), 'open');
  t.equal(answerTo('HTTP/1.1', 403), 'remote-connection-failure tunnel_response:403');
  t.equal(answerTo('HTTP/2', 200, true), 'remote-connection-failure tunnel_response:200');
});

t.test('a reset before the answer is a failure to connect, and after it the end', async t => {
  const early = openTunnel();
  early.connect('HTTP/1.1');
  early.decoder().onReset('connection-termination', 'why');
  t.equal(early.events.at(-1), 'remote-connection-failure why');
  const endOf = (reason: StreamResetReason): string | undefined => {
    const { events, connect, respond, decoder } = openTunnel();
    connect('HTTP/2');
    respond(200);
    decoder().onReset(reason, '');
    return events.at(-1);
  };
  t.equal(endOf('remote-reset'), 'remote-reset');
  t.equal(endOf('connect-error'), 'local-close');
  t.equal(endOf('connection-termination'), 'local-close');
});

t.test('who gives up waits for nothing', async t => {
  const waiting = openTunnel();
  waiting.handle?.cancel();
  t.strictSame(waiting.events, ['cancelled']);
  const asked = openTunnel();
  asked.connect('HTTP/2');
  asked.handle?.cancel();
  asked.respond(200);
  t.strictSame(asked.events, ['CONNECT target:80 ', 'counted local-reset', 'reset']);
});

t.test('what the answer said is kept on request', async t => {
  const { info, connect, respond } = openTunnel({ propagateResponseHeaders: true });
  connect('HTTP/2');
  respond(200);
  t.strictSame(info.getFilterState('envoy.tcp_proxy.propagate_response_headers'), {
    headers: [
      { key: ':status', value: '200' },
      { key: 'x-a', value: 'b' },
    ],
  });
});
