/** Metrics as lines `name: value`, sorted: text readouts, then counters and gauges, then histograms. */
import { countBetweenBounds, countPerBound } from '../telemetry/bucket-counts.ts';
import { computeQuantiles, supportedQuantiles } from '../telemetry/histogram-quantiles.ts';
import { MetricOrder } from '../telemetry/metric-order.ts';
import { formatInteger } from '../telemetry/prometheus-text.ts';
import type { HistogramSnapshot, MergedMetric } from '../telemetry/stats-merger.ts';
import type { HistogramDisplay, MetricStream } from './stats.ts';

const piece = 100;

/** Yields lines in pieces, and nothing while it collects. */
export function* renderStatsText(metrics: MetricStream, display: HistogramDisplay): Generator<string> {
  const { readouts, numbers, histograms } = yield* collectByKind(metrics);
  for (const section of [readouts, numbers, histograms]) {
    let text = '';
    let count = 0;
    for (const metric of section.sorted()) {
      text += `${metric.name}: ${formatValue(metric, display)}\n`;
      if (++count % piece !== 0) continue;
      yield text;
      text = '';
    }
    yield text;
  }
}

export interface MetricSections {
  readonly readouts: MetricOrder;
  readonly numbers: MetricOrder;
  readonly histograms: MetricOrder;
}

/** Yields nothing between any two metrics; returns text readouts, counters with gauges, and histograms. */
export function* collectByKind(metrics: MetricStream): Generator<string, MetricSections> {
  const sections: MetricSections = { readouts: new MetricOrder(), numbers: new MetricOrder(), histograms: new MetricOrder() };
  for (const metric of metrics) {
    if (metric?.kind === 'text-readout') sections.readouts.add(metric);
    else if (metric?.kind === 'histogram') sections.histograms.add(metric);
    else if (metric !== null) sections.numbers.add(metric);
    yield '';
  }
  return sections;
}

export function formatValue(metric: MergedMetric, display: HistogramDisplay): string {
  if (metric.kind === 'text-readout') return `"${metric.text}"`;
  const { histogram } = metric;
  return histogram === null ? formatInteger(metric.value) : formatHistogram(histogram, display);
}

/** A number as C++ streams print it: six significant digits. */
export function formatNumber(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (Math.abs(value) < 1e6) return String(Number(value.toPrecision(6)));
  return value
    .toExponential(5)
    .replace(/\.?0+e/, 'e')
    .replace(/e\+(\d)$/, 'e+0$1');
}

function formatHistogram(histogram: HistogramSnapshot, display: HistogramDisplay): string {
  if (histogram.count === 0) return 'No recorded values';
  const { bounds, interval, cumulative } = histogram;
  if (display === 'summary' || display === 'detailed') {
    const [recent, all] = [computeQuantiles(interval), computeQuantiles(cumulative)];
    return supportedQuantiles
      .map((quantile, i) => `P${formatNumber(quantile * 100)}(${formatQuantile(recent[i])},${formatQuantile(all[i])})`)
      .join(' ');
  }
  const select = display === 'cumulative' ? countPerBound : countBetweenBounds;
  const [recent, all] = [select(interval, bounds), select(cumulative, bounds)];
  return bounds.map((bound, i) => `B${formatNumber(bound)}(${recent[i]},${all[i]})`).join(' ');
}

function formatQuantile(value: number): string {
  return Number.isNaN(value) ? 'nan' : String(value);
}
