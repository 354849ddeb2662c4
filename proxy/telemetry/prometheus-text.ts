/**
 * The Prometheus text exposition of merged metrics, as Envoy writes it.
 *
 * Source: Envoy's `/stats/prometheus`.
 */
import { countPerBound } from './bucket-counts.ts';
import { computeQuantiles, supportedQuantiles } from './histogram-quantiles.ts';
import type { MetricSnapshot } from './stats-merger.ts';
import type { Tag } from './stats-store.ts';

/** Names below this namespace are shown without it and without `envoy_`: istio.stats registers it. */
const customNamespace = 'istiocustom.';

export interface PrometheusOptions {
  /** `summary` shows quantiles instead of buckets. */
  readonly histograms: 'buckets' | 'summary';
  readonly textReadouts: boolean;
}

function sanitizeName(name: string): string {
  return name.replace(/[^a-zA-Z0-9_]/g, '_');
}

function escapeValue(value: string): string {
  return value.replace(/[\\"\n]/g, character => (character === '\n' ? '\\n' : `\\${character}`));
}

/** The exposed name of a tag-extracted one; null if it cannot be exposed. */
export function prometheusName(tagExtractedName: string): string | null {
  if (!tagExtractedName.startsWith(customNamespace)) return `envoy_${sanitizeName(tagExtractedName)}`;
  const name = sanitizeName(tagExtractedName.slice(customNamespace.length));
  return /^[a-zA-Z_]/.test(name) ? name : null;
}

function formatTags(tags: readonly Tag[]): string {
  return tags.map(([name, value]) => `${sanitizeName(name)}="${escapeValue(value)}"`).join(',');
}

/** Envoy compares names token by token: '.' sorts before every character. */
export function compareNames(a: string, b: string): number {
  const left = a.replaceAll('.', '\0');
  const right = b.replaceAll('.', '\0');
  return left < right ? -1 : left > right ? 1 : 0;
}

/** Counters and gauges are 64 bits wide in Envoy; its largest value stands for "no limit". */
export function formatInteger(value: number): string {
  return value >= 2 ** 64 ? '18446744073709551615' : String(value);
}

function formatHistogram(name: string, { tags, histogram }: MetricSnapshot): string {
  if (histogram === null) return '';
  const own = formatTags(tags);
  const prefix = own === '' ? '' : `${own},`;
  let text = '';
  const counts = countPerBound(histogram.cumulative, histogram.bounds);
  for (let i = 0; i < counts.length; i++) text += `${name}_bucket{${prefix}le="${histogram.bounds[i]}"} ${counts[i]}\n`;
  text += `${name}_bucket{${prefix}le="+Inf"} ${histogram.count}\n`;
  return `${text}${name}_sum{${own}} ${histogram.sum}\n${name}_count{${own}} ${histogram.count}\n`;
}

function formatSummary(name: string, { tags, histogram }: MetricSnapshot): string {
  if (histogram === null) return '';
  const own = formatTags(tags);
  const prefix = own === '' ? '' : `${own},`;
  const values = computeQuantiles(histogram.interval);
  let text = '';
  for (let i = 0; i < supportedQuantiles.length; i++) {
    const value = Number.isNaN(values[i]) ? 'nan' : values[i];
    text += `${name}{${prefix}quantile="${supportedQuantiles[i]}"} ${value}\n`;
  }
  return `${text}${name}_sum{${own}} ${histogram.sum}\n${name}_count{${own}} ${histogram.count}\n`;
}

function formatMetric(name: string, metric: MetricSnapshot, options: PrometheusOptions): string {
  switch (metric.kind) {
    case 'histogram':
      return options.histograms === 'summary' ? formatSummary(name, metric) : formatHistogram(name, metric);
    case 'text-readout':
      return `${name}{${formatTags([...metric.tags, ['text_value', metric.text]])}} 1\n`;
    default:
      return `${name}{${formatTags(metric.tags)}} ${formatInteger(metric.value)}\n`;
  }
}

const sections = ['counter', 'gauge', 'text-readout', 'histogram'] as const;

/** Yields the text metric by metric, so that the caller can pause between them. */
export function* renderPrometheus(metrics: readonly MetricSnapshot[], options: PrometheusOptions): Generator<string> {
  for (const kind of sections) {
    if (kind === 'text-readout' && !options.textReadouts) continue;
    const groups = new Map<string, MetricSnapshot[]>();
    for (const metric of metrics) {
      if (metric.kind !== kind) continue;
      const group = groups.get(metric.tagExtractedName);
      if (group === undefined) groups.set(metric.tagExtractedName, [metric]);
      else group.push(metric);
    }
    const type = kind === 'text-readout' ? 'gauge' : kind === 'histogram' && options.histograms === 'summary' ? 'summary' : kind;
    for (const name of [...groups.keys()].sort(compareNames)) {
      const exposed = prometheusName(name);
      if (exposed === null) continue;
      let text = `# TYPE ${exposed} ${type}\n`;
      const group = groups.get(name) as MetricSnapshot[];
      for (const metric of group.sort((a, b) => compareNames(a.name, b.name))) text += formatMetric(exposed, metric, options);
      yield text;
    }
  }
}
