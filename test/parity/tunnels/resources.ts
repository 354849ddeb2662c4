/** Resources of the lanes: listeners, clusters and filters that pass bytes through CONNECT and internal listeners. */
import { commonContext, type TlsSide } from '../tls-scenarios.ts';

const extension = (name: string): string => `type.googleapis.com/envoy.extensions.${name}`;

/** What every lane logs, of connections and of requests. */
const format =
  '%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %BYTES_RECEIVED% %BYTES_SENT% %PROTOCOL% ' +
  '%REQUEST_HEADER(:METHOD)% %REQUEST_HEADER(:AUTHORITY)% %REQUEST_HEADER(:PATH)% %UPSTREAM_CLUSTER% %UPSTREAM_HOST% ' +
  '%UPSTREAM_TRANSPORT_FAILURE_REASON% %CONNECTION_TERMINATION_DETAILS% %UPSTREAM_REQUEST_ATTEMPT_COUNT% ' +
  '%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_DIRECT_LOCAL_ADDRESS% %UPSTREAM_PROTOCOL% ' +
  '%DYNAMIC_METADATA(envoy.filters.listener.original_dst)% %DYNAMIC_METADATA(istio)% ' +
  '%FILTER_STATE(probe:PLAIN)% %FILTER_STATE(io.istio.peer_principal:PLAIN)% %DOWNSTREAM_PEER_URI_SAN%';

export type Json = { readonly [key: string]: unknown };

export function accessLog(path: string, name: string): object[] {
  const log_format = { text_format_source: { inline_string: `${name}: ${format}\n` } };
  return [
    {
      name: 'envoy.access_loggers.file',
      typed_config: { '@type': extension('access_loggers.file.v3.FileAccessLog'), path, log_format },
    },
  ];
}

/** A filter of its own name. */
export function filter(category: string, name: string, type: string, config: object = {}): object {
  return { name, typed_config: { '@type': extension(`filters.${category}.${type}`), ...config } };
}

export function tcpProxy(name: string, cluster: string, log: string, overrides: object = {}): object {
  const config = { stat_prefix: name, cluster, access_log: accessLog(log, name), ...overrides };
  return filter('network', 'envoy.filters.network.tcp_proxy', 'tcp_proxy.v3.TcpProxy', config);
}

export interface ManagerOptions {
  readonly routes: readonly object[];
  readonly filters?: readonly object[];
  readonly overrides?: object;
}

export function connectionManager(name: string, log: string, { routes, filters = [], overrides = {} }: ManagerOptions): object {
  const router = filter('http', 'envoy.filters.http.router', 'router.v3.Router');
  return filter('network', 'envoy.filters.network.http_connection_manager', 'http_connection_manager.v3.HttpConnectionManager', {
    stat_prefix: name,
    access_log: accessLog(log, name),
    route_config: { name, validate_clusters: false, virtual_hosts: [{ name, domains: ['*'], routes }] },
    upgrade_configs: [{ upgrade_type: 'CONNECT' }],
    http2_protocol_options: { allow_connect: true },
    stream_idle_timeout: '0s',
    http_filters: [...filters, router],
    ...overrides,
  });
}

/** A route that ends CONNECT at a cluster. */
export function connectRoute(cluster: string, connect: object | null = {}, action: object = {}): object {
  const upgrade = connect === null ? [] : [{ upgrade_type: 'CONNECT', connect_config: connect }];
  return { match: { connect_matcher: {} }, route: { cluster, upgrade_configs: upgrade, ...action } };
}

export function listener(name: string, port: number, filters: readonly object[], overrides: object = {}): object {
  return {
    name,
    stat_prefix: name,
    address: { socket_address: { address: '127.0.0.1', port_value: port } },
    filter_chains: [{ filters }],
    ...overrides,
  };
}

export function internalListener(name: string, filters: readonly object[], overrides: object = {}): object {
  const listener_filters = [filter('listener', 'envoy.filters.listener.original_dst', 'original_dst.v3.OriginalDst')];
  return { name, internal_listener: {}, listener_filters, filter_chains: [{ filters }], ...overrides };
}

