/** The statistics of clusters that the main thread knows best: membership, DNS updates, ejections, open circuit breakers. */
import type { CircuitBreakerModel, ClusterModel } from '../config/model/cluster.ts';
import type { Counter, Gauge, StatsStore } from '../telemetry/stats-store.ts';
import type { EjectionCause } from './outlier-detector.ts';
import { ClusterField, clusterFieldsPerPriority } from './shared-counters.ts';
import type { ClusterCounters } from './shared-counters.ts';

const causeNames: { readonly [C in EjectionCause]: string } = {
  'consecutive-5xx': 'consecutive_5xx',
  'consecutive-gateway-failure': 'consecutive_gateway_failure',
  'consecutive-local-origin-failure': 'consecutive_local_origin_failure',
  'success-rate': 'success_rate',
  'failure-percentage': 'failure_percentage',
};

export class RegistryStats {
  readonly #store: StatsStore;
  readonly #prefix: string;
  readonly #membershipTotal: Gauge;
  readonly #membershipHealthy: Gauge;
  readonly #membershipDegraded: Gauge;
  readonly #membershipExcluded: Gauge;
  readonly #membershipChange: Counter;
  readonly #maxHostWeight: Gauge;

  constructor(store: StatsStore, model: ClusterModel) {
    this.#store = store;
    this.#prefix = `cluster.${model.statName}.`;
    this.#membershipTotal = store.gauge(`${this.#prefix}membership_total`);
    this.#membershipHealthy = store.gauge(`${this.#prefix}membership_healthy`);
    this.#membershipDegraded = store.gauge(`${this.#prefix}membership_degraded`);
    this.#membershipExcluded = store.gauge(`${this.#prefix}membership_excluded`);
    this.#membershipChange = store.counter(`${this.#prefix}membership_change`);
    this.#maxHostWeight = store.gauge(`${this.#prefix}max_host_weight`);
  }

  setMembership(counts: { total: number; healthy: number; degraded: number; maxWeight: number }): void {
    this.#membershipTotal.set(counts.total);
    this.#membershipHealthy.set(counts.healthy);
    this.#membershipDegraded.set(counts.degraded);
    this.#membershipExcluded.set(0);
    this.#maxHostWeight.set(counts.maxWeight);
  }

  countMembershipChange(): void {
    this.#membershipChange.inc();
  }

  countDnsUpdate(outcome: 'success' | 'failure' | 'empty'): void {
    this.#store.counter(`${this.#prefix}update_attempt`).inc();
    if (outcome === 'empty') this.#store.counter(`${this.#prefix}update_empty`).inc();
    this.#store.counter(`${this.#prefix}update_${outcome === 'failure' ? 'failure' : 'success'}`).inc();
  }

  countEjection(cause: EjectionCause, outcome: 'enforced' | 'overflow' | 'not-enforced'): void {
    const prefix = `${this.#prefix}outlier_detection.`;
    if (outcome === 'overflow') {
      this.#store.counter(`${prefix}ejections_overflow`).inc();
      return;
    }
    this.#store.counter(`${prefix}ejections_detected_${causeNames[cause]}`).inc();
    if (outcome === 'not-enforced') return;
    this.#store.counter(`${prefix}ejections_enforced_${causeNames[cause]}`).inc();
    this.#store.counter(`${prefix}ejections_enforced_total`).inc();
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
    const prefix = `${this.#prefix}circuit_breakers.${priority === 0 ? 'default' : 'high'}.`;
    const show = (name: string, field: number, maximum: number) => {
      const used = counters.sum(row, priority * clusterFieldsPerPriority + field);
      this.#store.gauge(`${prefix}${name}_open`).set(used > 0 && used >= maximum ? 1 : 0);
      if (limit.trackRemaining) this.#store.gauge(`${prefix}remaining_${remainingNames[name]}`).set(Math.max(0, maximum - used));
    };
    show('cx', ClusterField.connections, limit.maxConnections);
    show('rq_pending', ClusterField.pendingRequests, limit.maxPendingRequests);
    show('rq', ClusterField.requests, limit.maxRequests);
    show('rq_retry', ClusterField.retries, limit.maxRetries);
    this.#store.gauge(`${prefix}cx_pool_open`).set(0);
  }
}

const remainingNames: { readonly [name: string]: string } = { cx: 'cx', rq_pending: 'pending', rq: 'rq', rq_retry: 'retries' };
