/**
 * The resources of the demo, in the shape of istiod's pushes, as ProtoJSON. Without iptables nothing is redirected, so the
 * listeners bind their ports, as istiod sends them to a pod with interception mode NONE.
 */
import {
  clusterOf,
  type Endpoint,
  hostOf,
  identityOf,
  type Service,
  namespace,
  serverAccount,
  trustDomain,
} from './mesh-config.ts';

type Json = { readonly [key: string]: unknown };

/** Resources of one sidecar by type URL. */
export interface Resources {
  readonly clusters: readonly Json[];
  readonly endpoints: readonly Json[];
  readonly listeners: readonly Json[];
  readonly routes: readonly Json[];
}

const typed = (type: string, value: Json = {}) => ({ '@type': `type.googleapis.com/${type}`, ...value });
const struct = (type: string, value: Json) =>
  typed('udpa.type.v1.TypedStruct', { type_url: `type.googleapis.com/${type}`, value });
const ads = { ads: {}, initial_fetch_timeout: '0s', resource_api_version: 'V3' };

const sds = (name: string) => ({
  name,
  sds_config: {
    api_config_source: {
      api_type: 'GRPC',
      transport_api_version: 'V3',
      set_node_on_first_message_only: true,
      grpc_services: [{ envoy_grpc: { cluster_name: 'sds-grpc' } }],
    },
    initial_fetch_timeout: '0s',
    resource_api_version: 'V3',
  },
});

function commonTls(names: readonly Json[], alpn: readonly string[]): Json {
  return {
    alpn_protocols: alpn,
    tls_params: { tls_minimum_protocol_version: 'TLSv1_2', tls_maximum_protocol_version: 'TLSv1_3' },
    tls_certificate_sds_secret_configs: [sds('default')],
    combined_validation_context: {
      default_validation_context: { match_subject_alt_names: names },
      validation_context_sds_secret_config: sds('ROOTCA'),
    },
  };
}

function buildHttpFilters(direction: 'inbound' | 'outbound'): Json[] {
  const discovery = [{ istio_headers: {} }];
  const peerMetadata =
    direction === 'outbound'
      ? { upstream_discovery: discovery, upstream_propagation: discovery }
      : { downstream_discovery: discovery, downstream_propagation: discovery };
  const alpn = [
    { upstream_protocol: 'HTTP11', alpn_override: ['istio-http/1.1', 'istio', 'http/1.1'] },
    { upstream_protocol: 'HTTP2', alpn_override: ['istio-h2', 'istio', 'h2'] },
  ];
  return [
    { name: 'istio.metadata_exchange', typed_config: struct('io.istio.http.peer_metadata.Config', peerMetadata) },
    ...(direction === 'outbound'
      ? [
          {
            name: 'istio.alpn',
            typed_config: typed('istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig', { alpn_override: alpn }),
          },
        ]
      : []),
    { name: 'envoy.filters.http.fault', typed_config: typed('envoy.extensions.filters.http.fault.v3.HTTPFault') },
    { name: 'envoy.filters.http.cors', typed_config: typed('envoy.extensions.filters.http.cors.v3.Cors') },
    {
      name: 'istio.stats',
      typed_config: typed('stats.PluginConfig', direction === 'inbound' ? { disable_host_header_fallback: true } : {}),
    },
    { name: 'envoy.filters.http.router', typed_config: typed('envoy.extensions.filters.http.router.v3.Router') },
  ];
}

function buildManager(direction: 'inbound' | 'outbound', port: number, route: Json): Json {
  return {
    name: 'envoy.filters.network.http_connection_manager',
    typed_config: typed('envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager', {
      stat_prefix: `${direction}_127.0.0.1_${port};`,
      ...route,
      http_filters: buildHttpFilters(direction),
      use_remote_address: false,
      normalize_path: true,
      stream_idle_timeout: '0s',
      proxy_100_continue: true,
      upgrade_configs: [{ upgrade_type: 'websocket' }],
      ...(direction === 'inbound' && {
        server_name: 'istio-envoy',
        forward_client_cert_details: 'APPEND_FORWARD',
        set_current_client_cert_details: { subject: true, dns: true, uri: true },
      }),
    }),
  };
}

const localAddress = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });

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
        lb_endpoints: endpoints.map(({ sidecarPort, version }) => ({
          endpoint: { address: localAddress(sidecarPort) },
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

function buildOutboundListener({ name, outboundPort }: Service): Json {
  return {
    name: `127.0.0.1_${outboundPort}`,
    address: localAddress(outboundPort),
    traffic_direction: 'OUTBOUND',
    filter_chains: [
      {
        filters: [
          buildManager('outbound', outboundPort, { rds: { config_source: ads, route_config_name: `${hostOf(name)}:80` } }),
        ],
      },
    ],
  };
}

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

/** What the client sidecar gets. */
export function buildClientResources(services: readonly Service[]): Resources {
  return {
    clusters: services.map(buildOutboundCluster),
    endpoints: services.map(buildAssignment),
    listeners: services.map(buildOutboundListener),
    routes: services.map(buildOutboundRoute),
  };
}

function buildInboundCluster({ appPort }: Endpoint): Json {
  return {
    name: `inbound|${appPort}||`,
    alt_stat_name: `inbound|${appPort}||;`,
    type: 'STATIC',
    connect_timeout: '10s',
    load_assignment: {
      cluster_name: `inbound|${appPort}||`,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: localAddress(appPort) } }] }],
    },
  };
}

function buildInboundListener({ appPort, sidecarPort }: Endpoint): Json {
  const downstreamTls = typed('envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext', {
    require_client_certificate: true,
    common_tls_context: commonTls([{ prefix: `spiffe://${trustDomain}/` }], ['h2', 'http/1.1']),
  });
  const route = {
    match: { prefix: '/' },
    name: 'default',
    route: { cluster: `inbound|${appPort}||`, timeout: '0s' },
    decorator: { operation: `127.0.0.1:${appPort}/*` },
  };
  const routeConfig = {
    name: `inbound|${appPort}||`,
    virtual_hosts: [{ name: `inbound|http|${appPort}`, domains: ['*'], routes: [route] }],
  };
  return {
    name: `127.0.0.1_${sidecarPort}`,
    address: localAddress(sidecarPort),
    traffic_direction: 'INBOUND',
    listener_filters: [
      {
        name: 'envoy.filters.listener.tls_inspector',
        typed_config: typed('envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector'),
      },
    ],
    filter_chains: [
      {
        name: `127.0.0.1_${sidecarPort}`,
        filter_chain_match: { transport_protocol: 'tls', application_protocols: ['istio', 'istio-http/1.1', 'istio-h2'] },
        filters: [buildManager('inbound', sidecarPort, { route_config: routeConfig })],
        transport_socket: { name: 'envoy.transport_sockets.tls', typed_config: downstreamTls },
      },
    ],
  };
}

/** What the server sidecar gets: it stands before every endpoint of every service. */
export function buildServerResources(services: readonly Service[]): Resources {
  const endpoints = services.flatMap(({ endpoints }) => endpoints);
  return {
    clusters: endpoints.map(buildInboundCluster),
    endpoints: [],
    listeners: endpoints.map(buildInboundListener),
    routes: [],
  };
}
