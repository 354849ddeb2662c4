/** Metrics as JSON, in Envoy's shape. */
import { type BucketCounts, countBetweenBounds, countPerBound } from '../telemetry/bucket-counts.ts';
import { computeQuantiles, supportedQuantiles } from '../telemetry/histogram-quantiles.ts';
import { lowerBoundOf, widthOf } from '../telemetry/log-linear-buckets.ts';
import type { HistogramSnapshot } from '../telemetry/stats-merger.ts';
import type { HistogramDisplay, MetricStream } from './stats.ts';
import { collectByKind } from './stats-text.ts';

const percents = supportedQuantiles.map(quantile => Math.round(quantile * 1000) / 10);

export function* renderStatsJson(metrics: MetricStream, display: HistogramDisplay): Generator<string> {
  const { readouts, numbers, histograms } = yield* collectByKind(metrics);
  let separator = '{"stats":[';
  for (const { name, text } of readouts.sorted()) {
    yield separator + JSON.stringify({ name, value: text });
    separator = ',';
  }
  for (const { name, value } of numbers.sorted()) {
    yield separator + JSON.stringify({ name, value });
    separator = ',';
  }
  if (!histograms.isEmpty) {
    const [begin, end] = histogramFrames[display];
    yield `${separator}{"histograms":${begin}`;
    separator = '';
    for (const { name, histogram } of histograms.sorted()) {
      yield separator + JSON.stringify(renderHistogram(name, histogram as HistogramSnapshot, display));
      separator = ',';
    }
    yield `${end}}`;
  } else if (separator !== ',') yield separator;
  yield ']}';
}

/** What is around the list of histograms. */
const histogramFrames: { readonly [D in HistogramDisplay]: readonly [begin: string, end: string] } = {
  cumulative: ['[', ']'],
  disjoint: ['[', ']'],
  summary: [`{"supported_quantiles":${JSON.stringify(percents)},"computed_quantiles":[`, ']}'],
  detailed: [`{"supported_percentiles":${JSON.stringify(percents)},"details":[`, ']}'],
};

function renderHistogram(name: string, histogram: HistogramSnapshot, display: HistogramDisplay): object {
  switch (display) {
    case 'cumulative':
      return { name, buckets: renderBuckets(histogram, countPerBound) };
    case 'disjoint':
      return { name, buckets: renderBuckets(histogram, countBetweenBounds) };
    case 'summary':
      return { values: renderQuantiles(histogram), name };
    case 'detailed':
      return {
        name,
        percentiles: renderQuantiles(histogram),
        totals: renderCounts(histogram.cumulative),
        intervals: renderCounts(histogram.interval),
      };
  }
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
