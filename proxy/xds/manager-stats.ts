/**
 * Counters of the cluster manager and the listener manager, under Envoy's names.
 *
 * Source: Envoy's ALL_CLUSTER_MANAGER_STATS and ALL_LISTENER_MANAGER_STATS.
 */
import type { Counter, Gauge, StatsStore } from '../telemetry/stats-store.ts';

export class ClusterManagerStats {
  readonly #added: Counter;
  readonly #modified: Counter;
  readonly #removed: Counter;
  readonly #updated: Counter;
  readonly #reload: Counter;
  readonly #reloadTime: Gauge;
  readonly #active: Gauge;
  readonly #warming: Gauge;

  constructor(stats: StatsStore) {
    const scope = 'cluster_manager.';
    this.#added = stats.counter(`${scope}cluster_added`);
    this.#modified = stats.counter(`${scope}cluster_modified`);
    this.#removed = stats.counter(`${scope}cluster_removed`);
    this.#updated = stats.counter(`${scope}cluster_updated`);
    this.#reload = stats.counter(`${scope}cds.config_reload`);
    this.#reloadTime = stats.gauge(`${scope}cds.config_reload_time_ms`);
    this.#active = stats.gauge(`${scope}active_clusters`);
    this.#warming = stats.gauge(`${scope}warming_clusters`);
    for (const name of ['cluster_updated_via_merge', 'update_merge_cancelled', 'update_out_of_merge_window']) {
      stats.counter(scope + name);
    }
    this.#active.set(0);
    this.#warming.set(0);
  }

  countAdded(): void {
    this.#added.inc();
  }
  countModified(): void {
    this.#modified.inc();
  }
  countRemoved(): void {
    this.#removed.inc();
  }
  /** Endpoints of an active cluster changed. */
  countUpdated(): void {
    this.#updated.inc();
  }
  countReload(): void {
    this.#reload.inc();
    this.#reloadTime.set(Date.now());
  }
  setActive(count: number): void {
    this.#active.set(count);
  }
  setWarming(count: number): void {
    this.#warming.set(count);
  }
}

export class ListenerManagerStats {
  readonly #added: Counter;
  readonly #modified: Counter;
  readonly #removed: Counter;
  readonly #createFailure: Counter;
  readonly #createSuccess: Counter;
  readonly #inPlaceUpdated: Counter;
  readonly #workerCount: number;
  readonly #drainTimeMs: number;
  readonly #drainingListeners: Gauge;
  readonly #drainingChains: Gauge;
  readonly #active: Gauge;
  readonly #warming: Gauge;

  /**
   * @param workerCount a created listener counts once per worker.
   * @param drainTimeMs how long what was replaced counts as draining.
   */
  constructor(stats: StatsStore, workerCount: number, drainTimeMs: number) {
    const scope = 'listener_manager.';
    this.#workerCount = workerCount;
    this.#drainTimeMs = drainTimeMs;
    this.#added = stats.counter(`${scope}listener_added`);
    this.#modified = stats.counter(`${scope}listener_modified`);
    this.#removed = stats.counter(`${scope}listener_removed`);
    this.#createFailure = stats.counter(`${scope}listener_create_failure`);
    this.#createSuccess = stats.counter(`${scope}listener_create_success`);
    this.#inPlaceUpdated = stats.counter(`${scope}listener_in_place_updated`);
    stats.counter(`${scope}listener_stopped`);
    stats.gauge(`${scope}workers_pinned`);
    this.#drainingListeners = stats.gauge(`${scope}total_listeners_draining`);
    this.#drainingChains = stats.gauge(`${scope}total_filter_chains_draining`);
    stats.gauge(`${scope}workers_started`).set(0);
    this.#active = stats.gauge(`${scope}total_listeners_active`);
    this.#warming = stats.gauge(`${scope}total_listeners_warming`);
    this.#active.set(0);
    this.#warming.set(0);
  }

  countAdded(): void {
    this.#added.inc();
  }
  countModified(): void {
    this.#modified.inc();
  }
  countRemoved(): void {
    this.#removed.inc();
    this.#countDraining(this.#drainingListeners);
  }
  /** Another version took the place of the whole listener. */
  countReplaced(): void {
    this.#countDraining(this.#drainingListeners);
  }
  countCreated(): void {
    this.#createSuccess.add(this.#workerCount);
  }
  /** Only filter chains changed: the socket and the connections of the other chains stayed. */
  countInPlaceUpdated(): void {
    this.#inPlaceUpdated.inc();
    this.#countDraining(this.#drainingChains);
  }
  countCreateFailure(): void {
    this.#createFailure.inc();
  }
  setActive(count: number): void {
    this.#active.set(count);
  }
  setWarming(count: number): void {
    this.#warming.set(count);
  }

  #countDraining(gauge: Gauge): void {
    gauge.inc();
    setTimeout(() => gauge.dec(), this.#drainTimeMs).unref();
  }
}
