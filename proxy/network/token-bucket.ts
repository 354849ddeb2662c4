/**
 * A token bucket whose whole state is one number: the moment at which it was empty. Tokens are the time since then times the
 * rate, at most `maxTokens`; taking some moves the moment forward. Threads that share the cell share the bucket.
 *
 * Source: Envoy's AtomicTokenBucketImpl.
 */
import type { TokenBucketModel } from '../config/model/rate-limit.ts';

/** Where the state is: the bits of a double, seconds on the monotonic clock of all threads. */
export interface BucketCell {
  readonly cells: BigInt64Array;
  readonly index: number;
}

const number = new Float64Array(1);
const bits = new BigInt64Array(number.buffer);

function toBits(value: number): bigint {
  number[0] = value;
  return bits[0];
}

function fromBits(value: bigint): number {
  bits[0] = value;
  return number[0];
}

/** The state of a bucket that nobody has used: full. */
export const fullBucket = toBits(Number.NEGATIVE_INFINITY);

/** A cell that no other thread sees. */
export function makeOwnCell(): BucketCell {
  return { cells: new BigInt64Array([fullBucket]), index: 0 };
}

/** Threads have different origins for `performance.now`. */
const readSeconds = (): number => Number(process.hrtime.bigint()) / 1e9;

export class TokenBucket {
  readonly maxTokens: number;
  readonly tokensPerSecond: number;
  readonly #cell: BucketCell;
  readonly #now: () => number;

  /** `now`: monotonic seconds, the same for everybody who has the cell. */
  constructor(
    model: Pick<TokenBucketModel, 'maxTokens' | 'tokensPerFill' | 'fillIntervalMs'>,
    cell = makeOwnCell(),
    now = readSeconds,
  ) {
    this.maxTokens = model.maxTokens;
    this.tokensPerSecond = (model.tokensPerFill * 1000) / model.fillIntervalMs;
    this.#cell = cell;
    this.#now = now;
  }

  /** Takes a token; false if there is none. */
  consume(): boolean {
    const { cells, index } = this.#cell;
    const now = this.#now();
    let seen = Atomics.load(cells, index);
    for (;;) {
      const tokens = this.#tokensAt(now, seen);
      if (tokens < 1) return false;
      const emptyAt = toBits(now - (tokens - 1) / this.tokensPerSecond);
      const before = Atomics.compareExchange(cells, index, seen, emptyAt);
      if (before === seen) return true;
      seen = before;
    }
  }

  /** Tokens left, with a fraction. */
  get remaining(): number {
    return this.#tokensAt(this.#now(), Atomics.load(this.#cell.cells, this.#cell.index));
  }

  /** Until there is a token; 0 if there is one. */
  get secondsToNext(): number {
    const { remaining } = this;
    return remaining >= 1 ? 0 : (1 - remaining) / this.tokensPerSecond;
  }

  #tokensAt(now: number, state: bigint): number {
    return Math.min(this.maxTokens, (now - fromBits(state)) * this.tokensPerSecond);
  }
}
