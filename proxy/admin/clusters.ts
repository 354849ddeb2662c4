/** `/clusters`: hosts with their live counters, as text or as `envoy.admin.v3.Clusters`. */
import { stringifyJson } from '../../protos/json-writer.ts';
import { formatAddress } from '../config/model/address.ts';
import { HealthFlag } from '../upstream/health/health-flags.ts';
import type { AdminCluster, AdminContext, AdminHost } from './admin-context.ts';
import { addressToJson } from './address-json.ts';
import type { AdminRequest, AdminResponse } from './endpoint.ts';
import { jsonResponse, textResponse } from './endpoint.ts';
import { parseFilter } from './name-filter.ts';

export function handleClusters({ query }: AdminRequest, context: AdminContext): AdminResponse {
  const filter = parseFilter(query.get('filter'), false);
  if ('error' in filter) return textResponse('Invalid re2 regex', 400);
  const { matches } = filter;
  const clusters = [...context.clusters.list()].filter(({ model }) => matches === null || matches(model.name));
  return query.get('format') === 'json' ? jsonResponse(renderJson(clusters)) : textResponse(renderText(clusters));
}

function edsServiceName({ model }: AdminCluster): string {
  return model.discovery.kind === 'eds' ? model.discovery.serviceName : '';
}

function isCanary({ host }: AdminHost): boolean {
  return host.metadata['envoy.lb']?.canary === true;
}

/** Envoy's flags of a host that are set, as /clusters names them, in Envoy's order. */
function healthFlags({ host, ejected }: AdminHost): string {
  const { health, healthFlags: found = 0, isLeaving = false } = host;
  const flags: readonly [boolean, string][] = [
    [(found & HealthFlag.failed) !== 0, 'failed_active_hc'],
    [ejected, 'failed_outlier_check'],
    [health === 'unhealthy', 'failed_eds_health'],
    [(found & HealthFlag.degraded) !== 0, 'degraded_active_hc'],
    [health === 'degraded', 'degraded_eds_health'],
    [isLeaving, 'pending_dynamic_removal'],
    [(found & HealthFlag.pending) !== 0, 'pending_active_hc'],
    [(found & HealthFlag.excluded) !== 0, 'excluded_via_immediate_hc_fail'],
    [(found & HealthFlag.timeout) !== 0, 'active_hc_timeout'],
    [health === 'draining', 'eds_status_draining'],
    [health === 'timeout', 'eds_status_timeout'],
  ];
  const set = flags.filter(([isSet]) => isSet).map(([, name]) => `/${name}`);
  return set.length === 0 ? 'healthy' : set.join('');
}

/** The same as `envoy.admin.v3.HostHealthStatus`. */
function healthStatus({ host, ejected }: AdminHost): object {
  const { health, healthFlags: found = 0, isLeaving } = host;
  return {
    ...((found & HealthFlag.failed) !== 0 && { failed_active_health_check: true }),
    ...(ejected && { failed_outlier_check: true }),
    ...((found & HealthFlag.degraded) !== 0 && { failed_active_degraded_check: true }),
    ...(isLeaving && { pending_dynamic_removal: true }),
    ...((found & HealthFlag.pending) !== 0 && { pending_active_hc: true }),
    ...((found & HealthFlag.excluded) !== 0 && { excluded_via_immediate_hc_fail: true }),
    ...((found & HealthFlag.timeout) !== 0 && { active_hc_timeout: true }),
    eds_health_status: healthNames[health],
  };
}

function* renderText(clusters: readonly AdminCluster[]): Generator<string> {
  for (const cluster of clusters) {
    yield renderClusterText(cluster);
    for (const host of cluster.hosts) yield renderHostText(cluster, host);
  }
}

function renderClusterText(cluster: AdminCluster): string {
  const { model, addedViaApi } = cluster;
  const lines = [`observability_name::${model.statName || model.name}`];
  const { successRates } = cluster;
  if (successRates !== null) {
    for (const [prefix, { average, threshold }] of [
      ['', successRates.external],
      ['local_origin_', successRates.local],
    ] as const) {
      lines.push(`outlier::${prefix}success_rate_average::${formatRate(average)}`);
      lines.push(`outlier::${prefix}success_rate_ejection_threshold::${formatRate(threshold)}`);
    }
  }
  for (const [i, priority] of ['default', 'high'].entries()) {
    const limits = model.circuitBreakers[i as 0 | 1];
    lines.push(
      `${priority}_priority::max_connections::${limits.maxConnections}`,
      `${priority}_priority::max_pending_requests::${limits.maxPendingRequests}`,
      `${priority}_priority::max_requests::${limits.maxRequests}`,
      `${priority}_priority::max_retries::${limits.maxRetries}`,
    );
  }
  lines.push(`added_via_api::${addedViaApi}`);
  const serviceName = edsServiceName(cluster);
  if (serviceName !== '') lines.push(`eds_service_name::${serviceName}`);
  return lines.map(line => `${model.name}::${line}\n`).join('');
}

