/** Pieces that resources of both directions share, as ProtoJSON in the shape of istiod's pushes. */

export type Json = { readonly [key: string]: unknown };

/** Resources of one sidecar by kind. */
export interface Resources {
  readonly clusters: readonly Json[];
  readonly endpoints: readonly Json[];
  readonly listeners: readonly Json[];
  readonly routes: readonly Json[];
}

export const typed = (type: string, value: Json = {}) => ({ '@type': `type.googleapis.com/${type}`, ...value });
const struct = (type: string, value: Json) =>
  typed('udpa.type.v1.TypedStruct', { type_url: `type.googleapis.com/${type}`, value });
export const ads = { ads: {}, initial_fetch_timeout: '0s', resource_api_version: 'V3' };

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

export function commonTls(names: readonly Json[], alpn: readonly string[]): Json {
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

export function buildManager(direction: 'inbound' | 'outbound', address: string, port: number, route: Json): Json {
  return {
    name: 'envoy.filters.network.http_connection_manager',
    typed_config: typed('envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager', {
      stat_prefix: `${direction}_${address}_${port};`,
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

export const socketAddress = (address: string, port: number) => ({ socket_address: { address, port_value: port } });

/** A chain's TCP proxy to a cluster. */
export function buildTcpProxy(cluster: string): Json {
  return {
    name: 'envoy.filters.network.tcp_proxy',
    typed_config: typed('envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy', { stat_prefix: cluster, cluster }),
  };
}

/** A cluster that goes where the connection was going before it was redirected. */
export function buildOriginalDestinationCluster(name: string, extra: Json = {}): Json {
  return {
    name,
    alt_stat_name: `${name};`,
    type: 'ORIGINAL_DST',
    lb_policy: 'CLUSTER_PROVIDED',
    connect_timeout: '10s',
    ...extra,
  };
}

export function buildListenerFilter(name: string, type: string): Json {
  return { name: `envoy.filters.listener.${name}`, typed_config: typed(`envoy.extensions.filters.listener.${name}.v3.${type}`) };
}
