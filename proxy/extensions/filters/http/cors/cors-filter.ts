/** Run time of `envoy.filters.http.cors`: answers preflights, marks responses to allowed origins. */
import type { FilterFactoryContext, HttpFilterCallbacks, HttpFilter, HttpFilterFactory } from '../../../../http/filter.ts';
import { HookStatus } from '../../../../http/filter.ts';
import { HeaderMap } from '../../../../http/header-map.ts';
import { compileStringMatcher } from '../../../../matching/string-matcher.ts';
import type { Counter } from '../../../../telemetry/stats-store.ts';
import { isSelected } from '../fraction.ts';
import type { CorsPolicyModel } from './config.ts';

interface CorsStats {
  readonly originValid: Counter;
  readonly originInvalid: Counter;
}

/** Origin predicates of the policies in use; a policy lives as long as its route. */
const originPredicates = new WeakMap<CorsPolicyModel, readonly ((text: string) => boolean)[]>();

function allowsOrigin(policy: CorsPolicyModel, origin: string): boolean {
  let predicates = originPredicates.get(policy);
  if (predicates === undefined) {
    predicates = policy.allowOrigins.map(compileStringMatcher);
    originPredicates.set(policy, predicates);
  }
  // A matcher for '*' allows every origin.
  return (
    policy.allowOrigins.some(({ kind, value }) => kind === 'exact' && value === '*') ||
    predicates.some(accepts => accepts(origin))
  );
}

class CorsFilter implements HttpFilter {
  readonly #callbacks: HttpFilterCallbacks;
  readonly #policy: CorsPolicyModel;
  readonly #stats: CorsStats;
  readonly #context: FilterFactoryContext;
  #origin: string | null = null;

  constructor(callbacks: HttpFilterCallbacks, policy: CorsPolicyModel, stats: CorsStats, context: FilterFactoryContext) {
    this.#callbacks = callbacks;
    this.#policy = policy;
    this.#stats = stats;
    this.#context = context;
  }

  onRequestHeaders(headers: HeaderMap): HookStatus {
    const policy = this.#policy;
    const { runtime } = this.#context.services;
    const isEnabled = policy.filterEnabled === null || isSelected(policy.filterEnabled, runtime);
    if (!isEnabled && (policy.shadowEnabled === null || !isSelected(policy.shadowEnabled, runtime))) return HookStatus.continue;
    const origin = headers.get('origin');
    if (origin === undefined || origin === '') return HookStatus.continue;
    const isPreflight = headers.method === 'OPTIONS' && (headers.get('access-control-request-method') ?? '') !== '';
    if (!allowsOrigin(policy, origin)) {
      this.#stats.originInvalid.inc();
      if (!isEnabled || !isPreflight || policy.forwardNotMatchingPreflights) return HookStatus.continue;
      this.#answer(new HeaderMap());
      return HookStatus.stop;
    }
    this.#stats.originValid.inc();
    if (!isEnabled) return HookStatus.continue;
    this.#origin = origin;
    if (!isPreflight) return HookStatus.continue;
    this.#answer(this.#preflightHeaders(headers));
    return HookStatus.stop;
  }

  #preflightHeaders(request: HeaderMap): HeaderMap {
    const policy = this.#policy;
    const headers = new HeaderMap();
    headers.add('access-control-allow-origin', this.#origin as string);
    if (policy.allowCredentials) headers.add('access-control-allow-credentials', 'true');
    if (policy.allowPrivateNetworkAccess && request.get('access-control-request-private-network') === 'true') {
      headers.add('access-control-allow-private-network', 'true');
    }
    if (policy.allowMethods !== '') headers.add('access-control-allow-methods', policy.allowMethods);
    if (policy.allowHeaders !== '') headers.add('access-control-allow-headers', policy.allowHeaders);
    if (policy.maxAge !== '') headers.add('access-control-max-age', policy.maxAge);
    return headers;
  }

  #answer(headers: HeaderMap): void {
    headers.status = 200;
    this.#callbacks.streamInfo.responseCodeDetails = 'cors_response';
    this.#callbacks.encodeHeaders(headers, true);
  }

  onResponseHeaders(headers: HeaderMap): HookStatus {
    if (this.#origin === null) return HookStatus.continue;
    headers.set('access-control-allow-origin', this.#origin);
    if (this.#policy.allowCredentials) headers.set('access-control-allow-credentials', 'true');
    if (this.#policy.exposeHeaders !== '') headers.set('access-control-expose-headers', this.#policy.exposeHeaders);
    return HookStatus.continue;
  }
}

export function createCorsFilter(_config: object, context: FilterFactoryContext): HttpFilterFactory {
  const prefix = `http.${context.manager?.statPrefix ?? ''}.cors.`;
  const stats: CorsStats = {
    originValid: context.stats.counter(`${prefix}origin_valid`),
    originInvalid: context.stats.counter(`${prefix}origin_invalid`),
  };
  return callbacks => {
    const policy = callbacks.perRouteConfig() as CorsPolicyModel | null;
    return policy === null ? null : new CorsFilter(callbacks, policy, stats, context);
  };
}
