/** The bootstraps of a case: the same one for every proxy that is compared. */
import type { BenchCase } from './cases.ts';

export interface Ports {
  readonly proxy: number;
  readonly upstream: UpstreamPorts;
}

/** By what is spoken. */
export interface UpstreamPorts {
  readonly plain: number;
  readonly tls: number;
  readonly grpcPlain: number;
  readonly grpcTls: number;
  readonly webSocket: number;
}

export interface Certificates {
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
}

type Shape = Pick<BenchCase, 'protocol' | 'istioFilters' | 'regexRoutes'>;
type Protocol = BenchCase['protocol'];

const v3 = (name: string) => `type.googleapis.com/envoy.extensions.${name}`;

function commonTls({ ca, certificate, key }: Certificates, protocol: Protocol): object {
  return {
    ...(protocol === 'grpc' && { alpn_protocols: ['h2'] }),
    tls_certificates: [{ certificate_chain: { filename: certificate }, private_key: { filename: key } }],
    validation_context: { trusted_ca: { filename: ca } },
  };
}

function buildCluster(name: string, port: number, protocol: Protocol, certificates: Certificates | null): object {
  const address = { socket_address: { address: '127.0.0.1', port_value: port } };
  const transportSocket = certificates && {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      '@type': v3('transport_sockets.tls.v3.UpstreamTlsContext'),
      common_tls_context: commonTls(certificates, protocol),
      sni: 'bench',
    },
  };
  return {
    name,
    type: 'STATIC',
    connect_timeout: '2s',
    lb_policy: 'LEAST_REQUEST',
    ...(protocol === 'grpc' && { typed_extension_protocol_options: http2Options }),
    ...(transportSocket && { transport_socket: transportSocket }),
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }] },
  };
}

const http2Options = {
  'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
    '@type': v3('upstreams.http.v3.HttpProtocolOptions'),
    explicit_http_config: { http2_protocol_options: {} },
  },
};

/** What istiod sends for outbound listeners, in its order. */
function buildIstioFilters(): object[] {
  const filter = (name: string, type: string, config: object = {}) => ({
    name,
    typed_config: { '@type': `type.googleapis.com/${type}`, ...config },
  });
  const peerMetadata = {
    type_url: 'type.googleapis.com/io.istio.http.peer_metadata.Config',
    value: { upstream_discovery: [{ istio_headers: {} }], upstream_propagation: [{ istio_headers: {} }] },
  };
  const alpn = [
    { alpn_override: ['istio-http/1.0', 'istio', 'http/1.0'] },
    { upstream_protocol: 'HTTP11', alpn_override: ['istio-http/1.1', 'istio', 'http/1.1'] },
  ];
  const extension = (name: string) => `envoy.extensions.filters.http.${name}`;
  return [
    filter('istio.metadata_exchange', 'udpa.type.v1.TypedStruct', peerMetadata),
    filter('envoy.filters.http.grpc_stats', extension('grpc_stats.v3.FilterConfig'), { emit_filter_state: true }),
    filter('istio.alpn', 'istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig', { alpn_override: alpn }),
    filter('envoy.filters.http.fault', extension('fault.v3.HTTPFault')),
    filter('envoy.filters.http.cors', extension('cors.v3.Cors')),
    filter('istio.stats', 'stats.PluginConfig'),
  ];
}

/** What a pod's sidecar tells of itself. */
const istioNode = {
  id: 'sidecar~10.0.0.1~client-7d9f.bench~bench.svc.cluster.local',
  cluster: 'client.bench',
  metadata: {
    NAME: 'client-7d9f',
    NAMESPACE: 'bench',
    WORKLOAD_NAME: 'client',
    OWNER: 'kubernetes://apis/apps/v1/namespaces/bench/deployments/client',
    CLUSTER_ID: 'Kubernetes',
    MESH_ID: 'cluster.local',
    LABELS: {
      app: 'client',
      version: 'v1',
      'service.istio.io/canonical-name': 'client',
      'service.istio.io/canonical-revision': 'v1',
    },
  },
};

/** What istiod writes to standard output of a sidecar, here to a file. */
function buildAccessLog(path: string): object {
  return {
    name: 'envoy.access_loggers.file',
    typed_config: {
      '@type': v3('access_loggers.file.v3.FileAccessLog'),
      path,
      log_format: { text_format_source: { inline_string: accessLogFormat } },
    },
  };
}

const accessLogFormat = [
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS%',
  '%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED%',
  '%BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%"',
  '"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS%',
  '%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n',
].join(' ');

