/**
 * The token buckets of all workers, in one piece of shared memory: workers that attach to the same id get the same bucket. A lock
 * guards the table, and only it: buckets are made with configuration, and used without the lock.
 */
import type { TokenBucketModel } from '../config/model/rate-limit.ts';
import { fullBucket, TokenBucket } from './token-bucket.ts';

/** Buckets at one time; those beyond count per worker. */
const maxBuckets = 16_384;

/** Cells in front of the table. */
const Field = { lock: 0, used: 1 } as const;
const headerCells = 2;
/** Two halves of the id, and how many buckets of all workers have the slot. */
const Slot = { idHigh: 0, idLow: 1, holders: 2 } as const;
const slotCells = 4;

const stateBytes = maxBuckets * BigInt64Array.BYTES_PER_ELEMENT;

/** The operating system gives memory to what is touched. */
export function allocateTokenBuckets(): SharedArrayBuffer {
  return new SharedArrayBuffer(stateBytes + (headerCells + maxBuckets * slotCells) * Int32Array.BYTES_PER_ELEMENT);
}

export class SharedTokenBuckets {
  readonly #states: BigInt64Array;
  readonly #cells: Int32Array;
  readonly #collected = new FinalizationRegistry<number>(slot => this.#release(slot));

  constructor(buffer: SharedArrayBuffer) {
    this.#states = new BigInt64Array(buffer, 0, maxBuckets);
    this.#cells = new Int32Array(buffer, stateBytes);
  }

  /** The bucket of the model's id. It starts full, and stays as long as anything on any worker holds it. */
  attach(model: TokenBucketModel): TokenBucket {
    const slot = this.#locked(() =>
      this.#hold(Number.parseInt(model.id.slice(0, 8), 16) | 0, Number.parseInt(model.id.slice(8), 16) | 0),
    );
    if (slot === -1) return new TokenBucket(model);
    const bucket = new TokenBucket(model, { cells: this.#states, index: slot });
    this.#collected.register(bucket, slot);
    return bucket;
  }

  #hold(idHigh: number, idLow: number): number {
    const cells = this.#cells;
    let free = -1;
    for (let slot = 0; slot < cells[Field.used]; slot++) {
      const at = headerCells + slot * slotCells;
      if (cells[at + Slot.holders] === 0) free = slot;
      else if (cells[at + Slot.idHigh] === idHigh && cells[at + Slot.idLow] === idLow) {
        cells[at + Slot.holders]++;
        return slot;
      }
    }
    if (free === -1 && cells[Field.used] < maxBuckets) free = cells[Field.used]++;
    if (free === -1) return -1;
    const at = headerCells + free * slotCells;
    cells[at + Slot.idHigh] = idHigh;
    cells[at + Slot.idLow] = idLow;
    cells[at + Slot.holders] = 1;
    Atomics.store(this.#states, free, fullBucket);
    return free;
  }

  #release(slot: number): void {
    this.#locked(() => this.#cells[headerCells + slot * slotCells + Slot.holders]--);
  }

  #locked<T>(run: () => T): T {
    const cells = this.#cells;
    while (Atomics.compareExchange(cells, Field.lock, 0, 1) !== 0) Atomics.wait(cells, Field.lock, 1);
    try {
      return run();
    } finally {
      Atomics.store(cells, Field.lock, 0);
      Atomics.notify(cells, Field.lock, 1);
    }
  }
}
