import t from 'tap';
import { answerOk, makeFixture, normalize } from './manager-fixture.ts';
import { HookStatus } from '../../../../proxy/http/filter.ts';
import { HeaderMap } from '../../../../proxy/http/header-map.ts';

const get = 'GET / HTTP/1.1\r\nHost: a.test\r\n\r\n';
const ok = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ndate: D\r\nserver: envoy\r\n\r\nok';
const tick = () => new Promise<void>(resolve => setImmediate(resolve));

function badRequest(status: string, body: string): string {
  return `HTTP/1.1 ${status}\r\ncontent-length: ${body.length}\r\ncontent-type: text/plain\r\ndate: D\r\nserver: envoy\r\nconnection: close\r\n\r\n${body}`;
}

t.test('a request is answered and the connection stays', async t => {
  const fixture = makeFixture();
  fixture.send(get);
  t.equal(normalize(fixture.written), ok);
  t.equal(fixture.closed, null);
  const { headers } = fixture.requests[0];
  t.equal(headers.scheme, 'http');
  t.equal(headers.get('x-forwarded-proto'), 'http');
  t.match(headers.get('x-request-id'), /^[0-9a-f]{8}-[0-9a-f]{4}-4/);
  t.same(fixture.log, ['200 0 ']);
  t.equal(fixture.stats.counter('http.test.downstream_rq_2xx').value, 1);
  t.equal(fixture.stats.gauge('http.test.downstream_rq_active').value, 0);
});

t.test('a request split at every byte gives the same answer', async t => {
  const fixture = makeFixture();
  const request = 'POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n';
  for (const byte of request) fixture.send(byte);
  t.equal(normalize(fixture.written), ok);
  t.equal(fixture.requests[0].body, 'hello');
});

t.test('pipelined requests are answered in order', async t => {
  const fixture = makeFixture();
  fixture.send(get.repeat(3));
  for (let i = 0; i < 3; i++) await tick();
  t.equal(normalize(fixture.written), ok.repeat(3));
  t.equal(fixture.requests.length, 3);
});

t.test('what cannot be understood is refused as Envoy refuses it', async t => {
  const cases: [string, string, string, string][] = [
    ['GARBAGE\r\n\r\n', '400 Bad Request', 'Bad Request', 'http1.codec_error'],
    ['\x16\x03\x01', '400 Bad Request', 'Bad Request', 'http1.codec_error'],
    ['GET / HTTP/1.0\r\nHost: a\r\n\r\n', '426 Upgrade Required', 'Upgrade Required', 'low_version'],
    ['GET / HTTP/1.1\r\nHost: a\r\nA: x\0y\r\n\r\n', '400 Bad Request', 'Bad Request', 'http1.invalid_characters'],
    ['GET / HTTP/1.1\r\nHost: a b\r\n\r\n', '400 Bad Request', 'Bad Request', 'http.invalid_authority'],
    [
      'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n',
      '501 Not Implemented',
      'Not Implemented',
      'http1.invalid_transfer_encoding',
    ],
    [
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      '400 Bad Request',
      'Bad Request',
      'http1.content_length_and_chunked_not_allowed',
    ],
    [
      `GET / HTTP/1.1\r\nHost: a\r\n${'a: b\r\n'.repeat(100)}\r\n`,
      '431 Request Header Fields Too Large',
      'Request Header Fields Too Large',
      'http1.too_many_headers',
    ],
    [
      `GET / HTTP/1.1\r\nHost: a\r\nA: ${'b'.repeat(61 * 1024)}\r\n\r\n`,
      '431 Request Header Fields Too Large',
      'Request Header Fields Too Large',
      'http1.headers_too_large',
    ],
  ];
  for (const [request, status, body, details] of cases) {
    const fixture = makeFixture();
    fixture.send(request);
    t.equal(normalize(fixture.written), badRequest(status, body), details);
    t.equal(fixture.closed, 'flush-write-and-delay', details);
    t.match(fixture.log[0], new RegExp(` ${details.replaceAll('.', '\\.')}$`));
    t.equal(fixture.requests.length, 0, `${details} never reaches a filter`);
  }
});