function buildRoutes(regexRoutes: number): object[] {
  const route = { cluster: 'upstream', timeout: '0s' };
  const regexes = Array.from({ length: regexRoutes }, (_, i) => ({
    match: { safe_regex: { regex: `/v[0-9]+/service-${i}/.*` } },
    route,
  }));
  return [...regexes, { match: { prefix: '/' }, route }];
}

function buildFilter({ protocol, istioFilters, regexRoutes }: Shape, accessLogPath: string | null): object {
  if (protocol === 'tcp') {
    const config = { '@type': v3('filters.network.tcp_proxy.v3.TcpProxy'), stat_prefix: 'bench', cluster: 'upstream' };
    return { name: 'envoy.filters.network.tcp_proxy', typed_config: config };
  }
  const manager = {
    '@type': v3('filters.network.http_connection_manager.v3.HttpConnectionManager'),
    stat_prefix: 'bench',
    upgrade_configs: [{ upgrade_type: 'websocket' }],
    ...(accessLogPath !== null && { access_log: [buildAccessLog(accessLogPath)] }),
    http_filters: [
      ...(istioFilters ? buildIstioFilters() : []),
      { name: 'envoy.filters.http.router', typed_config: { '@type': v3('filters.http.router.v3.Router') } },
    ],
    route_config: {
      name: 'local',
      virtual_hosts: [{ name: 'all', domains: ['*'], routes: buildRoutes(regexRoutes ?? 0) }],
    },
  };
  return { name: 'envoy.filters.network.http_connection_manager', typed_config: manager };
}

interface ListenerOptions {
  readonly port: number;
  readonly shape: Shape;
  readonly certificates: Certificates | null;
  readonly requiresClientCertificate?: boolean;
  readonly accessLogPath?: string;
}

function buildListener({ port, shape, certificates, ...options }: ListenerOptions): object {
  const transportSocket = certificates && {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      '@type': v3('transport_sockets.tls.v3.DownstreamTlsContext'),
      common_tls_context: commonTls(certificates, shape.protocol),
      require_client_certificate: options.requiresClientCertificate ?? false,
    },
  };
  return {
    name: 'bench',
    traffic_direction: 'OUTBOUND',
    address: { socket_address: { address: '127.0.0.1', port_value: port } },
    filter_chains: [
      {
        filters: [buildFilter(shape, options.accessLogPath ?? null)],
        ...(transportSocket && { transport_socket: transportSocket }),
      },
    ],
  };
}

function buildBootstrap(listener: object, clusters: object[], node: object = { id: 'bench', cluster: 'bench' }): object {
  return { node, static_resources: { listeners: [listener], clusters } };
}

function upstreamPortOf({ protocol, upstream }: BenchCase, ports: UpstreamPorts): number {
  if (protocol === 'websocket') return ports.webSocket;
  if (protocol === 'grpc') return upstream === 'tls' ? ports.grpcTls : ports.grpcPlain;
  return upstream === 'tls' ? ports.tls : ports.plain;
}

/** The measured proxy's bootstrap; an access log goes to `folder`. */
export function buildProxyBootstrap(benchCase: BenchCase, ports: Ports, certificates: Certificates, folder: string): object {
  const listener = buildListener({
    port: ports.proxy,
    shape: benchCase,
    certificates: benchCase.entry === 'plain' ? null : certificates,
    requiresClientCertificate: benchCase.entry === 'mutual-tls',
    ...(benchCase.accessLog && { accessLogPath: `${folder}/access-${ports.proxy}.log` }),
  });
  const makeCluster = (name: string) => {
    const port = upstreamPortOf(benchCase, ports.upstream);
    return buildCluster(name, port, benchCase.protocol, benchCase.upstream === 'tls' ? certificates : null);
  };
  const others = Array.from({ length: benchCase.otherClusters ?? 0 }, (_, i) => makeCluster(`other-${i}`));
  return buildBootstrap(listener, [makeCluster('upstream'), ...others], benchCase.istioFilters ? istioNode : undefined);
}

/** The bootstrap of the Envoy in front, which is not measured. */
export function buildClientBootstrap(benchCase: BenchCase, port: number, proxyPort: number, certificates: Certificates): object {
  const { protocol } = benchCase;
  const cluster = buildCluster('upstream', proxyPort, protocol, certificates);
  return buildBootstrap(buildListener({ port, shape: { protocol }, certificates: null }), [cluster]);
}
