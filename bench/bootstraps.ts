/** The bootstraps of a case: the same one for every proxy that is compared. */
import type { BenchCase } from './cases.ts';

export interface Ports {
  readonly proxy: number;
  readonly upstreamPlain: number;
  readonly upstreamTls: number;
}

export interface Certificates {
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
}

type Shape = Pick<BenchCase, 'protocol' | 'istioFilters' | 'regexRoutes'>;

const v3 = (name: string) => `type.googleapis.com/envoy.extensions.${name}`;

function commonTls({ ca, certificate, key }: Certificates): object {
  return {
    tls_certificates: [{ certificate_chain: { filename: certificate }, private_key: { filename: key } }],
    validation_context: { trusted_ca: { filename: ca } },
  };
}

function buildCluster(port: number, certificates: Certificates | null): object {
  const address = { socket_address: { address: '127.0.0.1', port_value: port } };
  const transportSocket = certificates && {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      '@type': v3('transport_sockets.tls.v3.UpstreamTlsContext'),
      common_tls_context: commonTls(certificates),
      sni: 'bench',
    },
  };
  return {
    name: 'upstream',
    type: 'STATIC',
    connect_timeout: '2s',
    lb_policy: 'LEAST_REQUEST',
    ...(transportSocket && { transport_socket: transportSocket }),
    load_assignment: { cluster_name: 'upstream', endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }] },
  };
}

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
      common_tls_context: commonTls(certificates),
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

function buildBootstrap(listener: object, cluster: object, node: object = { id: 'bench', cluster: 'bench' }): object {
  return { node, static_resources: { listeners: [listener], clusters: [cluster] } };
}

/** The measured proxy's bootstrap; an access log goes to `folder`. */
export function buildProxyBootstrap(benchCase: BenchCase, ports: Ports, certificates: Certificates, folder: string): object {
  const upstreamPort = benchCase.upstream === 'tls' ? ports.upstreamTls : ports.upstreamPlain;
  const listener = buildListener({
    port: ports.proxy,
    shape: benchCase,
    certificates: benchCase.entry === 'plain' ? null : certificates,
    requiresClientCertificate: benchCase.entry === 'mutual-tls',
    ...(benchCase.accessLog && { accessLogPath: `${folder}/access-${ports.proxy}.log` }),
  });
  const cluster = buildCluster(upstreamPort, benchCase.upstream === 'tls' ? certificates : null);
  return buildBootstrap(listener, cluster, benchCase.istioFilters ? istioNode : undefined);
}

/** The bootstrap of the Envoy in front, which is not measured. */
export function buildClientBootstrap(benchCase: BenchCase, port: number, proxyPort: number, certificates: Certificates): object {
  const shape = { protocol: benchCase.protocol };
  return buildBootstrap(buildListener({ port, shape, certificates: null }), buildCluster(proxyPort, certificates));
}
