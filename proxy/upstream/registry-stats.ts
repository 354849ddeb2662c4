/** The statistics of clusters that the main thread knows best: membership, DNS updates, ejections, open circuit breakers. */
import type { CircuitBreakerModel, ClusterModel, HostSetModel, SubsetsModel } from '../config/model/cluster.ts';
import { type SecretLookup, SecretStats } from '../network/tls/secret-stats.ts';
import type { Gauge, StatsStore } from '../telemetry/stats-store.ts';
import type { EjectionCause } from './outlier-detector.ts';
import { ClusterField, clusterFieldsPerPriority } from './shared-counters.ts';
import type { ClusterCounters } from './shared-counters.ts';
import { SubsetStats } from './subset-stats.ts';

const causeNames: { readonly [C in EjectionCause]: string } = {
  'consecutive-5xx': 'consecutive_5xx',
  'consecutive-gateway-failure': 'consecutive_gateway_failure',
  'consecutive-local-origin-failure': 'consecutive_local_origin_failure',
  'success-rate': 'success_rate',
  'failure-percentage': 'failure_percentage',
  'local-origin-success-rate': 'local_origin_success_rate',
  'local-origin-failure-percentage': 'local_origin_failure_percentage',
};

export class RegistryStats {
  readonly #store: StatsStore;
  readonly #prefix: string;
  readonly #membershipTotal: Gauge;
  readonly #membershipHealthy: Gauge;
  readonly #membershipDegraded: Gauge;
  readonly #membershipExcluded: Gauge;
  /** Envoy sets it for clusters whose hosts come and go. */
  readonly #maxHostWeight: Gauge | null;
  readonly #secrets: SecretStats | null;
  readonly #subsets: SubsetStats;
  readonly #subsetsModel: SubsetsModel | undefined;
  readonly #isNamed: boolean;
  readonly #openBreakers = new Map<string, Gauge>();
  readonly #remaining = new Map<string, Gauge>();

