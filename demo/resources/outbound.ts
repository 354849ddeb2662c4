/** What istiod sends to the calling side. */
import { clusterOf, hostOf, identityOf, namespace, type Service, serverAccount } from '../mesh-config.ts';
import {
  ads,
  buildManager,
  buildOriginalDestinationCluster,
  buildTcpProxy,
  commonTls,
  type Json,
  type Resources,
  socketAddress,
  typed,
} from './pieces.ts';

function buildOutboundCluster({ name }: Service): Json {
  const upstreamTls = typed('envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext', {
    common_tls_context: commonTls([{ exact: identityOf(serverAccount) }], ['istio-peer-exchange', 'istio']),
    sni: `outbound_.80_._.${hostOf(name)}`,
  });
  return {
    name: clusterOf(name),
    alt_stat_name: `${clusterOf(name)};`,
    type: 'EDS',
    eds_cluster_config: { eds_config: ads, service_name: clusterOf(name) },
    connect_timeout: '10s',
    lb_policy: 'LEAST_REQUEST',
    common_lb_config: { healthy_panic_threshold: {} },
    transport_socket_matches: [
      {
        name: 'tlsMode-istio',
        match: { tlsMode: 'istio' },
        transport_socket: { name: 'envoy.transport_sockets.tls', typed_config: upstreamTls },
      },
      {
        name: 'tlsMode-disabled',
        match: {},
        transport_socket: {
          name: 'envoy.transport_sockets.raw_buffer',
          typed_config: typed('envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer'),
        },
      },
    ],
    metadata: { filter_metadata: { istio: { services: [{ host: hostOf(name), name, namespace }] } } },
  };
}

function buildAssignment({ name, endpoints }: Service): Json {
  return {
    cluster_name: clusterOf(name),
    endpoints: [
      {
        locality: {},
        lb_endpoints: endpoints.map(({ address, port, version }) => ({
          endpoint: { address: socketAddress(address, port) },
          load_balancing_weight: 1,
          metadata: {
            filter_metadata: {
              'envoy.transport_socket_match': { tlsMode: 'istio' },
              istio: { workload: `${name}-${version};${namespace};${name};${version};Kubernetes` },
            },
          },
        })),
      },
    ],
  };
}

function buildOutboundListener({ name, address, port }: Service, isRedirected: boolean): Json {
  const route = { rds: { config_source: ads, route_config_name: `${hostOf(name)}:80` } };
  return {
    name: `${address}_${port}`,
    address: socketAddress(address, port),
    traffic_direction: 'OUTBOUND',
    ...(isRedirected && { bind_to_port: false }),
    filter_chains: [{ filters: [buildManager('outbound', address, port, route)] }],
  };
}

/** Takes every redirected connection, and keeps those that no other listener is for. */
const virtualOutbound: Json = {
  name: 'virtualOutbound',
  address: socketAddress('0.0.0.0', 15001),
  use_original_dst: true,
  traffic_direction: 'OUTBOUND',
  filter_chains: [
    {
      name: 'virtualOutbound-blackhole',
      filter_chain_match: { destination_port: 15001 },
      filters: [buildTcpProxy('BlackHoleCluster')],
    },
    { name: 'virtualOutbound-catchall-tcp', filters: [buildTcpProxy('PassthroughCluster')] },
  ],
};

function buildOutboundRoute({ name }: Service): Json {
  const retryPolicy = {
    retry_on: 'connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes',
    num_retries: 2,
    retry_host_predicate: [
      {
        name: 'envoy.retry_host_predicates.previous_hosts',
        typed_config: typed('envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate'),
      },
    ],
    host_selection_retry_max_attempts: '5',
  };
  return {
    name: `${hostOf(name)}:80`,
    ignore_port_in_host_matching: true,
    virtual_hosts: [
      {
        name: `${hostOf(name)}:80`,
        domains: ['*'],
        include_request_attempt_count: true,
        routes: [
          {
            name: 'default',
            match: { prefix: '/' },
            route: { cluster: clusterOf(name), timeout: '0s', retry_policy: retryPolicy },
            decorator: { operation: `${hostOf(name)}:80/*` },
          },
        ],
      },
    ],
  };
}

/** What the client sidecar gets. With redirection its listeners do not bind, but the one that redirection leads to. */
export function buildClientResources(services: readonly Service[], isRedirected: boolean): Resources {
  const listeners = services.map(service => buildOutboundListener(service, isRedirected));
  const redirected = [
    buildOriginalDestinationCluster('PassthroughCluster'),
    { name: 'BlackHoleCluster', type: 'STATIC', connect_timeout: '10s' },
  ];
  return {
    clusters: [...services.map(buildOutboundCluster), ...(isRedirected ? redirected : [])],
    endpoints: services.map(buildAssignment),
    listeners: isRedirected ? [...listeners, virtualOutbound] : listeners,
    routes: services.map(buildOutboundRoute),
  };
}
