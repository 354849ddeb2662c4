/** What balancing needs to know of one request: its hash, its connection, and the hosts that retries avoid. */
import type { Metadata } from '../config/model/matchers.ts';
import { readOwnAddress } from '../http/forwarded-for.ts';
import type { HeaderMap } from '../http/header-map.ts';
import type { ConnectionInfo } from '../network/connection.ts';
import type { StreamInfo } from '../telemetry/stream-info.ts';
import type { LoadBalancerContext, OverrideHost } from '../upstream/cluster-manager.ts';
import { overrideHostKey } from '../upstream/stream-options.ts';
import { subsetNamespace } from '../upstream/load-balancer/subset-key.ts';
import type { HostView } from '../upstream/views.ts';
import type { HashPolicyList, RequestHash } from './hash-policy.ts';
import type { RetryState } from './retry-state.ts';
import type { ForwardEntry, MirrorEntry } from './route-entry.ts';
import { isWithinFraction, readRouteRandom } from './route-predicate.ts';

/** A copy of the request that is to be sent elsewhere. */
export interface Mirror {
  readonly cluster: string;
  readonly headers: HeaderMap;
}

const noCookies: readonly string[] = [];
const noMirrors: readonly Mirror[] = [];

export class HostSelection implements LoadBalancerContext {
  readonly headers: HeaderMap;
  readonly #metadataMatch: Metadata;
  /** Of the first attempt; retries choose freely. */
  overrideHost: OverrideHost | null;
  retryState: RetryState | null = null;
  mirrors: readonly Mirror[] = noMirrors;
  readonly info: StreamInfo;

  readonly #hashPolicies: HashPolicyList | null;
  /** Undefined: nobody has asked yet. */
  #hashed: RequestHash | null | undefined;

  constructor(entry: ForwardEntry, headers: HeaderMap, info: StreamInfo) {
    this.#hashPolicies = entry.hashPolicies;
    this.headers = headers;
    this.#metadataMatch = entry.metadataMatch;
    this.info = info;
    this.overrideHost = (info.getFilterState(overrideHostKey) as OverrideHost | undefined) ?? null;
  }

  /** Of the headers as the route has edited them, and the same for all attempts. */
  get hash(): bigint | null {
    if (this.#hashed === undefined) this.#hashed = this.#hashPolicies?.(this.headers, this.info) ?? null;
    return this.#hashed?.hash ?? null;
  }

  /** To be set in the response. */
  get cookies(): readonly string[] {
    return this.#hashed?.cookies ?? noCookies;
  }

  get downstream(): ConnectionInfo {
    return this.info.downstream;
  }

  /** What filters have set of the request's own metadata comes first. */
  get metadataMatch(): Metadata {
    const own = this.info.dynamicMetadata?.[subsetNamespace];
    if (own === undefined) return this.#metadataMatch;
    return { [subsetNamespace]: { ...this.#metadataMatch[subsetNamespace], ...own } };
  }

  get hostSelectionMaxAttempts(): number {
    return this.retryState?.hostSelectionMaxAttempts ?? 0;
  }

  get triedPriorities(): readonly number[] | null {
    return this.retryState?.triedPriorities ?? null;
  }

  shouldSelectAnotherHost(host: HostView): boolean {
    return this.retryState?.shouldSelectAnotherHost(host) ?? false;
  }

  /** Decides which mirrors get this request, and takes the headers as they are now. */
  drawMirrors(policies: readonly MirrorEntry[], headers: HeaderMap): void {
    if (policies.length === 0 || headers.method === 'CONNECT') return;
    const mirrors: Mirror[] = [];
    for (const { model, clusterHeader, edits } of policies) {
      if (model.fraction !== null && !isWithinFraction(model.fraction, readRouteRandom(this.info))) continue;
      const name = model.cluster === '' ? (headers.get(clusterHeader) ?? '') : model.cluster;
      if (name === '') continue;
      const copy = headers.clone();
      const context = { info: this.info, requestHeaders: copy, responseHeaders: null, responseTrailers: null };
      for (const edit of edits) edit.apply(copy, context);
      copy.set('x-envoy-internal', 'true');
      copy.append('x-forwarded-for', readOwnAddress());
      if (model.hostRewriteLiteral !== undefined) copy.authority = model.hostRewriteLiteral;
      else if (!model.disableShadowHostSuffix) copy.authority = appendShadowSuffix(copy.authority);
      mirrors.push({ cluster: name, headers: copy });
    }
    this.mirrors = mirrors;
  }
}

/** `host-shadow`, before the port. */
function appendShadowSuffix(authority: string): string {
  const colon = authority.lastIndexOf(':');
  const hasPort = colon !== -1 && authority.lastIndexOf(']') < colon;
  return hasPort ? `${authority.slice(0, colon)}-shadow${authority.slice(colon)}` : `${authority}-shadow`;
}
