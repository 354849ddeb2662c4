/**
 * A route as requests meet it: everything that does not depend on the request is computed when the route configuration
 * arrives. A route with weighted clusters is one entry per cluster, so that matching allocates nothing.
 */
import type {
  DirectResponseAction,
  ForwardAction,
  HeaderMutations,
  MirrorPolicy,
  PerFilterModel,
  RedirectAction,
  RouteModel,
  VirtualHostModel,
  WeightedCluster,
} from '../config/model/route.ts';
import type { Metadata } from '../config/model/matchers.ts';
import type { RouteMatchView } from '../http/filter.ts';
import type { HeaderMap } from '../http/header-map.ts';
import { internHeaderName } from '../http/header-name.ts';
import { type CompiledFormat, compileFormat } from '../telemetry/formatter.ts';
import { compileRequestEdits, compileResponseEdits, HeaderEdits, LeveledHeaderEdits } from './header-edits.ts';
import { compileHashPolicies } from './hash-policy.ts';
import type { HashPolicyList } from './hash-policy.ts';
import { RateLimitPolicy } from './rate-limit-descriptors.ts';
import { compileRetryPolicy } from './retry-policy.ts';
import type { RetryPolicy } from './retry-policy.ts';
import type { RouteTableModel } from './route-config-text.ts';
import { compileHostRewrite, compilePathRewrite, compileRedirect } from './rewrite.ts';
import type { HostRewrite, PathRewrite } from './rewrite.ts';

/** What the router does with a request of this route. */
export type EntryAction = ForwardEntry | DirectEntry;

export interface ForwardEntry {
  readonly kind: 'forward';
  readonly model: ForwardAction;
  /** Empty when a header names the cluster. */
  readonly clusterName: string;
  readonly clusterHeader: string;
  readonly rewritePath: PathRewrite | null;
  /** Makes the whole path; null: not. */
  readonly pathFormat: CompiledFormat | null;
  readonly rewriteHost: HostRewrite | null;
  readonly autoHostRewrite: boolean;
  /** The weighted cluster's own host; empty: none. */
  readonly weightedHost: string;
  readonly retryPolicy: RetryPolicy | null;
  readonly hashPolicies: HashPolicyList | null;
  readonly hedgesOnPerTryTimeout: boolean;
  readonly mirrors: readonly MirrorEntry[];
  /** How much of a body is kept; null: as much as the connection's limit says. */
  readonly bodyLimitBytes: number | null;
  readonly priority: 0 | 1;
  /** What the metadata of hosts must have, where the cluster has subsets. */
  readonly metadataMatch: Metadata;
}

export interface MirrorEntry {
  readonly model: MirrorPolicy;
  readonly clusterHeader: string;
  /** Of the copy, in their order. */
  readonly edits: readonly HeaderEdits[];
}

export interface DirectEntry {
  readonly kind: 'direct-response';
  readonly status: number;
  readonly body: string;
  /** Of the request, as far as the redirect keeps it; null: not at all. */
  readonly rewritePath: PathRewrite | null;
  /** The value of `location`, for statuses that have one. */
  readonly location: (headers: HeaderMap) => string;
}

/** The levels above a route, compiled once per virtual host. */
export interface EntryParent {
  readonly config: RouteTableModel;
  readonly virtualHost: VirtualHostModel;
  readonly requestEdits: readonly HeaderEdits[];
  readonly responseEdits: readonly HeaderEdits[];
  readonly rateLimits: RateLimitPolicy | null;
}

export class RouteEntry implements RouteMatchView {
  readonly route: RouteModel;
  readonly virtualHostName: string;
  readonly virtualHost: VirtualHostModel;
  readonly action: EntryAction;
  readonly requestEdits: LeveledHeaderEdits;
  readonly responseEdits: LeveledHeaderEdits;
  /** Of the route and of its virtual host; null: none. */
  readonly rateLimits: RateLimitPolicy | null;
  readonly virtualHostRateLimits: RateLimitPolicy | null;
  readonly #perFilter: ReadonlyMap<string, PerFilterModel>;

  constructor(route: RouteModel, parent: EntryParent, action: EntryAction, weighted: WeightedCluster | null) {
    this.route = route;
    this.virtualHost = parent.virtualHost;
    this.virtualHostName = parent.virtualHost.name;
    this.action = action;
    this.requestEdits = orderLevels(weighted, route.headers, parent, compileRequestEdits, parent.requestEdits);
    this.responseEdits = orderLevels(weighted, route.headers, parent, compileResponseEdits, parent.responseEdits);
    const { action: model } = route;
    const own = model.kind === 'forward' ? model.rateLimits : undefined;
    this.rateLimits = own === undefined ? null : new RateLimitPolicy(own);
    this.virtualHostRateLimits = parent.rateLimits;
    this.#perFilter = new Map(
      Object.entries({ ...parent.virtualHost.perFilter, ...route.perFilter, ...(weighted?.perFilter ?? {}) }),
    );
  }

  get compiled(): RouteEntry {
    return this;
  }

  clusterNameOf(headers: HeaderMap): string {
    const { action } = this;
    if (action.kind !== 'forward') return '';
    return action.clusterHeader === '' ? action.clusterName : (headers.get(action.clusterHeader) ?? '');
  }

  perFilterConfig(filterName: string): PerFilterModel | null {
    return this.#perFilter.size === 0 ? null : (this.#perFilter.get(filterName) ?? null);
  }
}

