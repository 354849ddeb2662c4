/** What is measured: one bootstrap per case, the same for every proxy. */

export interface BenchCase {
  readonly name: string;
  readonly description: string;
  /** What wrk talks to: the proxy itself, or an Envoy in front of it that speaks mutual TLS to it. */
  readonly entry: 'proxy' | 'tls-client';
  /** What the proxy talks to. */
  readonly upstream: 'plain' | 'tls';
  readonly protocol: 'http' | 'tcp';
  /** The filters of a sidecar in Istio's default installation, which a stock Envoy lacks: compared with this proxy without them. */
  readonly istioFilters?: boolean;
}

export const cases: readonly BenchCase[] = [
  { name: 'tcp', description: 'TCP proxy, plain both sides', entry: 'proxy', upstream: 'plain', protocol: 'tcp' },
  { name: 'http1', description: 'HTTP/1.1, plain both sides', entry: 'proxy', upstream: 'plain', protocol: 'http' },
  { name: 'http1-mtls-client', description: 'HTTP/1.1 in, mutual TLS out', entry: 'proxy', upstream: 'tls', protocol: 'http' },
  {
    name: 'http1-mtls-server',
    description: 'mutual TLS in, HTTP/1.1 out',
    entry: 'tls-client',
    upstream: 'plain',
    protocol: 'http',
  },
  {
    name: 'http1-istio',
    description: "HTTP/1.1 through Istio's filters, against this proxy without them",
    entry: 'proxy',
    upstream: 'plain',
    protocol: 'http',
    istioFilters: true,
  },
];

/** The reference of `http1-istio`. */
export const plainHttpCase = cases[1];

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

function buildFilter({ protocol, istioFilters }: Pick<BenchCase, 'protocol' | 'istioFilters'>): object {
  if (protocol === 'tcp') {
    const config = { '@type': v3('filters.network.tcp_proxy.v3.TcpProxy'), stat_prefix: 'bench', cluster: 'upstream' };
    return { name: 'envoy.filters.network.tcp_proxy', typed_config: config };
  }
  const manager = {
    '@type': v3('filters.network.http_connection_manager.v3.HttpConnectionManager'),
    stat_prefix: 'bench',
    http_filters: [
      ...(istioFilters ? buildIstioFilters() : []),
      { name: 'envoy.filters.http.router', typed_config: { '@type': v3('filters.http.router.v3.Router') } },
    ],
    route_config: {
      name: 'local',
      virtual_hosts: [
        { name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'upstream', timeout: '0s' } }] },
      ],
    },
  };
  return { name: 'envoy.filters.network.http_connection_manager', typed_config: manager };
}

function buildListener(port: number, content: Parameters<typeof buildFilter>[0], certificates: Certificates | null): object {
  const transportSocket = certificates && {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      '@type': v3('transport_sockets.tls.v3.DownstreamTlsContext'),
      common_tls_context: commonTls(certificates),
      require_client_certificate: true,
    },
  };
  return {
    name: 'bench',
    traffic_direction: 'OUTBOUND',
    address: { socket_address: { address: '127.0.0.1', port_value: port } },
    filter_chains: [{ filters: [buildFilter(content)], ...(transportSocket && { transport_socket: transportSocket }) }],
  };
}

function buildBootstrap(listener: object, cluster: object, node: object = { id: 'bench', cluster: 'bench' }): object {
  return { node, static_resources: { listeners: [listener], clusters: [cluster] } };
}

/** The measured proxy's bootstrap. */
export function buildProxyBootstrap(benchCase: BenchCase, ports: Ports, certificates: Certificates): object {
  const upstreamPort = benchCase.upstream === 'tls' ? ports.upstreamTls : ports.upstreamPlain;
  return buildBootstrap(
    buildListener(ports.proxy, benchCase, benchCase.entry === 'tls-client' ? certificates : null),
    buildCluster(upstreamPort, benchCase.upstream === 'tls' ? certificates : null),
    benchCase.istioFilters ? istioNode : undefined,
  );
}

/** The bootstrap of the Envoy in front, which is not measured. */
export function buildClientBootstrap(port: number, proxyPort: number, certificates: Certificates): object {
  return buildBootstrap(buildListener(port, { protocol: 'http' }, null), buildCluster(proxyPort, certificates));
}
