/** What a route does: forward, redirect or answer by itself. */
import type { protos } from '../../../protos/messages.ts';
import type {
  DirectResponseAction,
  ForwardAction,
  HashPolicy,
  MaxStreamDuration,
  RedirectAction,
  WeightedCluster,
} from '../model/route.ts';
import { ConfigError } from './config-error.ts';
import { readDataSource } from './data-source.ts';
import { requireFormat } from './format.ts';
import { compileHeaderMutations } from './header-mutations.ts';
import { compileRegex, requireHeaderName } from './matchers.ts';
import { compileInternalRedirect } from './internal-redirect.ts';
import { compileMetadata, mergeMetadata } from './metadata.ts';
import { compileMirrors } from './mirrors.ts';
import { compilePerFilter } from './per-filter.ts';
import { compileRateLimits } from './rate-limit.ts';
import { compileHedging, compileRetryPolicy } from './retry-policy.ts';
import { durationMs, requireRange, requireText, unwrap } from './scalars.ts';
import type { CompileScope } from './scope.ts';

type RouteActionMessage = protos.envoy.config.route.v3.RouteAction;

const defaultTimeoutMs = 15_000;
const notFoundStatuses = [503, 404, 500] as const;
const redirectStatuses = [301, 302, 303, 307, 308] as const;

export function compileForward(message: RouteActionMessage, path: string, scope: CompileScope): ForwardAction {
  const regexRewrite = compileRewrite(message.regex_rewrite, `${path}.regex_rewrite`, scope);
  const rewrites = [message.prefix_rewrite !== '', regexRewrite !== null, message.path_rewrite !== ''];
  if (rewrites.filter(Boolean).length > 1) {
    throw new ConfigError(path, 'Specify only one of prefix_rewrite, regex_rewrite or path_rewrite_policy');
  }
  const optionalMs = (field: 'idle_timeout' | 'max_grpc_timeout'): number | null =>
    durationMs(message[field], null, `${path}.${field}`);
  return {
    kind: 'forward',
    cluster: compileClusterChoice(message, path, scope),
    clusterNotFoundStatus: notFoundStatuses[message.cluster_not_found_response_code],
    prefixRewrite: message.prefix_rewrite,
    regexRewrite,
    ...(message.path_rewrite === '' ? {} : { pathFormat: requireFormat(message.path_rewrite, `${path}.path_rewrite`) }),
    hostRewrite: compileHostRewrite(message, path, scope),
    appendXForwardedHost: message.append_x_forwarded_host,
    timeoutMs: durationMs(message.timeout, defaultTimeoutMs, `${path}.timeout`),
    idleTimeoutMs: optionalMs('idle_timeout'),
    maxStreamDuration: compileMaxStreamDuration(message.max_stream_duration, `${path}.max_stream_duration`),
    maxGrpcTimeoutMs: optionalMs('max_grpc_timeout'),
    grpcTimeoutOffsetMs: durationMs(message.grpc_timeout_offset, 0, `${path}.grpc_timeout_offset`),
    retryPolicy: compileRetryPolicy(message.retry_policy, `${path}.retry_policy`, scope),
    mirrors: compileMirrors(message.request_mirror_policies, `${path}.request_mirror_policies`),
    hashPolicies: message.hash_policy.map((policy, i) => compileHashPolicy(policy, `${path}.hash_policy[${i}]`, scope)),
    priority: message.priority === 1 ? 'high' : 'default',
    upgrades: compileUpgrades(message, path),
    ...compileConnect(message, path),
    metadataMatch: compileMetadata(message.metadata_match),
    ...(message.rate_limits.length === 0
      ? {}
      : { rateLimits: compileRateLimits(message.rate_limits, `${path}.rate_limits`, scope) }),
    ...compileInternalRedirect(message.internal_redirect_policy, `${path}.internal_redirect_policy`, scope),
    ...compileHedging(message.hedge_policy, `${path}.hedge_policy`),
    ...(unwrap(message.include_vh_rate_limits, false) ? { includeVirtualHostRateLimits: true } : {}),
  };
}

function compileClusterChoice(message: RouteActionMessage, path: string, scope: CompileScope): ForwardAction['cluster'] {
  switch (message.cluster_specifier) {
    case 'cluster':
      return { kind: 'name', name: requireText(message.cluster!, `${path}.cluster`) };
    case 'cluster_header': {
      const header = requireHeaderName(message.cluster_header!, `${path}.cluster_header`);
      return { kind: 'header', header: header.toLowerCase() };
    }
    case 'weighted_clusters':
      return compileWeighted(message, `${path}.weighted_clusters`, scope);
    default:
      throw new ConfigError(path, 'cluster_specifier is required');
  }
}

