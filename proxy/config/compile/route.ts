/** `envoy.config.route.v3.RouteConfiguration`: from RDS, or inline in a connection manager. */
import type { protos } from '../../../protos/messages.ts';
import type { PerFilterModels, RouteAction, RouteConfigModel, RouteModel, VirtualHostModel } from '../model/route.ts';
import { ConfigError } from './config-error.ts';
import { joinPath } from './field-table.ts';
import { compileHeaderMutations } from './header-mutations.ts';
import { compileMetadata } from './metadata.ts';
import { compileMirrors } from './mirrors.ts';
import { compilePerFilter } from './per-filter.ts';
import { compileRateLimits } from './rate-limit.ts';
import { compileHedging, compileRetryPolicy } from './retry-policy.ts';
import { compileDirectResponse, compileForward, compileRedirect } from './route-action.ts';
import { listRouteClusters, type RequiredCluster } from './route-clusters.ts';
import { compileRouteMatch } from './route-match.ts';
import { requireText, unwrap } from './scalars.ts';
import { type CompileContext, type CompileFindings, CompileScope } from './scope.ts';
import { decodeChecked } from './typed-config.ts';

type RouteConfiguration = protos.envoy.config.route.v3.RouteConfiguration;

const defaultMaxBodyBytes = 4096;
const tlsRequirements = ['none', 'external-only', 'all'] as const;

export interface CompiledRouteConfig extends CompileFindings {
  readonly model: RouteConfigModel;
  /** Clusters that must exist: none unless the configuration asks for it. */
  readonly requiredClusters: readonly RequiredCluster[];
}

/** @throws ConfigError */
export function compileRouteConfig(bytes: Uint8Array, context: CompileContext): CompiledRouteConfig {
  const scope = new CompileScope(context, 'route');
  const message = decodeChecked('envoy.config.route.v3.RouteConfiguration', bytes, '', scope) as RouteConfiguration;
  scope.owner = message.name;
  const model = compileRouteMessage(message, '', scope);
  const requiredClusters = unwrap(message.validate_clusters, false) ? listRouteClusters(model) : [];
  return { model, requiredClusters, ...scope.findings() };
}

/** What a level hands down to the routes below it. */
interface Inherited {
  readonly maxBodyBytes: number;
  readonly mirrors: ReturnType<typeof compileMirrors>;
  readonly perFilter: PerFilterModels;
}

/** `path` is that of the route configuration in its resource; its fields are already checked. */
export function compileRouteMessage(message: RouteConfiguration, path: string, scope: CompileScope): RouteConfigModel {
  const inherited: Inherited = {
    maxBodyBytes: unwrap(message.max_direct_response_body_size_bytes, defaultMaxBodyBytes),
    mirrors: compileMirrors(message.request_mirror_policies, joinPath(path, 'request_mirror_policies')),
    perFilter: compilePerFilter(message.typed_per_filter_config, joinPath(path, 'typed_per_filter_config'), scope),
  };
  const virtualHosts = message.virtual_hosts.map((virtualHost, i) =>
    compileVirtualHost(virtualHost, joinPath(path, `virtual_hosts[${i}]`), inherited, scope),
  );
  requireUniqueDomains(virtualHosts, message.name, joinPath(path, 'virtual_hosts'));
  return {
    name: message.name,
    virtualHosts,
    ignorePortInHostMatching: message.ignore_port_in_host_matching,
    headers: compileHeaderMutations(message, path),
    mostSpecificHeaderMutationsWins: message.most_specific_header_mutations_wins,
    maxDirectResponseBodyBytes: inherited.maxBodyBytes,
    ...(message.ignore_path_parameters_in_path_matching ? { ignorePathParameters: true } : {}),
  };
}

function requireUniqueDomains(virtualHosts: readonly VirtualHostModel[], name: string, path: string): void {
  const seen = new Set<string>();
  for (const [i, virtualHost] of virtualHosts.entries()) {
    for (const [k, domain] of virtualHost.domains.entries()) {
      const at = `${path}[${i}].domains[${k}]`;
      if (!seen.has(domain)) seen.add(domain);
      else if (domain === '*') throw new ConfigError(at, `Only a single wildcard domain is permitted in route ${name}`);
      else {
        throw new ConfigError(
          at,
          `Only unique values for domains are permitted. Duplicate entry of domain ${domain} in route ${name}`,
        );
      }
    }
  }
}

