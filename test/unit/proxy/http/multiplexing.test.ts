/** The connection manager on HTTP/2, talked to by the project's own client codec. */
import t, { type Test } from 'tap';
import { TimerWheel } from '../../../../common/timer-wheel.ts';
import { compileHttp2Options } from '../../../../proxy/config/compile/http-protocol.ts';
import type { ClientCodec, RequestEncoder } from '../../../../proxy/http/codec.ts';
import { createClientCodec } from '../../../../proxy/http/h2/client-codec.ts';
import { Http2CodecStats } from '../../../../proxy/http/h2/codec-stats.ts';
import { HeaderMap } from '../../../../proxy/http/header-map.ts';
import { ResponseFlag } from '../../../../proxy/telemetry/response-flags.ts';
import { type FixtureOptions, makeConnectionInfo, makeFixture, type SeenRequest } from './manager-fixture.ts';

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve));

function setUp(t: Test, options: FixtureOptions = {}) {
  const waiting: SeenRequest[] = [];
  const fixture = makeFixture({ answer: request => waiting.push(request), ...options });
  t.teardown(() => {
    if (fixture.closed === null) fixture.close();
  });
  const events: string[] = [];
  const connection = {
    info: makeConnectionInfo(),
    state: 'open',
    bufferedBytes: 0,
    bufferLimitBytes: 0,
    write: (data: Buffer) => fixture.send(data.toString('latin1')),
    writeLatin1: (text: string) => fixture.send(text),
    close: () => events.push('closed by the client'),
    readDisable() {},
  };
  const codec: ClientCodec = createClientCodec(
    connection as never,
    {
      protocol: compileHttp2Options(null, ''),
      maxHeadersBytes: 60 * 1024,
      maxHeadersCount: 100,
      headersWithUnderscores: 'allow',
      stats: new Http2CodecStats(fixture.stats, 'client.http2.'),
      timers: new TimerWheel(),
    },
    { onStreamComplete() {}, onGoAway: () => events.push('goaway'), onProtocolError: details => events.push(details) },
  );
  let read = 0;
  /** Until nothing moves any more. */
  const settle = async (): Promise<void> => {
    for (let quiet = 0; quiet < 3; quiet++) {
      await turn();
      if (fixture.written.length === read) continue;
      const data = Buffer.from(fixture.written.slice(read), 'latin1');
      read = fixture.written.length;
      quiet = 0;
      codec.dispatch(data, false);
    }
  };
  const begin = (name: string, endStream = true): RequestEncoder => {
    const encoder = codec.newStream({
      onResponse1xxHeaders() {},
      onResponseHeaders: (headers, end) => events.push(`${name} ${headers.status}${end ? ' end' : ''}`),
      onResponseData: (data, end) => events.push(`${name} ${data.toString('latin1')}${end ? ' end' : ''}`),
      onResponseTrailers: () => events.push(`${name} trailers`),
      onReset: reason => events.push(`${name} ${reason}`),
      onAboveWriteBufferHighWatermark() {},
      onBelowWriteBufferLowWatermark() {},
    });
    const headers = new HeaderMap();
    headers.method = 'GET';
    headers.path = `/${name}`;
    headers.scheme = 'http';
    headers.authority = 'a.test';
    encoder.encodeHeaders(headers, endStream);
    return encoder;
  };
  return { fixture, events, waiting, begin, settle };
}

function answer({ callbacks }: SeenRequest): void {
  const headers = new HeaderMap();
  headers.status = 200;
  callbacks.encodeHeaders(headers, true);
}

t.test('requests of one connection are answered in any order', async t => {
  const { fixture, events, waiting, begin, settle } = setUp(t);
  begin('a');
  begin('b');
  await settle();
  t.same(
    waiting.map(({ headers }) => [headers.path, headers.authority, headers.get('x-forwarded-proto')]),
    [
      ['/a', 'a.test', 'http'],
      ['/b', 'a.test', 'http'],
    ],
  );
  t.equal(fixture.stats.gauge('http.test.downstream_rq_active').value, 2);
  answer(waiting[1]);
  await settle();
  answer(waiting[0]);
  await settle();
  t.same(events, ['b 200 end', 'a 200 end']);
  t.equal(fixture.closed, null);
  for (const name of ['cx_http2_total', 'rq_http2_total']) t.ok(fixture.stats.counter(`http.test.downstream_${name}`).value > 0);
  t.equal(fixture.stats.gauge('http.test.downstream_rq_active').value, 0);
});

