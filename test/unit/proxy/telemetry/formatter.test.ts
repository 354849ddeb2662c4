import t from 'tap';
import { HeaderMap } from '../../../../proxy/http/header-map.ts';
import type { FormatContext } from '../../../../proxy/telemetry/formatter.ts';
import { compileFormat, compileJsonFormat } from '../../../../proxy/telemetry/formatter.ts';
import { ResponseFlag } from '../../../../proxy/telemetry/response-flags.ts';
import { makeRequestHeaders, makeStreamInfo, makeTls } from './fixture.ts';

function makeContext(overrides: Partial<FormatContext> = {}): FormatContext {
  return {
    info: makeStreamInfo(),
    requestHeaders: makeRequestHeaders({ 'user-agent': 'curl', 'x-q': 'a"b\\c\td\xc3\xa9' }),
    responseHeaders: null,
    responseTrailers: null,
    ...overrides,
  };
}

const render = (format: string, context = makeContext()) => compileFormat(format).format(context);

t.test('operators read the stream, and what is missing is a dash', async t => {
  const context = makeContext();
  context.info.responseCode = 503;
  context.info.setFlag(ResponseFlag.upstreamConnectionFailure | ResponseFlag.noRouteFound);
  context.info.protocol = 'HTTP/1.1';
  const cases: [string, string][] = [
    ['[%START_TIME%]', '[2026-01-02T03:04:05.678Z]'],
    [
      '%START_TIME(%Y/%m/%dT%H:%M:%S%z %s %3f %f %6f %E4S %a %b)%',
      '2026/01/02T03:04:05+0000 1767323045 678 678000000 678000 05.6780 Fri Jan',
    ],
    ['%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%', 'GET /p?a=b&c=d HTTP/1.1'],
    ['%REQ(USER-AGENT):2%|%REQ(NONE)%|%RESP(X)%|%TRAILER(X)%', 'cu|-|-|-'],
    ['%REQ_WITHOUT_QUERY(:PATH)% %PATH(NQ)% %QUERY_PARAM(c)%', '/p /p d'],
    ['%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG%', '503 UF,NR UpstreamConnectionFailure,NoRouteFound'],
    ['%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_LOCAL_PORT%', '10.0.0.1:80 10.0.0.1 80'],
    ['%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%', '[::1]:4000 ::1'],
    ['%UPSTREAM_HOST% %UPSTREAM_CLUSTER% %UPSTREAM_LOCAL_ADDRESS% %ROUTE_NAME% %DURATION%', '- - - - -'],
    ['100%% %CONNECTION_ID%', '100% 7'],
  ];
  for (const [format, expected] of cases) t.equal(render(format, context), expected, format);
});

t.test('certificates, durations, filter state and metadata', async t => {
  const info = makeStreamInfo({ tls: makeTls('spiffe://peer', 'spiffe://local'), requestedServerName: 'sni.example' });
  info.endMonotonicMs = 1123.9;
  info.firstUpstreamRxByteMs = 1010;
  info.setFilterState('k', { a: 'x', n: 1 });
  info.dynamicMetadata = { ns: { deep: { key: 'v' } } };
  info.grpcStatus = 5;
  const context = makeContext({ info });
  const cases: [string, string][] = [
    ['%DOWNSTREAM_PEER_URI_SAN% %DOWNSTREAM_LOCAL_URI_SAN% %DOWNSTREAM_TLS_VERSION%', 'spiffe://peer spiffe://local TLSv1.3'],
    ['%DOWNSTREAM_PEER_CERT_V_END(%Y)% %DOWNSTREAM_PEER_SERIAL%', '2027 0aff'],
    ['%DURATION% %RESPONSE_DURATION% %COMMON_DURATION(DS_RX_BEG:US_RX_BEG:us)%', '123 10 10000'],
    ['%FILTER_STATE(k:FIELD:a)% %FILTER_STATE(k)%', 'x {"a":"x","n":1}'],
    ['%DYNAMIC_METADATA(ns:deep:key)% %DYNAMIC_METADATA(ns:none)%', 'v -'],
    ['%GRPC_STATUS% %GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS_NUMBER%', 'NotFound NOT_FOUND 5'],
    ['%REQUESTED_SERVER_NAME%', 'sni.example'],
  ];
  for (const [format, expected] of cases) t.equal(render(format, context), expected, format);
});

