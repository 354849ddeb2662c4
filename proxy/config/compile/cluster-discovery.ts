/** How a cluster comes to its endpoints. */
import type { protos } from '../../../protos/messages.ts';
import type { ConfigSourceModel } from '../model/bootstrap.ts';
import type { ClusterModel } from '../model/cluster.ts';
import { ConfigError } from './config-error.ts';
import { compileConfigSource } from './config-source.ts';
import { durationMs, positiveDurationMs, requireRange, requireText, unwrap } from './scalars.ts';
import type { CompileScope } from './scope.ts';
import { openExpected, typeNameOf } from './typed-config.ts';

type Cluster = protos.envoy.config.cluster.v3.Cluster;

const lookupFamilies = ['auto', 'v4-only', 'v6-only', 'v4-preferred', 'all'] as const;
const caresType = 'envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig';
const systemResolverType = 'envoy.extensions.network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig';
const originalDstHeader = 'x-envoy-original-dst-host';
const defaultRefreshRateMs = 5000;
const defaultCleanupIntervalMs = 5000;

export function compileDiscovery(
  message: Cluster,
  scope: CompileScope,
): { discovery: ClusterModel['discovery']; edsSource: ConfigSourceModel | null } {
  switch (message.type ?? 0) {
    case 1:
      return { discovery: compileDns('strict-dns', message, scope), edsSource: null };
    case 2:
      return { discovery: compileDns('logical-dns', message, scope), edsSource: null };
    case 3: {
      const config = message.eds_cluster_config;
      if (config === null)
        throw new ConfigError('eds_cluster_config', "cannot create an EDS cluster: 'eds_cluster_config' is required");
      return {
        discovery: { kind: 'eds', serviceName: config.service_name },
        edsSource: compileConfigSource(config.eds_config, 'eds_cluster_config.eds_config'),
      };
    }
    case 4:
      return { discovery: compileOriginalDst(message), edsSource: null };
    default:
      if (message.eds_cluster_config !== null) {
        throw new ConfigError('eds_cluster_config', 'eds_cluster_config set in a non-EDS cluster');
      }
      return { discovery: { kind: 'static' }, edsSource: null };
  }
}

function compileDns(kind: 'strict-dns' | 'logical-dns', message: Cluster, scope: CompileScope): ClusterModel['discovery'] {
  const resolver = message.typed_dns_resolver_config?.typed_config ?? null;
  if (resolver !== null && typeNameOf(resolver, 'typed_dns_resolver_config.typed_config') !== systemResolverType) {
    openExpected(resolver, caresType, 'typed_dns_resolver_config.typed_config', scope);
  }
  return {
    kind,
    refreshRateMs: positiveDurationMs(message.dns_refresh_rate, defaultRefreshRateMs, 'dns_refresh_rate'),
    ...compileFailureRefresh(message.dns_failure_refresh_rate),
    jitterMs: durationMs(message.dns_jitter, 0, 'dns_jitter'),
    respectTtl: message.respect_dns_ttl,
    family: lookupFamilies[message.dns_lookup_family],
  };
}

function compileFailureRefresh(message: Cluster['dns_failure_refresh_rate']): {
  failureRefresh?: { baseMs: number; maxMs: number };
} {
  if (message === null) return {};
  const path = 'dns_failure_refresh_rate';
  const baseMs = positiveDurationMs(message.base_interval, 0, `${path}.base_interval`);
  if (baseMs === 0) throw new ConfigError(`${path}.base_interval`, 'value is required');
  const maxMs = positiveDurationMs(message.max_interval, baseMs * 10, `${path}.max_interval`);
  if (maxMs < baseMs) {
    throw new ConfigError(path, 'dns_failure_refresh_rate must have max_interval greater than or equal to the base_interval');
  }
  return { failureRefresh: { baseMs, maxMs } };
}

function compileOriginalDst(message: Cluster): ClusterModel['discovery'] {
  const config = message.original_dst_lb_config;
  const path = 'original_dst_lb_config';
  if (config?.http_header_name && !config.use_http_header) {
    throw new ConfigError(
      `${path}.http_header_name`,
      'ORIGINAL_DST cluster: invalid config http_header_name with use_http_header set to false',
    );
  }
  return {
    kind: 'original-dst',
    portOverride: requireRange(unwrap(config?.upstream_port_override ?? null, 0), 0, 65_535, `${path}.upstream_port_override`),
    useHttpHeader: config?.use_http_header ? (config.http_header_name || originalDstHeader).toLowerCase() : '',
    ...compileMetadataKey(config?.metadata_key ?? null, `${path}.metadata_key`),
    cleanupIntervalMs: positiveDurationMs(message.cleanup_interval, defaultCleanupIntervalMs, 'cleanup_interval'),
  };
}

type OriginalDst = Extract<ClusterModel['discovery'], { kind: 'original-dst' }>;

function compileMetadataKey(
  message: protos.envoy.type.metadata.v3.MetadataKey | null,
  path: string,
): Pick<OriginalDst, 'metadataKey'> {
  if (message === null) return {};
  const namespace = requireText(message.key, `${path}.key`);
  const segments = message.path.map(({ key }, i) => requireText(key ?? '', `${path}.path[${i}].key`));
  return { metadataKey: { namespace, path: segments } };
}
