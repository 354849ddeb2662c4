/** The bootstraps of a case: the same one for every proxy that is compared, of what a real istiod sends for an HTTP service. */
import type { BenchCase } from './cases.ts';
import { readCluster, readDownstreamTls, readManager, type VirtualHost } from './istio-configuration.ts';

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

type Shape = Pick<BenchCase, 'entry' | 'protocol' | 'istioFilters' | 'regexRoutes'>;
type Protocol = BenchCase['protocol'];

const v3 = (name: string) => `type.googleapis.com/envoy.extensions.${name}`;

/** What SDS would bring. */
function makeSecrets({ ca, certificate, key }: Certificates) {
  return {
    tls_certificates: [{ certificate_chain: { filename: certificate }, private_key: { filename: key } }],
    validation_context: { trusted_ca: { filename: ca } },
  };
}

interface ClusterOptions {
  readonly name: string;
  readonly port: number;
  readonly protocol: Protocol;
  readonly certificates: Certificates | null;
  readonly hosts?: number;
}

function buildCluster({ name, port, protocol, certificates, hosts = 1 }: ClusterOptions): object {
  const endpoints = Array.from({ length: hosts }, (_, i) => ({
    endpoint: { address: { socket_address: { address: `127.0.0.${i + 1}`, port_value: port } } },
  }));
  const transportSocket = certificates && {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      '@type': v3('transport_sockets.tls.v3.UpstreamTlsContext'),
      common_tls_context: { ...makeSecrets(certificates), ...(protocol === 'grpc' && { alpn_protocols: ['h2'] }) },
      sni: 'bench',
    },
  };
  return {
    ...readCluster(),
    name,
    type: 'STATIC',
    ...(protocol === 'grpc' && { typed_extension_protocol_options: http2Options }),
    ...(transportSocket && { transport_socket: transportSocket }),
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: endpoints }] },
  };
}

const http2Options = {
  'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
    '@type': v3('upstreams.http.v3.HttpProtocolOptions'),
    explicit_http_config: { http2_protocol_options: {} },
  },
};

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

function buildRegexRoutes(count: number): VirtualHost['routes'] {
  return Array.from({ length: count }, (_, i) => ({
    match: { safe_regex: { regex: `/v[0-9]+/service-${i}/.*` } },
    route: { cluster: 'upstream' },
  }));
}

function buildFilter({ entry, protocol, istioFilters, regexRoutes }: Shape, accessLogPath: string | null): object {
  if (protocol === 'tcp') {
    const config = { '@type': v3('filters.network.tcp_proxy.v3.TcpProxy'), stat_prefix: 'bench', cluster: 'upstream' };
    return { name: 'envoy.filters.network.tcp_proxy', typed_config: config };
  }
  const manager = readManager({
    direction: entry === 'plain' ? 'outbound' : 'inbound',
    cluster: 'upstream',
    istioFilters: istioFilters ?? false,
  });
  manager.route_config.virtual_hosts[0].routes.unshift(...buildRegexRoutes(regexRoutes ?? 0));
  if (accessLogPath !== null) manager.access_log = [buildAccessLog(accessLogPath)];
  return { name: 'envoy.filters.network.http_connection_manager', typed_config: manager };
}

/** For clients without a certificate: names of clients, as istiod configures them, would require one. */
function buildDownstreamTls(certificates: Certificates): object {
  return { '@type': v3('transport_sockets.tls.v3.DownstreamTlsContext'), common_tls_context: makeSecrets(certificates) };
}

interface ListenerOptions {
  readonly port: number;
  readonly shape: Shape;
  readonly certificates: Certificates | null;
  readonly accessLogPath?: string;
}

function buildListener({ port, shape, certificates, accessLogPath }: ListenerOptions): object {
  const transportSocket = certificates && {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      ...(shape.entry === 'mutual-tls' ? readDownstreamTls(makeSecrets(certificates)) : buildDownstreamTls(certificates)),
    },
  };
  return {
    name: 'bench',
    traffic_direction: shape.entry === 'plain' ? 'OUTBOUND' : 'INBOUND',
    address: { socket_address: { address: '127.0.0.1', port_value: port } },
    filter_chains: [
      {
        filters: [buildFilter(shape, accessLogPath ?? null)],
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
    ...(benchCase.accessLog && { accessLogPath: `${folder}/access-${ports.proxy}.log` }),
  });
  const makeCluster = (name: string) => {
    const port = upstreamPortOf(benchCase, ports.upstream);
    const { protocol, hosts, upstream } = benchCase;
    return buildCluster({ name, port, protocol, hosts, certificates: upstream === 'tls' ? certificates : null });
  };
  const others = Array.from({ length: benchCase.otherClusters ?? 0 }, (_, i) => makeCluster(`other-${i}`));
  return buildBootstrap(listener, [makeCluster('upstream'), ...others], benchCase.istioFilters ? istioNode : undefined);
}

/** The bootstrap of the Envoy in front, which is not measured: it puts mutual TLS around the bytes of the load. */
export function buildClientBootstrap(
  { protocol }: BenchCase,
  port: number,
  proxyPort: number,
  certificates: Certificates,
): object {
  const listener = buildListener({ port, shape: { entry: 'plain', protocol: 'tcp' }, certificates: null });
  return buildBootstrap(listener, [buildCluster({ name: 'upstream', port: proxyPort, protocol, certificates })]);
}