t.test('metadata, expressions, names, networks and attempts', async t => {
  const info = makeStreamInfo({ requestedServerName: '' });
  Object.assign(info.downstream, {
    listenerMetadata: { a: { b: 'of the listener' } },
    filterChainMetadata: { a: { b: 'of the chain' } },
  });
  info.virtualHostMetadata = { a: { b: 'of the virtual host' } };
  const host = (text: string, hostname = '') =>
    ({ address: { kind: 'socket', address: text.split(':')[0], port: 80 }, addressText: text, hostname }) as never;
  for (const attempt of [host('10.0.0.1:80'), host('10.0.0.2:80', 'two.x')]) info.setUpstreamHost(attempt);
  const context = makeContext({ info });
  const cases: [string, string][] = [
    ['%METADATA(LISTENER:a:b)%|%METADATA(LISTENER_FILTER_CHAIN:a:b)%', 'of the listener|of the chain'],
    ['%METADATA(VIRTUAL_HOST:a:b)%|%METADATA(VIRTUAL_HOST:a:c)%', 'of the virtual host|-'],
    ["%CEL(request.path.startsWith('/p') && size(request.path) > 3)%", 'true'],
    ['%CEL(request.method)%|%CEL(request.nothing)%:12', 'GET|-:12'],
    ['%REQUESTED_SERVER_NAME%|%REQUESTED_SERVER_NAME(SNI_FIRST)%', '-|svc.ns:80'],
    ['%REQUESTED_SERVER_NAME(HOST_FIRST:ORIG)%|%QUERY_PARAMS%', '-|a=b&c=d'],
    ['%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(16)%|%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%', '::/16|::1'],
    ['%UPSTREAM_HOSTS_ATTEMPTED%|%UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT%', '10.0.0.1:80,10.0.0.2:80|10.0.0.1,10.0.0.2'],
    ['%UPSTREAM_HOST_NAMES_ATTEMPTED%|%UPSTREAM_HOST%', '10.0.0.1:80,two.x|10.0.0.2:80'],
    ['%COMMON_DURATION(DS_RX_BEG:own:ms)%|%SPAN_ID%|%CUSTOM_FLAGS%', '-|-|'],
  ];
  for (const [format, expected] of cases) t.equal(render(format, context), expected, format);
  t.match(render('%UNIQUE_ID%'), /^[0-9a-f-]{36}$/);
  t.match(render('%START_TIME_LOCAL%'), /^2026-01-0\d.*[+-]\d{4}$/);
  t.throws(() => compileFormat('%CEL(1 +)%'), 'a broken expression');
});

t.test('a missing value is empty in header values', async t => {
  t.equal(compileFormat('a%REQ(NONE)%b', { omitEmpty: true }).format(makeContext()), 'ab');
  t.equal(compileFormat('plain').isLiteral, true);
});

t.test('unknown operators, missing arguments and stray percent signs are refused', async t => {
  for (const format of ['%NOPE%', '%REQ%', '%PROTOCOL(x)%', '50%', '%REQ(a?b?c)%', '%COMMON_DURATION(A:B:s)%', '%START_TIME']) {
    t.throws(() => compileFormat(format), format);
  }
});

t.test('JSON lines are those of Envoy 1.40: sorted keys, types kept, null for what is missing', async t => {
  const line = compileJsonFormat({
    zeta: '%RESPONSE_CODE%',
    alpha: '%REQ(X-NONE)%',
    mixed: 'a%BYTES_SENT%b',
    nested: { b: 1, a: true, l: ['%PROTOCOL%', 'x'] as never },
    esc: '%REQ(X-Q)%',
    none2: 'x%REQ(X-NONE)%y',
    pct: '100%%',
  });
  const info = makeStreamInfo();
  info.protocol = 'HTTP/1.1';
  info.responseCode = 200;
  info.bytesSent = 5;
  // Byte text: é is two bytes.
  t.equal(
    Buffer.from(line.format(makeContext({ info })), 'latin1').toString('utf8'),
    '{"alpha":null,"esc":"a\\"b\\\\c\\tdé","mixed":"a5b","nested":{"a":true,"b":1,"l":["HTTP/1.1","x"]},"none2":"x-y","pct":"100%","zeta":200}\n',
  );
  const omitting = compileJsonFormat({ a: '%REQ(NONE)%', b: '%RESPONSE_CODE%' }, { omitEmpty: true });
  t.equal(omitting.format(makeContext({ info })), '{"b":200}\n');
});

t.test('a log line cannot be split by what a client sends', async t => {
  const requestHeaders = new HeaderMap();
  requestHeaders.path = '/"\n{"injected":1}';
  const line = compileJsonFormat({ path: '%REQ(:PATH)%' }).format(makeContext({ requestHeaders }));
  t.equal(line.indexOf('\n'), line.length - 1);
  t.same(JSON.parse(line), { path: '/"\n{"injected":1}' });
});
