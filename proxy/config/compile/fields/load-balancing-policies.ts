/** Classes of `LoadBalancingPolicy` and of the policies that it names. */
import { classify, type FieldTable } from '../field-table.ts';

const packageOf = 'envoy.extensions.load_balancing_policies';

export const subsetFields = `fallback_policy default_subset subset_selectors locality_weight_aware scale_locality_weight panic_mode_any
  list_as_any metadata_fallback_policy`;
export const selectorFields = 'keys single_host_per_subset fallback_policy fallback_keys_subset';

export const loadBalancingPolicyFields: FieldTable = {
  'envoy.config.cluster.v3.LoadBalancingPolicy': classify({ implemented: 'policies' }),
  'envoy.config.cluster.v3.LoadBalancingPolicy.Policy': classify({ implemented: 'typed_extension_config' }),
  [`${packageOf}.round_robin.v3.RoundRobin`]: classify({ implemented: 'slow_start_config locality_lb_config' }),
  [`${packageOf}.least_request.v3.LeastRequest`]: classify({
    implemented: 'choice_count active_request_bias slow_start_config locality_lb_config selection_method',
    ignored: { enable_full_scan: 'selection_method has replaced it' },
  }),
  [`${packageOf}.random.v3.Random`]: classify({ implemented: 'locality_lb_config' }),
  [`${packageOf}.ring_hash.v3.RingHash`]: classify({
    implemented: `hash_function minimum_ring_size maximum_ring_size use_hostname_for_hashing consistent_hashing_lb_config
      locality_weighted_lb_config hash_balance_factor`,
  }),
  [`${packageOf}.maglev.v3.Maglev`]: classify({
    implemented: 'table_size consistent_hashing_lb_config locality_weighted_lb_config',
  }),
  [`${packageOf}.cluster_provided.v3.ClusterProvided`]: classify({}),
  [`${packageOf}.subset.v3.Subset`]: classify({ implemented: `${subsetFields} allow_redundant_keys subset_lb_policy` }),
  [`${packageOf}.subset.v3.Subset.LbSubsetSelector`]: classify({ implemented: selectorFields }),
  [`${packageOf}.wrr_locality.v3.WrrLocality`]: classify({ implemented: 'endpoint_picking_policy' }),
  [`${packageOf}.common.v3.LocalityLbConfig`]: classify({ implemented: 'zone_aware_lb_config locality_weighted_lb_config' }),
  [`${packageOf}.common.v3.LocalityLbConfig.LocalityWeightedLbConfig`]: classify({}),
  [`${packageOf}.common.v3.LocalityLbConfig.ZoneAwareLbConfig`]: classify({
    implemented: 'fail_traffic_on_panic routing_enabled min_cluster_size',
  }),
  [`${packageOf}.common.v3.SlowStartConfig`]: classify({ implemented: 'slow_start_window aggression min_weight_percent' }),
  [`${packageOf}.common.v3.ConsistentHashingLbConfig`]: classify({
    implemented: 'use_hostname_for_hashing hash_balance_factor',
  }),
};
