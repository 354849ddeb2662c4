/**
 * Names that Envoy shows for every cluster, listener, connection manager and so on, also where nothing here ever counts them:
 * dashboards and alerts expect the series. Whoever makes the counters of such a scope declares its family.
 */
import type { StatKind } from './stats-store.ts';

export type StatFamilyName =
  | 'cluster'
  | 'cluster-traffic'
  | 'upstream-tls'
  | 'outlier-detection'
  | 'listener'
  | 'listener-worker'
  | 'downstream-tls'
  | 'connection-manager'
  | 'responses'
  | 'fault'
  | 'cors'
  | 'async-client'
  | 'tcp-proxy'
  | 'tls-inspector'
  | 'http-inspector'
  | 'process';

export interface StatFamilyMember {
  readonly kind: StatKind;
  readonly name: string;
}

const listMembers = (kind: StatKind, names: string): StatFamilyMember[] =>
  names
    .trim()
    .split(/\s+/)
    .map(name => ({ kind, name }));

const clusterCounters = `
  assignment_stale assignment_timeout_received assignment_use_cached default.total_match_count lb_healthy_panic
  lb_local_cluster_not_ok lb_recalculate_zone_structures lb_subsets_created lb_subsets_fallback lb_subsets_fallback_panic
  lb_subsets_removed lb_subsets_selected lb_zone_cluster_too_small lb_zone_no_capacity_left lb_zone_routing_all_directly
  lb_zone_routing_cross_zone lb_zone_routing_sampled membership_change update_attempt update_empty update_failure
  update_no_rebuild update_success`;

const trafficCounters = `
  bind_errors original_dst_host_invalid retry_or_shadow_abandoned upstream_cx_close_notify
  upstream_cx_connect_attempts_exceeded upstream_cx_connect_fail upstream_cx_connect_timeout
  upstream_cx_connect_with_0_rtt upstream_cx_destroy upstream_cx_destroy_local upstream_cx_destroy_local_with_active_rq
  upstream_cx_destroy_remote upstream_cx_destroy_remote_with_active_rq upstream_cx_destroy_with_active_rq
  upstream_cx_http1_total upstream_cx_http2_total upstream_cx_http3_total upstream_cx_idle_timeout
  upstream_cx_max_duration_reached upstream_cx_max_requests upstream_cx_none_healthy upstream_cx_overflow
  upstream_cx_pool_overflow upstream_cx_preconnect_skipped upstream_cx_protocol_error upstream_cx_rx_bytes_total
  upstream_cx_total upstream_cx_tx_bytes_total upstream_flow_control_backed_up_total upstream_flow_control_drained_total
  upstream_flow_control_paused_reading_total upstream_flow_control_resumed_reading_total upstream_http3_broken
  upstream_internal_redirect_failed_total upstream_internal_redirect_succeeded_total upstream_rq_0rtt
  upstream_rq_active_overflow upstream_rq_cancelled upstream_rq_completed upstream_rq_maintenance_mode
  upstream_rq_max_duration_reached upstream_rq_pending_failure_eject upstream_rq_pending_overflow
  upstream_rq_pending_total upstream_rq_per_try_idle_timeout upstream_rq_per_try_timeout upstream_rq_retry
  upstream_rq_retry_backoff_exponential upstream_rq_retry_backoff_ratelimited upstream_rq_retry_limit_exceeded
  upstream_rq_retry_overflow upstream_rq_retry_success upstream_rq_rx_reset upstream_rq_rx_reset_no_error
  upstream_rq_timeout upstream_rq_total upstream_rq_tx_reset`;

const ejectionCauses = [
  'consecutive_5xx',
  'consecutive_gateway_failure',
  'consecutive_local_origin_failure',
  'failure_percentage',
  'local_origin_failure_percentage',
  'local_origin_success_rate',
  'success_rate',
];
const outlierCounters = [
  ...ejectionCauses.flatMap(cause => [`detected_${cause}`, `enforced_${cause}`]),
  'detected_degradation',
  'enforced_total',
  'overflow',
  'total',
  'consecutive_5xx',
  'success_rate',
]
  .map(name => `outlier_detection.ejections_${name}`)
  .join(' ');

