/** `envoy.config.cluster.v3.Cluster`. */
import { createHash } from 'node:crypto';
import type { protos } from '../../../protos/messages.ts';
import { type StructMessage, structToJson } from '../../../protos/struct.ts';
import type { ConfigSourceModel } from '../model/bootstrap.ts';
import type { ClusterModel, LoadAssignmentModel, TcpKeepaliveModel, TransportSocketMatch } from '../model/cluster.ts';
import type { SecretModel } from '../model/tls.ts';
import { compileSocketAddress } from './address.ts';
import { compileDiscovery } from './cluster-discovery.ts';
import { ConfigError } from './config-error.ts';
import { compileAssignmentMessage } from './endpoints.ts';
import { compileUpstreamFilters } from './filter-list.ts';
import { compileCircuitBreakers, compileLoadBalancer } from './load-balancer.ts';
import { compileLoadBalancingPolicy } from './load-balancing-policy.ts';
import { compileMetadata } from './metadata.ts';
import { compileOutlierDetection } from './outlier-detection.ts';
import { positiveDurationMs, requireText, unwrap } from './scalars.ts';
import { type CompileContext, type CompileFindings, CompileScope, type SecretReference } from './scope.ts';
import { compileSocketOptions } from './socket-options.ts';
import { compileUpstreamSocket } from './tls.ts';
import { compileHealthCheck } from './health-check.ts';
import { decodeChecked } from './typed-config.ts';
import { compileUpstreamProtocol } from './upstream-protocol.ts';

type Cluster = protos.envoy.config.cluster.v3.Cluster;

const defaultConnectTimeoutMs = 5000;
const defaultBufferLimitBytes = 1024 * 1024;
const defaultOverprovisioningFactor = 140;

export interface CompiledCluster extends CompileFindings {
  readonly model: ClusterModel;
  /** The EDS resource to subscribe to; null where the endpoints are known otherwise. */
  readonly edsServiceName: string | null;
  readonly edsSource: ConfigSourceModel | null;
  readonly secrets: readonly SecretReference[];
  /** Certificates given in the cluster itself, under the keys that its model uses. */
  readonly inlineSecrets: readonly SecretModel[];
}

/** @throws ConfigError */
export function compileCluster(bytes: Uint8Array, context: CompileContext): CompiledCluster {
  const scope = new CompileScope(context, 'cluster');
  const message = decodeChecked('envoy.config.cluster.v3.Cluster', bytes, '', scope) as Cluster;
  const { discovery, edsSource } = compileDiscovery(message, scope);
  const hash = createHash('sha256').update(bytes).digest('hex');
  return {
    model: compileMessage(message, hash, discovery, scope),
    edsServiceName: discovery.kind === 'eds' ? discovery.serviceName || message.name : null,
    edsSource,
    secrets: [...scope.secrets.values()],
    inlineSecrets: [...scope.inlineSecrets.values()],
    ...scope.findings(),
  };
}

function compileMessage(message: Cluster, hash: string, discovery: ClusterModel['discovery'], scope: CompileScope): ClusterModel {
  const name = requireText(message.name, 'name');
  const loadAssignment = compileLoadAssignment(message, discovery);
  const factor = loadAssignment?.overprovisioningFactor ?? defaultOverprovisioningFactor;
  return {
    name,
    statName: message.alt_stat_name || name,
    hash,
    discovery,
    loadAssignment,
    connectTimeoutMs: positiveDurationMs(message.connect_timeout, defaultConnectTimeoutMs, 'connect_timeout'),
    loadBalancer:
      message.load_balancing_policy === null
        ? compileLoadBalancer(message, factor)
        : compileLoadBalancingPolicy(message, factor, scope),
    circuitBreakers: compileCircuitBreakers(message.circuit_breakers),
    outlierDetection: compileOutlierDetection(message.outlier_detection),
    ...compileChecks(message, scope),
    transportSocketMatches: message.transport_socket_matches.map((match, i) =>
      compileSocketMatch(match, `transport_socket_matches[${i}]`, scope),
    ),
    transportSocket: compileUpstreamSocket(message.transport_socket, 'transport_socket', scope),
    protocol: compileUpstreamProtocol(message, scope),
    filters: compileUpstreamFilters(message.filters, 'filters', scope),
    bindAddresses: compileBindAddresses(message.upstream_bind_config, 'upstream_bind_config'),
    ...compileBindOptions(message.upstream_bind_config),
    tcpKeepalive: compileKeepalive(message.upstream_connection_options?.tcp_keepalive ?? null),
    ...compileHappyEyeballs(message.upstream_connection_options?.happy_eyeballs_config ?? null),
    maxRequestsPerConnection: unwrap(message.max_requests_per_connection, 0),
    perConnectionBufferLimitBytes: unwrap(message.per_connection_buffer_limit_bytes, defaultBufferLimitBytes),
    metadata: compileMetadata(message.metadata),
  };
}

