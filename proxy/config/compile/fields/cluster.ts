/** Classes of `envoy.config.cluster.v3`, `envoy.config.endpoint.v3` and the upstream protocol options. */
import { classify, type FieldTable } from '../field-table.ts';
import { healthCheckFields } from './health-check.ts';
import { selectorFields, subsetFields } from './load-balancing-policies.ts';

const cluster: FieldTable = {
  'envoy.config.cluster.v3.Cluster': classify({
    implemented: `transport_socket_matches name alt_stat_name type eds_cluster_config load_balancing_policy connect_timeout
      per_connection_buffer_limit_bytes lb_policy load_assignment max_requests_per_connection circuit_breakers
      upstream_http_protocol_options common_http_protocol_options http_protocol_options http2_protocol_options
      typed_extension_protocol_options dns_refresh_rate dns_jitter dns_failure_refresh_rate respect_dns_ttl dns_lookup_family
      typed_dns_resolver_config outlier_detection cleanup_interval upstream_bind_config ring_hash_lb_config maglev_lb_config
      original_dst_lb_config least_request_lb_config round_robin_lb_config common_lb_config transport_socket metadata
      upstream_connection_options filters protocol_selection lb_subset_config health_checks
      ignore_health_on_host_removal`,
    ignored: {
      use_tcp_for_dns_lookups: 'the system resolver decides',
      wait_for_warm_on_init: 'a cluster of the bootstrap is always waited for',
      lrs_server: 'load reports are not sent',
      lrs_report_endpoint_metrics: 'load reports are not sent',
      track_timeout_budgets: 'statistics only',
      track_cluster_stats: 'statistics only',
      preconnect_policy: 'connections are made on demand; this only saves their latency',
    },
    rejected: `cluster_type close_connections_on_host_health_failure dns_resolvers dns_resolution_config upstream_config
      connection_pool_per_downstream_connection`,
  }),
  'envoy.config.cluster.v3.Cluster.TransportSocketMatch': classify({ implemented: 'name match transport_socket' }),
  'envoy.config.cluster.v3.Cluster.RefreshRate': classify({ implemented: 'base_interval max_interval' }),
  'envoy.config.cluster.v3.Cluster.EdsClusterConfig': classify({ implemented: 'eds_config service_name' }),
  'envoy.config.cluster.v3.Cluster.OriginalDstLbConfig': classify({
    implemented: 'use_http_header http_header_name upstream_port_override metadata_key',
  }),
  'envoy.config.cluster.v3.Filter': classify({ implemented: 'name typed_config', rejected: 'config_discovery' }),
  'envoy.config.cluster.v3.UpstreamConnectionOptions': classify({
    implemented: 'tcp_keepalive happy_eyeballs_config',
    ignored: { set_local_interface_name_on_upstream_connections: 'the name is only for logs that do not show it here' },
  }),
  'envoy.config.cluster.v3.UpstreamConnectionOptions.HappyEyeballsConfig': classify({
    implemented: 'first_address_family_version first_address_family_count',
  }),
  'envoy.config.cluster.v3.CircuitBreakers': classify({
    implemented: 'thresholds',
    ignored: {},
    rejected: 'per_host_thresholds',
  }),
  'envoy.config.cluster.v3.CircuitBreakers.Thresholds': classify({
    implemented: 'priority max_connections max_pending_requests max_requests max_retries retry_budget track_remaining',
    ignored: { max_connection_pools: 'pools are bounded by the hosts of the cluster' },
  }),
  'envoy.config.cluster.v3.CircuitBreakers.Thresholds.RetryBudget': classify({
    implemented: 'budget_percent min_retry_concurrency',
  }),
  'envoy.config.cluster.v3.OutlierDetection': classify({
    implemented: `consecutive_5xx interval base_ejection_time max_ejection_percent enforcing_consecutive_5xx
      enforcing_success_rate success_rate_minimum_hosts success_rate_request_volume success_rate_stdev_factor
      consecutive_gateway_failure enforcing_consecutive_gateway_failure split_external_local_origin_errors
      consecutive_local_origin_failure enforcing_consecutive_local_origin_failure failure_percentage_threshold
      enforcing_failure_percentage failure_percentage_minimum_hosts failure_percentage_request_volume max_ejection_time
      max_ejection_time_jitter always_eject_one_host successful_active_health_check_uneject_host
      enforcing_local_origin_success_rate enforcing_failure_percentage_local_origin`,
    rejected: 'monitors',
  }),
};

