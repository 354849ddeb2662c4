/** Small resources for tests, as messages. */
import { encodeMessage } from '../../../protos/messages.ts';

const typeUrl = (name: string): string => `type.googleapis.com/${name}`;
const managerType = 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';
const routerType = 'envoy.extensions.filters.http.router.v3.Router';

/** A cluster whose endpoints come over ADS. */
export function makeEdsCluster(name: string, connectTimeoutSeconds = 1): Buffer {
  return encodeMessage('envoy.config.cluster.v3.Cluster', {
    name,
    type: 3,
    connect_timeout: { seconds: connectTimeoutSeconds, nanos: 0 },
    eds_cluster_config: { eds_config: { ads: {}, resource_api_version: 2 } as never, service_name: name },
  } as never);
}

export function makeAssignment(name: string, ports: readonly number[]): Buffer {
  const endpoints = ports.map(port => ({
    endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: port } } },
  }));
  return encodeMessage('envoy.config.endpoint.v3.ClusterLoadAssignment', {
    cluster_name: name,
    endpoints: [{ lb_endpoints: endpoints }],
  } as never);
}

/** An HTTP listener on loopback with its routes over ADS. */
export function makeListener(name: string, port: number, routeName: string, filterName = 'envoy.filters.http.router'): Buffer {
  const filterType = filterName === 'envoy.filters.http.router' ? typeUrl(routerType) : typeUrl('acme.Unknown');
  const manager = encodeMessage(managerType, {
    stat_prefix: name,
    rds: { route_config_name: routeName, config_source: { ads: {}, resource_api_version: 2 } },
    http_filters: [{ name: filterName, typed_config: { type_url: filterType, value: Buffer.alloc(0) } }],
  } as never);
  return encodeMessage('envoy.config.listener.v3.Listener', {
    name,
    address: { socket_address: { address: '127.0.0.1', port_value: port } },
    filter_chains: [
      {
        filters: [
          {
            name: 'envoy.filters.network.http_connection_manager',
            typed_config: { type_url: typeUrl(managerType), value: manager },
          },
        ],
      },
    ],
  } as never);
}

/** Everything goes to one cluster. */
export function makeRoutes(name: string, cluster: string): Buffer {
  return encodeMessage('envoy.config.route.v3.RouteConfiguration', {
    name,
    virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster } }] }],
  } as never);
}

/** A bootstrap with ADS over a Unix socket. */
export function makeAdsBootstrap(socketPath: string, apiType: 'GRPC' | 'DELTA_GRPC'): object {
  const source = { ads: {}, resource_api_version: 'V3', initial_fetch_timeout: '0s' };
  return {
    node: { id: 'test', cluster: 'test' },
    dynamic_resources: {
      cds_config: source,
      lds_config: source,
      ads_config: {
        api_type: apiType,
        transport_api_version: 'V3',
        set_node_on_first_message_only: true,
        grpc_services: [{ envoy_grpc: { cluster_name: 'xds-grpc' } }],
      },
    },
    static_resources: {
      clusters: [
        {
          name: 'xds-grpc',
          type: 'STATIC',
          connect_timeout: '1s',
          typed_extension_protocol_options: {
            'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
              '@type': typeUrl('envoy.extensions.upstreams.http.v3.HttpProtocolOptions'),
              explicit_http_config: { http2_protocol_options: {} },
            },
          },
          load_assignment: {
            cluster_name: 'xds-grpc',
            endpoints: [{ lb_endpoints: [{ endpoint: { address: { pipe: { path: socketPath } } } }] }],
          },
        },
      ],
    },
  };
}
