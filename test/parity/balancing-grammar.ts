/** Random clusters: localities, priorities, weights, health, policies and subsets, and the metadata that their routes ask for. */
import type { Random } from '../support/random.ts';

/** Names zones of proxies and of hosts. */
const zones = ['a', 'b', 'c'] as const;
export const ownZone = 'a';

const regionOf = (zone: string) => ({ region: 'r', zone });

export interface RandomCluster {
  readonly cluster: object;
  readonly routes: readonly object[];
  /** The same key goes to the same host, whoever is asked. */
  readonly isHashed: boolean;
  /** What chose the case, for messages. */
  readonly description: string;
}

const healthy = 'HEALTHY';
const healthStates = [healthy, healthy, healthy, 'UNKNOWN', 'UNHEALTHY', 'UNHEALTHY', 'DEGRADED', 'DRAINING', 'TIMEOUT'];
const policies = ['ROUND_ROBIN', 'LEAST_REQUEST', 'RANDOM', 'RING_HASH', 'MAGLEV'] as const;

function makeHost(random: Random, address: string, port: number, isWeighted: boolean, allHealthy: boolean): object {
  const lb: Record<string, unknown> = {};
  if (random.chance(0.8)) lb.version = random.pick(['v1', 'v2', 'v3']);
  if (random.chance(0.6)) lb.stage = random.pick(['prod', 'dev']);
  if (random.chance(0.2)) lb.version = ['v1', 'v4'];
  return {
    endpoint: { address: { socket_address: { address, port_value: port } }, hostname: `${address}.test` },
    metadata: { filter_metadata: { 'envoy.lb': lb } },
    ...(!allHealthy && { health_status: random.pick(healthStates) }),
    ...(isWeighted && { load_balancing_weight: 1 + random.below(4) }),
  };
}

function makeLocalities(random: Random, network: string, port: number): object[] {
  const isWeighted = random.chance(0.3);
  const allHealthy = random.chance(0.2);
  const hasLocalityWeights = random.chance(0.7);
  const localities: object[] = [];
  let host = 0;
  for (let priority = 0, count = random.pick([1, 1, 2, 3]); priority < count; priority++) {
    for (const zone of zones.filter(() => random.chance(0.7))) {
      const hosts = Array.from({ length: random.below(5) }, () =>
        makeHost(random, `${network}.${++host}`, port, isWeighted, allHealthy),
      );
      localities.push({
        locality: regionOf(zone),
        priority,
        lb_endpoints: hosts,
        ...(hasLocalityWeights && random.chance(0.9) && { load_balancing_weight: 1 + random.below(5) }),
      });
    }
  }
  // Priorities must follow on one another.
  const used = [...new Set(localities.map(locality => (locality as { priority: number }).priority))];
  return localities.map(locality => ({ ...locality, priority: used.indexOf((locality as { priority: number }).priority) }));
}

function makeSubsets(random: Random, hasLocalityWeights: boolean): object {
  const selectors = [['version'], ['stage', 'version'], ['stage']]
    .filter(() => random.chance(0.7))
    .map(keys => {
      if (keys.length === 1 && random.chance(0.2)) return { keys, single_host_per_subset: true };
      const fallback = random.pick(['NOT_DEFINED', 'NO_FALLBACK', 'ANY_ENDPOINT', 'DEFAULT_SUBSET', 'KEYS_SUBSET']);
      if (fallback !== 'KEYS_SUBSET') return { keys, fallback_policy: fallback };
      return keys.length === 1 ? { keys } : { keys, fallback_policy: fallback, fallback_keys_subset: [random.pick(keys)] };
    });
  return {
    fallback_policy: random.pick(['NO_FALLBACK', 'ANY_ENDPOINT', 'DEFAULT_SUBSET']),
    default_subset: random.pick([{ stage: 'prod' }, { version: 'v1' }, { version: 'none' }]),
    subset_selectors: selectors.length === 0 ? [{ keys: ['version'] }] : selectors,
    locality_weight_aware: hasLocalityWeights && random.chance(0.6),
    scale_locality_weight: random.chance(0.5),
    panic_mode_any: random.chance(0.3),
    list_as_any: random.chance(0.5),
    metadata_fallback_policy: random.pick(['METADATA_NO_FALLBACK', 'FALLBACK_LIST']),
  };
}