const loadBalancing: FieldTable = {
  'envoy.config.cluster.v3.Cluster.LbSubsetConfig': classify({ implemented: subsetFields }),
  'envoy.config.cluster.v3.Cluster.LbSubsetConfig.LbSubsetSelector': classify({ implemented: selectorFields }),
  'envoy.config.cluster.v3.Cluster.RingHashLbConfig': classify({
    implemented: 'minimum_ring_size maximum_ring_size hash_function',
  }),
  'envoy.config.cluster.v3.Cluster.MaglevLbConfig': classify({ implemented: 'table_size' }),
  'envoy.config.cluster.v3.Cluster.LeastRequestLbConfig': classify({
    implemented: 'choice_count active_request_bias slow_start_config',
  }),
  'envoy.config.cluster.v3.Cluster.RoundRobinLbConfig': classify({ implemented: 'slow_start_config' }),
  'envoy.config.cluster.v3.Cluster.SlowStartConfig': classify({ implemented: 'slow_start_window aggression min_weight_percent' }),
  'envoy.config.cluster.v3.Cluster.CommonLbConfig': classify({
    implemented: `healthy_panic_threshold override_host_status zone_aware_lb_config locality_weighted_lb_config consistent_hashing_lb_config
      ignore_new_hosts_until_first_hc`,
    ignored: {
      update_merge_window: 'updates apply at once, which is what they would be merged into',
    },
    rejected: 'close_connections_on_host_set_change',
  }),
  'envoy.config.core.v3.HealthStatusSet': classify({ implemented: 'statuses' }),
  'envoy.config.cluster.v3.Cluster.CommonLbConfig.ZoneAwareLbConfig': classify({
    implemented: 'fail_traffic_on_panic routing_enabled min_cluster_size',
  }),
  'envoy.config.cluster.v3.Cluster.CommonLbConfig.LocalityWeightedLbConfig': classify({}),
  'envoy.config.cluster.v3.Cluster.CommonLbConfig.ConsistentHashingLbConfig': classify({
    implemented: 'use_hostname_for_hashing hash_balance_factor',
  }),
};

const endpoints: FieldTable = {
  'envoy.config.endpoint.v3.ClusterLoadAssignment': classify({
    implemented: 'cluster_name endpoints policy',
    ignored: { named_endpoints: 'nothing can refer to them' },
  }),
  'envoy.config.endpoint.v3.ClusterLoadAssignment.Policy': classify({
    implemented: 'overprovisioning_factor',
    ignored: { endpoint_stale_after: 'endpoints stay until they are replaced' },
    rejected: 'drop_overloads weighted_priority_health',
  }),
  'envoy.config.endpoint.v3.LocalityLbEndpoints': classify({
    implemented: 'locality lb_endpoints load_balancing_weight priority',
    ignored: { metadata: 'no balancer here reads it', proximity: 'Envoy does not read it either' },
    rejected: 'load_balancer_endpoints leds_cluster_locality_config',
  }),
  'envoy.config.endpoint.v3.LbEndpoint': classify({
    implemented: 'endpoint health_status metadata load_balancing_weight',
    rejected: 'endpoint_name',
  }),
  'envoy.config.endpoint.v3.Endpoint': classify({
    implemented: 'address hostname additional_addresses health_check_config',
  }),
  'envoy.config.endpoint.v3.Endpoint.AdditionalAddress': classify({ implemented: 'address' }),
};

export const clusterFields: FieldTable = { ...healthCheckFields, ...cluster, ...loadBalancing, ...endpoints };

/** Resolvers of DNS clusters: names are resolved by the system, whatever the library asked for. */
export const resolverFields: FieldTable = {
  'envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig': classify({
    ignored: {
      use_resolvers_as_fallback: 'the system resolver is used',
      filter_unroutable_families: 'the system resolver filters them',
      dns_resolver_options: 'the system resolver has its own',
      udp_max_queries: 'the system resolver has its own',
    },
    rejected: 'resolvers',
  }),
};
