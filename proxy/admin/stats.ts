/** `/stats` and `/stats/prometheus`: parameters, filters and the choice of a format. */
import type { MergedMetric } from '../telemetry/stats-merger.ts';
import type { StatKind } from '../telemetry/stats-store.ts';
import { renderPrometheus } from '../telemetry/prometheus-text.ts';
import type { AdminContext } from './admin-context.ts';
import type { AdminRequest, AdminResponse } from './endpoint.ts';
import { jsonResponse, textResponse } from './endpoint.ts';
import { parseFilter } from './name-filter.ts';
import { renderStatsHtml } from './stats-html.ts';
import { renderStatsJson } from './stats-json.ts';
import { renderStatsText } from './stats-text.ts';

/** How histograms are shown; prometheusnative exists for protobuf only. */
export type HistogramDisplay = 'summary' | 'cumulative' | 'disjoint' | 'detailed';
/** `none` is the former name of the summary. */
const displays: readonly string[] = ['summary', 'cumulative', 'disjoint', 'detailed', 'prometheusnative', 'none'];

const kindsOfType: { readonly [type: string]: readonly StatKind[] | undefined } = {
  All: ['counter', 'gauge', 'histogram', 'text-readout'],
  Counters: ['counter'],
  Gauges: ['gauge'],
  Histograms: ['histogram'],
  TextReadouts: ['text-readout'],
};
const formats = ['html', 'active-html', 'json', 'prometheus', 'text'];

/** Null where other work may run. */
export type MetricStream = Iterable<MergedMetric | null>;

/** The metrics a query asks for, or the error it deserves. */
function selectMetrics(query: URLSearchParams, context: AdminContext): MetricStream | AdminResponse {
  const kinds = kindsOfType[query.get('type') ?? 'All'];
  if (kinds === undefined) return textResponse('invalid &type= param', 400);
  const filter = parseFilter(query.get('filter'), false);
  if ('error' in filter) return textResponse(`Invalid re2 regex: ${filter.error}`, 400);
  const { matches } = filter;
  const wanted = !query.has('invert_filter');
  const usedOnly = query.has('usedonly');
  // Every metric here is shown by default: there is nothing hidden to select.
  if (query.get('hidden') === 'only') return [];
  const isSelected = (metric: MergedMetric): boolean =>
    kinds.includes(metric.kind) && (matches === null || matches(metric.name) === wanted) && (!usedOnly || metric.used);
  return selectFrom(context.stats.list(), isSelected);
}

function* selectFrom(metrics: MetricStream, isSelected: (metric: MergedMetric) => boolean): Generator<MergedMetric | null> {
  for (const metric of metrics) yield metric !== null && isSelected(metric) ? metric : null;
}

function isResponse(selected: MetricStream | AdminResponse): selected is AdminResponse {
  return 'status' in selected;
}

export function handleStats(request: AdminRequest, context: AdminContext): AdminResponse {
  const { query } = request;
  const format = query.get('format') ?? 'text';
  if (!formats.includes(format)) return textResponse('usage: /stats?format=(html|active-html|json|prometheus|text)\n\n', 400);
  const display = query.get('histogram_buckets') ?? 'summary';
  if (display !== '' && !displays.includes(display)) {
    return textResponse('usage: /stats?histogram_buckets=(cumulative|disjoint|detailed|summary|prometheusnative)\n', 400);
  }
  if (format === 'prometheus') return handlePrometheus(request, context);
  const selected = selectMetrics(query, context);
  if (isResponse(selected)) return selected;
  const mode = (['', 'none', 'prometheusnative'].includes(display) ? 'summary' : display) as HistogramDisplay;
  if (format === 'json') return jsonResponse(renderStatsJson(selected, mode));
  if (format === 'text') return textResponse(renderStatsText(selected, mode));
  return { status: 200, contentType: 'text/html; charset=UTF-8', body: renderStatsHtml(selected, mode) };
}

/**
 * Differs from Envoy: there is no protobuf exposition; a client that prefers it gets text, which it must accept too.
 */
export function handlePrometheus({ query }: AdminRequest, context: AdminContext): AdminResponse {
  const display = query.get('histogram_buckets') || 'cumulative';
  if (!displays.includes(display)) {
    return textResponse('usage: /stats?histogram_buckets=(cumulative|disjoint|detailed|summary|prometheusnative)\n', 400);
  }
  if (display === 'prometheusnative') {
    return textResponse('unsupported prometheusnative histogram type when not using protobuf exposition format\n', 400);
  }
  if (display !== 'cumulative' && display !== 'summary' && display !== 'none') {
    return textResponse('unsupported prometheus histogram bucket mode\n', 400);
  }
  const selected = selectMetrics(query, context);
  if (isResponse(selected)) return selected;
  const histograms = display === 'cumulative' ? 'buckets' : 'summary';
  return textResponse(renderPrometheus(selected, { histograms, textReadouts: query.has('text_readouts') }));
}
