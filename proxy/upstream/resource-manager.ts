/** Circuit breakers of one cluster: this worker's share in the shared table, limits over all workers. */
import type { CircuitBreakerModel } from '../config/model/cluster.ts';
import type { ResourceManager } from './cluster-manager.ts';
import { ClusterField, clusterFieldsPerPriority } from './shared-counters.ts';
import type { ClusterCounters } from './shared-counters.ts';

/** Istio's value for "no limit": it is never compared. */
const unlimited = 4_294_967_295;

export class SharedResourceManager implements ResourceManager {
  readonly #limits: readonly [CircuitBreakerModel, CircuitBreakerModel];
  readonly #counters: ClusterCounters;
  readonly #row: number;
  readonly #cells: Int32Array;
  readonly #start: number;

  /** `row` -1: the table is full, limits hold per worker. */
  constructor(
    limits: readonly [CircuitBreakerModel, CircuitBreakerModel],
    counters: ClusterCounters,
    row: number,
    workerIndex: number,
  ) {
    this.#limits = limits;
    this.#counters = counters;
    this.#row = row;
    this.#cells = row < 0 ? new Int32Array(2 * clusterFieldsPerPriority) : counters.cells;
    this.#start = row < 0 ? 0 : counters.indexOf(row, workerIndex);
  }

  #sum(field: number): number {
    return this.#row < 0 ? this.#cells[field] : this.#counters.sum(this.#row, field);
  }

  /** Of both priorities, over all workers. */
  get activeRequests(): number {
    return this.#sum(ClusterField.requests) + this.#sum(clusterFieldsPerPriority + ClusterField.requests);
  }

  #try(priority: 0 | 1, field: ClusterField, limit: number): boolean {
    const index = priority * clusterFieldsPerPriority + field;
    if (limit < unlimited && this.#sum(index) >= limit) return false;
    this.#cells[this.#start + index]++;
    return true;
  }

  #release(priority: 0 | 1, field: ClusterField): void {
    this.#cells[this.#start + priority * clusterFieldsPerPriority + field]--;
  }

  tryConnection(priority: 0 | 1): boolean {
    return this.#try(priority, ClusterField.connections, this.#limits[priority].maxConnections);
  }

  /** Takes a place beyond the limit: a pool without any connection may always open one. */
  forceConnection(priority: 0 | 1): void {
    this.#cells[this.#start + priority * clusterFieldsPerPriority + ClusterField.connections]++;
  }

  releaseConnection(priority: 0 | 1): void {
    this.#release(priority, ClusterField.connections);
  }

  tryPendingRequest(priority: 0 | 1): boolean {
    return this.#try(priority, ClusterField.pendingRequests, this.#limits[priority].maxPendingRequests);
  }

  releasePendingRequest(priority: 0 | 1): void {
    this.#release(priority, ClusterField.pendingRequests);
  }

  tryRequest(priority: 0 | 1): boolean {
    return this.#try(priority, ClusterField.requests, this.#limits[priority].maxRequests);
  }

  /** Counts a TCP connection, which no request limit holds back. */
  forceRequest(priority: 0 | 1): void {
    this.#cells[this.#start + priority * clusterFieldsPerPriority + ClusterField.requests]++;
  }

  releaseRequest(priority: 0 | 1): void {
    this.#release(priority, ClusterField.requests);
  }

  tryRetry(priority: 0 | 1): boolean {
    return this.#try(priority, ClusterField.retries, this.#retryLimit(priority));
  }

  releaseRetry(priority: 0 | 1): void {
    this.#release(priority, ClusterField.retries);
  }

  /** A budget is a share of the requests that are active or pending; it replaces the fixed limit. */
  #retryLimit(priority: 0 | 1): number {
    const { maxRetries, retryBudget } = this.#limits[priority];
    if (retryBudget === null) return maxRetries;
    const offset = priority * clusterFieldsPerPriority;
    const current = this.#sum(offset + ClusterField.requests) + this.#sum(offset + ClusterField.pendingRequests);
    return Math.max(retryBudget.minConcurrency, Math.floor((retryBudget.percent / 100) * current));
  }
}
