/** The bootstrap that both proxies get: one lane (listener, cluster, upstream, access log) per case. */
import type { ParityCase } from './parity-case.ts';

const v3 = (name: string) => `type.googleapis.com/envoy.extensions.${name}`;
const hcmType = 'filters.network.http_connection_manager.v3.HttpConnectionManager';

export interface Lane {
  readonly listenerPort: number;
  readonly upstreamPort: number;
  readonly logPath: string;
  readonly case: ParityCase;
}

function buildListener(lane: Lane, index: number): object {
  const accessLog = {
    name: 'envoy.access_loggers.file',
    typed_config: {
      '@type': v3('access_loggers.file.v3.FileAccessLog'),
      path: lane.logPath,
      log_format: {
        text_format_source: {
          inline_string:
            '%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% %BYTES_RECEIVED% %BYTES_SENT%\n',
        },
      },
    },
  };
  const route = { match: { prefix: '/' }, route: { cluster: `lane${index}`, timeout: '2s' }, ...lane.case.route };
  const manager = {
    '@type': v3(hcmType),
    stat_prefix: `lane${index}`,
    http_filters: [{ name: 'envoy.filters.http.router', typed_config: { '@type': v3('filters.http.router.v3.Router') } }],
    access_log: [accessLog],
    upgrade_configs: [{ upgrade_type: 'websocket' }],
    normalize_path: true,
    route_config: {
      name: 'local',
      virtual_hosts: [{ name: 'all', domains: ['*'], routes: [route], include_request_attempt_count: true }],
    },
    ...lane.case.manager,
  };
  return {
    name: `lane${index}`,
    address: { socket_address: { address: '127.0.0.1', port_value: lane.listenerPort } },
    filter_chains: [{ filters: [{ name: 'envoy.filters.network.http_connection_manager', typed_config: manager }] }],
  };
}

function buildCluster(lane: Lane, index: number): object {
  const address = { socket_address: { address: '127.0.0.1', port_value: lane.upstreamPort } };
  return {
    name: `lane${index}`,
    type: 'STATIC',
    connect_timeout: '1s',
    load_assignment: { cluster_name: `lane${index}`, endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }] },
  };
}

export function buildBootstrap(lanes: readonly Lane[]): object {
  return {
    node: { id: 'parity', cluster: 'parity' },
    static_resources: { listeners: lanes.map(buildListener), clusters: lanes.map(buildCluster) },
  };
}
