/** Load balancing, circuit breakers and outlier detection of a cluster. */
import type { protos } from '../../../protos/messages.ts';
import type { CircuitBreakerModel, LoadBalancerModel, OutlierDetectionModel } from '../model/cluster.ts';
import { healthStates } from './endpoints.ts';
import { ConfigError } from './config-error.ts';
import { durationMs, percent, positiveDurationMs, requireRange, unwrap } from './scalars.ts';

type Cluster = protos.envoy.config.cluster.v3.Cluster;
type Thresholds = protos.envoy.config.cluster.v3.CircuitBreakers.Thresholds;
type OutlierDetection = protos.envoy.config.cluster.v3.OutlierDetection;

/** By number; 4 was removed from the API, 7 is `LOAD_BALANCING_POLICY_CONFIG`. */
const policies: readonly (LoadBalancerModel['policy'] | undefined)[] = [
  'round-robin',
  'least-request',
  'ring-hash',
  'random',
  undefined,
  'maglev',
  'cluster-provided',
];

const ringDefaults = { minimum: 1024, maximum: 8 * 1024 * 1024 } as const;
const defaultMaglevSize = 65_537;
const maxMaglevSize = 5_000_011;

export function compileLoadBalancer(message: Cluster, overprovisioningFactor: number): LoadBalancerModel {
  const policy = policies[message.lb_policy];
  if (policy === undefined) throw new ConfigError('lb_policy', 'LOAD_BALANCING_POLICY_CONFIG is not implemented');
  const isOriginalDst = message.type === 4;
  if (isOriginalDst !== (policy === 'cluster-provided')) {
    const only = isOriginalDst
      ? "Only 'CLUSTER_PROVIDED' is allowed with cluster type 'ORIGINAL_DST'"
      : "'CLUSTER_PROVIDED' is allowed only with cluster type 'ORIGINAL_DST'";
    throw new ConfigError('lb_policy', `cluster: LB policy ${policy} is not valid for this cluster type. ${only}`);
  }
  const leastRequest = message.least_request_lb_config;
  const common = message.common_lb_config;
  const slowStartField = leastRequest === null ? 'round_robin_lb_config' : 'least_request_lb_config';
  const slowStart = message[slowStartField]?.slow_start_config ?? null;
  return {
    policy,
    choiceCount: requireRange(
      unwrap(leastRequest?.choice_count ?? null, 2),
      2,
      0xffff_ffff,
      'least_request_lb_config.choice_count',
    ),
    activeRequestBias: compileActiveRequestBias(
      leastRequest?.active_request_bias ?? null,
      'least_request_lb_config.active_request_bias',
    ),
    slowStart: compileSlowStart(slowStart, `${slowStartField}.slow_start_config`),
    ...compileHashTables(message),
    healthyPanicThreshold: percent(common?.healthy_panic_threshold ?? null, 50, 'common_lb_config.healthy_panic_threshold'),
    localityWeighted: common?.locality_weighted_lb_config != null,
    zoneAware: common?.locality_weighted_lb_config == null,
    ...compileOverrideStatus(common?.override_host_status ?? null),
    ...(common?.zone_aware_lb_config?.fail_traffic_on_panic && { failTrafficOnPanic: true }),
    overprovisioningFactor,
    useHostnameForHashing: common?.consistent_hashing_lb_config?.use_hostname_for_hashing ?? false,
  };
}

/** Of hosts that filters ask for. */
export function compileOverrideStatus(
  message: protos.envoy.config.core.v3.HealthStatusSet | null,
): Pick<LoadBalancerModel, 'overrideHostStatus'> {
  return message === null ? {} : { overrideHostStatus: message.statuses.map(status => healthStates[status]) };
}

export function compileActiveRequestBias(message: protos.envoy.config.core.v3.RuntimeDouble | null, path: string): number {
  if (message === null) return 1;
  if (!(message.default_value >= 0)) throw new ConfigError(`${path}.default_value`, 'value must not be negative');
  return message.default_value;
}

type SlowStartMessage =
  | protos.envoy.config.cluster.v3.Cluster.SlowStartConfig
  | protos.envoy.extensions.load_balancing_policies.common.v3.SlowStartConfig;

export function compileSlowStart(message: SlowStartMessage | null, path: string): LoadBalancerModel['slowStart'] {
  if (message === null) return null;
  const aggression = message.aggression?.default_value ?? 1;
  if (!(aggression > 0)) throw new ConfigError(`${path}.aggression`, 'value must be greater than 0');
  return {
    windowMs: positiveDurationMs(message.slow_start_window, 0, `${path}.slow_start_window`),
    aggression,
    minWeightPercent: percent(message.min_weight_percent, 10, `${path}.min_weight_percent`),
  };
}

type HashTables = Pick<LoadBalancerModel, 'minimumRingSize' | 'maximumRingSize' | 'maglevTableSize'>;

export const defaultHashTables: HashTables = {
  minimumRingSize: ringDefaults.minimum,
  maximumRingSize: ringDefaults.maximum,
  maglevTableSize: defaultMaglevSize,
};

function compileHashTables(message: Cluster): HashTables {
  const { ring_hash_lb_config: ring, maglev_lb_config: maglev } = message;
  if (ring !== null && ring.hash_function !== 0) {
    throw new ConfigError('ring_hash_lb_config.hash_function', 'only XX_HASH is implemented');
  }
  return {
    ...defaultHashTables,
    ...(ring !== null && compileRing(ring, 'ring_hash_lb_config')),
    ...(maglev !== null && { maglevTableSize: compileTableSize(maglev, 'maglev_lb_config') }),
  };
}