function makeCriteria(random: Random): object {
  const criteria: Record<string, unknown> = {};
  if (random.chance(0.8)) criteria.version = random.pick(['v1', 'v2', 'v3', 'v4', 'v9']);
  if (random.chance(0.4)) criteria.stage = random.pick(['prod', 'dev', 'test']);
  if (random.chance(0.2)) criteria.fallback_list = [{ version: 'v9' }, { version: random.pick(['v1', 'v2']) }, {}];
  return { filter_metadata: { 'envoy.lb': criteria } };
}

/** Routes: by weighted clusters with criteria of their own, or plain. */
function makeRoutes(random: Random, hasSubsets: boolean): object[] {
  const hashPolicy = { hash_policy: [{ header: { header_name: 'x-key' } }] };
  const criteria = () => (hasSubsets && random.chance(0.85) ? { metadata_match: makeCriteria(random) } : {});
  if (!random.chance(0.3)) return [{ match: { prefix: '/' }, route: { cluster: '$lane', ...criteria(), ...hashPolicy } }];
  const clusters = [{ name: '$lane', weight: 100, ...criteria() }];
  return [{ match: { prefix: '/' }, route: { weighted_clusters: { clusters }, ...criteria(), ...hashPolicy } }];
}

function makeCommon(random: Random): object {
  const zoneAware = {
    ...(random.chance(0.5) && { min_cluster_size: random.pick([1, 3]) }),
    ...(random.chance(0.3) && { routing_enabled: { value: 50 } }),
    fail_traffic_on_panic: random.chance(0.2),
  };
  return {
    ...(random.chance(0.6) && { healthy_panic_threshold: { value: random.pick([0, 10, 30, 70, 100]) } }),
    ...random.pick([
      {},
      { zone_aware_lb_config: zoneAware },
      { locality_weighted_lb_config: {} },
      { locality_weighted_lb_config: {} },
    ]),
    ...(random.chance(0.3) && { consistent_hashing_lb_config: { use_hostname_for_hashing: true } }),
  };
}

/** Its hosts are addresses of `network`, three numbers and their dots. */
export function makeRandomCluster(random: Random, network: string, port: number): RandomCluster {
  const policy = random.pick(policies);
  const hasSubsets = random.chance(0.35);
  const common = makeCommon(random);
  const cluster = {
    lb_policy: policy,
    // Only names that were resolved can be hashed.
    type: 'consistent_hashing_lb_config' in common ? 'STRICT_DNS' : 'STATIC',
    ...(policy === 'RING_HASH' && {
      ring_hash_lb_config: { minimum_ring_size: random.pick([1, 64, 1024]), maximum_ring_size: random.pick([1024, 8192]) },
    }),
    ...(policy === 'MAGLEV' && { maglev_lb_config: { table_size: random.pick([61, 1009]) } }),
    common_lb_config: common,
    ...(hasSubsets && { lb_subset_config: makeSubsets(random, 'locality_weighted_lb_config' in common) }),
    load_assignment: {
      cluster_name: '$lane',
      endpoints: makeLocalities(random, network, port),
      ...(random.chance(0.4) && { policy: { overprovisioning_factor: random.pick([100, 200]) } }),
    },
  };
  const { load_assignment: _, ...described } = cluster;
  return {
    cluster,
    routes: makeRoutes(random, hasSubsets),
    isHashed: policy === 'RING_HASH' || policy === 'MAGLEV',
    description: JSON.stringify(described),
  };
}

/** The cluster of the proxies themselves: one in each zone but the last, in the own one two. */
export function makeLocalCluster(): object {
  const endpoints = zones.map((zone, index) => ({
    locality: regionOf(zone),
    lb_endpoints: Array.from({ length: index === 0 ? 2 : 1 }, (_, host) => ({
      endpoint: { address: { socket_address: { address: `127.200.${index}.${host + 1}`, port_value: 1 } } },
    })),
  }));
  return { name: 'proxies', type: 'STATIC', load_assignment: { cluster_name: 'proxies', endpoints } };
}
