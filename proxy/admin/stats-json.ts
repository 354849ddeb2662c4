/** Metrics as JSON, in Envoy's shape. */
import { type BucketCounts, countBetweenBounds, countPerBound } from '../telemetry/bucket-counts.ts';
import { computeQuantiles, supportedQuantiles } from '../telemetry/histogram-quantiles.ts';
import { lowerBoundOf, widthOf } from '../telemetry/log-linear-buckets.ts';
import type { HistogramSnapshot, MetricSnapshot } from '../telemetry/stats-merger.ts';
import type { HistogramDisplay } from './stats.ts';
import { splitByKind } from './stats-text.ts';

const percents = supportedQuantiles.map(quantile => Math.round(quantile * 1000) / 10);

export function* renderStatsJson(metrics: readonly MetricSnapshot[], display: HistogramDisplay): Generator<string> {
  const [readouts, numbers, histograms] = splitByKind(metrics);
  let separator = '{"stats":[';
  for (const { name, text } of readouts) {
    yield separator + JSON.stringify({ name, value: text });
    separator = ',';
  }
  for (const { name, value } of numbers) {
    yield separator + JSON.stringify({ name, value });
    separator = ',';
  }
  if (histograms.length > 0) yield separator + JSON.stringify({ histograms: renderHistograms(histograms, display) });
  else if (separator !== ',') yield separator;
  yield ']}';
}

function renderHistograms(metrics: readonly MetricSnapshot[], display: HistogramDisplay): unknown {
  const shown = metrics.map(({ name, histogram }) => ({ name, histogram: histogram as HistogramSnapshot }));
  if (display === 'cumulative' || display === 'disjoint') {
    const select = display === 'cumulative' ? countPerBound : countBetweenBounds;
    return shown.map(({ name, histogram }) => ({ name, buckets: renderBuckets(histogram, select) }));
  }
  if (display === 'summary') {
    const values = shown.map(({ name, histogram }) => ({ values: renderQuantiles(histogram), name }));
    return { supported_quantiles: percents, computed_quantiles: values };
  }
  const details = shown.map(({ name, histogram }) => ({
    name,
    percentiles: renderQuantiles(histogram),
    totals: renderCounts(histogram.cumulative),
    intervals: renderCounts(histogram.interval),
  }));
  return { supported_percentiles: percents, details };
}

const orNull = (value: number): number | null => (Number.isNaN(value) ? null : value);

function renderQuantiles({ interval, cumulative }: HistogramSnapshot): object[] {
  const recent = computeQuantiles(interval);
  return computeQuantiles(cumulative).map((value, i) => ({ cumulative: orNull(value), interval: orNull(recent[i]) }));
}

function renderBuckets({ bounds, interval, cumulative }: HistogramSnapshot, select: typeof countPerBound): object[] {
  const [recent, all] = [select(interval, bounds), select(cumulative, bounds)];
  return bounds.map((bound, i) => ({ upper_bound: bound, interval: recent[i], cumulative: all[i] }));
}

function renderCounts({ buckets, counts }: BucketCounts): object[] {
  return buckets.map((bucket, i) => ({ lower_bound: lowerBoundOf(bucket), width: widthOf(bucket), count: counts[i] }));
}
