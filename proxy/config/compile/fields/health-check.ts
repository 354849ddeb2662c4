/** Classes of `envoy.config.core.v3.HealthCheck`. */
import { classify, type FieldTable } from '../field-table.ts';

const packageOf = 'envoy.config.core.v3.HealthCheck';
const notLogged = 'an observer: changes of health are counted, and logged with the others of the proxy';

export const healthCheckFields: FieldTable = {
  [packageOf]: classify({
    implemented: `timeout interval initial_jitter interval_jitter interval_jitter_percent unhealthy_threshold healthy_threshold
      reuse_connection http_health_check tcp_health_check grpc_health_check no_traffic_interval no_traffic_healthy_interval
      unhealthy_interval unhealthy_edge_interval healthy_edge_interval tls_options transport_socket_match_criteria`,
    ignored: {
      alt_port: 'Envoy does not read it either',
      event_log_path: notLogged,
      event_logger: notLogged,
      event_service: notLogged,
      always_log_health_check_failures: notLogged,
      always_log_health_check_success: notLogged,
    },
    rejected: 'custom_health_check',
  }),
  [`${packageOf}.HttpHealthCheck`]: classify({
    implemented: `host path send receive response_buffer_size request_headers_to_add request_headers_to_remove expected_statuses
      retriable_statuses codec_client_type service_name_matcher method`,
  }),
  [`${packageOf}.TcpHealthCheck`]: classify({ implemented: 'send receive', rejected: 'proxy_protocol_config' }),
  [`${packageOf}.GrpcHealthCheck`]: classify({ implemented: 'service_name authority initial_metadata' }),
  [`${packageOf}.Payload`]: classify({ implemented: 'text binary' }),
  [`${packageOf}.TlsOptions`]: classify({ implemented: 'alpn_protocols' }),
  'envoy.config.endpoint.v3.Endpoint.HealthCheckConfig': classify({
    implemented: 'port_value hostname address disable_active_health_check',
  }),
};