function compileChecks(
  message: Cluster,
  scope: CompileScope,
): Pick<ClusterModel, 'healthCheck' | 'ignoreNewHostsUntilFirstCheck' | 'ignoreHealthOnHostRemoval'> {
  const healthCheck = compileHealthCheck(message.health_checks, 'health_checks', scope);
  if (healthCheck === null) return {};
  return {
    healthCheck,
    ...(message.common_lb_config?.ignore_new_hosts_until_first_hc && { ignoreNewHostsUntilFirstCheck: true }),
    ...(message.ignore_health_on_host_removal && { ignoreHealthOnHostRemoval: true }),
  };
}

function compileLoadAssignment(message: Cluster, discovery: ClusterModel['discovery']): LoadAssignmentModel | null {
  const assignment = message.load_assignment;
  const { kind } = discovery;
  if (kind === 'eds') return null;
  if (kind === 'original-dst') {
    if (assignment === null) return null;
    throw new ConfigError('load_assignment', 'ORIGINAL_DST clusters must have no load assignment configured');
  }
  const model =
    assignment === null
      ? { clusterName: message.name, localities: [], overprovisioningFactor: defaultOverprovisioningFactor }
      : compileAssignmentMessage(assignment, 'load_assignment', kind === 'static' ? 'ip' : 'host');
  if (kind === 'logical-dns' && (model.localities.length !== 1 || model.localities[0].hosts.length !== 1)) {
    throw new ConfigError(
      'load_assignment',
      'LOGICAL_DNS clusters must have a single locality_lb_endpoint and a single lb_endpoint',
    );
  }
  return model;
}

function compileSocketMatch(
  message: protos.envoy.config.cluster.v3.Cluster.TransportSocketMatch,
  path: string,
  scope: CompileScope,
): TransportSocketMatch {
  return {
    name: requireText(message.name, `${path}.name`),
    match: structToJson(message.match as StructMessage | null),
    transportSocket: compileUpstreamSocket(message.transport_socket, `${path}.transport_socket`, scope),
  };
}

function compileBindAddresses(message: protos.envoy.config.core.v3.BindConfig | null, path: string): readonly string[] {
  if (message === null) return [];
  if (message.freebind?.value) throw new ConfigError(`${path}.freebind`, 'is not implemented');
  const given = [
    { address: message.source_address, at: `${path}.source_address` },
    ...message.extra_source_addresses.map(({ address }, i) => ({ address, at: `${path}.extra_source_addresses[${i}].address` })),
    ...message.additional_source_addresses.map((address, i) => ({ address, at: `${path}.additional_source_addresses[${i}]` })),
  ];
  return given.flatMap(({ address, at }) => {
    if (address === null) return [];
    const model = compileSocketAddress(address, at);
    if (model.port !== 0) throw new ConfigError(`${at}.port_value`, 'only 0, any port, is implemented');
    return [model.address];
  });
}

function compileBindOptions(message: protos.envoy.config.core.v3.BindConfig | null): Pick<ClusterModel, 'socketOptions'> {
  const socketOptions = compileSocketOptions(message?.socket_options ?? [], 'upstream_bind_config.socket_options');
  return socketOptions.length === 0 ? {} : { socketOptions };
}

/** A value of 0 turns keepalive off. */
function compileKeepalive(message: protos.envoy.config.core.v3.TcpKeepalive | null): TcpKeepaliveModel | null {
  if (message === null) return null;
  const probes = unwrap(message.keepalive_probes, null);
  const timeSeconds = unwrap(message.keepalive_time, null);
  const intervalSeconds = unwrap(message.keepalive_interval, null);
  return probes === 0 || timeSeconds === 0 || intervalSeconds === 0 ? null : { probes, timeSeconds, intervalSeconds };
}

const addressFamilies = ['default', 'v4', 'v6'] as const;

function compileHappyEyeballs(
  message: protos.envoy.config.cluster.v3.UpstreamConnectionOptions.HappyEyeballsConfig | null,
): Pick<ClusterModel, 'happyEyeballs'> {
  if (message === null) return {};
  const firstFamilyCount = unwrap(message.first_address_family_count, 1);
  const path = 'upstream_connection_options.happy_eyeballs_config.first_address_family_count';
  if (firstFamilyCount < 1) throw new ConfigError(path, 'value must be greater than or equal to 1');
  return { happyEyeballs: { firstFamily: addressFamilies[message.first_address_family_version], firstFamilyCount } };
}