function compileVirtualHost(
  message: protos.envoy.config.route.v3.VirtualHost,
  path: string,
  inherited: Inherited,
  scope: CompileScope,
): VirtualHostModel {
  if (message.domains.length === 0) throw new ConfigError(`${path}.domains`, 'value must contain at least 1 item(s)');
  const own = compileMirrors(message.request_mirror_policies, `${path}.request_mirror_policies`);
  const below: Inherited = { ...inherited, mirrors: own.length > 0 ? own : inherited.mirrors };
  return {
    name: requireText(message.name, `${path}.name`),
    domains: message.domains.map((domain, i) => requireText(domain, `${path}.domains[${i}]`).toLowerCase()),
    routes: message.routes.map((route, i) => compileRoute(route, `${path}.routes[${i}]`, below, scope)),
    headers: compileHeaderMutations(message, path),
    includeRequestAttemptCount: message.include_request_attempt_count,
    includeAttemptCountInResponse: message.include_attempt_count_in_response,
    requireTls: tlsRequirements[message.require_tls],
    retryPolicy: compileRetryPolicy(message.retry_policy, `${path}.retry_policy`, scope),
    perFilter: {
      ...inherited.perFilter,
      ...compilePerFilter(message.typed_per_filter_config, `${path}.typed_per_filter_config`, scope),
    },
    ...(message.metadata === null ? {} : { metadata: compileMetadata(message.metadata) }),
    ...compileBodyLimit(message, path),
    ...compileHedging(message.hedge_policy, `${path}.hedge_policy`),
    ...(message.include_is_timeout_retry_header ? { includesTimeoutRetryHeader: true } : {}),
    ...(message.rate_limits.length === 0
      ? {}
      : { rateLimits: compileRateLimits(message.rate_limits, `${path}.rate_limits`, scope) }),
  };
}

function compileRoute(
  message: protos.envoy.config.route.v3.Route,
  path: string,
  inherited: Inherited,
  scope: CompileScope,
): RouteModel {
  const decorator = message.decorator;
  return {
    name: message.name,
    match: compileRouteMatch(message.match, `${path}.match`, scope),
    action: compileAction(message, path, inherited, scope),
    headers: compileHeaderMutations(message, path),
    metadata: compileMetadata(message.metadata),
    decorator:
      decorator === null
        ? null
        : {
            operation: requireText(decorator.operation, `${path}.decorator.operation`),
            propagate: unwrap(decorator.propagate, true),
          },
    statPrefix: message.stat_prefix,
    ...compileBodyLimit(message, path),
    perFilter: compilePerFilter(message.typed_per_filter_config, `${path}.typed_per_filter_config`, scope),
  };
}

function compileBodyLimit(
  message: Pick<protos.envoy.config.route.v3.Route, 'per_request_buffer_limit_bytes' | 'request_body_buffer_limit'>,
  path: string,
): { readonly bodyLimitBytes?: number } {
  const { per_request_buffer_limit_bytes, request_body_buffer_limit } = message;
  if (per_request_buffer_limit_bytes !== null && request_body_buffer_limit !== null) {
    throw new ConfigError(path, 'Only one of per_request_buffer_limit_bytes and request_body_buffer_limit can be specified');
  }
  const limit = request_body_buffer_limit ?? per_request_buffer_limit_bytes;
  return limit === null ? {} : { bodyLimitBytes: Number(limit.value) };
}

function compileAction(
  message: protos.envoy.config.route.v3.Route,
  path: string,
  inherited: Inherited,
  scope: CompileScope,
): RouteAction {
  switch (message.action) {
    case 'route': {
      const forward = compileForward(message.route!, `${path}.route`, scope);
      return forward.mirrors.length > 0 ? forward : { ...forward, mirrors: inherited.mirrors };
    }
    case 'redirect':
      return compileRedirect(message.redirect!, `${path}.redirect`, scope);
    case 'direct_response':
      return compileDirectResponse(message.direct_response!, `${path}.direct_response`, inherited.maxBodyBytes);
    default:
      throw new ConfigError(path, 'action is required');
  }
}
