/**
 * Consistent hashing with bounded loads: no host gets more requests at once than `balanceFactor` percent of its share. One that
 * has them passes a request on along a sequence of hosts that follows from the hash alone.
 *
 * Source: Envoy's BoundedLoadHashingLoadBalancer; arXiv 1608.01350 and 1908.08762.
 */
import type { BalancedHost } from './balanced-host.ts';
import type { WeightedHost } from './hash-key.ts';
import { MersenneTwister } from './mersenne-twister.ts';

export class BoundedLoad<H extends BalancedHost> {
  readonly #table: { pick(hash: bigint, attempt: number): H | null };
  readonly #hosts: readonly WeightedHost<H>[];
  readonly #weights: ReadonlyMap<H, number>;
  readonly #balanceFactor: number;
  readonly #clusterActiveRequests: () => number;

  constructor(
    table: { pick(hash: bigint, attempt: number): H | null },
    hosts: readonly WeightedHost<H>[],
    balanceFactor: number,
    clusterActiveRequests: () => number,
  ) {
    this.#table = table;
    this.#hosts = hosts;
    this.#weights = new Map(hosts.map(({ host, weight }) => [host, weight]));
    this.#balanceFactor = balanceFactor;
    this.#clusterActiveRequests = clusterActiveRequests;
  }

  pick(hash: bigint, attempt: number): H | null {
    const first = this.#table.pick(hash, attempt);
    if (first === null) return null;
    const slots = Math.floor(((this.#clusterActiveRequests() + 1) * this.#balanceFactor + 99) / 100);
    const overload = (host: H, weight: number) => host.activeRequests / Math.max(1, Math.ceil(slots * weight));
    let least = overload(first, this.#weights.get(first) ?? 0);
    if (least <= 1) return first;
    let leastLoaded = first;
    for (const { host, weight } of shuffle(this.#hosts, hash)) {
      if (host === first) continue;
      const load = overload(host, weight);
      if (load <= 1) return host;
      if (load < least) {
        leastLoaded = host;
        least = load;
      }
    }
    return leastLoaded;
  }
}

/** In an order that only the hash decides. */
function* shuffle<T>(items: readonly T[], hash: bigint): Iterable<T> {
  const random = new MersenneTwister(Number(hash & 0xffff_ffffn));
  const order = [...items];
  for (let i = 0; i < order.length; i++) {
    const other = i + random.nextBelow(order.length - i);
    [order[i], order[other]] = [order[other], order[i]];
    yield order[i];
  }
}
