import t from 'tap';
import { TimerWheel } from '../../../../common/timer-wheel.ts';
import { HeaderMap } from '../../../../proxy/http/header-map.ts';
import { Attempts } from '../../../../proxy/router/attempts.ts';
import { createRetryState } from '../../../../proxy/router/retry-state.ts';
import { compileRetryPolicy } from '../../../../proxy/router/retry-policy.ts';
import type { UpstreamRequest } from '../../../../proxy/router/upstream-request.ts';
import type { Cluster } from '../../../../proxy/upstream/cluster-manager.ts';
import { makeStreamInfo } from '../telemetry/fixture.ts';
import { makeRetryPolicy } from './route-models.ts';

const cluster = {
  stats: { countRetry() {}, countRetriedResponse() {} },
  resources: { tryRetry: () => true, releaseRetry() {} },
} as unknown as Cluster;
const noRetry = (): void => {};

function makeAttempt(log: string[], name: string): UpstreamRequest {
  return {
    host: { countOutcome() {}, reportResult() {} },
    hasResponse: false,
    requestStarted: true,
    isHedged: false,
    abandon: () => log.push(`${name} abandoned`),
    complete: () => log.push(`${name} complete`),
    describe: () => log.push(`${name} described`),
  } as unknown as UpstreamRequest;
}

function makeAttempts(numRetries: number) {
  const log: string[] = [];
  const attempts = new Attempts(makeStreamInfo(), 0);
  attempts.retryState = createRetryState(
    compileRetryPolicy(makeRetryPolicy(['5xx'], { numRetries })),
    new HeaderMap(),
    new TimerWheel(),
  );
  t.teardown(() => attempts.stop());
  return { attempts, log };
}

function responseOf(status: number): HeaderMap {
  const headers = new HeaderMap();
  headers.status = status;
  return headers;
}

t.test('the first good answer of hedged attempts is chosen, the others end', async t => {
  const { attempts, log } = makeAttempts(2);
  const [slow, quick] = ['slow', 'quick'].map(name => makeAttempt(log, name));
  attempts.add(slow);
  attempts.hedge(slow, cluster, noRetry);
  t.ok(attempts.mayStillAnswer, 'a retry waits');
  attempts.begin();
  attempts.add(quick);
  t.equal(attempts.count, 2);
  t.equal(attempts.judgeResponse(quick, responseOf(200), true, cluster, noRetry), 'final');
  attempts.choose(quick);
  t.strictSame(log, ['slow abandoned', 'quick described']);
  t.strictSame(attempts.running, [quick]);
});

t.test('a bad answer of an attempt that was hedged is not retried once more', async t => {
  const { attempts, log } = makeAttempts(1);
  const [slow, quick] = ['slow', 'quick'].map(name => makeAttempt(log, name));
  attempts.add(slow);
  attempts.hedge(slow, cluster, noRetry);
  attempts.begin();
  attempts.add(quick);
  (slow as { hasResponse: boolean }).hasResponse = true;
  t.equal(attempts.judgeResponse(slow, responseOf(503), true, cluster, noRetry), 'refused');
  t.ok(attempts.mayStillAnswer, 'the retry may better it');
  attempts.discard(slow);
  (quick as { hasResponse: boolean }).hasResponse = true;
  t.equal(attempts.judgeResponse(quick, responseOf(503), true, cluster, noRetry), 'refused', 'no retry is left');
  t.notOk(attempts.mayStillAnswer);
});

t.test('a retried answer ends its attempt', async t => {
  const { attempts, log } = makeAttempts(1);
  const only = makeAttempt(log, 'only');
  attempts.add(only);
  t.equal(attempts.judgeResponse(only, responseOf(503), false, cluster, noRetry), 'retry');
  t.strictSame(log, ['only abandoned']);
  t.equal(attempts.latest, null);
});
