/**
 * The shared memory behind one thread's metrics. It is given out in ranges; a range is a view of its own, and what still writes to
 * it holds the view, so that a range whose view was collected can be used again.
 */

/** Cells per block of shared memory. */
const blockCells = 8192;

/**
 * The main thread may still read a range when its metric is gone here: by then it was told. Milliseconds.
 */
const restMs = 5000;

export interface CellRange {
  /** Zeros. */
  readonly cells: Float64Array<SharedArrayBuffer>;
  /** Block and index in one number, above zero: what other threads find the range by. */
  readonly code: number;
}

/** The block and the index that a code stands for. */
export function locateRange(code: number): { readonly block: number; readonly index: number } {
  return { block: Math.floor((code - 1) / blockCells), index: (code - 1) % blockCells };
}

interface FreeRange {
  readonly code: number;
  readonly sinceMs: number;
}

export class StatCells {
  readonly #onBlock: (block: number, cells: Float64Array<SharedArrayBuffer>) => void;
  readonly #now: () => number;
  readonly #blocks: Float64Array<SharedArrayBuffer>[] = [];
  /** Of the last block. */
  #used = blockCells;
  /** By length, in the order in which they became free. */
  readonly #free = new Map<number, FreeRange[]>();
  readonly #collected: FinalizationRegistry<{ readonly code: number; readonly length: number }>;

  /** `onBlock` hears of new memory before any of it is given out. `now`: monotonic milliseconds. */
  constructor(onBlock: (block: number, cells: Float64Array<SharedArrayBuffer>) => void, now: () => number) {
    this.#onBlock = onBlock;
    this.#now = now;
    this.#collected = new FinalizationRegistry(({ code, length }) => {
      const ranges = this.#free.get(length);
      const range = { code, sinceMs: this.#now() };
      if (ranges === undefined) this.#free.set(length, [range]);
      else ranges.push(range);
    });
  }

  /** Few lengths are asked for: a range is used again for the same length only. */
  take(length: number): CellRange {
    const code = this.#takeFree(length) ?? this.#takeNew(length);
    const { block, index } = locateRange(code);
    const cells = this.#blocks[block].subarray(index, index + length);
    cells.fill(0);
    this.#collected.register(cells, { code, length });
    return { cells, code };
  }

  #takeFree(length: number): number | null {
    const ranges = this.#free.get(length);
    if (ranges === undefined || ranges.length === 0 || this.#now() - ranges[0].sinceMs < restMs) return null;
    return (ranges.shift() as FreeRange).code;
  }

  #takeNew(length: number): number {
    if (this.#used + length > blockCells) {
      const cells = new Float64Array(new SharedArrayBuffer(blockCells * 8));
      this.#onBlock(this.#blocks.length, cells);
      this.#blocks.push(cells);
      this.#used = 0;
    }
    const code = (this.#blocks.length - 1) * blockCells + this.#used + 1;
    this.#used += length;
    return code;
  }
}
