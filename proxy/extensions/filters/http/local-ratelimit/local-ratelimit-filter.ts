/** Run time of `envoy.filters.http.local_ratelimit`. */
import type { FilterFactoryContext, HttpFilter, HttpFilterCallbacks, HttpFilterFactory } from '../../../../http/filter.ts';
import { HookStatus } from '../../../../http/filter.ts';
import type { HeaderMap } from '../../../../http/header-map.ts';
import type { Connection } from '../../../../network/connection.ts';
import { TokenBucket } from '../../../../network/token-bucket.ts';
import { HeaderEdits } from '../../../../router/header-edits.ts';
import { RateLimitPolicy } from '../../../../router/rate-limit-descriptors.ts';
import { RouteEntry } from '../../../../router/route-entry.ts';
import { ResponseFlag } from '../../../../telemetry/response-flags.ts';
import type { Counter } from '../../../../telemetry/stats-store.ts';
import { isSelected } from '../fraction.ts';
import type { LocalRateLimitModel } from './config.ts';
import { RateLimiter, type Verdict } from './rate-limiter.ts';

const tooManyRequests = 429;

/** One configuration, of the filter or of a route, on one worker. */
class LocalRateLimit {
  readonly model: LocalRateLimitModel;
  readonly enabled: Counter;
  readonly allowed: Counter;
  readonly limited: Counter;
  readonly enforced: Counter;
  readonly shadowed: Counter;
  readonly requestEdits: HeaderEdits;
  readonly responseEdits: HeaderEdits;
  /** Null: the route's. */
  readonly policy: RateLimitPolicy | null;
  readonly limiter: RateLimiter;

  constructor(model: LocalRateLimitModel, { stats, services }: FilterFactoryContext) {
    const prefix = `${model.statPrefix}.http_local_rate_limit.`;
    this.model = model;
    this.enabled = stats.counter(`${prefix}enabled`);
    this.allowed = stats.counter(`${prefix}ok`);
    this.limited = stats.counter(`${prefix}rate_limited`);
    this.enforced = stats.counter(`${prefix}enforced`);
    this.shadowed = stats.counter(`${prefix}shadow_mode`);
    this.requestEdits = new HeaderEdits(model.requestHeaders, []);
    this.responseEdits = new HeaderEdits(model.responseHeaders, []);
    this.policy = model.rateLimits.length === 0 ? null : new RateLimitPolicy(model.rateLimits);
    this.limiter = new RateLimiter(model, bucket => services.tokenBuckets.attach(bucket));
  }
}

/** The limiters of connections with buckets of their own; the first configuration that meets a connection stays with it. */
const connectionLimiters = new WeakMap<Connection, RateLimiter>();

function limiterOf(limit: LocalRateLimit, connection: Connection): RateLimiter {
  if (!limit.model.isPerConnection) return limit.limiter;
  let limiter = connectionLimiters.get(connection);
  if (limiter === undefined) {
    limiter = new RateLimiter(limit.model, bucket => new TokenBucket(bucket));
    connectionLimiters.set(connection, limiter);
  }
  return limiter;
}

class LocalRateLimitFilter implements HttpFilter {
  readonly #callbacks: HttpFilterCallbacks;
  readonly #limit: LocalRateLimit;
  readonly #context: FilterFactoryContext;
  #verdict: Verdict | null = null;

  constructor(callbacks: HttpFilterCallbacks, limit: LocalRateLimit, context: FilterFactoryContext) {
    this.#callbacks = callbacks;
    this.#limit = limit;
    this.#context = context;
  }