function compileWeighted(action: RouteActionMessage, path: string, scope: CompileScope): ForwardAction['cluster'] {
  const message = action.weighted_clusters!;
  const routeMetadata = compileMetadata(action.metadata_match);
  if (message.clusters.length === 0) throw new ConfigError(`${path}.clusters`, 'value must contain at least 1 item(s)');
  const clusters = message.clusters.map((cluster, i): WeightedCluster => {
    const at = `${path}.clusters[${i}]`;
    return {
      ...compileWeightedName(cluster, at),
      weight: unwrap(cluster.weight, 0),
      headers: compileHeaderMutations(cluster, at),
      hostRewriteLiteral: cluster.host_rewrite_literal ?? '',
      ...(cluster.metadata_match !== null && {
        metadataMatch: mergeMetadata(routeMetadata, compileMetadata(cluster.metadata_match)),
      }),
      perFilter: compilePerFilter(cluster.typed_per_filter_config, `${at}.typed_per_filter_config`, scope),
    };
  });
  const totalWeight = clusters.reduce((sum, cluster) => sum + cluster.weight, 0);
  if (totalWeight === 0) throw new ConfigError(path, 'Sum of weights in the weighted_cluster must be greater than 0.');
  if (totalWeight > 0xffff_ffff) {
    throw new ConfigError(path, 'The sum of weights of all weighted clusters of route exceeds 4294967295');
  }
  const header = message.header_name ?? '';
  if (header === '') return { kind: 'weighted', clusters, totalWeight };
  return { kind: 'weighted', clusters, totalWeight, header: requireHeaderName(header, `${path}.header_name`).toLowerCase() };
}

function compileWeightedName(
  message: protos.envoy.config.route.v3.WeightedCluster.ClusterWeight,
  path: string,
): Pick<WeightedCluster, 'name' | 'clusterHeader'> {
  if (message.name === '' && message.cluster_header === '') {
    throw new ConfigError(path, 'At least one of name or cluster_header need to be specified');
  }
  if (message.cluster_header === '') return { name: message.name };
  if (message.name !== '') throw new ConfigError(path, 'Only one of name or cluster_header can be specified');
  return { name: '', clusterHeader: requireHeaderName(message.cluster_header, `${path}.cluster_header`).toLowerCase() };
}

export function compileRewrite(
  message: protos.envoy.type.matcher.v3.RegexMatchAndSubstitute | null,
  path: string,
  scope: CompileScope,
): { pattern: string; substitution: string } | null {
  if (message === null) return null;
  if (message.pattern === null) throw new ConfigError(`${path}.pattern`, 'value is required');
  const pattern = compileRegex(message.pattern, `${path}.pattern`, scope);
  const { substitution } = message;
  // RE2 accepts a backslash only before a digit or another backslash.
  if (/\\(?![\d\\])/.test(substitution.replaceAll('\\\\', ''))) {
    throw new ConfigError(`${path}.substitution`, 'Rewrite schema error: "\\" must be followed by a digit or "\\".');
  }
  return { pattern, substitution };
}

function compileHostRewrite(message: RouteActionMessage, path: string, scope: CompileScope): ForwardAction['hostRewrite'] {
  switch (message.host_rewrite_specifier) {
    case 'host_rewrite_literal':
      return message.host_rewrite_literal === '' ? null : { kind: 'literal', value: message.host_rewrite_literal! };
    case 'auto_host_rewrite':
      return message.auto_host_rewrite!.value ? { kind: 'auto' } : null;
    case 'host_rewrite_header':
      return message.host_rewrite_header === ''
        ? null
        : { kind: 'header', value: requireHeaderName(message.host_rewrite_header!, `${path}.host_rewrite_header`).toLowerCase() };
    case 'host_rewrite_path_regex': {
      const rewrite = compileRewrite(message.host_rewrite_path_regex, `${path}.host_rewrite_path_regex`, scope)!;
      return { kind: 'path-regex', ...rewrite };
    }
    default:
      return null;
  }
}

function compileMaxStreamDuration(
  message: protos.envoy.config.route.v3.RouteAction.MaxStreamDuration | null,
  path: string,
): MaxStreamDuration | null {
  if (message === null) return null;
  return {
    maxMs: durationMs(message.max_stream_duration, null, `${path}.max_stream_duration`),
    grpcTimeoutHeaderMaxMs: durationMs(message.grpc_timeout_header_max, null, `${path}.grpc_timeout_header_max`),
    grpcTimeoutHeaderOffsetMs: durationMs(message.grpc_timeout_header_offset, 0, `${path}.grpc_timeout_header_offset`),
  };
}

