/**
 * Ring hash and Maglev over priorities: one table per priority, in which hosts take places in proportion to their weight and to
 * that of their locality. With a balance factor a host that has more than its share of the requests in flight passes them on.
 *
 * Source: Envoy's ThreadAwareLoadBalancerBase.
 */
import type { BalancedHost, BalancedPriority, HostBalancer } from './balanced-host.ts';
import { listHosts } from './balanced-host.ts';
import { BoundedLoad } from './bounded-load.ts';
import { normalizeLocalityWeights, normalizeWeights, randomHash, type WeightedHost } from './hash-key.ts';
import type { LoadBalancerOptions } from './load-balancer.ts';
import { MaglevTable } from './maglev.ts';
import { choosePriority, computeLoadOfPriorities, type PriorityLoad } from './priority-load.ts';
import { HashRing } from './ring-hash.ts';

/** Null if it holds no host. */
interface HashTable<H> {
  pick(hash: bigint, attempt: number): H | null;
}

export class ConsistentHashBalancer<H extends BalancedHost> implements HostBalancer<H> {
  readonly #options: LoadBalancerOptions;
  readonly #priorities: readonly BalancedPriority<H>[];
  /** Of each priority, made when it is first needed. */
  readonly #tables: (HashTable<H> | null)[];
  readonly #load: PriorityLoad;

  constructor(priorities: readonly BalancedPriority<H>[], options: LoadBalancerOptions) {
    this.#options = options;
    this.#priorities = priorities;
    this.#tables = priorities.map(() => null);
    this.#load = computeLoadOfPriorities(priorities, options.overprovisioningFactor, options.model.healthyPanicThreshold);
  }

  pick(hash: bigint | null, _triedPriorities: readonly number[] | null, attempt: number): H | null {
    const { clock, onEvent } = this.#options;
    const wanted = hash ?? randomHash(() => clock.random());
    const { priority } = choosePriority(this.#load, Number(wanted % 100n));
    if (attempt === 0 && this.#load.panic[priority]) onEvent('lb_healthy_panic');
    this.#tables[priority] ??= this.#makeTable(priority);
    return this.#tables[priority].pick(wanted, attempt);
  }

  #makeTable(priority: number): HashTable<H> {
    const { model, clusterActiveRequests } = this.#options;
    const hosts = this.#weigh(this.#priorities[priority], this.#load.panic[priority]);
    const table = model.policy === 'maglev' ? new MaglevTable(hosts, model) : new HashRing(hosts, model);
    return model.hashBalanceFactor === undefined
      ? table
      : new BoundedLoad(table, hosts, model.hashBalanceFactor, clusterActiveRequests);
  }

  #weigh(priority: BalancedPriority<H>, isInPanic: boolean): readonly WeightedHost<H>[] {
    const serves = (host: H) => isInPanic || host.health === 'healthy';
    if (!this.#options.model.localityWeighted) return normalizeWeights(listHosts(priority).filter(serves), 1);
    return normalizeLocalityWeights(priority.localities.map(({ weight, hosts }) => ({ weight, hosts: hosts.filter(serves) })));
  }
}
