/**
 * The Prometheus text exposition of merged metrics, as Envoy writes it.
 *
 * Source: Envoy's `/stats/prometheus`.
 */
import { countPerBound } from './bucket-counts.ts';
import { computeQuantiles, supportedQuantiles } from './histogram-quantiles.ts';
import type { MergedMetric } from './merged-metric.ts';
import { sortMetrics, sortNames } from './metric-order.ts';
import type { StatKind, Tag } from './stats-store.ts';

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

/** Counters and gauges are 64 bits wide in Envoy; its largest value stands for "no limit". */
export function formatInteger(value: number): string {
  return value >= 2 ** 64 ? '18446744073709551615' : String(value);
}

function formatHistogram(name: string, { tags, histogram }: MergedMetric): string {
  if (histogram === null) return '';
  const own = formatTags(tags);
  const prefix = own === '' ? '' : `${own},`;
  let text = '';
  const counts = countPerBound(histogram.cumulative, histogram.bounds);
  for (let i = 0; i < counts.length; i++) text += `${name}_bucket{${prefix}le="${histogram.bounds[i]}"} ${counts[i]}\n`;
  text += `${name}_bucket{${prefix}le="+Inf"} ${histogram.count}\n`;
  return `${text}${name}_sum{${own}} ${histogram.sum}\n${name}_count{${own}} ${histogram.count}\n`;
}

function formatSummary(name: string, { tags, histogram }: MergedMetric): string {
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

function formatMetric(name: string, metric: MergedMetric, options: PrometheusOptions): string {
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
/** Lines are given out after so many metrics, of which one may have twenty. */
const piece = 50;

/** By kind and exposed name. */
type Families = { readonly [K in StatKind]: Map<string, MergedMetric[]> };

/** Yields the text in pieces, and nothing while it collects, so that the caller can pause. `metrics` may hold null for a pause of its own. */
export function* renderPrometheus(metrics: Iterable<MergedMetric | null>, options: PrometheusOptions): Generator<string> {
  const families: Families = { counter: new Map(), gauge: new Map(), 'text-readout': new Map(), histogram: new Map() };
  for (const metric of metrics) {
    if (metric !== null) addTo(families, metric);
    yield '';
  }
  for (const kind of sections) {
    if (kind === 'text-readout' && !options.textReadouts) continue;
    const type = kind === 'text-readout' ? 'gauge' : kind === 'histogram' && options.histograms === 'summary' ? 'summary' : kind;
    for (const name of sortNames(families[kind].keys())) {
      const exposed = prometheusName(name);
      if (exposed === null) continue;
      let text = `# TYPE ${exposed} ${type}\n`;
      for (const [i, metric] of sortMetrics(families[kind].get(name) as MergedMetric[]).entries()) {
        text += formatMetric(exposed, metric, options);
        if (i % piece !== piece - 1) continue;
        yield text;
        text = '';
      }
      yield text;
    }
  }
}

function addTo(families: Families, metric: MergedMetric): void {
  const family = families[metric.kind];
  const known = family.get(metric.tagExtractedName);
  if (known === undefined) family.set(metric.tagExtractedName, [metric]);
  else known.push(metric);
}
