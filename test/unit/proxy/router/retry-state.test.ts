import t from 'tap';
import { TimerWheel } from '../../../../common/timer-wheel.ts';
import { HeaderMap } from '../../../../proxy/http/header-map.ts';
import { localReset, poolFailureReasons, streamResetReasons } from '../../../../proxy/router/reset-reason.ts';
import type { ResetReason } from '../../../../proxy/router/reset-reason.ts';
import { compileRetryPolicy } from '../../../../proxy/router/retry-policy.ts';
import { createRetryState } from '../../../../proxy/router/retry-state.ts';
import { WorkerCluster } from '../../../../proxy/upstream/worker-cluster.ts';
import { makeCluster, makeLimits, makeUpstream } from '../upstream/upstream-fixture.ts';
import { makeRequest, makeRetryPolicy } from './route-models.ts';

function makeState(retryOn: string[], parts = {}, headers: Record<string, string> = {}, maxRetries = 4_294_967_295) {
  const timers = new TimerWheel();
  const upstream = makeUpstream();
  const limits = makeLimits({ maxRetries });
  const cluster = new WorkerCluster(makeCluster({ circuitBreakers: [limits, limits] }), 0, upstream.services);
  const request = makeRequest('GET', 'h', '/', headers);
  const state = createRetryState(
    retryOn.length === 0 ? null : compileRetryPolicy(makeRetryPolicy(retryOn, parts)),
    request,
    timers,
  );
  const response = (status: number, fields: Record<string, string> = {}) => {
    const map = new HeaderMap();
    map.status = status;
    for (const [name, value] of Object.entries(fields)) map.add(name, value);
    const verdict = state?.shouldRetryHeaders(map, cluster, 0, () => {});
    state?.stop();
    return verdict;
  };
  const reset = (reason: ResetReason, started = true) => {
    const verdict = state?.shouldRetryReset(reason, started, cluster, 0, () => {});
    state?.stop();
    return verdict;
  };
  return { state, response, reset, request, cluster, ...upstream };
}

t.test('each condition retries what it names and nothing else', async t => {
  const cases: [string, [number, Record<string, string>?][], [number, Record<string, string>?][]][] = [
    ['5xx', [[500], [503]], [[499], [404]]],
    ['gateway-error', [[502], [503], [504]], [[500]]],
    ['retriable-4xx', [[409]], [[404]]],
    ['retriable-status-codes', [[418]], [[500]]],
    ['unavailable', [[200, { 'grpc-status': '14' }]], [[200, { 'grpc-status': '13' }], [503]]],
    ['cancelled', [[200, { 'grpc-status': '1' }]], [[200]]],
    ['envoy-ratelimited', [[429, { 'x-envoy-ratelimited': 'true' }]], [[429]]],
  ];
  for (const [condition, retried, passed] of cases) {
    for (const [status, headers] of retried)
      t.equal(makeState([condition], { statusCodes: [418] }).response(status, headers), 'retry', condition);
    for (const [status, headers] of passed)
      t.equal(makeState([condition], { statusCodes: [418] }).response(status, headers), 'no', condition);
  }
  t.equal(makeState(['5xx']).response(503, { 'x-envoy-ratelimited': 'true' }), 'no');
});

t.test('resets are retried by kind, an overflow never', async t => {
  const refused = streamResetReasons['remote-refused-stream-reset'];
  const gone = streamResetReasons['connection-termination'];
  const connect = poolFailureReasons['remote-connection-failure'];
  t.equal(makeState(['connect-failure']).reset(connect, false), 'retry');
  t.equal(makeState(['connect-failure']).reset(poolFailureReasons.timeout, false), 'retry');
  t.equal(makeState(['connect-failure']).reset(gone), 'no');
  t.equal(makeState(['refused-stream']).reset(refused), 'retry');
  t.equal(makeState(['refused-stream']).reset(gone), 'no');
  t.equal(makeState(['reset']).reset(gone), 'retry');
  t.equal(makeState(['reset-before-request']).reset(gone, false), 'retry');
  t.equal(makeState(['reset-before-request']).reset(gone, true), 'no');
  t.equal(makeState(['5xx']).reset(localReset), 'retry');
  t.equal(makeState(['5xx', 'reset']).reset(poolFailureReasons.overflow, false), 'no');
});

t.test('the number of retries is limited by policy, header and circuit breaker', async t => {
  const two = makeState(['5xx'], { numRetries: 2 });
  t.same([two.response(500), two.response(500), two.response(500)], ['retry', 'retry', 'limit-exceeded']);
  t.equal(two.counter('cluster.app.upstream_rq_retry'), 2);
  t.equal(two.counter('cluster.app.upstream_rq_retry_limit_exceeded'), 1);
  const none = makeState(['5xx'], { numRetries: 2 }, { 'x-envoy-max-retries': '0' });
  t.equal(none.response(500), 'limit-exceeded');
  t.equal(none.request.size, 0, 'control headers are removed');
  const crowded = makeState(['5xx'], {}, {}, 0);
  t.equal(crowded.response(500), 'overflow');
  t.equal(crowded.counter('cluster.app.upstream_rq_retry_overflow'), 1);
});

t.test('headers ask for retries without a policy', async t => {
  t.equal(makeState([]).state, null);
  t.equal(makeState([], {}, { 'x-envoy-retry-on': '5xx,unavailable' }).response(500), 'retry');
  t.equal(makeState([], {}, { 'x-envoy-retry-on': 'unavailable' }).state, null, 'gRPC conditions have a header of their own');
  t.equal(makeState([], {}, { 'x-envoy-retry-grpc-on': 'unavailable' }).response(200, { 'grpc-status': '14' }), 'retry');
  const codes = { 'x-envoy-retry-on': 'retriable-status-codes', 'x-envoy-retriable-status-codes': '418, 425' };
  t.equal(makeState([], {}, codes).response(425), 'retry');
});

t.test('hosts that were tried are avoided', async t => {
  const { state } = makeState(['5xx'], { previousHosts: true, hostSelectionMaxAttempts: 5 });
  const host = { priority: 0 } as never;
  t.equal(state?.shouldSelectAnotherHost(host), false);
  state?.onHostAttempted(host);
  t.equal(state?.shouldSelectAnotherHost(host), true);
  t.equal(state?.hostSelectionMaxAttempts, 5);
});
