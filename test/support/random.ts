/** Seeded randomness: a failure names its seed, and the seed reproduces it. */

/** mulberry32: 32 bits of state, good enough to choose inputs. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** In [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  }

  /** An integer in [0, limit). */
  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)];
  }
}

/** $FUZZ_SEED (default: today's run has its own) and $FUZZ_COUNT inputs. */
export function fuzzPlan(defaultCount: number): { seed: number; count: number } {
  const seed = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);
  return { seed, count: Number(process.env.FUZZ_COUNT ?? defaultCount) };
}
