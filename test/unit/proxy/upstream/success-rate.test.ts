import t from 'tap';
import { computeSuccessRates, type HostResults } from '../../../../proxy/upstream/success-rate.ts';
import { makeOutlierDetection } from './upstream-fixture.ts';

function results(...succeeded: number[]): HostResults[] {
  return succeeded.map((count, slot) => ({ slot, succeeded: count, total: 100 }));
}

const model = makeOutlierDetection({
  successRateMinimumHosts: 5,
  successRateRequestVolume: 100,
  failurePercentageMinimumHosts: 5,
  failurePercentageRequestVolume: 50,
});

t.test('a host far below the mean is an outlier, one that mostly fails is failing', async t => {
  const { average, threshold, outliers, failing, rates } = computeSuccessRates(results(100, 100, 100, 100, 10), 5, model);
  t.equal(average, 82);
  t.equal(threshold, 82 - 1.9 * 36, 'the standard deviation is 36');
  t.same(outliers, [4]);
  t.same(failing, [4]);
  t.equal(rates.get(4), 10);
});

t.test('few hosts or few results say nothing', async t => {
  t.same(computeSuccessRates(results(100, 100, 100, 0), 4, model).outliers, []);
  const few = results(100, 100, 100, 100).concat({ slot: 4, succeeded: 0, total: 60 });
  const { average, outliers, failing } = computeSuccessRates(few, 5, model);
  t.equal(average, null, 'too few have results enough for a mean');
  t.same(outliers, []);
  t.same(failing, [4], 'the volume of the other detector is smaller');
});