t.test('a request without a host is refused without a body', async t => {
  const fixture = makeFixture();
  fixture.send('GET / HTTP/1.1\r\n\r\n');
  t.equal(
    normalize(fixture.written),
    'HTTP/1.1 400 Bad Request\r\ndate: D\r\nserver: envoy\r\nconnection: close\r\ncontent-length: 0\r\n\r\n',
  );
  t.same(fixture.log, ['400 0 missing_host_header']);
});

t.test('connection: close is honoured', async t => {
  const fixture = makeFixture();
  fixture.send('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  t.match(fixture.written, /\r\nconnection: close\r\n/);
  // The answer came while the request was being read.
  t.equal(fixture.closed, 'flush-write-and-delay');
  t.equal(fixture.requests[0].headers.has('connection'), false);
});

t.test('a draining server says connection: close', async t => {
  const fixture = makeFixture();
  fixture.send(get);
  t.notMatch(fixture.written, /connection: close/);
  fixture.draining = true;
  fixture.send(get);
  t.match(fixture.written, /connection: close/);
  t.not(fixture.closed, null);
});

t.test('an answer before the request is whole ends the connection', async t => {
  const fixture = makeFixture({
    filters: {
      early: () => callbacks => ({
        onRequestHeaders: () => {
          callbacks.sendLocalReply({ status: 403, body: 'no', details: 'early', flags: 0, grpcStatus: null });
          return HookStatus.stop;
        },
      }),
    },
    model: {
      httpFilters: [
        { kind: 'early', name: 'early', config: {} },
        { kind: 'terminal', name: 'terminal', config: {} },
      ],
    },
  });
  fixture.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n');
  t.match(fixture.written, /^HTTP\/1.1 403 Forbidden\r\n.*connection: close\r\n\r\nno$/s);
  t.equal(fixture.closed, 'flush-write-and-delay');
  t.same(fixture.log, ['403 0 early']);
  t.equal(fixture.requests.length, 0);
});

t.test('the client goes away: the stream ends with DC', async t => {
  const fixture = makeFixture({ answer() {} });
  fixture.send(get);
  fixture.close();
  t.equal(fixture.log.length, 1);
  t.match(fixture.log[0], /downstream_remote_disconnect$/);
  t.equal(fixture.stats.counter('http.test.downstream_cx_destroy_remote_active_rq').value, 1);
});

t.test('a websocket becomes a tunnel', async t => {
  const fixture = makeFixture({
    answer() {},
  });
  fixture.send('GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nping');
  const { callbacks, headers } = fixture.requests[0];
  t.equal(headers.get('connection'), 'Upgrade');
  const switching = new HeaderMap();
  switching.status = 101;
  switching.add('connection', 'Upgrade');
  switching.add('upgrade', 'websocket');
  callbacks.encodeHeaders(switching, false);
  callbacks.encodeData(Buffer.from('pong'), false);
  t.equal(
    normalize(fixture.written),
    'HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\ndate: D\r\nserver: envoy\r\n\r\npong',
  );
  t.equal(fixture.requests[0].body, 'ping');
  callbacks.encodeData(Buffer.from('bye'), true);
  t.not(fixture.closed, null);
});

t.test('an upgrade nobody configured is refused', async t => {
  const fixture = makeFixture();
  fixture.send('GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n');
  t.equal(
    normalize(fixture.written),
    'HTTP/1.1 403 Forbidden\r\ndate: D\r\nserver: envoy\r\nconnection: close\r\ncontent-length: 0\r\n\r\n',
  );
});

t.test('100-continue is answered here unless it is proxied', async t => {
  const fixture = makeFixture();
  fixture.send('POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi');
  t.match(fixture.written, /^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 200 OK/);
  t.equal(fixture.requests[0].headers.has('expect'), false);
});

t.test('a response of unknown length is chunked', async t => {
  const fixture = makeFixture({
    answer({ callbacks }) {
      const headers = new HeaderMap();
      headers.status = 200;
      callbacks.encodeHeaders(headers, false);
      callbacks.encodeData(Buffer.from('one'), false);
      callbacks.encodeData(Buffer.alloc(2000, 'x'), true);
    },
  });
  fixture.send(get);
  t.match(fixture.written, /transfer-encoding: chunked\r\n\r\n3\r\none\r\n7d0\r\nx{2000}\r\n0\r\n\r\n$/);
});

t.test('HEAD gets no body', async t => {
  const fixture = makeFixture();
  fixture.send('HEAD / HTTP/1.1\r\nHost: a\r\n\r\n');
  t.match(fixture.written, /\r\n\r\n$/);
  t.match(fixture.written, /content-length: 2/);
});

t.test('the certificate of the client is forwarded', async t => {
  const certificate = { uriSans: ['spiffe://td/ns/a/sa/b'], dnsSans: ['b.test'], subject: '', sha256: 'ab12', pem: '' };
  const tls = { peerCertificatePresented: true, alpn: '', peer: certificate, local: { uriSans: ['spiffe://td/ns/c/sa/d'] } };
  const fixture = makeFixture({
    info: { tls: tls as never },
    model: {
      forwardClientCert: 'append-forward',
      setCurrentClientCert: { subject: true, cert: false, chain: false, dns: true, uri: true },
    },
  });
  fixture.send('GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Client-Cert: By=x\r\n\r\n');
  t.equal(
    fixture.requests[0].headers.get('x-forwarded-client-cert'),
    'By=x,By=spiffe://td/ns/c/sa/d;Hash=ab12;Subject="";URI=spiffe://td/ns/a/sa/b;DNS=b.test',
  );
  t.equal(fixture.requests[0].headers.get('x-forwarded-proto'), 'https');
});

t.test('filters stop, buffer and continue a request', async t => {
  let release = () => {};
  const fixture = makeFixture({
    filters: {
      gate: () => callbacks => ({
        onRequestHeaders: () => {
          release = () => callbacks.continueRequest();
          return 2;
        },
      }),
    },
    model: {
      httpFilters: [
        { kind: 'gate', name: 'gate', config: {} },
        { kind: 'terminal', name: 'terminal', config: {} },
      ],
    },
    answer: answerOk,
  });
  fixture.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello');
  fixture.send('world');
  t.equal(fixture.requests.length, 0);
  release();
  t.equal(fixture.requests[0].body, 'helloworld');
  t.equal(normalize(fixture.written), ok);
});

t.test('a request timeout answers 408', async t => {
  const fixture = makeFixture({ model: { requestHeadersTimeoutMs: 20 } });
  fixture.send('GET / HTTP/1.1\r\nHo');
  while (fixture.closed === null) await new Promise(resolve => setTimeout(resolve, 5));
  t.match(fixture.written, /^HTTP\/1.1 408 Request Timeout\r\n/);
  t.match(fixture.log[0], /request_header_timeout$/);
});

t.test('a connection that lasted too long is drained: the next answer ends it, or the drain time', async t => {
  const turn = () => new Promise(resolve => setTimeout(resolve, 5));
  const busy = makeFixture({ model: { maxConnectionDurationMs: 20, drainTimeoutMs: 60_000 } });
  while (busy.closed === null) {
    busy.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await turn();
  }
  t.match(busy.written, /connection: close\r\n/);
  const idle = makeFixture({ model: { maxConnectionDurationMs: 20, drainTimeoutMs: 20 } });
  idle.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  while (idle.closed === null) await turn();
  t.equal(idle.closed, 'flush-write-and-delay');
  t.notMatch(idle.written, /connection: close\r\n/);
});
