/** Classes of `envoy.config.listener.v3`. */
import { classify, type FieldTable } from '../field-table.ts';

export const listenerFields: FieldTable = {
  'envoy.config.listener.v3.Listener': classify({
    implemented: `name address additional_addresses stat_prefix filter_chains use_original_dst default_filter_chain
      per_connection_buffer_limit_bytes metadata deprecated_v1 listener_filters listener_filters_timeout
      continue_on_listener_filters_timeout transparent freebind traffic_direction connection_balance_config access_log
      tcp_backlog_size socket_options tcp_fast_open_queue_length max_connections_to_accept_per_socket_event bind_to_port ignore_global_conn_limit
      internal_listener`,
    ignored: {
      drain_type: 'a removed listener always drains',
      reuse_port: 'workers share one listening socket',
      enable_reuse_port: 'workers share one listening socket',
      bypass_overload_manager: 'the overload manager has no action here that a listener could bypass',
    },
    rejected: 'filter_chain_matcher udp_listener_config api_listener enable_mptcp',
  }),
  'envoy.config.listener.v3.AdditionalAddress': classify({ implemented: 'address', rejected: 'socket_options' }),
  'envoy.config.listener.v3.Listener.InternalListenerConfig': classify({}),
  'envoy.config.listener.v3.Listener.DeprecatedV1': classify({ implemented: 'bind_to_port' }),
  'envoy.config.listener.v3.Listener.ConnectionBalanceConfig': classify({
    implemented: 'exact_balance',
    rejected: 'extend_balance',
  }),
  'envoy.config.listener.v3.Listener.ConnectionBalanceConfig.ExactBalance': classify({}),
  'envoy.config.listener.v3.FilterChain': classify({
    implemented: 'filter_chain_match filters metadata transport_socket transport_socket_connect_timeout name',
    rejected: 'use_proxy_proto on_demand_configuration',
  }),
  'envoy.config.listener.v3.FilterChainMatch': classify({
    implemented: `destination_port prefix_ranges direct_source_prefix_ranges source_type source_prefix_ranges source_ports
      server_names transport_protocol application_protocols`,
    rejected: 'address_suffix suffix_len',
  }),
  'envoy.config.listener.v3.Filter': classify({ implemented: 'name typed_config config_discovery' }),
  'envoy.config.listener.v3.ListenerFilter': classify({
    implemented: 'name typed_config filter_disabled',
    rejected: 'config_discovery',
  }),
  'envoy.config.listener.v3.ListenerFilterChainMatchPredicate': classify({
    implemented: 'or_match and_match not_match any_match destination_port_range',
  }),
  'envoy.config.listener.v3.ListenerFilterChainMatchPredicate.MatchSet': classify({ implemented: 'rules' }),
};
