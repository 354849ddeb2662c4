/**
 * Counts the subsets of a cluster as they come and go. Every thread of Envoy has balancers of its own and counts theirs; so the
 * numbers are those of one thread times the threads.
 */
import type { HostSetModel, SubsetsModel } from '../config/model/cluster.ts';
import type { StatsStore } from '../telemetry/stats-store.ts';
import { listSubsetsOfHost } from './load-balancer/subset-key.ts';

export class SubsetStats {
  readonly #store: StatsStore;
  readonly #prefix: string;
  readonly #threads: number;
  #keys: ReadonlySet<string> = new Set();

  /** `prefix` is that of the cluster, `threads` are the workers and the main one. */
  constructor(store: StatsStore, prefix: string, threads: number) {
    this.#store = store;
    this.#prefix = prefix;
    this.#threads = threads;
  }

  /** `isNamed`: the hosts are names, of which each updates its own priority; then one without hosts is not looked at. */
  update({ localities }: HostSetModel, model: SubsetsModel, isNamed: boolean): void {
    const keys = new Set<string>();
    const updated = localities.filter(({ hosts }) => !isNamed || hosts.length > 0);
    const lastPriority = Math.max(0, ...updated.map(({ priority }) => priority));
    const singles = new Set<string>();
    let duplicates = 0;
    for (const { hosts, priority } of localities) {
      for (const { metadata } of hosts) {
        for (const { key, selector } of listSubsetsOfHost(metadata, model)) {
          keys.add(key);
          if (!selector.singleHostPerSubset || priority !== lastPriority) continue;
          if (singles.has(key)) duplicates++;
          singles.add(key);
        }
      }
    }
    this.#show(keys, duplicates);
  }

  #show(keys: ReadonlySet<string>, duplicates: number): void {
    const count = (name: string, difference: number) => this.#store.counter(this.#prefix + name).add(difference * this.#threads);
    const before = this.#keys;
    this.#keys = keys;
    count('lb_subsets_created', [...keys].filter(key => !before.has(key)).length);
    count('lb_subsets_removed', [...before].filter(key => !keys.has(key)).length);
    this.#store.gauge(`${this.#prefix}lb_subsets_active`).set(keys.size * this.#threads);
    this.#store.gauge(`${this.#prefix}lb_subsets_single_host_per_subset_duplicate`).set(duplicates);
  }
}