  /** `deferred`: the statistics of traffic appear with the first of it. `threads`: the workers and the main thread. */
  constructor(store: StatsStore, model: ClusterModel, deferred: boolean, findSecret: SecretLookup, threads: number) {
    this.#subsetsModel = model.loadBalancer.subsets;
    this.#isNamed = model.discovery.kind === 'strict-dns';
    this.#store = store;
    this.#prefix = `cluster.${model.statName}.`;
    this.#subsets = new SubsetStats(store, this.#prefix, threads);
    this.#membershipTotal = store.gauge(`${this.#prefix}membership_total`);
    this.#membershipHealthy = store.gauge(`${this.#prefix}membership_healthy`);
    this.#membershipDegraded = store.gauge(`${this.#prefix}membership_degraded`);
    this.#membershipExcluded = store.gauge(`${this.#prefix}membership_excluded`);
    this.#maxHostWeight = model.discovery.kind === 'static' ? null : store.gauge(`${this.#prefix}max_host_weight`);
    store.declare(this.#prefix, 'cluster');
    if (!deferred) store.declare(this.#prefix, 'cluster-traffic');
    const sockets = [model.transportSocket, ...model.transportSocketMatches.map(({ transportSocket }) => transportSocket)];
    const isSecure = sockets.some(({ kind }) => kind !== 'raw-buffer');
    if (isSecure) store.declare(this.#prefix, 'upstream-tls');
    if (model.outlierDetection !== null) store.declare(this.#prefix, 'outlier-detection');
    this.#secrets = isSecure ? new SecretStats(store, this.#prefix, sockets, findSecret) : null;
    for (const { name } of model.transportSocketMatches) store.counter(`${this.#prefix}${name}.total_match_count`);
    store.gauge(`${this.#prefix}warming_state`).set(0);
  }

  /** `maxWeight` is null where hosts have no weight. */
  setMembership(counts: { total: number; healthy: number; degraded: number; excluded?: number; maxWeight: number | null }): void {
    this.#membershipTotal.set(counts.total);
    this.#membershipHealthy.set(counts.healthy);
    this.#membershipDegraded.set(counts.degraded);
    this.#membershipExcluded.set(counts.excluded ?? 0);
    if (counts.maxWeight !== null) this.#maxHostWeight?.set(counts.maxWeight);
  }

  onHosts(set: HostSetModel): void {
    if (this.#subsetsModel !== undefined) this.#subsets.update(set, this.#subsetsModel, this.#isNamed);
  }

  onSecret(key: string): void {
    this.#secrets?.onSecret(key);
  }

  /** Discovery brought the hosts that are there. */
  countUnchangedUpdate(): void {
    this.#store.counter(`${this.#prefix}update_no_rebuild`).inc();
  }

  /** Every priority counts for itself. */
  countMembershipChange(priorities = 1): void {
    // A change of nothing would show the counter as used.
    if (priorities > 0) this.#store.counter(`${this.#prefix}membership_change`).add(priorities);
  }

  /** A new host got this transport socket; null: the default one. */
  countTransportSocketMatch(name: string | null): void {
    this.#store.counter(`${this.#prefix}${name ?? 'default'}.total_match_count`).inc();
  }

  countDnsUpdate(outcome: 'success' | 'failure'): void {
    this.#store.counter(`${this.#prefix}update_attempt`).inc();
    this.#store.counter(`${this.#prefix}update_${outcome}`).inc();
  }

  /** Some causes have an older name too, that Envoy counts on. */
  countOutlier(cause: EjectionCause, outcome: 'detected' | 'enforced'): void {
    this.#countEjection(`${outcome}_${causeNames[cause]}`);
    if (outcome === 'enforced') this.#countEjection('enforced_total');
    else if (cause === 'consecutive-5xx' || cause === 'success-rate') this.#countEjection(causeNames[cause]);
  }

  /** There was room for one more ejection, enforced or not. */
  countEjectable(cause: EjectionCause): void {
    if (cause === 'consecutive-5xx' || cause === 'success-rate') this.#countEjection('total');
  }

  #countEjection(name: string): void {
    this.#store.counter(`${this.#prefix}outlier_detection.ejections_${name}`).inc();
  }

  countEjectionOverflow(): void {
    this.#countEjection('overflow');
  }

  setEjectionsActive(count: number): void {
    this.#store.gauge(`${this.#prefix}outlier_detection.ejections_active`).set(count);
  }

  /** Reads the shared table: which limits are reached now. */
  refreshCircuitBreakers(limits: ClusterModel['circuitBreakers'], counters: ClusterCounters, row: number): void {
    if (row < 0) return;
    for (const [priority, limit] of limits.entries()) this.#refreshPriority(limit, counters, row, priority);
  }

  #refreshPriority(limit: CircuitBreakerModel, counters: ClusterCounters, row: number, priority: number): void {
    const scope = priority === 0 ? 'default' : 'high';
    const show = (name: string, field: number, maximum: number) => {
      const used = counters.sum(row, priority * clusterFieldsPerPriority + field);
      this.#showOpen(`${scope}.${name}`, used > 0 && used >= maximum);
      if (limit.trackRemaining)
        this.#gaugeOf(this.#remaining, `${scope}.remaining_${remainingNames[name]}`).set(Math.max(0, maximum - used));
    };
    show('cx', ClusterField.connections, limit.maxConnections);
    show('rq_pending', ClusterField.pendingRequests, limit.maxPendingRequests);
    show('rq', ClusterField.requests, limit.maxRequests);
    show('rq_retry', ClusterField.retries, limit.maxRetries);
    if (limit.trackRemaining) this.#gaugeOf(this.#remaining, `${scope}.remaining_cx_pools`).set(unlimited);
  }

  /** A breaker that never was open is left to the workers, which show it once they used it. */
  #showOpen(name: string, isOpen: boolean): void {
    if (isOpen) this.#gaugeOf(this.#openBreakers, `${name}_open`).set(1);
    else this.#openBreakers.get(`${name}_open`)?.set(0);
  }

  #gaugeOf(gauges: Map<string, Gauge>, name: string): Gauge {
    let gauge = gauges.get(name);
    if (gauge === undefined) {
      gauge = this.#store.gauge(`${this.#prefix}circuit_breakers.${name}`);
      gauges.set(name, gauge);
    }
    return gauge;
  }
}

/** Envoy's default for connection pools, 2^64 - 1. */
const unlimited = 2 ** 64;

const remainingNames: { readonly [name: string]: string } = { cx: 'cx', rq_pending: 'pending', rq: 'rq', rq_retry: 'retries' };
