/** `load_balancing_policy` of a cluster: the first policy of the list that is known, which replaces `lb_policy` and its options. */
import type { MessageName, MessageTypes, protos } from '../../../protos/messages.ts';
import type { LoadBalancerModel } from '../model/cluster.ts';
import { ConfigError } from './config-error.ts';
import {
  checkClusterProvided,
  compileActiveRequestBias,
  compileBalanceFactor,
  compileOverrideStatus,
  compileRing,
  compileSlowStart,
  compileTableSize,
  compileZoneRouting,
  defaultHashTables,
} from './load-balancer.ts';
import { compileSubsets } from './subsets.ts';
import { percent, requireRange, unwrap } from './scalars.ts';
import type { CompileScope } from './scope.ts';
import { openExpected, typeNameOf } from './typed-config.ts';

type Cluster = protos.envoy.config.cluster.v3.Cluster;
type LoadBalancingPolicy = protos.envoy.config.cluster.v3.LoadBalancingPolicy;
type Localities = Pick<
  LoadBalancerModel,
  'localityWeighted' | 'zoneAware' | 'failTrafficOnPanic' | 'zoneRoutingPercent' | 'zoneMinClusterSize'
>;
type Policy = Omit<LoadBalancerModel, 'healthyPanicThreshold' | 'overprovisioningFactor'>;

const packageOf = 'envoy.extensions.load_balancing_policies';
const roundRobinType = `${packageOf}.round_robin.v3.RoundRobin`;
const leastRequestType = `${packageOf}.least_request.v3.LeastRequest`;
const randomType = `${packageOf}.random.v3.Random`;
const ringHashType = `${packageOf}.ring_hash.v3.RingHash`;
const maglevType = `${packageOf}.maglev.v3.Maglev`;
const clusterProvidedType = `${packageOf}.cluster_provided.v3.ClusterProvided`;
const subsetType = `${packageOf}.subset.v3.Subset`;
const wrrLocalityType = `${packageOf}.wrr_locality.v3.WrrLocality`;

/** `path` is that of the message. */
type CompilePolicy<N extends MessageName> = (message: MessageTypes[N], path: string, scope: CompileScope) => Policy;

const basis: Policy = {
  policy: 'round-robin',
  choiceCount: 2,
  activeRequestBias: 1,
  slowStart: null,
  ...defaultHashTables,
  localityWeighted: false,
  zoneAware: true,
  useHostnameForHashing: false,
};

const policies: { readonly [message: string]: CompilePolicy<never> } = {
  [roundRobinType]: compileRoundRobin as CompilePolicy<never>,
  [leastRequestType]: compileLeastRequest as CompilePolicy<never>,
  [randomType]: compileRandom as CompilePolicy<never>,
  [ringHashType]: compileRingHash as CompilePolicy<never>,
  [maglevType]: compileMaglev as CompilePolicy<never>,
  [clusterProvidedType]: () => ({ ...basis, policy: 'cluster-provided' }),
  [subsetType]: compileSubset as CompilePolicy<never>,
  [wrrLocalityType]: compileWrrLocality as CompilePolicy<never>,
};

/** @throws ConfigError if no policy of the list is known. */
export function compileLoadBalancingPolicy(
  message: Cluster,
  overprovisioningFactor: number,
  scope: CompileScope,
): LoadBalancerModel {
  const threshold = message.common_lb_config?.healthy_panic_threshold ?? null;
  const policy = choosePolicy(message.load_balancing_policy as LoadBalancingPolicy, 'load_balancing_policy', scope);
  checkClusterProvided(message, policy.policy, 'load_balancing_policy');
  return {
    ...policy,
    ...compileOverrideStatus(message.common_lb_config?.override_host_status ?? null),
    healthyPanicThreshold: percent(threshold, 50, 'common_lb_config.healthy_panic_threshold'),
    overprovisioningFactor,
  };
}