/** As C++ prints a double: six digits. */
function formatRate(rate: number | null): string {
  return rate === null ? '-1' : String(Number(rate.toPrecision(6)));
}

function renderHostText({ model, successRates }: AdminCluster, host: AdminHost): string {
  const { counters, locality } = host;
  const values: [string, string | number | boolean][] = [
    ['cx_active', counters.connectionsActive],
    ['cx_connect_fail', counters.connectFailures],
    ['cx_total', counters.connectionsTotal],
    ['rq_active', counters.requestsActive],
    ['rq_error', counters.requestsFailed],
    ['rq_pending_active', 0],
    ['rq_success', counters.requestsSucceeded],
    ['rq_timeout', counters.requestsTimedOut],
    ['rq_total', counters.requestsTotal],
    ['hostname', host.host.hostname],
    ['health_flags', healthFlags(host)],
    ['weight', host.host.weight],
    ['region', locality.region],
    ['zone', locality.zone],
    ['sub_zone', locality.subZone],
    ['canary', isCanary(host)],
    ['priority', host.priority],
    ['success_rate', successRates?.external.rates.get(host.host.slot) ?? -1],
    ['local_origin_success_rate', successRates?.local.rates.get(host.host.slot) ?? -1],
  ];
  const prefix = `${model.name}::${formatAddress(host.host.address)}`;
  return values.map(([name, value]) => `${prefix}::${name}::${value}\n`).join('');
}

function* renderJson(clusters: readonly AdminCluster[]): Generator<string> {
  if (clusters.length === 0) {
    yield '{}\n';
    return;
  }
  let separator = '{\n "cluster_statuses": [\n  ';
  for (const cluster of clusters) {
    yield separator + stringifyJson(clusterToJson(cluster), 2);
    separator = ',\n  ';
  }
  yield '\n ]\n}\n';
}

export const healthNames = {
  healthy: 'HEALTHY',
  unhealthy: 'UNHEALTHY',
  draining: 'DRAINING',
  timeout: 'TIMEOUT',
  degraded: 'DEGRADED',
  // Envoy shows a host of unknown health as a healthy one.
  unknown: 'HEALTHY',
} as const;

function clusterToJson(cluster: AdminCluster): object {
  const { model, addedViaApi } = cluster;
  const hosts = [...cluster.hosts].map(host => hostToJson(cluster, host));
  const serviceName = edsServiceName(cluster);
  const thresholds = model.circuitBreakers.map((limits, i) => ({
    ...(i === 1 && { priority: 'HIGH' }),
    max_connections: limits.maxConnections,
    max_pending_requests: limits.maxPendingRequests,
    max_requests: limits.maxRequests,
    max_retries: limits.maxRetries,
  }));
  return {
    name: model.name,
    ...(addedViaApi && { added_via_api: true }),
    ...(hosts.length > 0 && { host_statuses: hosts }),
    ...thresholdsOf(cluster),
    circuit_breakers: { thresholds },
    observability_name: model.statName || model.name,
    ...(serviceName !== '' && { eds_service_name: serviceName }),
  };
}

function thresholdsOf({ successRates }: AdminCluster): object {
  const { external, local } = successRates ?? {};
  return {
    ...(external?.threshold != null && { success_rate_ejection_threshold: { value: external.threshold } }),
    ...(local?.threshold != null && { local_origin_success_rate_ejection_threshold: { value: local.threshold } }),
  };
}

function hostToJson({ successRates }: AdminCluster, host: AdminHost): object {
  const percent = (name: string, value: number | null | undefined) => (value == null ? {} : { [name]: { value } });
  const { counters, locality } = host;
  const stat = (name: string, value: number, isGauge = false) => ({
    ...(isGauge && { type: 'GAUGE' }),
    ...(value !== 0 && { value: String(value) }),
    name,
  });
  return {
    address: addressToJson(host.host.address),
    stats: [
      stat('cx_connect_fail', counters.connectFailures),
      stat('cx_total', counters.connectionsTotal),
      stat('rq_error', counters.requestsFailed),
      stat('rq_success', counters.requestsSucceeded),
      stat('rq_timeout', counters.requestsTimedOut),
      stat('rq_total', counters.requestsTotal),
      stat('cx_active', counters.connectionsActive, true),
      stat('rq_active', counters.requestsActive, true),
      stat('rq_pending_active', 0, true),
    ],
    health_status: healthStatus(host),
    ...percent('success_rate', successRates?.external.rates.get(host.host.slot)),
    ...percent('local_origin_success_rate', successRates?.local.rates.get(host.host.slot)),
    weight: host.host.weight,
    ...(host.host.hostname !== '' && { hostname: host.host.hostname }),
    ...(host.priority !== 0 && { priority: host.priority }),
    locality: localityToJson(locality),
  };
}

export function localityToJson(locality: AdminHost['locality']): object {
  return {
    ...(locality.region !== '' && { region: locality.region }),
    ...(locality.zone !== '' && { zone: locality.zone }),
    ...(locality.subZone !== '' && { sub_zone: locality.subZone }),
  };
}
