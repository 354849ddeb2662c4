import t from 'tap';
import { countPerBound } from '../../../../proxy/telemetry/bucket-counts.ts';
import { computeQuantiles } from '../../../../proxy/telemetry/histogram-quantiles.ts';
import {
  bucketOf,
  bucketsPerDecade,
  decadeCount,
  lowerBoundOf,
  widthOf,
} from '../../../../proxy/telemetry/log-linear-buckets.ts';
import type { HistogramSnapshot, StatsMerger } from '../../../../proxy/telemetry/stats-merger.ts';
import { makeStats } from './fixture.ts';

const read = (merger: StatsMerger, name: string) =>
  merger.snapshot().find(metric => metric.name === name)?.histogram as HistogramSnapshot;

t.test('buckets keep two significant digits', async t => {
  for (const [value, lower, width] of [
    [0, 0, 0],
    [-5, 0, 0],
    [0.9, 0, 0],
    [1, 1, 0.1],
    [9, 9, 0.1],
    [10, 10, 1],
    [99, 99, 1],
    [100, 100, 10],
    [1239, 1200, 100],
    [999_999, 990_000, 10_000],
    [1e30, 99 * 10 ** 13, 10 ** 13],
  ]) {
    t.same([lowerBoundOf(bucketOf(value)), widthOf(bucketOf(value))], [lower, width], `${value}`);
  }
  t.equal(bucketOf(Number.NaN), 0);
  for (let bucket = 0; bucket < 10 + decadeCount * bucketsPerDecade; bucket++) {
    if (bucketOf(lowerBoundOf(bucket)) !== bucket) t.fail(`bucket ${bucket} does not hold its own lower bound`);
  }
});

t.test('quantiles are those of Envoy', async t => {
  const { merger, store } = makeStats();
  const ones = store.histogram('ones');
  for (let i = 0; i < 35; i++) ones.record(1);
  const expected = [1 / 36, 9 / 36, 18 / 36, 27 / 36, 32 / 36, 34 / 36, 35 / 36, 35 / 36, 35 / 36, 35 / 36];
  for (const [i, value] of computeQuantiles(read(merger, 'ones').cumulative).entries()) {
    t.ok(Math.abs(value - (1 + 0.1 * expected[i])) < 1e-12, `${value}`);
  }
  t.ok(computeQuantiles(read(merger, 'ones').interval).every(Number.isNaN));
});

t.test('an interval holds what came between two flushes, of all threads and decades', async t => {
  const { merger, store } = makeStats();
  const histogram = store.histogram('h');
  for (const value of [0, 5, 50, 5000]) histogram.record(value);
  merger.flushIntervals();
  for (const value of [5, 5000, 12_345_678]) histogram.record(value);
  merger.flushIntervals();
  const { interval, cumulative, sum } = read(merger, 'h');
  t.same(interval, { buckets: [5, 5000, 12_000_000].map(bucketOf), counts: [1, 1, 1], count: 3 });
  t.equal(cumulative.count, 7);
  t.equal(sum, 0 + 5 + 50 + 5000 + 5 + 5000 + 12_345_678);
  t.same(countPerBound(cumulative, [0.5, 5, 49, 50, 5000, 1e7]), [1, 3, 3, 4, 6, 6]);
  merger.flushIntervals();
  t.equal(read(merger, 'h').interval.count, 0);
});

t.test('many histograms spread over blocks keep their values', async t => {
  const { merger, store } = makeStats();
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 1000; i++) store.histogram(`h${i}`).record(10 ** (round + 1) + i);
  }
  const { cumulative, sum } = read(merger, 'h999');
  t.equal(cumulative.count, 3);
  t.equal(sum, 1110 + 3 * 999);
});
