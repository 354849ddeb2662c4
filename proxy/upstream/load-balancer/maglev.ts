/**
 * Maglev: a prime-sized table that the hosts fill in turns, each along its own permutation.
 *
 * Source: Envoy's Maglev balancer (hash seeds 0 and 1, weighted turns).
 */
import type { LoadBalancerModel } from '../../config/model/cluster.ts';
import type { BalancedHost } from './balanced-host.ts';
import { normalizeWeights, randomHash, readHashKey } from './hash-key.ts';
import { hashText } from './xxhash64.ts';

interface Builder {
  readonly offset: number;
  readonly skip: number;
  readonly weight: number;
  target: number;
  next: number;
}

export class MaglevPicker<H extends BalancedHost> {
  readonly #table: Uint32Array;
  readonly #hosts: readonly H[];
  readonly #size: bigint;
  readonly #random: () => number;

  constructor(hosts: readonly H[], model: LoadBalancerModel, random: () => number) {
    this.#random = random;
    this.#size = BigInt(model.maglevTableSize);
    this.#hosts = [...hosts].sort((a, b) => compareKeys(a, b, model.useHostnameForHashing));
    this.#table = fillTable(this.#hosts, model);
  }

  pick(hash: bigint | null): H {
    return this.#hosts[this.#table[Number((hash ?? randomHash(this.#random)) % this.#size)]];
  }
}

/** The table must not depend on the order in which hosts arrive. */
function compareKeys(a: BalancedHost, b: BalancedHost, usesHostname: boolean): number {
  const left = readHashKey(a, usesHostname);
  const right = readHashKey(b, usesHostname);
  return left < right ? -1 : left > right ? 1 : 0;
}

function fillTable(hosts: readonly BalancedHost[], model: LoadBalancerModel): Uint32Array {
  const size = model.maglevTableSize;
  const weights = normalizeWeights(hosts);
  const heaviest = Math.max(...weights);
  const builders: Builder[] = hosts.map((host, index) => {
    const key = readHashKey(host, model.useHostnameForHashing);
    return {
      offset: Number(hashText(key) % BigInt(size)),
      skip: Number(hashText(key, 1n) % BigInt(size - 1)) + 1,
      weight: weights[index],
      target: 0,
      next: 0,
    };
  });
  const free = 0xffff_ffff;
  const table = new Uint32Array(size).fill(free);
  let filled = 0;
  for (let turn = 1; filled < size; turn++) {
    for (let index = 0; index < builders.length && filled < size; index++) {
      const builder = builders[index];
      // A lighter host sits out the turns its weight does not pay for.
      if (turn * builder.weight < builder.target) continue;
      builder.target += heaviest;
      let place = (builder.offset + builder.skip * builder.next) % size;
      while (table[place] !== free) place = (builder.offset + builder.skip * ++builder.next) % size;
      table[place] = index;
      builder.next++;
      filled++;
    }
  }
  return table;
}
