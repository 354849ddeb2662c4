import t from 'tap';
import { durationMs, percent, positiveDurationMs, runtimeFraction } from '../../../../../proxy/config/compile/scalars.ts';
import { refuses } from './fixture.ts';

t.test('a duration may exceed 2^31 milliseconds', async t => {
  t.equal(durationMs({ seconds: 9_223_372_036, nanos: 0 }, 0, 'd'), 9_223_372_036_000);
});

t.test('an absent duration is the fallback, a zero one is zero', async t => {
  t.equal(durationMs(null, 15_000, 'd'), 15_000);
  t.equal(durationMs({ seconds: 0, nanos: 0 }, 15_000, 'd'), 0);
});

t.test('fractions of a millisecond are cut off, but never turn a limit into none', async t => {
  t.equal(durationMs({ seconds: 1, nanos: 1_999_999 }, 0, 'd'), 1001);
  t.equal(positiveDurationMs({ seconds: 0, nanos: 10 }, 0, 'd'), 1);
});

t.test('negative and impossible durations are refused', async t => {
  refuses(t, () => durationMs({ seconds: -1, nanos: 0 }, 0, 'd'), 'd', 'Expected positive duration');
  refuses(t, () => durationMs({ seconds: 0, nanos: -1 }, 0, 'd'), 'd', 'Expected positive duration');
  refuses(t, () => durationMs({ seconds: 0, nanos: 2e9 }, 0, 'd'), 'd', 'out-of-range');
  refuses(t, () => durationMs({ seconds: 400_000_000_000, nanos: 0 }, 0, 'd'), 'd', 'out-of-range');
  refuses(t, () => positiveDurationMs({ seconds: 0, nanos: 0 }, 0, 'd'), 'd', 'greater than 0s');
});

t.test('percentages outside 0 to 100 and NaN are refused', async t => {
  t.equal(percent({ value: 0 }, 50, 'p'), 0);
  t.equal(percent(null, 50, 'p'), 50);
  for (const value of [-1, 100.1, Number.NaN]) refuses(t, () => percent({ value }, 50, 'p'), 'p.value', 'range');
});

t.test('a fraction keeps its denominator and its runtime key', async t => {
  const message = { default_value: { numerator: 3, denominator: 2 }, runtime_key: 'k' };
  t.strictSame(runtimeFraction(message, 'f'), { numerator: 3, denominator: 1_000_000, runtimeKey: 'k' });
  refuses(t, () => runtimeFraction({ default_value: null, runtime_key: 'k' }, 'f'), 'f.default_value', 'required');
});
