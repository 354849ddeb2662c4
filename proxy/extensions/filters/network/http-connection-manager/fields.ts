/** Classes of the connection manager's fields. */
import { classify, type FieldTable } from '../../../../config/compile/field-table.ts';

const noTracer = 'no tracer is implemented';
const oneRecord = 'one record is written, at the end of the request';
const manager = 'envoy.extensions.filters.network.http_connection_manager.v3';

export const managerFields: FieldTable = {
  [`${manager}.HttpConnectionManager`]: classify({
    implemented: `codec_type stat_prefix rds route_config http_filters tracing common_http_protocol_options
      http_protocol_options http2_protocol_options server_name server_header_transformation scheme_header_transformation
      max_request_headers_kb stream_idle_timeout request_timeout request_headers_timeout drain_timeout delayed_close_timeout
      access_log use_remote_address xff_num_trusted_hops internal_address_config skip_xff_append via generate_request_id
      preserve_external_request_id always_set_request_id_in_response forward_client_cert_details
      set_current_client_cert_details proxy_100_continue upgrade_configs normalize_path merge_slashes
      path_with_escaped_slashes_action request_id_extension strip_matching_host_port strip_any_host_port
      strip_trailing_host_dot append_x_forwarded_port local_reply_config`,
    ignored: {
      access_log_flush_interval: oneRecord,
      flush_access_log_on_new_request: oneRecord,
      access_log_options: oneRecord,
      stream_error_on_invalid_http_message: 'on HTTP/1 a connection with an invalid message is always closed',
      append_local_overload: 'no overload action rejects requests',
      add_proxy_protocol_connection_state: 'there is no PROXY protocol whose state could be passed on',
      http3_protocol_options: 'no downstream speaks HTTP/3',
    },
    rejected: `scoped_routes add_user_agent original_ip_detection_extensions early_header_mutation_extensions
      represent_ipv4_remote_address_as_ipv4_mapped_ipv6 path_normalization_options proxy_status_config
      typed_header_validation_config`,
  }),
  [`${manager}.LocalReplyConfig`]: classify({ implemented: 'mappers body_format' }),
  [`${manager}.ResponseMapper`]: classify({ implemented: 'filter status_code body body_format_override headers_to_add' }),
  [`${manager}.HttpConnectionManager.Tracing`]: classify({
    implemented: 'client_sampling random_sampling overall_sampling provider',
    ignored: { verbose: noTracer, max_path_tag_length: noTracer, custom_tags: noTracer, spawn_upstream_span: noTracer },
  }),
  'envoy.config.trace.v3.Tracing.Http': classify({ implemented: 'name typed_config' }),
  [`${manager}.HttpConnectionManager.InternalAddressConfig`]: classify({ implemented: 'unix_sockets cidr_ranges' }),
  [`${manager}.HttpConnectionManager.SetCurrentClientCertDetails`]: classify({ implemented: 'subject cert chain dns uri' }),
  [`${manager}.HttpConnectionManager.UpgradeConfig`]: classify({ implemented: 'upgrade_type filters enabled' }),
  [`${manager}.Rds`]: classify({ implemented: 'config_source route_config_name' }),
  [`${manager}.HttpFilter`]: classify({
    implemented: 'name typed_config config_discovery is_optional disabled',
  }),
  [`${manager}.RequestIDExtension`]: classify({ implemented: 'typed_config' }),
  'envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig': classify({
    implemented: 'pack_trace_reason use_request_id_for_trace_sampling',
  }),
  'envoy.config.core.v3.SchemeHeaderTransformation': classify({
    implemented: 'scheme_to_overwrite',
    rejected: 'match_upstream',
  }),
};
