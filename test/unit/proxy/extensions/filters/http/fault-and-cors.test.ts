import t from 'tap';
import { createCorsFilter } from '../../../../../../proxy/extensions/filters/http/cors/cors-filter.ts';
import { createFaultFilter } from '../../../../../../proxy/extensions/filters/http/fault/fault-filter.ts';
import { GrpcFrameCounter } from '../../../../../../proxy/extensions/filters/http/grpc-stats/grpc-stats-filter.ts';
import { ResponseFlag } from '../../../../../../proxy/telemetry/response-flags.ts';
import { makeFixture, routeConfig } from '../../../http/manager-fixture.ts';

const get = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const always = { numerator: 100, denominator: 100, runtimeKey: '' };
const terminal = { kind: 'terminal', name: 'terminal', config: {} };
const noFault = { delay: null, abort: null, upstreamCluster: '', headers: [], downstreamNodes: [], maxActiveFaults: 10 };

function withFault(config: object) {
  return makeFixture({
    filters: { fault: createFaultFilter as never },
    model: { httpFilters: [{ kind: 'fault', name: 'fault', config: { ...noFault, ...config } }, terminal] },
  });
}

t.test('an abort answers with its status', async t => {
  const fixture = withFault({ abort: { kind: 'http', status: 418, percentage: always } });
  fixture.send(get);
  t.match(fixture.written, /^HTTP\/1.1 418 Unknown\r\n.*\r\n\r\nfault filter abort$/s);
  t.same(fixture.log, [`418 ${ResponseFlag.faultInjected} fault_filter_abort`]);
  t.equal(fixture.stats.counter('http.test.fault.aborts_injected').value, 1);
  t.equal(fixture.requests.length, 0);
});

t.test('a delay holds the request back and lets it go', async t => {
  const fixture = withFault({ delay: { delayMs: 30, percentage: always } });
  const begin = performance.now();
  fixture.send(get);
  t.equal(fixture.requests.length, 0);
  t.equal(fixture.stats.gauge('http.test.fault.active_faults').value, 1);
  while (fixture.written === '') await new Promise(resolve => setTimeout(resolve, 2));
  t.ok(performance.now() - begin >= 29);
  t.same(fixture.log, [`200 ${ResponseFlag.delayInjected} `]);
  t.equal(fixture.stats.gauge('http.test.fault.active_faults').value, 0);
});

t.test('a client that leaves during a delay cancels it', async t => {
  const fixture = withFault({ delay: { delayMs: 10_000_000_000, percentage: always } });
  fixture.send(get);
  fixture.close();
  t.equal(fixture.stats.gauge('http.test.fault.active_faults').value, 0);
});

t.test('no fault, no filter', async t => {
  const fixture = withFault({ abort: { kind: 'http', status: 500, percentage: { ...always, numerator: 0 } } });
  fixture.send(get);
  t.match(fixture.written, /^HTTP\/1.1 200 /);
});

function withCors() {
  const policy = {
    allowOrigins: [{ kind: 'exact', value: 'http://ok.test', ignoreCase: false }],
    allowMethods: 'GET,POST',
    allowHeaders: 'x-a',
    exposeHeaders: 'x-b',
    maxAge: '60',
    allowCredentials: true,
    allowPrivateNetworkAccess: false,
    forwardNotMatchingPreflights: true,
    filterEnabled: null,
    shadowEnabled: null,
  };
  const none = { requestAdd: [], requestRemove: [], responseAdd: [], responseRemove: [] };
  const route = {
    name: '',
    match: {
      path: { kind: 'prefix', value: '/', ignoreCase: false },
      headers: [],
      queryParameters: [],
      grpc: false,
      runtimeFraction: null,
      dynamicMetadata: [],
    },
    action: { kind: 'direct-response', status: 200, body: '' },
    headers: none,
    metadata: {},
    decorator: null,
    statPrefix: '',
    perFilter: { cors: { kind: 'envoy.filters.http.cors', disabled: false, config: policy } },
  };
  const virtualHost = {
    name: 'v',
    domains: ['*'],
    routes: [route],
    headers: none,
    requireTls: 'none',
    retryPolicy: null,
    perFilter: {},
  };
  return makeFixture({
    filters: { cors: createCorsFilter as never },
    model: {
      route: { kind: 'inline', config: { ...routeConfig, virtualHosts: [virtualHost as never] } },
      httpFilters: [{ kind: 'cors', name: 'cors', config: {} }, terminal],
    },
  });
}

t.test('a preflight of an allowed origin is answered', async t => {
  const fixture = withCors();
  fixture.send('OPTIONS / HTTP/1.1\r\nHost: a\r\nOrigin: http://ok.test\r\nAccess-Control-Request-Method: GET\r\n\r\n');
  t.match(fixture.written, /access-control-allow-origin: http:\/\/ok.test\r\n/);
  t.match(fixture.written, /access-control-allow-methods: GET,POST\r\n/);
  t.match(fixture.written, /access-control-max-age: 60\r\n/);
  t.equal(fixture.requests.length, 0);
  t.same(fixture.log, ['200 0 cors_response']);
});

t.test('responses are marked for allowed origins only', async t => {
  const fixture = withCors();
  fixture.send('GET / HTTP/1.1\r\nHost: a\r\nOrigin: http://ok.test\r\n\r\n');
  t.match(fixture.written, /access-control-expose-headers: x-b/);
  const other = withCors();
  other.send('GET / HTTP/1.1\r\nHost: a\r\nOrigin: http://bad.test\r\n\r\n');
  t.notMatch(other.written, /access-control/);
  t.equal(other.stats.counter('http.test.cors.origin_invalid').value, 1);
});

t.test('gRPC messages are counted at any split', async t => {
  const bytes = Buffer.from([0, 0, 0, 0, 3, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, ...new Array(256).fill(7)]);
  const counter = new GrpcFrameCounter();
  for (const byte of bytes) counter.inspect(Buffer.from([byte]));
  t.equal(counter.count, 3);
});
