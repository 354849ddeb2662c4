import t from 'tap';
import { fuzzPlan, Random } from '../../../../support/random.ts';
import { createClientCodec, defaultClientCodecOptions } from '../../../../../proxy/http/h1/client-codec.ts';
import { HeaderMap } from '../../../../../proxy/http/header-map.ts';
import { makeConnection } from './scripted-connection.ts';

interface Exchange {
  readonly events: string[];
  receive(text: string): void;
  closeByPeer(): void;
  readonly written: () => string;
}

function begin(method = 'GET', extra: readonly [string, string][] = []): Exchange {
  const events: string[] = [];
  const connection = makeConnection();
  const codec = createClientCodec(connection, defaultClientCodecOptions, {
    onStreamComplete: reusable => events.push(`complete ${reusable}`),
    onCloseAnnounced: () => events.push('close announced'),
    onGoAway() {},
    onProtocolError: details => events.push(`error ${details}`),
  });
  const encoder = codec.newStream({
    onResponse1xxHeaders: headers => events.push(`1xx ${headers.status}`),
    onResponseHeaders: (headers, end) => events.push(`headers ${headers.status} ${end}`),
    onResponseData: (data, end) => events.push(`data ${data.toString('latin1')} ${end}`),
    onResponseTrailers: trailers => events.push(`trailers ${trailers.entries.join('=')}`),
    onReset: reason => events.push(`reset ${reason}`),
    onAboveWriteBufferHighWatermark() {},
    onBelowWriteBufferLowWatermark() {},
  });
  const headers = new HeaderMap();
  headers.method = method;
  headers.path = '/';
  headers.authority = 'a.test';
  for (const [name, value] of extra) headers.add(name, value);
  encoder.encodeHeaders(headers, true);
  return {
    events,
    receive: text => codec.dispatch(Buffer.from(text, 'latin1'), false),
    closeByPeer: () => codec.onConnectionClose('connection-termination'),
    written: () => connection.written,
  };
}

t.test('requests get the framing that their method asks for', async t => {
  t.equal(begin('GET').written(), 'GET / HTTP/1.1\r\nhost: a.test\r\n\r\n');
  t.equal(begin('POST').written(), 'POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 0\r\n\r\n');
});

t.test('responses of every framing', async t => {
  const cases: [string, string, string[]][] = [
    ['sized', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok', ['headers 200 false', 'data ok true', 'complete true']],
    [
      'chunked',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
      ['headers 200 false', 'data ok true', 'complete true'],
    ],
    ['204', 'HTTP/1.1 204 No Content\r\n\r\n', ['headers 204 true', 'complete true']],
    ['304', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n', ['headers 304 true', 'complete true']],
    [
      'close',
      'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n',
      ['close announced', 'headers 200 true', 'complete false'],
    ],
    ['HTTP/1.0', 'HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n', ['close announced', 'headers 200 true', 'complete false']],
    [
      'informational',
      'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
      ['1xx 100', 'headers 200 true', 'complete true'],
    ],
    [
      'excess bytes',
      'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok!!',
      ['headers 200 false', 'data ok true', 'complete false', 'error http1.unexpected_data'],
    ],
  ];
  for (const [name, response, events] of cases) {
    const exchange = begin();
    exchange.receive(response);
    t.same(exchange.events, events, name);
  }
});

t.test('a response without a length lasts until the end of the connection', async t => {
  const exchange = begin();
  exchange.receive('HTTP/1.1 200 OK\r\n\r\nsome');
  exchange.receive('thing');
  exchange.closeByPeer();
  t.same(exchange.events, ['headers 200 false', 'data some false', 'data thing false', 'data  true', 'complete false']);
});

t.test('a response that is cut off is a protocol error', async t => {
  for (const part of ['HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok', 'HTTP/1.1 200 OK\r\nConte']) {
    const exchange = begin();
    exchange.receive(part);
    exchange.closeByPeer();
    t.match(exchange.events.join(), /reset protocol-error/);
  }
});

t.test('a connection that ends before the response is a termination', async t => {
  const exchange = begin();
  exchange.closeByPeer();
  t.same(exchange.events, ['reset connection-termination']);
});

t.test('what is no HTTP is a protocol error', async t => {
  for (const response of [
    'garbage\r\n\r\n',
    'HTTP/1.1 200 OK\r\nbroken\r\n\r\n',
    'HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\n',
  ]) {
    const exchange = begin();
    exchange.receive(response);
    t.match(exchange.events.join(), /reset protocol-error,error http1\./, JSON.stringify(response));
  }
});

t.test('an accepted upgrade is raw from there on', async t => {
  const exchange = begin('GET', [
    ['connection', 'Upgrade'],
    ['upgrade', 'websocket'],
  ]);
  exchange.receive('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\npong');
  exchange.receive('\0\r\n\r\n');
  t.same(exchange.events, ['headers 101 false', 'data pong false', 'data \0\r\n\r\n false']);
  exchange.closeByPeer();
  t.equal(exchange.events.at(-1), 'reset connection-termination', 'a tunnel has no end of its own');
});

t.test('names are written as they came if their message knows how', async t => {
  const connection = makeConnection();
  const seen: HeaderMap[] = [];
  const codec = createClientCodec(
    connection,
    { ...defaultClientCodecOptions, preserveCase: true },
    { onStreamComplete() {}, onGoAway() {}, onProtocolError: details => t.fail(details) },
  );
  const encoder = codec.newStream({
    onResponse1xxHeaders() {},
    onResponseHeaders: headers => seen.push(headers),
    onResponseData() {},
    onResponseTrailers() {},
    onReset() {},
    onAboveWriteBufferHighWatermark() {},
    onBelowWriteBufferLowWatermark() {},
  });
  const headers = new HeaderMap();
  headers.method = 'POST';
  headers.path = '/';
  headers.authority = 'a.test';
  headers.add('x-mine', '1');
  headers.add('x-added', '2');
  headers.originalNames = new Map([
    ['host', 'HOST'],
    ['x-mine', 'X-Mine'],
    ['content-length', 'Content-Length'],
  ]);
  encoder.encodeHeaders(headers, true);
  t.equal(connection.written, 'POST / HTTP/1.1\r\nHOST: a.test\r\nX-Mine: 1\r\nx-added: 2\r\nContent-Length: 0\r\n\r\n');
  codec.dispatch(Buffer.from('HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 0\r\n\r\n'), false);
  t.same(
    [...(seen[0].originalNames ?? [])],
    [
      ['x-a', 'X-A'],
      ['content-length', 'Content-Length'],
    ],
  );
  t.equal(seen[0].get('x-a'), '1');
});

t.test('splits do not matter', async t => {
  const response =
    'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nT: 1\r\n\r\n';
  const { seed } = fuzzPlan(0);
  t.comment(`seed ${seed}`);
  const random = new Random(seed);
  for (let round = 0; round < 300; round++) {
    const exchange = begin();
    for (let at = 0; at < response.length; ) {
      const size = 1 + random.below(20);
      exchange.receive(response.slice(at, at + size));
      at += size;
    }
    const body = exchange.events.map(event => /^data (.*) (?:true|false)$/s.exec(event)?.[1] ?? '').join('');
    t.equal(body, 'hello world');
    t.equal(exchange.events.at(-1), 'complete true');
    if (!t.passing()) break;
  }
});
