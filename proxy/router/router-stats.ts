/** The router's counters: `http.<prefix>.*` once per filter chain, `vhost.<name>.route.<prefix>.*` per route with a stat prefix. */
import type { Counter, Histogram, StatsStore } from '../telemetry/stats-store.ts';

const redirectProblems = ['bad_location', 'no_route', 'predicate', 'too_many_redirects', 'unsafe_scheme'] as const;

export class RouterStats {
  readonly requestsTotal: Counter;
  readonly noRoute: Counter;
  readonly noCluster: Counter;
  readonly directResponse: Counter;
  readonly resetAfterResponseStarted: Counter;
  /** Redirects that the client was left to follow, by what spoke against following them here. */
  readonly redirectsPassed: { readonly [P in (typeof redirectProblems)[number]]: Counter };
  readonly #store: StatsStore;
  readonly #routes = new Map<string, RouteStats>();

  /** `statPrefix` is the connection manager's. */
  constructor(store: StatsStore, statPrefix: string) {
    const prefix = `http.${statPrefix}.`;
    this.#store = store;
    this.requestsTotal = store.counter(`${prefix}rq_total`);
    this.noRoute = store.counter(`${prefix}no_route`);
    this.noCluster = store.counter(`${prefix}no_cluster`);
    this.directResponse = store.counter(`${prefix}rq_direct_response`);
    this.redirectsPassed = Object.fromEntries(
      redirectProblems.map(problem => [problem, store.counter(`${prefix}passthrough_internal_redirect_${problem}`)]),
    ) as RouterStats['redirectsPassed'];
    this.resetAfterResponseStarted = store.counter(`${prefix}rq_reset_after_downstream_response_started`);
  }

  /** The counters of a route, or null if it has no stat prefix. */
  ofRoute(virtualHost: string, statPrefix: string): RouteStats | null {
    if (statPrefix === '') return null;
    const prefix = `vhost.${virtualHost}.route.${statPrefix}.`;
    let stats = this.#routes.get(prefix);
    if (stats === undefined) {
      stats = new RouteStats(this.#store, prefix);
      this.#routes.set(prefix, stats);
    }
    return stats;
  }
}

export class RouteStats {
  readonly total: Counter;
  readonly timeout: Counter;
  readonly time: Histogram;
  readonly #store: StatsStore;
  readonly #prefix: string;

  constructor(store: StatsStore, prefix: string) {
    this.#store = store;
    this.#prefix = prefix;
    this.total = store.counter(`${prefix}upstream_rq_total`);
    this.timeout = store.counter(`${prefix}upstream_rq_timeout`);
    this.time = store.histogram(`${prefix}upstream_rq_time`);
    for (const name of ['', '_limit_exceeded', '_overflow', '_success']) store.counter(`${prefix}upstream_rq_retry${name}`);
  }

  countResponse(status: number): void {
    this.#store.counter(`${this.#prefix}upstream_rq_completed`).inc();
    this.#store.counter(`${this.#prefix}upstream_rq_${Math.floor(status / 100)}xx`).inc();
    this.#store.counter(`${this.#prefix}upstream_rq_${status}`).inc();
  }
}