interface RingSizes {
  readonly minimum_ring_size: { readonly value: number } | null;
  readonly maximum_ring_size: { readonly value: number } | null;
}

export function compileRing(message: RingSizes, path: string): Omit<HashTables, 'maglevTableSize'> {
  const limit = ringDefaults.maximum;
  const minimumRingSize = requireRange(
    unwrap(message.minimum_ring_size, ringDefaults.minimum),
    0,
    limit,
    `${path}.minimum_ring_size`,
  );
  const maximumRingSize = requireRange(unwrap(message.maximum_ring_size, limit), 0, limit, `${path}.maximum_ring_size`);
  if (minimumRingSize > maximumRingSize) {
    throw new ConfigError(path, `ring hash: minimum_ring_size (${minimumRingSize}) > maximum_ring_size (${maximumRingSize})`);
  }
  return { minimumRingSize, maximumRingSize };
}

export function compileTableSize(message: { readonly table_size: { readonly value: number } | null }, path: string): number {
  const tableSize = requireRange(unwrap(message.table_size, defaultMaglevSize), 2, maxMaglevSize, `${path}.table_size`);
  if (!isPrime(tableSize)) throw new ConfigError(`${path}.table_size`, 'The table size of maglev must be prime number');
  return tableSize;
}

function isPrime(number: number): boolean {
  for (let divisor = 2; divisor * divisor <= number; divisor++) if (number % divisor === 0) return false;
  return number > 1;
}

/** Of the default and the high priority. */
export function compileCircuitBreakers(
  message: protos.envoy.config.cluster.v3.CircuitBreakers | null,
): readonly [CircuitBreakerModel, CircuitBreakerModel] {
  const thresholds = message?.thresholds ?? [];
  const compiled = [0, 1].map(priority => {
    // Envoy takes the first entry of a priority.
    const index = thresholds.findIndex(entry => entry.priority === priority);
    return compileThresholds(thresholds[index] ?? null, `circuit_breakers.thresholds[${index}]`);
  });
  return [compiled[0], compiled[1]];
}

function compileThresholds(message: Thresholds | null, path: string): CircuitBreakerModel {
  const budget = message?.retry_budget ?? null;
  return {
    maxConnections: unwrap(message?.max_connections ?? null, 1024),
    maxPendingRequests: unwrap(message?.max_pending_requests ?? null, 1024),
    maxRequests: unwrap(message?.max_requests ?? null, 1024),
    maxRetries: unwrap(message?.max_retries ?? null, 3),
    retryBudget:
      budget === null
        ? null
        : {
            percent: percent(budget.budget_percent, 20, `${path}.retry_budget.budget_percent`),
            minConcurrency: unwrap(budget.min_retry_concurrency, 3),
          },
    trackRemaining: message?.track_remaining ?? false,
  };
}

export function compileOutlierDetection(message: OutlierDetection | null): OutlierDetectionModel | null {
  if (message === null) return null;
  type Count = {
    [K in keyof OutlierDetection]: OutlierDetection[K] extends protos.google.protobuf.UInt32Value | null ? K : never;
  }[keyof OutlierDetection];
  const count = (field: Count, fallback: number): number => unwrap(message[field], fallback);
  const share = (field: Count, fallback: number): number =>
    requireRange(unwrap(message[field], fallback), 0, 100, `outlier_detection.${field}`);
  const time = (field: 'interval' | 'base_ejection_time' | 'max_ejection_time', fallback: number): number =>
    positiveDurationMs(message[field], fallback, `outlier_detection.${field}`);
  const baseEjectionTimeMs = time('base_ejection_time', 30_000);
  const jitterMs = durationMs(message.max_ejection_time_jitter, 0, 'outlier_detection.max_ejection_time_jitter');
  return {
    consecutive5xx: count('consecutive_5xx', 5),
    enforcingConsecutive5xx: share('enforcing_consecutive_5xx', 100),
    consecutiveGatewayFailure: count('consecutive_gateway_failure', 5),
    enforcingConsecutiveGatewayFailure: share('enforcing_consecutive_gateway_failure', 0),
    consecutiveLocalOriginFailure: count('consecutive_local_origin_failure', 5),
    enforcingConsecutiveLocalOriginFailure: share('enforcing_consecutive_local_origin_failure', 100),
    splitExternalLocalOriginErrors: message.split_external_local_origin_errors,
    intervalMs: time('interval', 10_000),
    baseEjectionTimeMs,
    maxEjectionTimeMs: time('max_ejection_time', Math.max(300_000, baseEjectionTimeMs)),
    maxEjectionPercent: share('max_ejection_percent', 10),
    ...(unwrap(message.always_eject_one_host, false) && { alwaysEjectOneHost: true }),
    ...(jitterMs > 0 && { maxEjectionTimeJitterMs: jitterMs }),
    enforcingSuccessRate: share('enforcing_success_rate', 100),
    successRateMinimumHosts: count('success_rate_minimum_hosts', 5),
    successRateRequestVolume: count('success_rate_request_volume', 100),
    successRateStdevFactor: count('success_rate_stdev_factor', 1900),
    enforcingFailurePercentage: share('enforcing_failure_percentage', 0),
    failurePercentageThreshold: share('failure_percentage_threshold', 85),
    failurePercentageMinimumHosts: count('failure_percentage_minimum_hosts', 5),
    failurePercentageRequestVolume: count('failure_percentage_request_volume', 50),
  };
}
