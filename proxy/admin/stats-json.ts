/** Metrics as JSON, in Envoy's shape. */
import { computeQuantiles, supportedQuantiles } from '../telemetry/histogram-quantiles.ts';
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
  if (display === 'cumulative' || display === 'disjoint') {
    return metrics.map(({ name, histogram }) => ({
      name,
      buckets: renderBuckets(histogram as HistogramSnapshot, display === 'cumulative'),
    }));
  }
  const values = metrics.map(({ name, histogram }) => ({ name, values: renderQuantiles(histogram as HistogramSnapshot) }));
  if (display === 'summary') return { supported_quantiles: percents, computed_quantiles: values };
  return {
    supported_percentiles: percents,
    details: values.map(({ name, values: quantiles }) => ({ name, totals: [], intervals: [], percentiles: quantiles })),
  };
}

/** Of the last interval nothing is kept. */
function renderQuantiles(histogram: HistogramSnapshot): object[] {
  return computeQuantiles(histogram).map(value => ({ cumulative: Number.isNaN(value) ? null : value, interval: null }));
}

function renderBuckets({ bounds, buckets }: HistogramSnapshot, isCumulative: boolean): object[] {
  let total = 0;
  return bounds.map((bound, i) => {
    total += buckets[i];
    return { upper_bound: bound, interval: 0, cumulative: isCumulative ? total : buckets[i] };
  });
}
