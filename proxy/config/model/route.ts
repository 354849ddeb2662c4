/** Routes, as `envoy.config.route.v3` after compilation. */
import type { RateLimitModel } from './rate-limit.ts';
import type {
  FractionalPercent,
  HeaderMatcher,
  Metadata,
  QueryParameterMatcher,
  StringMatcher,
  ValueMatcher,
} from './matchers.ts';

export interface RouteConfigModel {
  readonly name: string;
  readonly virtualHosts: readonly VirtualHostModel[];
  readonly ignorePortInHostMatching: boolean;
  readonly headers: HeaderMutations;
  readonly mostSpecificHeaderMutationsWins: boolean;
  readonly maxDirectResponseBodyBytes: number;
  /** What follows a ';' in a segment does not matter to matches of the path; absent: it does. */
  readonly ignorePathParameters?: boolean;
}

export interface VirtualHostModel {
  readonly name: string;
  /** Lower case. */
  readonly domains: readonly string[];
  readonly routes: readonly RouteModel[];
  readonly headers: HeaderMutations;
  readonly includeRequestAttemptCount: boolean;
  readonly includeAttemptCountInResponse: boolean;
  readonly requireTls: 'none' | 'external-only' | 'all';
  readonly retryPolicy: RetryPolicyModel | null;
  /** How much of a body is kept, for routes that do not say it themselves; absent: as the connection's limit says. */
  readonly bodyLimitBytes?: number;
  /** Absent: none. */
  readonly hedging?: HedgePolicyModel;
  /** Retries tell the upstream whether a timeout is their cause. */
  readonly includesTimeoutRetryHeader?: boolean;
  /** Named `vhost.<name>.vcluster.other` counters exist only when virtual clusters do. */
  readonly perFilter: PerFilterModels;
  /** Absent: none. */
  readonly metadata?: Metadata | undefined;
  /** Absent: none. */
  readonly rateLimits?: readonly RateLimitModel[];
}

/** Filter name to its compiled per-route configuration; the filter's file defines the shape. */
export type PerFilterModels = { readonly [filterName: string]: PerFilterModel };
export interface PerFilterModel {
  /** The extension's kind, as in its filter model. */
  readonly kind: string;
  readonly disabled: boolean;
  readonly config: unknown;
}

export interface RouteModel {
  readonly name: string;
  readonly match: RouteMatch;
  readonly action: RouteAction;
  readonly headers: HeaderMutations;
  readonly metadata: Metadata;
  readonly decorator: { readonly operation: string; readonly propagate: boolean } | null;
  /** Non-empty: counters `vhost.<vhost>.route.<prefix>.*`. */
  readonly statPrefix: string;
  /** How much of a body is kept for retries, mirrors and redirects; absent: as the virtual host says. */
  readonly bodyLimitBytes?: number;
  readonly perFilter: PerFilterModels;
}

export interface RouteMatch {
  readonly path:
    | { readonly kind: 'prefix' | 'exact' | 'path-separated-prefix'; readonly value: string; readonly ignoreCase: boolean }
    /** RE2; matches the path without query, whole. */
    | { readonly kind: 'regex'; readonly value: string }
    | { readonly kind: 'connect' };
  readonly headers: readonly HeaderMatcher[];
  readonly queryParameters: readonly QueryParameterMatcher[];
  readonly grpc: boolean;
  readonly runtimeFraction: FractionalPercent | null;
  readonly dynamicMetadata: readonly MetadataMatcher[];
  /** Of the client's certificate; absent: it does not matter. */
  readonly clientCertificate?: { readonly presented: boolean | null; readonly validated: boolean | null };
}

export interface MetadataMatcher {
  readonly namespace: string;
  readonly path: readonly string[];
  readonly value: ValueMatcher;
  readonly invert: boolean;
}

export type RouteAction = ForwardAction | RedirectAction | DirectResponseAction;

export interface ForwardAction {
  readonly kind: 'forward';
  readonly cluster:
    | { readonly kind: 'name'; readonly name: string }
    | { readonly kind: 'header'; readonly header: string }
    | {
        readonly kind: 'weighted';
        readonly clusters: readonly WeightedCluster[];
        readonly totalWeight: number;
        /** Holds the number that chooses among them; absent: chance does. */
        readonly header?: string;
      };
  readonly clusterNotFoundStatus: number;
  readonly prefixRewrite: string;
  readonly regexRewrite: { readonly pattern: string; readonly substitution: string } | null;
  /** A format string; absent: none. */
  readonly pathFormat?: string;
  readonly hostRewrite:
    | { readonly kind: 'literal' | 'header'; readonly value: string }
    | { readonly kind: 'auto' }
    | { readonly kind: 'path-regex'; readonly pattern: string; readonly substitution: string }
    | null;
  readonly appendXForwardedHost: boolean;
  /** Milliseconds; 0 disables. Envoy's default is 15,000. */
  readonly timeoutMs: number;
  /** Milliseconds; null: the connection manager's; 0 disables. */
  readonly idleTimeoutMs: number | null;
  readonly maxStreamDuration: MaxStreamDuration | null;
  /** Deprecated cap of `grpc-timeout`, which istiod sends; null: unset, then gRPC requests have the route's timeout; 0: no cap. */
  readonly maxGrpcTimeoutMs: number | null;
  readonly grpcTimeoutOffsetMs: number;
  readonly retryPolicy: RetryPolicyModel | null;
  readonly mirrors: readonly MirrorPolicy[];
  readonly hashPolicies: readonly HashPolicy[];
  readonly priority: 'default' | 'high';
  readonly upgrades: readonly { readonly type: string; readonly enabled: boolean }[];
  /** CONNECT ends here, its payload goes to a plain connection; absent: it is passed on. */
  readonly connect?: ConnectModel;
  readonly metadataMatch: Metadata;
  /** Absent: none. */
  readonly rateLimits?: readonly RateLimitModel[];
  /** Absent: the client follows redirects itself. */
  readonly internalRedirect?: InternalRedirectModel;
  /** Absent: the virtual host's. */
  readonly hedging?: HedgePolicyModel;
  /** The virtual host's rate limits apply as well. */
  readonly includeVirtualHostRateLimits?: boolean;
}