const address = (port: number): object => ({ socket_address: { address: '127.0.0.1', port_value: port } });

export function cluster(name: string, port: number, overrides: object = {}): object {
  return clusterTo(name, { endpoint: { address: address(port) } }, overrides);
}

function clusterTo(name: string, endpoint: object, overrides: object): object {
  const load_assignment = { cluster_name: name, endpoints: [{ lb_endpoints: [endpoint] }] };
  return { name, type: 'STATIC', connect_timeout: '1s', load_assignment, ...overrides };
}

const http2Options = {
  'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
    '@type': extension('upstreams.http.v3.HttpProtocolOptions'),
    explicit_http_config: { http2_protocol_options: { allow_connect: true } },
  },
};

export const http2: object = { typed_extension_protocol_options: http2Options };

export interface InternalOptions {
  readonly id?: string;
  /** Of the host. */
  readonly metadata?: object;
  /** Names of host metadata, and of cluster metadata, that come along. */
  readonly passHost?: readonly string[];
  readonly passCluster?: readonly string[];
  readonly inner?: object;
  readonly overrides?: object;
}

const rawBuffer: object = {
  name: 'raw_buffer',
  typed_config: { '@type': extension('transport_sockets.raw_buffer.v3.RawBuffer') },
};

/** A cluster whose host is an internal listener. */
export function internalCluster(name: string, target: string, options: InternalOptions = {}): object {
  const { id = '', metadata, passHost = [], passCluster = [], inner = rawBuffer, overrides = {} } = options;
  const endpoint = { address: { envoy_internal_address: { server_listener_name: target, endpoint_id: id } } };
  const passthrough_metadata = [
    ...passHost.map(namespace => ({ kind: { host: {} }, name: namespace })),
    ...passCluster.map(namespace => ({ kind: { cluster: {} }, name: namespace })),
  ];
  const type = extension('transport_sockets.internal_upstream.v3.InternalUpstreamTransport');
  const typed_config = { '@type': type, passthrough_metadata, transport_socket: inner };
  return clusterTo(
    name,
    { endpoint, ...(metadata !== undefined && { metadata: { filter_metadata: metadata } }) },
    { transport_socket: { name: 'envoy.transport_sockets.internal_upstream', typed_config }, ...overrides },
  );
}

/** TLS of a filter chain, with the certificates in `folder`. */
export function serverTls(folder: string, side: TlsSide = {}): object {
  const common_tls_context = commonContext(folder, { alpn: ['h2'], ...side }, 'server');
  const typed_config = { '@type': extension('transport_sockets.tls.v3.DownstreamTlsContext'), common_tls_context };
  return { name: 'tls', typed_config: { ...typed_config, require_client_certificate: true } };
}

/** TLS of a cluster. */
export function clientTls(folder: string, side: TlsSide = {}): object {
  const common_tls_context = commonContext(
    folder,
    { alpn: ['h2'], params: { tls_maximum_protocol_version: 'TLSv1_3' }, ...side },
    'client',
  );
  return { name: 'tls', typed_config: { '@type': extension('transport_sockets.tls.v3.UpstreamTlsContext'), common_tls_context } };
}

export type Sharing = 'NONE' | 'ONCE' | 'TRANSITIVE';

/** One object of `set_filter_state`. */
export function stateValue(key: string, format: string, sharing: Sharing = 'NONE', factory = ''): object {
  return {
    object_key: key,
    ...(factory !== '' && { factory_key: factory }),
    format_string: { text_format_source: { inline_string: format } },
    shared_with_upstream: sharing,
  };
}

export const setRequestState = (...values: object[]): object =>
  filter('http', 'envoy.filters.http.set_filter_state', 'set_filter_state.v3.Config', { on_request_headers: values });

export const setConnectionState = (...values: object[]): object =>
  filter('network', 'envoy.filters.network.set_filter_state', 'set_filter_state.v3.Config', { on_new_connection: values });

export const internalListenerExtension: object = {
  name: 'envoy.bootstrap.internal_listener',
  typed_config: { '@type': extension('bootstrap.internal_listener.v3.InternalListener') },
};