  onRequestHeaders(headers: HeaderMap): HookStatus {
    const limit = this.#limit;
    const { runtime } = this.#context.services;
    const { model } = limit;
    if (model.enabled === null || !isSelected(model.enabled, runtime)) return HookStatus.continue;
    limit.enabled.inc();
    const limiter = limiterOf(limit, this.#callbacks.connection);
    this.#verdict = limiter.decide(limiter.hasDescriptors ? this.#describe(headers) : []);
    if (this.#verdict.isAllowed) {
      limit.allowed.inc();
      return HookStatus.continue;
    }
    limit.limited.inc();
    if (this.#verdict.isShadow) {
      limit.shadowed.inc();
      return HookStatus.continue;
    }
    const { streamInfo } = this.#callbacks;
    if (model.enforced === null || !isSelected(model.enforced, runtime)) {
      limit.requestEdits.apply(headers, {
        info: streamInfo,
        requestHeaders: headers,
        responseHeaders: null,
        responseTrailers: null,
      });
      return HookStatus.continue;
    }
    limit.enforced.inc();
    this.#refuse(headers, this.#verdict.bucket);
    return HookStatus.stop;
  }

  #refuse(requestHeaders: HeaderMap, bucket: TokenBucket | null): void {
    const { model, responseEdits } = this.#limit;
    const info = this.#callbacks.streamInfo;
    this.#callbacks.sendLocalReply({
      status: model.status,
      body: 'local_rate_limited',
      details: 'local_rate_limited',
      flags: ResponseFlag.rateLimited,
      grpcStatus: model.grpcStatus,
      modifyHeaders: headers => {
        responseEdits.apply(headers, { info, requestHeaders, responseHeaders: headers, responseTrailers: null });
        const tellsWhen = model.emitsRetryAfter && model.status === tooManyRequests && !headers.has('retry-after');
        if (tellsWhen && bucket !== null) headers.add('retry-after', String(Math.max(1, Math.ceil(bucket.secondsToNext))));
      },
    });
  }

  /** The descriptors of the request by the filter's own rules, or those of its route and virtual host. */
  #describe(headers: HeaderMap): string[] {
    const { model, policy } = this.#limit;
    const entry = this.#callbacks.route?.compiled;
    if (!(entry instanceof RouteEntry) || entry.route.action.kind !== 'forward') return [];
    const request = {
      headers,
      info: this.#callbacks.streamInfo,
      sourceCluster: this.#context.node.cluster,
      destinationCluster: entry.clusterNameOf(headers),
    };
    const descriptors: string[] = [];
    if (policy !== null) {
      policy.describe(request, 0, descriptors);
      return descriptors;
    }
    entry.rateLimits?.describe(request, model.stage, descriptors);
    const option = entry.route.action.includeVirtualHostRateLimits ? 'include' : model.virtualHostRateLimits;
    const applies = option === 'include' || (option === 'override' && entry.rateLimits === null);
    if (applies) entry.virtualHostRateLimits?.describe(request, model.stage, descriptors);
    return descriptors;
  }

  onResponseHeaders(headers: HeaderMap): HookStatus {
    const bucket = this.#verdict?.bucket ?? null;
    if (bucket === null || !this.#limit.model.emitsRateLimitHeaders) return HookStatus.continue;
    headers.add('x-ratelimit-limit', String(bucket.maxTokens));
    headers.add('x-ratelimit-remaining', String(Math.floor(bucket.remaining)));
    headers.add('x-ratelimit-reset', String(Math.ceil(bucket.secondsToNext)));
    return HookStatus.continue;
  }
}

export function createLocalRateLimitFilter(model: LocalRateLimitModel, context: FilterFactoryContext): HttpFilterFactory {
  const own = new LocalRateLimit(model, context);
  /** Of the routes in use; a configuration lives as long as its route. */
  const ofRoutes = new WeakMap<LocalRateLimitModel, LocalRateLimit>();
  return callbacks => {
    const config = callbacks.perRouteConfig() as LocalRateLimitModel | null;
    if (config === null) return new LocalRateLimitFilter(callbacks, own, context);
    let limit = ofRoutes.get(config);
    if (limit === undefined) {
      limit = new LocalRateLimit(config, context);
      ofRoutes.set(config, limit);
    }
    return new LocalRateLimitFilter(callbacks, limit, context);
  };
}
