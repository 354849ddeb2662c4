/** Load balancing and circuit breakers of a cluster. */
import type { protos } from '../../../protos/messages.ts';
import type { CircuitBreakerModel, LoadBalancerModel } from '../model/cluster.ts';
import { healthStates } from './endpoints.ts';
import { ConfigError } from './config-error.ts';
import { compileSubsets } from './subsets.ts';
import { percent, positiveDurationMs, requireRange, unwrap } from './scalars.ts';

type Cluster = protos.envoy.config.cluster.v3.Cluster;
type Thresholds = protos.envoy.config.cluster.v3.CircuitBreakers.Thresholds;

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
  checkClusterProvided(message, policy, 'lb_policy');
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
    ...compileZoneRouting(common?.zone_aware_lb_config ?? null, 'common_lb_config.zone_aware_lb_config'),
    overprovisioningFactor,
    useHostnameForHashing: compileHostnameHashing(message),
    ...compileBalanceFactor(common?.consistent_hashing_lb_config ?? null, 'common_lb_config.consistent_hashing_lb_config'),
    ...compileSubsetConfig(message),
  };
}

/** Hosts of an original destination cluster, and only of one, are not for balancers to choose. */
export function checkClusterProvided({ type }: Cluster, policy: LoadBalancerModel['policy'], path: string): void {
  const isOriginalDst = type === 4;
  if (isOriginalDst === (policy === 'cluster-provided')) return;
  const only = isOriginalDst
    ? "Only 'CLUSTER_PROVIDED' is allowed with cluster type 'ORIGINAL_DST'"
    : "'CLUSTER_PROVIDED' is allowed only with cluster type 'ORIGINAL_DST'";
  throw new ConfigError(path, `cluster: LB policy ${policy} is not valid for this cluster type. ${only}`);
}

type ZoneRoutingFields = Pick<LoadBalancerModel, 'zoneRoutingPercent' | 'zoneMinClusterSize' | 'failTrafficOnPanic'>;

export function compileZoneRouting(
  message: Pick<
    protos.envoy.config.cluster.v3.Cluster.CommonLbConfig.ZoneAwareLbConfig,
    'routing_enabled' | 'min_cluster_size' | 'fail_traffic_on_panic'
  > | null,
  path: string,
): ZoneRoutingFields {
  if (message === null) return {};
  const { routing_enabled: enabled, min_cluster_size: minimum } = message;
  return {
    ...(enabled !== null && { zoneRoutingPercent: Math.round(percent(enabled, 100, `${path}.routing_enabled`)) }),
    ...(minimum !== null && { zoneMinClusterSize: Number(minimum.value) }),
    ...(message.fail_traffic_on_panic && { failTrafficOnPanic: true as const }),
  };
}

/** At least 100 percent: with less, not every request would find a host. */
export function compileBalanceFactor(
  message: { readonly hash_balance_factor: { readonly value: number } | null } | null,
  path: string,
): Pick<LoadBalancerModel, 'hashBalanceFactor'> {
  const factor = message?.hash_balance_factor ?? null;
  if (factor === null) return {};
  return { hashBalanceFactor: requireRange(unwrap(factor, 0), 100, 0xffff_ffff, `${path}.hash_balance_factor`) };
}

function compileHostnameHashing({ type, common_lb_config: common }: Cluster): boolean {
  const usesHostname = common?.consistent_hashing_lb_config?.use_hostname_for_hashing ?? false;
  if (usesHostname && type !== 1) {
    const problem = 'Cannot use hostname for consistent hashing loadbalancing for a cluster that is not STRICT_DNS';
    throw new ConfigError('common_lb_config.consistent_hashing_lb_config.use_hostname_for_hashing', problem);
  }
  return usesHostname;
}

function compileSubsetConfig({
  name,
  lb_subset_config: config,
  common_lb_config: common,
}: Cluster): Pick<LoadBalancerModel, 'subsets'> {
  // Without selectors there is nothing to choose by.
  if (config === null || config.subset_selectors.length === 0) return {};
  if (config.locality_weight_aware && common?.locality_weighted_lb_config == null) {
    const problem = `Locality weight aware subset LB requires that a locality_weighted_lb_config be set in ${name}`;
    throw new ConfigError('lb_subset_config.locality_weight_aware', problem);
  }
  return { subsets: compileSubsets(config, 'lb_subset_config') };
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
