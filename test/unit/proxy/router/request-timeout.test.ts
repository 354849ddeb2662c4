import t from 'tap';
import { formatGrpcTimeout, parseGrpcTimeout } from '../../../../proxy/http/grpc-timeout.ts';
import { readTimeouts, writeTimeoutHeaders } from '../../../../proxy/router/request-timeout.ts';
import { forwardTo, makeRequest } from './route-models.ts';

t.test('grpc-timeout is read and written in its units', async t => {
  for (const [text, ms] of [
    ['1H', 3_600_000],
    ['2M', 120_000],
    ['3S', 3000],
    ['4m', 4],
    ['5u', 1],
    ['6n', 1],
  ] as const) {
    t.equal(parseGrpcTimeout(text), ms);
  }
  for (const text of [undefined, '', 'm', '1', '123456789m', '1x', '-1m']) t.equal(parseGrpcTimeout(text), null);
  t.equal(formatGrpcTimeout(1500), '1500m');
  t.equal(formatGrpcTimeout(100_000_000), '100000S');
});

t.test('a header replaces the route timeout and is removed', async t => {
  const headers = makeRequest('GET', 'h', '/', {
    'x-envoy-upstream-rq-timeout-ms': '700',
    'x-envoy-upstream-rq-per-try-timeout-ms': '200',
  });
  const timeouts = readTimeouts(forwardTo('app'), 0, 0, false, headers, false, false);
  t.same(timeouts, { globalMs: 700, perTryMs: 200, perTryIdleMs: 0, isHedged: false, streamDurationMs: null });
  t.equal(headers.size, 0);
  writeTimeoutHeaders(headers, timeouts, forwardTo('app'), 600, false, true);
  t.equal(headers.get('x-envoy-expected-rq-timeout-ms'), '100', 'what is left of the whole, if that is less');
  writeTimeoutHeaders(headers, timeouts, forwardTo('app'), 900, false, true);
  t.equal(headers.get('x-envoy-expected-rq-timeout-ms'), '1', 'never 0, which would be none');
});

t.test('a per try timeout that is not shorter than the whole has no effect', async t => {
  t.equal(
    readTimeouts(forwardTo('app', { timeoutMs: 100 }), 100, 0, false, makeRequest('GET', 'h', '/'), false, false).perTryMs,
    0,
  );
  t.equal(
    readTimeouts(forwardTo('app', { timeoutMs: 0 }), 100, 0, false, makeRequest('GET', 'h', '/'), false, false).perTryMs,
    100,
  );
});

t.test('gRPC requests bring their own timeout up to the cap', async t => {
  const read = (capMs: number | null, text: string | null) => {
    const headers = makeRequest('POST', 'h', '/', text === null ? {} : { 'grpc-timeout': text });
    return readTimeouts(forwardTo('app', { maxGrpcTimeoutMs: capMs }), 0, 0, false, headers, true, false).globalMs;
  };
  t.equal(read(null, '1S'), 15_000, 'without a cap the route decides');
  t.equal(read(0, '1S'), 1000);
  t.equal(read(0, null), 0, 'no timeout asked for, none allowed for: none');
  t.equal(read(500, '1S'), 500);
  t.equal(read(500, null), 500);
});
