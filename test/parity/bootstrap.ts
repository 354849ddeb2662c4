/** The bootstrap that both proxies get: one lane (listener, cluster, upstream, access log) per case, and one for the probe. */
import type { LaneConfiguration } from './parity-case.ts';

const v3 = (name: string) => `type.googleapis.com/envoy.extensions.${name}`;
const hcmType = 'filters.network.http_connection_manager.v3.HttpConnectionManager';
const managerName = 'envoy.filters.network.http_connection_manager';
const router = { name: 'envoy.filters.http.router', typed_config: { '@type': v3('filters.http.router.v3.Router') } };
const logFormat =
  '%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% %BYTES_RECEIVED% %BYTES_SENT% ' +
  '%ROUTE_NAME% %UPSTREAM_CLUSTER% %UPSTREAM_REQUEST_ATTEMPT_COUNT% %UPSTREAM_TRANSPORT_FAILURE_REASON%\n';

/** What a case needs while it runs on one proxy. */
export interface Lane {
  readonly case: LaneConfiguration;
  readonly logPath: string;
  readonly upstreamPort: number;
  /** 0: the case has no second upstream. */
  readonly secondUpstreamPort: number;
}

export const probeListener = 'probe';

function buildListener(name: string, manager: object, overrides: object = {}, chain: object = {}): object {
  return {
    name,
    address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
    filter_chains: [{ filters: [{ name: managerName, typed_config: { '@type': v3(hcmType), ...manager } }], ...chain }],
    ...overrides,
  };
}

function buildLane(lane: Lane, index: number): object {
  const accessLog = {
    name: 'envoy.access_loggers.file',
    typed_config: {
      '@type': v3('access_loggers.file.v3.FileAccessLog'),
      path: lane.logPath,
      log_format: { text_format_source: { inline_string: logFormat } },
    },
  };
  const { case: parityCase } = lane;
  const route = { match: { prefix: '/' }, route: { cluster: '$lane', timeout: '2s' }, ...parityCase.route };
  const virtualHost = {
    name: 'all',
    domains: ['*'],
    routes: parityCase.routes ?? [route],
    include_request_attempt_count: true,
    ...parityCase.virtualHost,
  };
  const manager = {
    stat_prefix: '$lane',
    http_filters: [...(parityCase.filters ?? []), router],
    access_log: [accessLog],
    upgrade_configs: [{ upgrade_type: 'websocket' }],
    normalize_path: true,
    route_config: { name: 'local', virtual_hosts: [virtualHost], ...parityCase.routeConfig },
    ...parityCase.manager,
  };
  return fillIn(buildListener('$lane', manager, parityCase.listener, parityCase.filterChain), lane, index);
}

/** Writes the lane's name, and the ports of its upstreams, into a piece of configuration. */
function fillIn(config: object, { upstreamPort, secondUpstreamPort }: Lane, index: number): object {
  const text = JSON.stringify(config).replaceAll('$lane', `lane${index}`);
  return JSON.parse(text.replaceAll('"$port"', String(upstreamPort)).replaceAll('"$second_port"', String(secondUpstreamPort)));
}

function buildCluster(clusterName: string, port: number, overrides: object = {}): object {
  const address = { socket_address: { address: '127.0.0.1', port_value: port } };
  return {
    name: clusterName,
    type: 'STATIC',
    connect_timeout: '1s',
    load_assignment: { cluster_name: clusterName, endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }] },
    ...overrides,
  };
}

function buildClusters(lane: Lane, index: number): object[] {
  const clusters = [buildCluster('$lane', lane.upstreamPort, lane.case.cluster)];
  if (lane.secondUpstreamPort !== 0) clusters.push(buildCluster('$lane-b', lane.secondUpstreamPort));
  return clusters.map(cluster => fillIn(cluster, lane, index));
}

/** Answers at once, by the worker itself. */
function buildProbe(): object {
  const routes = [{ match: { prefix: '/' }, direct_response: { status: 204 } }];
  return buildListener(probeListener, {
    stat_prefix: 'probe',
    http_filters: [router],
    stream_idle_timeout: '0s',
    route_config: { virtual_hosts: [{ name: 'all', domains: ['*'], routes }] },
  });
}

export function buildBootstrap(lanes: readonly Lane[]): object {
  return {
    node: { id: 'parity', cluster: 'parity' },
    static_resources: { listeners: [buildProbe(), ...lanes.map(buildLane)], clusters: lanes.flatMap(buildClusters) },
  };
}

/** The name of a lane's listener. */
export function laneName(index: number): string {
  return `lane${index}`;
}