function compileHashPolicy(
  message: protos.envoy.config.route.v3.RouteAction.HashPolicy,
  path: string,
  scope: CompileScope,
): HashPolicy {
  const terminal = message.terminal;
  switch (message.policy_specifier) {
    case 'header': {
      const { header_name, regex_rewrite } = message.header!;
      const rewrite = compileRewrite(regex_rewrite, `${path}.header.regex_rewrite`, scope);
      return {
        kind: 'header',
        name: requireHeaderName(header_name, `${path}.header.header_name`).toLowerCase(),
        ...(rewrite === null ? {} : { rewrite }),
        terminal,
      };
    }
    case 'cookie': {
      const cookie = message.cookie!;
      return {
        kind: 'cookie',
        name: requireText(cookie.name, `${path}.cookie.name`),
        ttlMs: durationMs(cookie.ttl, null, `${path}.cookie.ttl`),
        path: cookie.path,
        attributes: cookie.attributes.map(({ name, value }) => ({ name, value })),
        terminal,
      };
    }
    case 'connection_properties':
      if (!message.connection_properties!.source_ip) {
        throw new ConfigError(`${path}.connection_properties`, 'source_ip is required');
      }
      return { kind: 'source-ip', terminal };
    case 'query_parameter':
      return {
        kind: 'query-parameter',
        name: requireText(message.query_parameter!.name, `${path}.query_parameter.name`),
        terminal,
      };
    case 'filter_state':
      return { kind: 'filter-state', key: requireText(message.filter_state!.key, `${path}.filter_state.key`), terminal };
    default:
      throw new ConfigError(path, 'policy_specifier is required');
  }
}

function compileUpgrades(message: RouteActionMessage, path: string): ForwardAction['upgrades'] {
  const seen = new Set<string>();
  return message.upgrade_configs.map((upgrade, i) => {
    const type = requireText(upgrade.upgrade_type, `${path}.upgrade_configs[${i}].upgrade_type`).toLowerCase();
    if (seen.has(type)) throw new ConfigError(`${path}.upgrade_configs[${i}]`, `Duplicate upgrade ${upgrade.upgrade_type}`);
    seen.add(type);
    return { type, enabled: unwrap(upgrade.enabled, true) };
  });
}

function compileConnect(message: RouteActionMessage, path: string): Pick<ForwardAction, 'connect'> {
  const index = message.upgrade_configs.findIndex(({ connect_config }) => connect_config !== null);
  if (index === -1) return {};
  const { upgrade_type: type, connect_config: config } = message.upgrade_configs[index];
  if (type.toLowerCase() !== 'connect') {
    throw new ConfigError(`${path}.upgrade_configs[${index}]`, `Non-CONNECT upgrade type ${type} has ConnectConfig`);
  }
  const { proxy_protocol_config: proxyProtocol, allow_post: allowPost } = config!;
  return { connect: { ...(proxyProtocol !== null && { proxyProtocol: proxyProtocol.version === 1 ? 'v2' : 'v1' }), allowPost } };
}

export function compileRedirect(
  message: protos.envoy.config.route.v3.RedirectAction,
  path: string,
  scope: CompileScope,
): RedirectAction {
  return {
    kind: 'redirect',
    status: redirectStatuses[message.response_code],
    scheme: message.https_redirect ? 'https' : message.scheme_redirect || null,
    host: message.host_redirect,
    port: requireRange(message.port_redirect, 0, 65_535, `${path}.port_redirect`),
    path: message.path_redirect ?? '',
    prefixRewrite: message.prefix_rewrite ?? '',
    regexRewrite: compileRewrite(message.regex_rewrite, `${path}.regex_rewrite`, scope),
    stripQuery: message.strip_query,
  };
}

/** `maxBodyBytes` is the route configuration's limit. */
export function compileDirectResponse(
  message: protos.envoy.config.route.v3.DirectResponseAction,
  path: string,
  maxBodyBytes: number,
): DirectResponseAction {
  const status = requireRange(message.status, 200, 599, `${path}.status`);
  const body = readDataSource(message.body, `${path}.body`);
  if (body !== null && body.length > maxBodyBytes) {
    throw new ConfigError(`${path}.body`, `response body size is ${body.length} bytes; maximum is ${maxBodyBytes}`);
  }
  return { kind: 'direct-response', status, body: body?.toString('utf8') ?? '' };
}
