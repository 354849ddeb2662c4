/** Metrics as lines `name: value`, sorted: text readouts, then counters and gauges, then histograms. */
import { countBetweenBounds, countPerBound } from '../telemetry/bucket-counts.ts';
import { computeQuantiles, supportedQuantiles } from '../telemetry/histogram-quantiles.ts';
import { compareNames, formatInteger } from '../telemetry/prometheus-text.ts';
import type { HistogramSnapshot, MetricSnapshot } from '../telemetry/stats-merger.ts';
import type { HistogramDisplay } from './stats.ts';

const piece = 200;

/** Yields some hundred lines at a time. */
export function* renderStatsText(metrics: readonly MetricSnapshot[], display: HistogramDisplay): Generator<string> {
  const sections = splitByKind(metrics);
  for (const section of sections) {
    let text = '';
    let count = 0;
    for (const metric of section) {
      text += `${metric.name}: ${formatValue(metric, display)}\n`;
      if (++count % piece === 0) {
        yield text;
        text = '';
      }
    }
    yield text;
  }
}

/** Text readouts; counters and gauges; histograms; each sorted by name. */
export function splitByKind(metrics: readonly MetricSnapshot[]): readonly (readonly MetricSnapshot[])[] {
  const of = (...kinds: readonly string[]) =>
    metrics.filter(({ kind }) => kinds.includes(kind)).sort((a, b) => compareNames(a.name, b.name));
  return [of('text-readout'), of('counter', 'gauge'), of('histogram')];
}

export function formatValue(metric: MetricSnapshot, display: HistogramDisplay): string {
  if (metric.kind === 'text-readout') return `"${metric.text}"`;
  if (metric.histogram === null) return formatInteger(metric.value);
  return formatHistogram(metric.histogram, display);
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
