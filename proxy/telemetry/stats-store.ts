/**
 * Counters, gauges and histograms of one thread, in shared memory that only this thread writes and the main thread reads and
 * sums over threads. A name that the stats matcher rejects costs nothing: its metric writes to a cell nobody reads.
 */

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

/** Upper bounds of Envoy's default buckets; the last cell is +Inf. Istio's annotations may replace them per name. */
export const defaultHistogramBounds: readonly number[] = [
  0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000,
];

/** Cells: sum, count, then one per bucket (not cumulative). */
export class Histogram {
  readonly #cells: Float64Array;
  readonly #index: number;
  readonly bounds: readonly number[];
  constructor(cells: Float64Array, index: number, bounds: readonly number[]) {
    this.#cells = cells;
    this.#index = index;
    this.bounds = bounds;
  }
  /** Records one value in the histogram's unit (milliseconds or bytes). */
  record(value: number): void {
    const cells = this.#cells;
    const start = this.#index;
    cells[start] += value;
    cells[start + 1]++;
    const bounds = this.bounds;
    let bucket = 0;
    while (bucket < bounds.length && value > bounds[bucket]) bucket++;
    cells[start + 2 + bucket]++;
  }
}

export interface StatsStoreOptions {
  /** The bootstrap's stats matcher. */
  readonly isIncluded: (name: string) => boolean;
  readonly histogramBounds: (name: string) => readonly number[];
  readonly sink: StatSink;
}

/** Makes metrics by name; the same name gives the same metric. */
export class StatsStore {
  readonly #options: StatsStoreOptions;
  readonly #metrics = new Map<string, Counter | Gauge | Histogram>();
  #cells = new Float64Array(new SharedArrayBuffer(0));
  #block = -1;
  #used = 0;
  readonly #scratch = new Float64Array(2 + 64);

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
      const bounds = this.#options.histogramBounds(name);
      metric = this.#isIncluded(name)
        ? new Histogram(this.#cells, this.#allocate('histogram', name, bounds.length + 3, tagExtractedName, tags), bounds)
        : new Histogram(this.#scratch, 0, bounds);
      this.#metrics.set(name, metric);
    }
    return metric;
  }

  #isIncluded(name: string): boolean {
    if (!this.#options.isIncluded(name)) return false;
    if (this.#used + 64 + 3 > this.#cells.length) this.#addBlock();
    return true;
  }

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