/** Most specific level first, or last if the configuration wants the most specific one to win; a weighted cluster's own always first. */
function orderLevels(
  weighted: WeightedCluster | null,
  headers: HeaderMutations,
  parent: EntryParent,
  compile: (mutations: HeaderMutations) => HeaderEdits,
  parentEdits: readonly HeaderEdits[],
): LeveledHeaderEdits {
  const levels = [compile(headers), ...parentEdits];
  if (parent.config.mostSpecificHeaderMutationsWins) levels.reverse();
  if (weighted !== null) levels.unshift(compile(weighted.headers));
  return new LeveledHeaderEdits(levels);
}

function compileForward(
  route: RouteModel,
  action: ForwardAction,
  { retryPolicy, hedging, bodyLimitBytes }: VirtualHostModel,
  weighted: WeightedCluster | null,
): ForwardEntry {
  return {
    kind: 'forward',
    model: action,
    clusterName: weighted?.name ?? (action.cluster.kind === 'name' ? action.cluster.name : ''),
    clusterHeader: internHeaderName(weighted?.clusterHeader ?? (action.cluster.kind === 'header' ? action.cluster.header : '')),
    rewritePath: compilePathRewrite(route.match.path, action.prefixRewrite, action.regexRewrite),
    pathFormat: action.pathFormat === undefined ? null : compileFormat(action.pathFormat, { omitEmpty: true }),
    mirrors: action.mirrors.map(compileMirror),
    bodyLimitBytes: route.bodyLimitBytes ?? bodyLimitBytes ?? null,
    rewriteHost: compileHostRewrite(action.hostRewrite),
    autoHostRewrite: action.hostRewrite?.kind === 'auto',
    weightedHost: weighted?.hostRewriteLiteral ?? '',
    retryPolicy: compileRetryPolicy(action.retryPolicy ?? retryPolicy),
    hedgesOnPerTryTimeout: (action.hedging ?? hedging)?.onPerTryTimeout ?? false,
    hashPolicies: compileHashPolicies(action.hashPolicies),
    priority: action.priority === 'high' ? 1 : 0,
    metadataMatch: weighted?.metadataMatch ?? action.metadataMatch,
  };
}

function compileMirror(model: MirrorPolicy): MirrorEntry {
  const edits = (model.mutations ?? []).map(mutation =>
    mutation.kind === 'remove' ? new HeaderEdits([], [mutation.name]) : new HeaderEdits([mutation.option], []),
  );
  return { model, clusterHeader: internHeaderName(model.clusterHeader), edits };
}

/** Where a direct response with a status of redirects leads. */
const unchanged: RedirectAction = {
  kind: 'redirect',
  status: 301,
  scheme: null,
  host: '',
  port: 0,
  path: '',
  prefixRewrite: '',
  regexRewrite: null,
  stripQuery: false,
};

function compileDirect(route: RouteModel, action: DirectResponseAction | RedirectAction): DirectEntry {
  if (action.kind === 'direct-response')
    return {
      kind: 'direct-response',
      status: action.status,
      body: action.body,
      rewritePath: null,
      location: compileRedirect(unchanged),
    };
  // A path of its own stands for the whole of the request's, which stays as it is.
  const rewritePath = action.path === '' ? compilePathRewrite(route.match.path, action.prefixRewrite, action.regexRewrite) : null;
  return { kind: 'direct-response', status: action.status, body: '', rewritePath, location: compileRedirect(action) };
}

/** The entries of one route: as many as it has weighted clusters, else one. */
export function compileEntries(route: RouteModel, parent: EntryParent): RouteEntry[] {
  const { action } = route;
  if (action.kind !== 'forward') return [new RouteEntry(route, parent, compileDirect(route, action), null)];
  const { virtualHost } = parent;
  if (action.cluster.kind !== 'weighted') {
    return [new RouteEntry(route, parent, compileForward(route, action, virtualHost, null), null)];
  }
  return action.cluster.clusters.map(
    weighted => new RouteEntry(route, parent, compileForward(route, action, virtualHost, weighted), weighted),
  );
}

/** The entry that answers plain HTTP on a virtual host that requires TLS. */
export function makeTlsRedirectEntry(parent: EntryParent): RouteEntry {
  const none = { requestAdd: [], requestRemove: [], responseAdd: [], responseRemove: [] };
  const match = {
    path: { kind: 'prefix', value: '/', ignoreCase: false },
    headers: [],
    queryParameters: [],
    grpc: false,
  } as const;
  const action: RedirectAction = { ...unchanged, scheme: 'https' };
  const route: RouteModel = {
    name: '',
    match: { ...match, runtimeFraction: null, dynamicMetadata: [] },
    action,
    headers: none,
    metadata: {},
    decorator: null,
    statPrefix: '',
    perFilter: {},
  };
  // Unlike a redirect of the configuration this one keeps a port that is the default of the scheme it leaves.
  const location = (headers: HeaderMap): string => `https://${headers.authority}${headers.path}`;
  return new RouteEntry(route, parent, { kind: 'direct-response', status: 301, body: '', rewritePath: null, location }, null);
}