const clusterGauges = `
  circuit_breakers.default.cx_open circuit_breakers.default.cx_pool_open circuit_breakers.default.rq_open
  circuit_breakers.default.rq_pending_open circuit_breakers.default.rq_retry_open circuit_breakers.high.cx_open
  circuit_breakers.high.cx_pool_open circuit_breakers.high.rq_open circuit_breakers.high.rq_pending_open
  circuit_breakers.high.rq_retry_open lb_subsets_active max_host_weight membership_degraded membership_excluded
  membership_healthy membership_total version warming_state`;

const trafficGauges = `
  upstream_cx_active upstream_cx_rx_bytes_buffered upstream_cx_tx_bytes_buffered upstream_queue_overloaded
  upstream_rq_active upstream_rq_pending_active`;

const tlsCounters = `
  ssl.connection_error ssl.fail_verify_cert_hash ssl.fail_verify_error ssl.fail_verify_no_cert ssl.fail_verify_san ssl.handshake
  ssl.no_certificate ssl.ocsp_staple_failed ssl.ocsp_staple_omitted ssl.ocsp_staple_requests ssl.ocsp_staple_responses
  ssl.session_reused`;
const secretCounters = (factory: string): string =>
  ['downstream_context_secrets_not_ready', 'ssl_context_update_by_sds', 'upstream_context_secrets_not_ready']
    .map(name => `${factory}.${name}`)
    .join(' ');

const responseCounters = 'downstream_rq_1xx downstream_rq_2xx downstream_rq_3xx downstream_rq_4xx downstream_rq_5xx';

const routerCounters = `
  no_cluster no_route passthrough_internal_redirect_bad_location passthrough_internal_redirect_no_route
  passthrough_internal_redirect_predicate passthrough_internal_redirect_too_many_redirects
  passthrough_internal_redirect_unsafe_scheme rq_direct_response rq_overload_local_reply rq_redirect
  rq_reset_after_downstream_response_started rq_total`;

const managerCounters = `
  downstream_cx_delayed_close_timeout downstream_cx_destroy downstream_cx_destroy_active_rq downstream_cx_destroy_local
  downstream_cx_destroy_local_active_rq downstream_cx_destroy_remote downstream_cx_destroy_remote_active_rq
  downstream_cx_drain_close downstream_cx_http1_total downstream_cx_http2_total downstream_cx_http3_total
  downstream_cx_idle_timeout downstream_cx_max_duration_reached downstream_cx_max_requests_reached
  downstream_cx_overload_disable_keepalive downstream_cx_protocol_error downstream_cx_rx_bytes_total downstream_cx_ssl_total
  downstream_cx_total downstream_cx_tx_bytes_total downstream_cx_upgrades_total downstream_flow_control_paused_reading_total
  downstream_flow_control_resumed_reading_total downstream_rq_completed downstream_rq_failed_path_normalization
  downstream_rq_header_timeout downstream_rq_http1_total downstream_rq_http2_total downstream_rq_http3_total
  downstream_rq_idle_timeout downstream_rq_max_duration_reached downstream_rq_non_relative_path downstream_rq_overload_close
  downstream_rq_redirected_with_normalized_path downstream_rq_rejected_via_ip_detection
  downstream_rq_response_before_rq_complete downstream_rq_rx_reset downstream_rq_timeout downstream_rq_too_large
  downstream_rq_too_many_premature_resets downstream_rq_total downstream_rq_tx_reset downstream_rq_ws_on_non_ws_route
  rs_too_large tracing.client_enabled tracing.health_check
  tracing.not_traceable tracing.random_sampling tracing.service_forced ${responseCounters} ${routerCounters}`;

const managerGauges = `
  downstream_cx_active downstream_cx_http1_active downstream_cx_http1_soft_drain downstream_cx_http2_active
  downstream_cx_http3_active downstream_cx_rx_bytes_buffered downstream_cx_ssl_active downstream_cx_tx_bytes_buffered
  downstream_cx_upgrades_active downstream_rq_active`;

