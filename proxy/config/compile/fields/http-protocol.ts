/** Classes of the HTTP protocol options, of the connection manager and of clusters. */
import { classify, type FieldTable } from '../field-table.ts';

export const httpProtocolFields: FieldTable = {
  'envoy.config.core.v3.HttpProtocolOptions': classify({
    implemented: `idle_timeout max_connection_duration max_headers_count max_stream_duration headers_with_underscores_action
      max_requests_per_connection max_response_headers_kb`,
  }),
  'envoy.config.core.v3.Http1ProtocolOptions': classify({
    implemented: `allow_absolute_url accept_http_10 default_host_for_http_10 header_key_format enable_trailers
      allow_chunked_length send_fully_qualified_url`,
    ignored: {
      use_balsa_parser: 'there is one parser',
      override_stream_error_on_invalid_http_message: 'a connection with an invalid message is always closed',
    },
    rejected: 'allow_custom_methods',
  }),
  'envoy.config.core.v3.Http1ProtocolOptions.HeaderKeyFormat': classify({
    implemented: 'stateful_formatter',
    rejected: 'proper_case_words',
  }),
  'envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig': classify({
    implemented: 'forward_reason_phrase formatter_type_on_envoy_headers',
  }),
  'envoy.config.core.v3.Http2ProtocolOptions': classify({
    implemented: `hpack_table_size max_concurrent_streams initial_stream_window_size initial_connection_window_size allow_connect
      max_outbound_frames max_outbound_control_frames max_consecutive_inbound_frames_with_empty_payload
      max_inbound_priority_frames_per_stream max_inbound_window_update_frames_per_data_frame_sent connection_keepalive
      stream_error_on_invalid_http_messaging override_stream_error_on_invalid_http_message`,
    ignored: {
      use_oghttp2_codec: 'there is one codec',
    },
    rejected: 'allow_metadata custom_settings_parameters',
  }),
  'envoy.config.core.v3.KeepaliveSettings': classify({
    implemented: 'interval timeout interval_jitter connection_idle_interval',
  }),
  'envoy.config.core.v3.UpstreamHttpProtocolOptions': classify({
    implemented: 'auto_sni auto_san_validation',
    rejected: 'override_auto_sni_header',
  }),
  'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': classify({
    implemented: `common_http_protocol_options upstream_http_protocol_options explicit_http_config use_downstream_protocol_config
      auto_config`,
    rejected: 'http_filters header_validation_config',
  }),
  'envoy.extensions.upstreams.http.v3.HttpProtocolOptions.ExplicitHttpConfig': classify({
    implemented: 'http_protocol_options http2_protocol_options',
    rejected: 'http3_protocol_options',
  }),
  'envoy.extensions.upstreams.http.v3.HttpProtocolOptions.UseDownstreamHttpConfig': classify({
    implemented: 'http_protocol_options http2_protocol_options',
    ignored: { http3_protocol_options: 'no downstream speaks HTTP/3' },
  }),
  'envoy.extensions.upstreams.http.v3.HttpProtocolOptions.AutoHttpConfig': classify({
    implemented: 'http_protocol_options http2_protocol_options',
    rejected: 'http3_protocol_options alternate_protocols_cache_options',
  }),
};
