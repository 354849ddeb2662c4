/** What is measured: one bootstrap per case, the same for every proxy. */

export interface BenchCase {
  readonly name: string;
  readonly description: string;
  /** What wrk talks to: the proxy itself, or an Envoy in front of it that speaks mutual TLS to it. */
  readonly entry: 'proxy' | 'tls-client';
  /** What the proxy talks to. */
  readonly upstream: 'plain' | 'tls';
  readonly protocol: 'http' | 'tcp';
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
];

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

function buildFilter(protocol: 'http' | 'tcp'): object {
  if (protocol === 'tcp') {
    const config = { '@type': v3('filters.network.tcp_proxy.v3.TcpProxy'), stat_prefix: 'bench', cluster: 'upstream' };
    return { name: 'envoy.filters.network.tcp_proxy', typed_config: config };
  }
  const manager = {
    '@type': v3('filters.network.http_connection_manager.v3.HttpConnectionManager'),
    stat_prefix: 'bench',
    http_filters: [{ name: 'envoy.filters.http.router', typed_config: { '@type': v3('filters.http.router.v3.Router') } }],
    route_config: {
      name: 'local',
      virtual_hosts: [
        { name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'upstream', timeout: '0s' } }] },
      ],
    },
  };
  return { name: 'envoy.filters.network.http_connection_manager', typed_config: manager };
}

function buildListener(port: number, protocol: 'http' | 'tcp', certificates: Certificates | null): object {
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
    address: { socket_address: { address: '127.0.0.1', port_value: port } },
    filter_chains: [{ filters: [buildFilter(protocol)], ...(transportSocket && { transport_socket: transportSocket }) }],
  };
}

function buildBootstrap(listener: object, cluster: object): object {
  return { node: { id: 'bench', cluster: 'bench' }, static_resources: { listeners: [listener], clusters: [cluster] } };
}

/** The measured proxy's bootstrap. */
export function buildProxyBootstrap(benchCase: BenchCase, ports: Ports, certificates: Certificates): object {
  const upstreamPort = benchCase.upstream === 'tls' ? ports.upstreamTls : ports.upstreamPlain;
  return buildBootstrap(
    buildListener(ports.proxy, benchCase.protocol, benchCase.entry === 'tls-client' ? certificates : null),
    buildCluster(upstreamPort, benchCase.upstream === 'tls' ? certificates : null),
  );
}

/** The bootstrap of the Envoy in front, which is not measured. */
export function buildClientBootstrap(port: number, proxyPort: number, certificates: Certificates): object {
  return buildBootstrap(buildListener(port, 'http', null), buildCluster(proxyPort, certificates));
}
