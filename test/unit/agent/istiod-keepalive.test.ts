import t from 'tap';
import { buildKeepaliveOptions } from '../../../agent/istiod-keepalive.ts';

t.test('silence is noticed before interval and timeout are over, and pings stay above half of the interval', async t => {
  const options = buildKeepaliveOptions({ keepaliveIntervalMs: 30_000, keepaliveTimeoutMs: 10_000 });
  t.strictSame(options, { 'grpc.keepalive_time_ms': 28_000, 'grpc.keepalive_timeout_ms': 10_000 });
});

t.test('an interval below ten seconds counts as ten', async t => {
  const options = buildKeepaliveOptions({ keepaliveIntervalMs: 1000, keepaliveTimeoutMs: 500 });
  t.strictSame(options, { 'grpc.keepalive_time_ms': 9333, 'grpc.keepalive_timeout_ms': 500 });
});
