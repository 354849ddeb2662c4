/** Route models with everything unset; tests name what they are about. */
import type {
  ForwardAction,
  HeaderMutations,
  RouteConfigModel,
  RouteMatch,
  RouteModel,
  RetryPolicyModel,
  VirtualHostModel,
} from '../../../../proxy/config/model/route.ts';
import { HeaderMap } from '../../../../proxy/http/header-map.ts';
import type { ConnectionInfo } from '../../../../proxy/network/connection.ts';
import { StreamInfo } from '../../../../proxy/telemetry/stream-info.ts';

export const noMutations: HeaderMutations = { requestAdd: [], requestRemove: [], responseAdd: [], responseRemove: [] };

export function makeMatch(path: RouteMatch['path'], parts: Partial<RouteMatch> = {}): RouteMatch {
  return { path, headers: [], queryParameters: [], grpc: false, runtimeFraction: null, dynamicMetadata: [], ...parts };
}

export function prefix(value: string): RouteMatch['path'] {
  return { kind: 'prefix', value, ignoreCase: false };
}

export function forwardTo(name: string, parts: Partial<ForwardAction> = {}): ForwardAction {
  return {
    kind: 'forward',
    cluster: { kind: 'name', name },
    clusterNotFoundStatus: 503,
    prefixRewrite: '',
    regexRewrite: null,
    hostRewrite: null,
    appendXForwardedHost: false,
    timeoutMs: 15_000,
    idleTimeoutMs: null,
    maxStreamDuration: null,
    maxGrpcTimeoutMs: null,
    grpcTimeoutOffsetMs: 0,
    retryPolicy: null,
    mirrors: [],
    hashPolicies: [],
    priority: 'default',
    upgrades: [],
    metadataMatch: {},
    ...parts,
  };
}

export function makeRoute(match: RouteMatch, action: RouteModel['action'], parts: Partial<RouteModel> = {}): RouteModel {
  return {
    name: '',
    match,
    action,
    headers: noMutations,
    metadata: {},
    decorator: null,
    statPrefix: '',
    perFilter: {},
    ...parts,
  };
}

export function makeVirtualHost(
  name: string,
  domains: readonly string[],
  routes: readonly RouteModel[],
  parts: Partial<VirtualHostModel> = {},
): VirtualHostModel {
  return {
    name,
    domains,
    routes,
    headers: noMutations,
    includeRequestAttemptCount: false,
    includeAttemptCountInResponse: false,
    requireTls: 'none',
    retryPolicy: null,
    perFilter: {},
    ...parts,
  };
}

export function makeRouteConfig(
  virtualHosts: readonly VirtualHostModel[],
  parts: Partial<RouteConfigModel> = {},
): RouteConfigModel {
  return {
    name: 'routes',
    virtualHosts,
    ignorePortInHostMatching: false,
    headers: noMutations,
    mostSpecificHeaderMutationsWins: false,
    maxDirectResponseBodyBytes: 4096,
    ...parts,
  };
}

export function makeRetryPolicy(retryOn: readonly string[], parts: Partial<RetryPolicyModel> = {}): RetryPolicyModel {
  return {
    retryOn,
    numRetries: 1,
    perTryTimeoutMs: 0,
    perTryIdleTimeoutMs: 0,
    statusCodes: [],
    retriableHeaders: [],
    retriableRequestHeaders: [],
    previousHosts: false,
    previousPriorities: null,
    hostSelectionMaxAttempts: 1,
    baseIntervalMs: 25,
    maxIntervalMs: 250,
    ...parts,
  };
}

export function makeRequest(method: string, authority: string, path: string, headers: Record<string, string> = {}): HeaderMap {
  const map = new HeaderMap();
  map.method = method;
  map.authority = authority;
  map.path = path;
  map.scheme = 'http';
  for (const [name, value] of Object.entries(headers)) map.add(name, value);
  return map;
}

export function makeConnectionInfo(parts: Partial<ConnectionInfo> = {}): ConnectionInfo {
  const address = { kind: 'socket', address: '10.0.0.1', port: 80 } as const;
  return {
    id: 1,
    localAddress: address,
    directLocalAddress: address,
    localAddressRestored: false,
    remoteAddress: { kind: 'socket', address: '10.0.0.9', port: 40_000 },
    directRemoteAddress: { kind: 'socket', address: '10.0.0.9', port: 40_000 },
    originalSource: null,
    requestedServerName: '',
    requestedApplicationProtocols: [],
    transportProtocol: 'raw_buffer',
    tls: null,
    startTimeMs: 0,
    transportFailureReason: '',
    listenerName: '',
    filterChainName: '',
    ...parts,
  };
}

export function makeStreamInfo(parts: Partial<ConnectionInfo> = {}): StreamInfo {
  return new StreamInfo(makeConnectionInfo(parts), 0, 0);
}