t.test(
  'a connection that speaks HTTP/2 by ALPN needs no look at its bytes, one that is to speak HTTP/1 is not asked',
  async t => {
    const first = 'P';
    for (const [codecType, written] of [
      ['auto', ''],
      ['http1', 'HTTP/1.1 400 Bad Request'],
    ] as const) {
      const fixture = makeFixture({ model: { codecType } });
      fixture.send(first);
      fixture.send('RI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
      t.match(fixture.written, codecType === 'auto' ? /^\0/ : written, codecType);
      if (fixture.closed === null) fixture.close();
    }
  },
);

t.test('a draining server says so with the next answer, serves on for the drain time, and ends with the last stream', async t => {
  const { fixture, events, waiting, begin, settle } = setUp(t, { model: { drainTimeoutMs: 60 } });
  begin('a');
  begin('b');
  await settle();
  fixture.draining = true;
  answer(waiting[0]);
  await settle();
  t.same(events, ['goaway', 'a 200 end']);
  begin('c');
  await settle();
  t.equal(waiting.length, 3, 'what was on its way is served');
  answer(waiting[2]);
  while (events.filter(event => event === 'goaway').length < 2) await settle();
  t.equal(fixture.closed, null, 'a stream runs');
  answer(waiting[1]);
  await settle();
  t.match(events, ['goaway', 'a 200 end', 'c 200 end', 'goaway', 'b 200 end']);
  t.equal(fixture.closed, 'flush-write-and-delay');
  t.equal(fixture.stats.counter('http.test.downstream_cx_drain_close').value, 1);
});

t.test('an idle connection is drained', async t => {
  const { fixture, events, waiting, begin, settle } = setUp(t, { model: { idleTimeoutMs: 40, drainTimeoutMs: 20 } });
  begin('a');
  await settle();
  answer(waiting[0]);
  while (fixture.closed === null) await settle();
  t.same(events, ['a 200 end', 'goaway', 'goaway']);
  t.equal(fixture.stats.counter('http.test.downstream_cx_idle_timeout').value, 1);
});

t.test('the last request that a connection may carry announces its end', async t => {
  const { events, waiting, begin, settle } = setUp(t, { model: { maxRequestsPerConnection: 1, drainTimeoutMs: 1000 } });
  begin('a');
  await settle();
  answer(waiting[0]);
  await settle();
  t.same(events, ['goaway', 'a 200 end']);
});

t.test('a stream that its client resets is logged as that, and the others go on', async t => {
  const { fixture, events, waiting, begin, settle } = setUp(t);
  const encoder = begin('a');
  begin('b');
  await settle();
  encoder.reset('protocol-error');
  await settle();
  answer(waiting[1]);
  await settle();
  t.same(events, ['a protocol-error', 'b 200 end']);
  t.same(fixture.log, [`0 ${ResponseFlag.downstreamProtocolError} http2.remote_reset`, '200 0 ']);
  t.equal(fixture.stats.counter('http.test.downstream_rq_rx_reset').value, 1);
});

t.test('an answer before the request is whole ends the stream, not the connection', async t => {
  const { fixture, events, begin, settle } = setUp(t, { model: { requestTimeoutMs: 30 } });
  begin('a', false);
  while (!events.some(event => event.startsWith('a 408'))) await settle();
  await settle();
  t.equal(fixture.closed, null);
  t.match(events.at(-1), /^a /);
  t.equal(fixture.stats.counter('http.test.downstream_rq_response_before_rq_complete').value, 1);
});

t.test('what is no HTTP/2 ends every stream, after they were told in the log', async t => {
  const { fixture, begin, settle } = setUp(t);
  begin('a');
  begin('b');
  await settle();
  fixture.send('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
  await settle();
  t.equal(fixture.closed, 'flush-write-and-delay');
  t.equal(fixture.log.length, 2);
  t.equal(fixture.stats.counter('http.test.downstream_cx_protocol_error').value, 1);
  t.equal(fixture.stats.counter('http.test.downstream_cx_destroy_local_active_rq').value, 1);
});
