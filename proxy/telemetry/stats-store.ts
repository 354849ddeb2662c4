/**
 * Counters, gauges and histograms of one thread, in shared memory that only this thread writes and the main thread reads and
 * sums over threads. A name that the stats matcher rejects costs nothing: its metric writes to a cell nobody reads.
 */
import type { StatFamilyName } from './stat-families.ts';
import { bucketOf, bucketsPerDecade, decadeCount, smallBuckets } from './log-linear-buckets.ts';

/** Cells per block of shared memory. */
const blockCells = 8192;

export type StatKind = 'counter' | 'gauge' | 'histogram' | 'text-readout';
export type Tag = readonly [name: string, value: string];

/** Announces a metric to the main thread: where its cells are. */
export interface StatRegistration {
  readonly kind: StatKind;
  /** Full name, as in /stats. */
  readonly name: string;
  /** Set when the producer knows the tags; otherwise the tag extraction regexes find them. */
  readonly tagExtractedName: string | null;
  readonly tags: readonly Tag[] | null;
  readonly block: number;
  readonly index: number;
}

/** Where registrations and new blocks go: the main thread's merger, by message from a worker or directly. */
export interface StatSink {
  addBlock(block: number, cells: Float64Array<SharedArrayBuffer>): void;
  register(registration: StatRegistration): void;
  /** Says that a family of names exists below `scope`, whether or not any of them is ever counted. */
  declare?(scope: string, family: StatFamilyName): void;
}

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

/** Cells of a histogram: sum, count, the small buckets, and where the buckets of each decade are. */
const histogramCells = 2 + smallBuckets + decadeCount;

interface CellRange {
  readonly cells: Float64Array;
  readonly index: number;
  /** Block and index in one number, above zero: what other threads find the range by. */
  readonly code: number;
}

/** The block and the index that a code stands for. */
export function locateRange(code: number): { readonly block: number; readonly index: number } {
  return { block: Math.floor((code - 1) / blockCells), index: (code - 1) % blockCells };
}

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
    range.cells[range.index + ((bucket - smallBuckets) % bucketsPerDecade)]++;
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

export interface StatsStoreOptions {
  /** The bootstrap's stats matcher. */
  readonly isIncluded: (name: string) => boolean;
  readonly sink: StatSink;
}

/** Makes metrics by name; the same name gives the same metric. */
export class StatsStore {
  readonly #options: StatsStoreOptions;
  readonly #metrics = new Map<string, Counter | Gauge | Histogram>();
  #cells = new Float64Array(new SharedArrayBuffer(0));
  #block = -1;
  #used = 0;
  readonly #scratch = new Float64Array(2);

  constructor(options: StatsStoreOptions) {
    this.#options = options;
  }

  counter(name: string, tagExtractedName: string | null = null, tags: readonly Tag[] | null = null): Counter {
    let metric = this.#metrics.get(name) as Counter | undefined;
    if (metric === undefined) {
      metric = this.#isIncluded(name)
        ? new Counter(this.#cells, this.#allocate('counter', name, 1, tagExtractedName, tags))
        : new Counter(this.#scratch, 0);
      this.#metrics.set(name, metric);
    }
    return metric;
  }

  gauge(name: string, tagExtractedName: string | null = null, tags: readonly Tag[] | null = null): Gauge {
    let metric = this.#metrics.get(name) as Gauge | undefined;
    if (metric === undefined) {
      metric = this.#isIncluded(name)
        ? new Gauge(this.#cells, this.#allocate('gauge', name, 2, tagExtractedName, tags))
        : new Gauge(this.#scratch, 0);
      this.#metrics.set(name, metric);
    }
    return metric;
  }

  histogram(name: string, tagExtractedName: string | null = null, tags: readonly Tag[] | null = null): Histogram {
    let metric = this.#metrics.get(name) as Histogram | undefined;
    if (metric === undefined) {
      metric = this.#isIncluded(name)
        ? new Histogram(
            this.#cells,
            this.#allocate('histogram', name, histogramCells, tagExtractedName, tags),
            this.#allocateDecade,
          )
        : new Histogram(this.#scratch, 0, null);
      this.#metrics.set(name, metric);
    }
    return metric;
  }

  /** Makes the names of a family visible; `scope` ends with a dot or is empty. */
  declare(scope: string, family: StatFamilyName): void {
    this.#options.sink.declare?.(scope, family);
  }

  #isIncluded(name: string): boolean {
    if (!this.#options.isIncluded(name)) return false;
    if (this.#used + histogramCells > this.#cells.length) this.#addBlock();
    return true;
  }

  readonly #allocateDecade = (): CellRange => {
    if (this.#used + bucketsPerDecade > this.#cells.length) this.#addBlock();
    const index = this.#used;
    this.#used += bucketsPerDecade;
    return { cells: this.#cells, index, code: this.#block * blockCells + index + 1 };
  };

  #addBlock(): void {
    this.#cells = new Float64Array(new SharedArrayBuffer(blockCells * 8));
    this.#block++;
    this.#used = 0;
    this.#options.sink.addBlock(this.#block, this.#cells);
  }

  #allocate(kind: StatKind, name: string, cells: number, tagExtractedName: string | null, tags: readonly Tag[] | null): number {
    const index = this.#used;
    this.#used += cells;
    // A counter that was never touched (`usedonly`) holds -0: any addition, also of 0, makes it a plain number.
    if (kind === 'counter') this.#cells[index] = -0;
    this.#options.sink.register({ kind, name, tagExtractedName, tags, block: this.#block, index });
    return index;
  }
}
