/** Which statistics the proxy keeps, and how it takes tags out of their names. */
import { AgentLogger } from '../../log.ts';
import type { StringMap } from '../downward-api.ts';
import { parseGoDuration, renderProtoDuration } from '../duration.ts';
import type { Node } from '../node-metadata.ts';
import type { Json, JsonObject } from '../proto-json.ts';
import type { ProxyConfig } from '../proxy-config.ts';

const log = new AgentLogger('default');

type StatsSources = {
  readonly node: Node;
  readonly proxyConfig: ProxyConfig;
  /** The workload discovery extension is on. */
  readonly discovery: boolean;
  readonly exitOnZero: boolean;
};

/** The bootstrap fields `stats_config`, `stats_flush_interval` and `stats_eviction_interval`. */
export function buildStats(sources: StatsSources): JsonObject {
  const annotations = (sources.node.typed.ANNOTATIONS ?? {}) as StringMap;
  return {
    ...buildIntervals(annotations),
    stats_config: {
      use_all_default_tags: false,
      stats_tags: buildTags(sources.proxyConfig, annotations),
      ...buildHistograms(annotations),
      stats_matcher: { inclusion_list: { patterns: buildInclusions(sources, annotations) } },
    },
  };
}

const ipOrName = '(?:[_.[:digit:]]*|[_\\[\\]aAbBcCdDeEfF[:digit:]]*)';

/** Envoy's own default extractors count on names that Istio does not use. */
const leadingTags: readonly (readonly [string, string])[] = [
  ['cluster_name', '^cluster(\\.(.+);)'],
  ['http_conn_manager_prefix', '^http\\.(((?:[_.[:digit:]\\w]*|[_\\[\\]aAbBcCdDeEfF[:digit:]\\w\\:]*));\\.)'],
  ['thread_name', '^server(\\.(.+))\\.watchdog'],
  ['tcp_prefix', '^tcp\\.((.*?)\\.)\\w+?$'],
  ['response_code', '_rq(_(\\d{3}))$'],
  ['response_code_class', '_rq(_(\\dxx))$'],
  ['http_conn_manager_listener_prefix', `^listener(?=\\.).*?\\.http\\.((${ipOrName})\\.)`],
  ['listener_address', `^listener\\.((${ipOrName})\\.)`],
  ['mongo_prefix', '^mongo\\.(.+?)\\.(collection|cmd|cx_|op_|delays_|decoding_)(.*?)$'],
];
const trailingTags: readonly (readonly [string, string])[] = [
  ['cache', '(cache\\.(.+?)\\.)'],
  ['component', '(component\\.(.+?)\\.)'],
  ['tag', '(tag\\.(.+?);\\.)'],
  ['wasm_filter', '(wasm_filter\\.(.+?)\\.)'],
  ['authz_enforce_result', 'rbac(\\.(allowed|denied))'],
  ['authz_dry_run_action', '(\\.istio_dry_run_(allow|deny)_)'],
  ['authz_dry_run_result', '(\\.shadow_(allowed|denied))'],
];

function buildTags(config: ProxyConfig, annotations: StringMap): readonly JsonObject[] {
  const fromAnnotation = (annotations['sidecar.istio.io/extraStatTags'] ?? '').split(',');
  const extra = new Set([...(config.extraStatTags ?? []), ...fromAnnotation].filter(tag => tag !== ''));
  const extraTags = [...extra].map(tag => [tag, `(${tag}=\\.=(.*?);\\.;)`] as const);
  return [...leadingTags, ...extraTags, ...trailingTags].map(([name, regex]) => ({ tag_name: name, regex }));
}

/** Readiness, draining and Istio's own metrics need these whatever the user includes. */
const requiredPrefixes = ['cluster_manager', 'listener_manager', 'server', 'cluster.xds-grpc', 'wasm'];
const requiredSuffixes = ['rbac.allowed', 'rbac.denied', 'shadow_allowed', 'shadow_denied'];
const requiredRegexps = ['vhost\\..*\\.route\\..*'];

function buildInclusions(
  { node, proxyConfig, discovery, exitOnZero }: StatsSources,
  annotations: StringMap,
): readonly JsonObject[] {
  const addresses = ((node.typed.INSTANCE_IPS as string | undefined) ?? '').split(',');
  const matcher = proxyConfig.proxyStatsMatcher;
  const choose = (kind: string, own: readonly string[] | undefined, required: readonly string[]): readonly string[] => {
    const annotation = annotations[`sidecar.istio.io/statsInclusion${kind}`] ?? '';
    const chosen = annotation === '' ? (own ?? []) : annotation.split(',');
    return [...chosen, ...required].flatMap(pattern =>
      pattern.includes('{pod_ip}') ? addresses.map(address => pattern.replaceAll('{pod_ip}', address)) : [pattern],
    );
  };
  const suffixes = exitOnZero ? [...requiredSuffixes, 'downstream_cx_active'] : requiredSuffixes;
  return [
    { prefix: 'reporter=' },
    ...(discovery ? [{ prefix: 'workload_discovery' }] : []),
    ...choose('Prefixes', matcher?.inclusionPrefixes, requiredPrefixes).map(prefix => ({ prefix })),
    ...choose('Suffixes', matcher?.inclusionSuffixes, suffixes).map(suffix => ({ suffix })),
    ...choose('Regexps', matcher?.inclusionRegexps, requiredRegexps).map(regex => ({ safe_regex: { regex } })),
    { prefix: 'component' },
    { prefix: 'istio' },
  ];
}

function buildHistograms(annotations: StringMap): JsonObject {
  const text = annotations['sidecar.istio.io/statsHistogramBuckets'];
  if (text === undefined) return {};
  try {
    const settings = Object.entries(JSON.parse(text) as Record<string, Json>);
    if (settings.length === 0) return {};
    settings.sort(([left], [right]) => (left < right ? -1 : 1));
    return { histogram_bucket_settings: settings.map(([prefix, buckets]) => ({ match: { prefix }, buckets })) };
  } catch (error) {
    log.warn(`Failed to unmarshal histogram buckets ${text}: ${(error as Error).message}`);
    return {};
  }
}

const defaultFlushIntervalMs = 5000;

function buildIntervals(annotations: StringMap): JsonObject {
  const intervals: Record<string, Json> = {};
  const flushMs = readInterval(annotations, 'sidecar.istio.io/statsFlushInterval', 'flush');
  if (flushMs !== null) intervals.stats_flush_interval = renderProtoDuration(flushMs);
  const evictionMs = readInterval(annotations, 'sidecar.istio.io/statsEvictionInterval', 'eviction');
  if (evictionMs === null) return intervals;
  if (evictionMs % (flushMs ?? defaultFlushIntervalMs) !== 0) {
    log.warn('StatsEvictionInterval must be a multiple of the StatsFlushInterval');
  } else intervals.stats_eviction_interval = renderProtoDuration(Math.floor(evictionMs / 1000) * 1000);
  return intervals;
}

function readInterval(annotations: StringMap, annotation: string, title: string): number | null {
  const text = annotations[annotation];
  if (text === undefined) return null;
  const ms = parseGoDuration(text);
  if (ms === null) log.warn(`Failed to parse stats ${title} interval ${text}`);
  return ms;
}
