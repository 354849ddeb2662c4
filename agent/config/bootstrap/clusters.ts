/** The static clusters of the bootstrap: the proxy's way to the agent, to its own admin, and to collectors. */
import type { Environment } from '../environment.ts';
import type { Node } from '../node-metadata.ts';
import type { Json, JsonObject } from '../proto-json.ts';
import { durationMs, type ProxyConfig, type RemoteService } from '../proxy-config.ts';
import type { LocalAddresses, Tracer } from './bootstrap.ts';
import { type SocketAddress, splitAddress } from './socket-address.ts';
import { buildUpstreamTls } from './upstream-tls.ts';

type ClusterSources = {
  readonly node: Node;
  readonly proxyConfig: ProxyConfig;
  readonly environment: Environment;
  readonly addresses: LocalAddresses;
  readonly tracer: Tracer | null;
};

export function buildClusters(sources: ClusterSources): readonly JsonObject[] {
  const { node, proxyConfig, environment, addresses, tracer } = sources;
  const local = (port: number): SocketAddress => ({ address: addresses.localhost, port_value: port });
  const socket = node.typed.WORKLOAD_IDENTITY_SOCKET_FILE ?? '';
  const clusters = [
    localCluster('prometheus_stats', local(proxyConfig.proxyAdminPort)),
    localCluster('agent', local(proxyConfig.statusPort ?? 0)),
    pipeCluster('sds-grpc', `./var/run/secrets/workload-spiffe-uds/${socket}`),
  ];
  if (node.raw['file-credential'] !== undefined) {
    clusters.push(pipeCluster('sds-files-grpc', './var/run/secrets/credential-uds/files-socket'));
  }
  clusters.push(discoveryCluster(`${proxyConfig.configPath}/XDS`));
  if (tracer !== null) clusters.push(tracerCluster(sources, tracer));
  for (const [name, service] of [
    ['envoy_metrics_service', proxyConfig.envoyMetricsService],
    ['envoy_accesslog_service', proxyConfig.envoyAccessLogService],
  ] as const) {
    if (service?.address !== undefined) clusters.push(remoteCluster(name, service, sources, environment.hostIp));
  }
  if (node.typed.ENABLE_SELF_DISCOVERY === 'true') clusters.push(selfDiscoveryCluster());
  return clusters;
}

const httpProtocolOptions = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
const overHttp2: JsonObject = {
  typed_extension_protocol_options: {
    [httpProtocolOptions]: {
      '@type': `type.googleapis.com/${httpProtocolOptions}`,
      explicit_http_config: { http2_protocol_options: {} },
    },
  },
};

/** The trailing semicolon ends the name for the tag regex that takes it out of a statistic's name. */
function named(name: string): JsonObject {
  return { name, alt_stat_name: `${name};` };
}

function assignment(name: string, address: JsonObject): JsonObject {
  return { load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }] } };
}

function localCluster(name: string, address: SocketAddress): JsonObject {
  return {
    ...named(name),
    type: 'STATIC',
    connect_timeout: '0.250s',
    lb_policy: 'ROUND_ROBIN',
    ...assignment(name, { socket_address: { protocol: 'TCP', ...address } }),
  };
}

function pipeCluster(name: string, path: string): JsonObject {
  return {
    ...named(name),
    type: 'STATIC',
    connect_timeout: '1s',
    lb_policy: 'ROUND_ROBIN',
    ...assignment(name, { pipe: { path } }),
    ...overHttp2,
  };
}

/** Every reconnect gets a connection of its own, so that a stuck one is not reused; keepalive finds a dead one. */
function discoveryCluster(path: string): JsonObject {
  const limits = { max_connections: 100_000, max_pending_requests: 100_000, max_requests: 100_000 };
  return {
    ...pipeCluster('xds-grpc', path),
    circuit_breakers: {
      thresholds: [
        { priority: 'DEFAULT', ...limits },
        { priority: 'HIGH', ...limits },
      ],
    },
    upstream_connection_options: { tcp_keepalive: { keepalive_time: 300 } },
    max_requests_per_connection: 1,
  };
}

function dnsCluster(name: string, address: SocketAddress, addresses: LocalAddresses): JsonObject {
  return {
    ...named(name),
    type: 'STRICT_DNS',
    respect_dns_ttl: true,
    dns_lookup_family: addresses.dnsLookupFamily,
    connect_timeout: '1s',
    lb_policy: 'ROUND_ROBIN',
    ...assignment(name, { socket_address: address }),
  };
}

function tracerCluster({ proxyConfig, node, addresses }: ClusterSources, tracer: Tracer): JsonObject {
  const isLightstep = tracer.kind === 'lightstep';
  const name = tracer.kind === 'datadog' ? 'datadog_agent' : tracer.kind;
  const settings = proxyConfig.tracing?.tlsSettings;
  const transportSocket = settings === undefined ? null : buildUpstreamTls(settings, 'tracer', node, isLightstep);
  return {
    ...dnsCluster(name, tracer.address, addresses),
    ...(transportSocket === null ? {} : { transport_socket: transportSocket }),
    ...(tracer.kind === 'zipkin' ? { dns_refresh_rate: '30s' } : {}),
    ...(isLightstep ? overHttp2 : {}),
  };
}

function remoteCluster(name: string, service: RemoteService, { node, addresses }: ClusterSources, hostIp: string): JsonObject {
  const tls = service.tlsSettings === undefined ? null : buildUpstreamTls(service.tlsSettings, name, node, true);
  return {
    ...dnsCluster(name, splitAddress(name, service.address as string, hostIp), addresses),
    ...(tls === null ? {} : { transport_socket: tls }),
    ...(service.tcpKeepalive === undefined ? {} : { upstream_connection_options: buildKeepalive(service.tcpKeepalive) }),
    ...overHttp2,
  };
}

/** Differs from pilot-agent: plain numbers; it writes wrappers as objects, which Envoy refuses. */
function buildKeepalive(keepalive: NonNullable<RemoteService['tcpKeepalive']>): JsonObject {
  const fields: Record<string, Json> = {};
  const timeS = Math.floor(durationMs(keepalive.time, 0) / 1000);
  const intervalS = Math.floor(durationMs(keepalive.interval, 0) / 1000);
  if (keepalive.probes !== undefined) fields.keepalive_probes = keepalive.probes;
  if (timeS > 0) fields.keepalive_time = timeS;
  if (intervalS > 0) fields.keepalive_interval = intervalS;
  return { tcp_keepalive: fields };
}

function selfDiscoveryCluster(): JsonObject {
  const leastRequest = 'type.googleapis.com/envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest';
  const policy = {
    name: 'envoy.load_balancing_policies.least_request',
    typed_config: {
      '@type': leastRequest,
      locality_lb_config: { zone_aware_lb_config: { min_cluster_size: '1' } },
    },
  };
  return {
    ...named('local_cluster'),
    type: 'EDS',
    connect_timeout: '1s',
    load_balancing_policy: { policies: [{ typed_extension_config: policy }] },
    eds_cluster_config: { eds_config: { ads: {}, resource_api_version: 'V3' }, service_name: 'local_cluster' },
  };
}