export interface ConnectModel {
  /** The connection begins by saying for whom it is made; absent: it does not. */
  readonly proxyProtocol?: 'v1' | 'v2';
  /** POST is taken for CONNECT. */
  readonly allowPost: boolean;
}

export interface MaxStreamDuration {
  /** Null: unset; 0: none. */
  readonly maxMs: number | null;
  readonly grpcTimeoutHeaderMaxMs: number | null;
  readonly grpcTimeoutHeaderOffsetMs: number;
}

export interface WeightedCluster {
  /** Empty where a header names the cluster. */
  readonly name: string;
  /** Lower case; absent: `name` is the cluster. */
  readonly clusterHeader?: string;
  readonly weight: number;
  readonly headers: HeaderMutations;
  readonly hostRewriteLiteral: string;
  /** In place of the route's, which it includes; absent: the route's. */
  readonly metadataMatch?: Metadata;
  readonly perFilter: PerFilterModels;
}

export interface InternalRedirectModel {
  readonly statuses: readonly number[];
  readonly maxRedirects: number;
  /** `http` may lead to `https`, and back. */
  readonly allowsCrossScheme: boolean;
  readonly predicates: readonly RedirectPredicate[];
  /** Lower case. */
  readonly headersToCopy: readonly string[];
}

export type RedirectPredicate =
  | { readonly kind: 'previous-routes' | 'safe-cross-scheme' }
  | { readonly kind: 'allow-listed-routes'; readonly routes: readonly string[] };

export interface HedgePolicyModel {
  /** A retry starts beside an attempt whose time is over. */
  readonly onPerTryTimeout: boolean;
}

export interface RedirectAction {
  readonly kind: 'redirect';
  readonly status: number;
  /** Null: the request's. */
  readonly scheme: string | null;
  readonly host: string;
  /** 0: unchanged. */
  readonly port: number;
  readonly path: string;
  readonly prefixRewrite: string;
  readonly regexRewrite: { readonly pattern: string; readonly substitution: string } | null;
  readonly stripQuery: boolean;
}

export interface DirectResponseAction {
  readonly kind: 'direct-response';
  readonly status: number;
  readonly body: string;
}

export interface RetryPolicyModel {
  /** Members of `retry_on`. Unknown ones have no effect. */
  readonly retryOn: readonly string[];
  readonly numRetries: number;
  /** 0: the route's timeout only. */
  readonly perTryTimeoutMs: number;
  readonly perTryIdleTimeoutMs: number;
  readonly statusCodes: readonly number[];
  readonly retriableHeaders: readonly HeaderMatcher[];
  readonly retriableRequestHeaders: readonly HeaderMatcher[];
  readonly previousHosts: boolean;
  readonly previousPriorities: { readonly updateFrequency: number } | null;
  readonly hostSelectionMaxAttempts: number;
  /** Milliseconds; Envoy's default base is 25 and the maximum ten times the base. */
  readonly baseIntervalMs: number;
  readonly maxIntervalMs: number;
  /** How a response tells the time until the next attempt; absent: it does not. */
  readonly rateLimitedBackOff?: RateLimitedBackOff;
}

export interface RateLimitedBackOff {
  /** Lower case, in order of preference. */
  readonly resetHeaders: readonly { readonly name: string; readonly format: 'seconds' | 'unix-timestamp' }[];
  /** A longer time is not believed. */
  readonly maxIntervalMs: number;
}

export interface MirrorPolicy {
  readonly cluster: string;
  readonly clusterHeader: string;
  readonly fraction: FractionalPercent | null;
  readonly disableShadowHostSuffix: boolean;
  /** In their order, of the copy only; absent: none. */
  readonly mutations?: readonly HeaderMutation[];
  /** Absent: the request's, with a suffix. */
  readonly hostRewriteLiteral?: string;
}

export type HeaderMutation =
  | { readonly kind: 'remove'; readonly name: string }
  | { readonly kind: 'set'; readonly option: HeaderValueOption };

export type HashPolicy = { readonly terminal: boolean } & (
  | {
      readonly kind: 'header';
      readonly name: string;
      /** Of each value, before it is hashed; absent: none. */
      readonly rewrite?: { readonly pattern: string; readonly substitution: string };
    }
  | {
      readonly kind: 'cookie';
      readonly name: string;
      readonly ttlMs: number | null;
      readonly path: string;
      readonly attributes: readonly { readonly name: string; readonly value: string }[];
    }
  | { readonly kind: 'source-ip' }
  | { readonly kind: 'query-parameter'; readonly name: string }
  | { readonly kind: 'filter-state'; readonly key: string }
);

/** Header edits on one level (route configuration, virtual host, route, weighted cluster). */
export interface HeaderMutations {
  readonly requestAdd: readonly HeaderValueOption[];
  readonly requestRemove: readonly string[];
  readonly responseAdd: readonly HeaderValueOption[];
  readonly responseRemove: readonly string[];
}

export interface HeaderValueOption {
  readonly name: string;
  /** May hold `%OPERATOR%`s. */
  readonly value: string;
  readonly action: 'append' | 'add-if-absent' | 'overwrite-or-add' | 'overwrite-if-exists';
  readonly keepEmpty: boolean;
}

export type { StringMatcher };
