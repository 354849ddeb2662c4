/** Counters, gauges and histograms: each writes to cells that only its thread writes to. */
import { bucketOf, bucketsPerDecade, decadeCount, smallBuckets } from './log-linear-buckets.ts';
import { type CellRange, locateRange } from './stat-cells.ts';

/** Never decreases. */
export class Counter {
  readonly #cells: Float64Array;
  readonly #index: number;
  constructor(cells: Float64Array, index: number) {
    this.#cells = cells;
    this.#index = index;
  }
  inc(): void {
    this.#cells[this.#index]++;
  }
  add(amount: number): void {
    this.#cells[this.#index] += amount;
  }
  get value(): number {
    return this.#cells[this.#index];
  }
}

/** Second cell of a gauge that this thread only set, and of one that it also added to; 0: never written. */
export const gaugeSet = 1;
export const gaugeAdded = 2;

/** Two cells: the value, and how it was written. */
export class Gauge {
  readonly #cells: Float64Array;
  readonly #index: number;
  constructor(cells: Float64Array, index: number) {
    this.#cells = cells;
    this.#index = index;
  }
  set(value: number): void {
    this.#cells[this.#index] = value;
    this.#cells[this.#index + 1] ||= gaugeSet;
  }
  add(amount: number): void {
    this.#cells[this.#index] += amount;
    this.#cells[this.#index + 1] = gaugeAdded;
  }
  inc(): void {
    this.add(1);
  }
  dec(): void {
    this.add(-1);
  }
  get value(): number {
    return this.#cells[this.#index];
  }
}

/** A string that is shown beside the numbers. */
export class TextReadout {
  text = '';
  set(text: string): void {
    this.text = text;
  }
}

/** Cells of a histogram: sum, count, the small buckets, and where the buckets of each decade are. */
export const histogramCells = 2 + smallBuckets + decadeCount;

/** Buckets of a decade exist once a value fell there: most histograms need one or two. */
export class Histogram {
  readonly #cells: Float64Array;
  readonly #index: number;
  readonly #allocate: (() => CellRange) | null;
  readonly #decades: (CellRange | undefined)[] = [];

  /** `allocate` makes room for a decade; null: nothing is kept. */
  constructor(cells: Float64Array, index: number, allocate: (() => CellRange) | null) {
    this.#cells = cells;
    this.#index = index;
    this.#allocate = allocate;
  }

  /** Records one value in the histogram's unit (milliseconds or bytes), as a whole number. */
  record(value: number): void {
    if (this.#allocate === null) return;
    const cells = this.#cells;
    const start = this.#index;
    cells[start] += value > 0 ? Math.floor(value) : 0;
    cells[start + 1]++;
    const bucket = bucketOf(value);
    if (bucket < smallBuckets) {
      cells[start + 2 + bucket]++;
      return;
    }
    const decade = Math.floor((bucket - smallBuckets) / bucketsPerDecade);
    const range = this.#decades[decade] ?? this.#openDecade(decade, this.#allocate);
    range.cells[(bucket - smallBuckets) % bucketsPerDecade]++;
  }

  #openDecade(decade: number, allocate: () => CellRange): CellRange {
    const range = allocate();
    this.#decades[decade] = range;
    this.#cells[this.#index + 2 + smallBuckets + decade] = range.code;
    return range;
  }
}

/**
 * Calls back for each bucket of a histogram that holds values, in ascending order. A block that is not known yet is left out:
 * its values show in the next reading.
 */
export function readHistogramCells(
  { cells, index }: { readonly cells: Float64Array; readonly index: number },
  blocks: ReadonlyMap<number, Float64Array>,
  onBucket: (bucket: number, count: number) => void,
): void {
  for (let bucket = 0; bucket < smallBuckets; bucket++) {
    const count = cells[index + 2 + bucket];
    if (count > 0) onBucket(bucket, count);
  }
  for (let decade = 0; decade < decadeCount; decade++) {
    const code = cells[index + 2 + smallBuckets + decade];
    if (code === 0) continue;
    const place = locateRange(code);
    const block = blocks.get(place.block);
    if (block === undefined) continue;
    for (let i = 0; i < bucketsPerDecade; i++) {
      const count = block[place.index + i];
      if (count > 0) onBucket(smallBuckets + decade * bucketsPerDecade + i, count);
    }
  }
}