function choosePolicy({ policies: listed }: LoadBalancingPolicy, path: string, scope: CompileScope): Policy {
  for (const [i, { typed_extension_config: extension }] of listed.entries()) {
    const at = `${path}.policies[${i}].typed_extension_config.typed_config`;
    const config = extension?.typed_config ?? null;
    const type = config === null ? '' : typeNameOf(config, at);
    const compilePolicy = policies[type];
    if (config === null || compilePolicy === undefined) continue;
    return compilePolicy(openExpected(config, type, at, scope) as never, at, scope);
  }
  const names = listed.map(({ typed_extension_config: extension }) => extension?.name ?? '').join(', ');
  throw new ConfigError(path, `didn't find a registered load balancer factory implementation with names from [${names}]`);
}

function compileRoundRobin(message: MessageTypes[typeof roundRobinType], path: string): Policy {
  return {
    ...basis,
    slowStart: compileSlowStart(message.slow_start_config, `${path}.slow_start_config`),
    ...compileLocalities(message.locality_lb_config, path),
  };
}

function compileLeastRequest(message: MessageTypes[typeof leastRequestType], path: string): Policy {
  return {
    ...basis,
    policy: 'least-request',
    ...(message.selection_method === 1 && { fullScan: true as const }),
    choiceCount: requireRange(unwrap(message.choice_count, 2), 2, 0xffff_ffff, `${path}.choice_count`),
    activeRequestBias: compileActiveRequestBias(message.active_request_bias, `${path}.active_request_bias`),
    slowStart: compileSlowStart(message.slow_start_config, `${path}.slow_start_config`),
    ...compileLocalities(message.locality_lb_config, path),
  };
}

function compileRandom(message: MessageTypes[typeof randomType], path: string): Policy {
  return { ...basis, policy: 'random', ...compileLocalities(message.locality_lb_config, path) };
}

function compileRingHash(message: MessageTypes[typeof ringHashType], path: string): Policy {
  if (message.hash_function > 1) throw new ConfigError(`${path}.hash_function`, 'only XX_HASH is implemented');
  return {
    ...basis,
    policy: 'ring-hash',
    ...compileRing(message, path),
    useHostnameForHashing: message.consistent_hashing_lb_config?.use_hostname_for_hashing ?? message.use_hostname_for_hashing,
    // The older place of the factor counts where the newer message is absent.
    ...(message.consistent_hashing_lb_config === null
      ? compileBalanceFactor(message, path)
      : compileBalanceFactor(message.consistent_hashing_lb_config, `${path}.consistent_hashing_lb_config`)),
    ...weighLocalities(message.locality_weighted_lb_config !== null),
  };
}

function compileMaglev(message: MessageTypes[typeof maglevType], path: string): Policy {
  return {
    ...basis,
    policy: 'maglev',
    maglevTableSize: compileTableSize(message, path),
    useHostnameForHashing: message.consistent_hashing_lb_config?.use_hostname_for_hashing ?? false,
    ...compileBalanceFactor(message.consistent_hashing_lb_config, `${path}.consistent_hashing_lb_config`),
    ...weighLocalities(message.locality_weighted_lb_config !== null),
  };
}

/** Subsets, and within one the policy that is named below. */
function compileSubset(message: MessageTypes[typeof subsetType], path: string, scope: CompileScope): Policy {
  const at = `${path}.subset_lb_policy`;
  if (message.subset_lb_policy === null) throw new ConfigError(at, 'value is required');
  const policy = choosePolicy(message.subset_lb_policy, at, scope);
  return message.subset_selectors.length === 0 ? policy : { ...policy, subsets: compileSubsets(message, path) };
}

/** Localities by weight, and within one the policy that is named below. */
function compileWrrLocality(message: MessageTypes[typeof wrrLocalityType], path: string, scope: CompileScope): Policy {
  const at = `${path}.endpoint_picking_policy`;
  if (message.endpoint_picking_policy === null) throw new ConfigError(at, 'value is required');
  return { ...choosePolicy(message.endpoint_picking_policy, at, scope), ...weighLocalities(true) };
}

function compileLocalities(
  message: protos.envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig | null,
  path: string,
): Localities {
  return {
    ...weighLocalities(message?.locality_config_specifier === 'locality_weighted_lb_config'),
    ...compileZoneRouting(message?.zone_aware_lb_config ?? null, `${path}.locality_lb_config.zone_aware_lb_config`),
  };
}

function weighLocalities(isWeighted: boolean): Localities {
  return { localityWeighted: isWeighted, zoneAware: !isWeighted };
}
