/**
 * Maglev: a prime-sized table that the hosts fill in turns, each along its own permutation.
 *
 * Source: Envoy's Maglev balancer (hash seeds 0 and 1, weighted turns).
 */
import type { LoadBalancerModel } from '../../config/model/cluster.ts';
import type { BalancedHost } from './balanced-host.ts';
import { readHashKey, type WeightedHost } from './hash-key.ts';
import { hashText } from './xxhash64.ts';

interface Builder {
  readonly offset: number;
  readonly skip: number;
  readonly weight: number;
  target: number;
  next: number;
}

export class MaglevTable<H extends BalancedHost> {
  readonly #table: Uint32Array;
  readonly #hosts: readonly WeightedHost<H>[];
  readonly #size: bigint;

  constructor(hosts: readonly WeightedHost<H>[], model: LoadBalancerModel) {
    this.#size = BigInt(model.maglevTableSize);
    this.#hosts = [...hosts].sort((a, b) => compareKeys(a.host, b.host, model.useHostnameForHashing));
    this.#table = hosts.length === 0 ? new Uint32Array(0) : fillTable(this.#hosts, model);
  }

  /** Null if the table is empty. `attempt`: how many hosts were refused before; another one is likely, not certain. */
  pick(hash: bigint, attempt: number): H | null {
    if (this.#hosts.length === 0) return null;
    const tried = attempt === 0 ? hash : hash ^ BigInt.asUintN(64, -BigInt(attempt));
    return this.#hosts[this.#table[Number(tried % this.#size)]].host;
  }
}

/** The table must not depend on the order in which hosts arrive. */
function compareKeys(a: BalancedHost, b: BalancedHost, usesHostname: boolean): number {
  const left = readHashKey(a, usesHostname);
  const right = readHashKey(b, usesHostname);
  return left < right ? -1 : left > right ? 1 : 0;
}

function fillTable(hosts: readonly WeightedHost<BalancedHost>[], model: LoadBalancerModel): Uint32Array {
  const size = model.maglevTableSize;
  const heaviest = hosts.reduce((most, { weight }) => Math.max(most, weight), 0);
  const builders: Builder[] = hosts.map(({ host, weight }) => {
    const key = readHashKey(host, model.useHostnameForHashing);
    return {
      offset: Number(hashText(key) % BigInt(size)),
      skip: Number(hashText(key, 1n) % BigInt(size - 1)) + 1,
      weight,
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
