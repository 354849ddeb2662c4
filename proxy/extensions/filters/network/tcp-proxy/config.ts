/** `envoy.filters.network.tcp_proxy`. */
import type { protos } from '../../../../../protos/messages.ts';
import { compileAccessLogs } from '../../../../config/compile/access-log.ts';
import { ConfigError } from '../../../../config/compile/config-error.ts';
import { defineNetworkFilter } from '../../../../config/compile/extension.ts';
import { classify } from '../../../../config/compile/field-table.ts';
import { requireFormat } from '../../../../config/compile/format.ts';
import { compileHeaderValueOption } from '../../../../config/compile/header-mutations.ts';
import { compileMetadata, mergeMetadata } from '../../../../config/compile/metadata.ts';
import { durationMs, positiveDurationMs, requireText, unwrap } from '../../../../config/compile/scalars.ts';
import type { CompileScope } from '../../../../config/compile/scope.ts';
import type { AccessLogModel } from '../../../../config/model/access-log.ts';
import type { Metadata } from '../../../../config/model/matchers.ts';
import type { HeaderValueOption } from '../../../../config/model/route.ts';

export interface TcpProxyModel {
  readonly statPrefix: string;
  /** One entry for a plain cluster. */
  readonly clusters: readonly { readonly name: string; readonly weight: number; readonly metadataMatch: Metadata }[];
  readonly totalWeight: number;
  /** Milliseconds; 0: none. Envoy's default is one hour. */
  readonly idleTimeoutMs: number;
  /** Milliseconds; 0: none. */
  readonly maxDownstreamConnectionDurationMs: number;
  readonly maxConnectAttempts: number;
  /** Hash of the source address, for consistent hashing. */
  readonly hashSourceIp: boolean;
  readonly accessLogs: readonly AccessLogModel[];
  /** Milliseconds between records of a live connection; 0: one record at the end. */
  readonly accessLogFlushIntervalMs: number;
  readonly flushAccessLogOnConnected: boolean;
  /** Absent: the upstream is a connection. */
  readonly tunneling?: TunnelingModel;
}

/** The upstream is an HTTP stream. */
export interface TunnelingModel {
  /** May hold `%OPERATOR%`s. */
  readonly hostname: string;
  /** POST in place of CONNECT. */
  readonly usePost: boolean;
  readonly postPath: string;
  readonly headersToAdd: readonly HeaderValueOption[];
  readonly propagateResponseHeaders: boolean;
  readonly propagateResponseTrailers: boolean;
}

type TcpProxy = protos.envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy;

const defaultIdleTimeoutMs = 3_600_000;

function compileClusters(message: TcpProxy, path: string): TcpProxyModel['clusters'] {
  const metadataMatch = compileMetadata(message.metadata_match);
  if (message.weighted_clusters === null) {
    if (message.cluster === null) throw new ConfigError(path, 'cluster_specifier is required');
    return [{ name: message.cluster, weight: 1, metadataMatch }];
  }
  const clusters = message.weighted_clusters.clusters;
  if (clusters.length === 0) throw new ConfigError(`${path}.weighted_clusters.clusters`, 'must contain at least 1 item');
  return clusters.map((cluster, i) => {
    const clusterPath = `${path}.weighted_clusters.clusters[${i}]`;
    if (cluster.weight < 1) throw new ConfigError(`${clusterPath}.weight`, 'value must be greater than or equal to 1');
    const own = compileMetadata(cluster.metadata_match);
    return {
      name: requireText(cluster.name, `${clusterPath}.name`),
      weight: cluster.weight,
      metadataMatch: mergeMetadata(metadataMatch, own),
    };
  });
}

function compileTunneling(message: NonNullable<TcpProxy['tunneling_config']>, path: string): TunnelingModel {
  if (message.post_path !== '' && !message.use_post) {
    throw new ConfigError(`${path}.post_path`, "Can't set a post path when POST method isn't used");
  }
  return {
    hostname: requireFormat(requireText(message.hostname, `${path}.hostname`), `${path}.hostname`),
    usePost: message.use_post,
    postPath: message.post_path || '/',
    headersToAdd: message.headers_to_add.map((header, i) => compileHeaderValueOption(header, `${path}.headers_to_add[${i}]`)),
    propagateResponseHeaders: message.propagate_response_headers,
    propagateResponseTrailers: message.propagate_response_trailers,
  };
}

function compile(message: TcpProxy, path: string, scope: CompileScope): TcpProxyModel {
  const clusters = compileClusters(message, path);
  if (message.hash_policy.length > 1) throw new ConfigError(`${path}.hash_policy`, 'must contain no more than 1 item');
  if (message.hash_policy[0]?.filter_state) throw new ConfigError(`${path}.hash_policy[0].filter_state`, 'is not implemented');
  const options = message.access_log_options;
  const interval = options?.access_log_flush_interval ?? message.access_log_flush_interval;
  return {
    statPrefix: requireText(message.stat_prefix, `${path}.stat_prefix`),
    clusters,
    totalWeight: clusters.reduce((sum, cluster) => sum + cluster.weight, 0),
    idleTimeoutMs: durationMs(message.idle_timeout, defaultIdleTimeoutMs, `${path}.idle_timeout`),
    maxDownstreamConnectionDurationMs: positiveDurationMs(
      message.max_downstream_connection_duration,
      0,
      `${path}.max_downstream_connection_duration`,
    ),
    maxConnectAttempts: unwrap(message.max_connect_attempts, 1),
    hashSourceIp: message.hash_policy.some(policy => policy.source_ip !== null),
    accessLogs: compileAccessLogs(message.access_log, `${path}.access_log`, scope),
    accessLogFlushIntervalMs: positiveDurationMs(interval, 0, `${path}.access_log_flush_interval`),
    flushAccessLogOnConnected: options?.flush_access_log_on_connected ?? message.flush_access_log_on_connected,
    ...(message.tunneling_config !== null && {
      tunneling: compileTunneling(message.tunneling_config, `${path}.tunneling_config`),
    }),
  };
}

export const tcpProxyFilter = defineNetworkFilter({
  kind: 'envoy.filters.network.tcp_proxy',
  message: 'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
  terminal: true,
  compile,
  fields: {
    'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy': classify({
      implemented: `stat_prefix cluster weighted_clusters metadata_match idle_timeout access_log max_connect_attempts hash_policy
        max_downstream_connection_duration access_log_flush_interval flush_access_log_on_connected access_log_options
        tunneling_config`,
      rejected: 'on_demand downstream_idle_timeout upstream_idle_timeout',
    }),
    'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster': classify({ implemented: 'clusters' }),
    'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster.ClusterWeight': classify({
      implemented: 'name weight metadata_match',
    }),
    'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.TunnelingConfig': classify({
      implemented: 'hostname use_post headers_to_add propagate_response_headers post_path propagate_response_trailers',
    }),
    'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.TcpAccessLogOptions': classify({
      implemented: 'access_log_flush_interval flush_access_log_on_connected',
    }),
    'envoy.type.v3.HashPolicy': classify({ implemented: 'source_ip', rejected: 'filter_state' }),
    'envoy.type.v3.HashPolicy.SourceIp': classify({}),
  },
});
