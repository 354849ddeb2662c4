/**
 * Ketama ring: each host takes places in proportion to its weight, a hash goes to the next place clockwise.
 *
 * Source: Envoy's ring hash balancer: places are xxHash64 of `<key>_<index>`.
 */
import type { LoadBalancerModel } from '../../config/model/cluster.ts';
import type { BalancedHost } from './balanced-host.ts';
import { readHashKey, type WeightedHost } from './hash-key.ts';
import { hashText } from './xxhash64.ts';

export class HashRing<H extends BalancedHost> {
  readonly #hashes: BigUint64Array;
  readonly #owners: readonly H[];

  constructor(hosts: readonly WeightedHost<H>[], model: LoadBalancerModel) {
    const ring = buildRing(hosts, model);
    this.#hashes = BigUint64Array.from(ring, place => place.hash);
    this.#owners = ring.map(place => place.host);
  }

  get size(): number {
    return this.#owners.length;
  }

  /** Null if the ring is empty. `attempt`: how many places further, since hosts before were refused. */
  pick(hash: bigint, attempt: number): H | null {
    const hashes = this.#hashes;
    if (hashes.length === 0) return null;
    let low = 0;
    let high = hashes.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (hashes[middle] < hash) low = middle + 1;
      else high = middle;
    }
    return this.#owners[(low + attempt) % hashes.length];
  }
}

function buildRing<H extends BalancedHost>(
  hosts: readonly WeightedHost<H>[],
  model: LoadBalancerModel,
): { hash: bigint; host: H }[] {
  const minimum = hosts.reduce((least, { weight }) => Math.min(least, weight), 1);
  // Every host gets a whole number of places: the ring is scaled so that the lightest does, within the bounds.
  const scale = Math.min(Math.ceil(minimum * model.minimumRingSize) / minimum, model.maximumRingSize);
  const ring: { hash: bigint; host: H }[] = [];
  let target = 0;
  let placed = 0;
  for (const { host, weight } of hosts) {
    const key = readHashKey(host, model.useHostnameForHashing);
    target += scale * weight;
    for (let i = 0; placed < target; i++, placed++) ring.push({ hash: hashText(`${key}_${i}`), host });
  }
  return ring.sort((a, b) => (a.hash < b.hash ? -1 : a.hash > b.hash ? 1 : 0));
}