/** Members per family; the full name is `<scope>.<name>`, for the family `process` the name alone. */
export const statFamilies: { readonly [F in StatFamilyName]: readonly StatFamilyMember[] } = {
  cluster: [...listMembers('counter', clusterCounters), ...listMembers('gauge', clusterGauges)],
  'cluster-traffic': [
    ...listMembers('counter', trafficCounters),
    ...listMembers('gauge', trafficGauges),
    ...listMembers('histogram', 'upstream_cx_connect_ms upstream_cx_length_ms upstream_rq_per_cx'),
  ],
  'outlier-detection': [
    ...listMembers('counter', outlierCounters),
    ...listMembers('gauge', 'outlier_detection.ejections_active'),
  ],
  'upstream-tls': listMembers('counter', `${tlsCounters} ${secretCounters('client_ssl_socket_factory')}`),
  'downstream-tls': listMembers('counter', `${tlsCounters} ${secretCounters('server_ssl_socket_factory')}`),
  listener: [
    ...listMembers(
      'counter',
      `downstream_cx_destroy downstream_cx_overflow downstream_cx_overload_reject downstream_cx_total
       downstream_cx_transport_socket_connect_timeout downstream_global_cx_overflow downstream_listener_filter_error
       downstream_listener_filter_remote_close downstream_pre_cx_timeout extension_config_missing
       network_extension_config_missing no_filter_chain_match`,
    ),
    ...listMembers('gauge', 'downstream_cx_active downstream_pre_cx_active'),
    ...listMembers('histogram', 'connections_accepted_per_socket_event downstream_cx_length_ms'),
  ],
  'listener-worker': [
    { kind: 'counter', name: 'downstream_cx_total' },
    { kind: 'gauge', name: 'downstream_cx_active' },
  ],
  'connection-manager': [
    ...listMembers('counter', managerCounters),
    ...listMembers('gauge', managerGauges),
    ...listMembers('histogram', 'downstream_cx_length_ms downstream_rq_time'),
  ],
  fault: [
    ...listMembers('counter', 'aborts_injected delays_injected faults_overflow response_rl_injected'),
    ...listMembers('gauge', 'active_faults'),
  ],
  cors: listMembers('counter', 'origin_invalid origin_valid'),
  'async-client': listMembers('counter', routerCounters),
  responses: listMembers('counter', `downstream_rq_completed ${responseCounters}`),
  'tcp-proxy': [
    ...listMembers(
      'counter',
      `downstream_cx_drain_close downstream_cx_no_route downstream_cx_overload_close downstream_cx_rx_bytes_total
       downstream_cx_total downstream_cx_tx_bytes_total downstream_flow_control_paused_reading_total
       downstream_flow_control_resumed_reading_total early_data_received_count_total idle_timeout
       max_downstream_connection_duration route_delayed_total upstream_flush_total`,
    ),
    ...listMembers('gauge', 'downstream_cx_rx_bytes_buffered downstream_cx_tx_bytes_buffered upstream_flush_active'),
  ],
  'tls-inspector': [
    ...listMembers('counter', 'alpn_found alpn_not_found client_hello_too_large sni_found sni_not_found tls_found tls_not_found'),
    ...listMembers('histogram', 'bytes_processed'),
  ],
  'http-inspector': listMembers('counter', 'http10_found http11_found http2_found http_not_found read_error'),
  process: [
    ...listMembers(
      'counter',
      `envoy.overload_actions.reset_high_memory_stream.count http1.dropped_headers_with_underscores
       http1.metadata_not_supported_error http1.requests_rejected_with_underscores_in_headers http1.response_flood filesystem.flushed_by_timer filesystem.reopen_failed
       filesystem.write_buffered filesystem.write_completed filesystem.write_failed main_thread.watchdog_mega_miss
       main_thread.watchdog_miss runtime.deprecated_feature_use runtime.load_error runtime.load_success
       runtime.override_dir_exists runtime.override_dir_not_exists workers.watchdog_mega_miss workers.watchdog_miss`,
    ),
    ...listMembers(
      'gauge',
      `filesystem.write_total_buffered runtime.admin_overrides_active runtime.deprecated_feature_seen_since_process_start
       runtime.num_keys runtime.num_layers`,
    ),
    { kind: 'histogram', name: 'overload.refresh_interval_delay' },
  ],
};
