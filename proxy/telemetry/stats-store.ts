/**
 * The metrics of one thread, in shared memory that only this thread writes and the main thread reads and sums over threads. They
 * are made by scopes, as Envoy's are: a metric exists as long as a scope that asked for it. A name that the stats matcher rejects
 * costs nothing: its metric writes to a cell nobody reads.
 */
import { bucketsPerDecade } from './log-linear-buckets.ts';
import { type CellRange, locateRange, StatCells } from './stat-cells.ts';
import type { StatFamilyName } from './stat-families.ts';
import { Counter, Gauge, Histogram, histogramCells, TextReadout } from './stat-metrics.ts';

export type { Counter, Gauge, Histogram, TextReadout };

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
  /** Text has no cells: only the main thread can register it. */
  registerText?(name: string, readout: TextReadout): void;
  /** The metric of this thread is gone: its last scope was released. */
  unregister?(kind: StatKind, name: string): void;
  /** Says that a family of names exists below `scope`, whether or not any of them is ever counted. */
  declare?(scope: string, family: StatFamilyName): void;
  /** Takes one such statement back. */
  undeclare?(scope: string, family: StatFamilyName): void;
}

export interface StatsStoreOptions {
  /** The bootstrap's stats matcher. */
  readonly isIncluded: (name: string) => boolean;
  readonly sink: StatSink;
  /** Monotonic milliseconds. */
  readonly now?: () => number;
}

type Metric = Counter | Gauge | Histogram | TextReadout;

/** Metrics of rejected names and of released scopes. */
const ignoredCells = new Float64Array(2);
const ignored: { readonly [K in StatKind]: Metric } = {
  counter: new Counter(ignoredCells, 0),
  gauge: new Gauge(ignoredCells, 0),
  histogram: new Histogram(ignoredCells, 0, null),
  'text-readout': new TextReadout(),
};

type CellKind = Exclude<StatKind, 'text-readout'>;
/** A scope takes cells in ranges of this many, for its counters and gauges or for one histogram. */
const rangeCells = 32;
const cellsOf: { readonly [K in CellKind]: number } = { counter: 1, gauge: 2, histogram: histogramCells };

/** What the scopes of one thread share. */
class ThreadMetrics {
  readonly options: StatsStoreOptions;
  readonly cells: StatCells;
  readonly byName = new Map<string, { readonly kind: StatKind; readonly metric: Metric; scopes: number }>();

  constructor(options: StatsStoreOptions) {
    this.options = options;
    this.cells = new StatCells((block, cells) => options.sink.addBlock(block, cells), options.now ?? (() => performance.now()));
  }
}

/** One scope. Makes metrics by name; the same name gives the same metric, in every scope of the thread. */
export class StatsStore {
  readonly #thread: ThreadMetrics;
  readonly #metrics = new Map<string, Metric>();
  readonly #declared = new Map<string, readonly [scope: string, family: StatFamilyName]>();
  #range: CellRange | null = null;
  #used = 0;
  #isReleased = false;

  constructor(options: StatsStoreOptions, thread = new ThreadMetrics(options)) {
    this.#thread = thread;
  }

  /** A scope of its own, for what may be gone before this one. */
  createScope(): StatsStore {
    return new StatsStore(this.#thread.options, this.#thread);
  }

  counter(name: string, tagExtractedName: string | null = null, tags: readonly Tag[] | null = null): Counter {
    return (this.#metrics.get(name) ?? this.#hold('counter', name, tagExtractedName, tags)) as Counter;
  }

  gauge(name: string, tagExtractedName: string | null = null, tags: readonly Tag[] | null = null): Gauge {
    return (this.#metrics.get(name) ?? this.#hold('gauge', name, tagExtractedName, tags)) as Gauge;
  }

  histogram(name: string, tagExtractedName: string | null = null, tags: readonly Tag[] | null = null): Histogram {
    return (this.#metrics.get(name) ?? this.#hold('histogram', name, tagExtractedName, tags)) as Histogram;
  }

  textReadout(name: string): TextReadout {
    return (this.#metrics.get(name) ?? this.#hold('text-readout', name, null, null)) as TextReadout;
  }

  /** Makes the names of a family visible; `scope` ends with a dot or is empty. */
  declare(scope: string, family: StatFamilyName): void {
    const key = `${family} ${scope}`;
    if (this.#isReleased || this.#declared.has(key)) return;
    this.#declared.set(key, [scope, family]);
    this.#thread.options.sink.declare?.(scope, family);
  }

  /** Ends the scope: metrics of no other scope are gone. Who still has one of them may go on writing to it. */
  release(): void {
    const { byName, options } = this.#thread;
    this.#isReleased = true;
    for (const name of this.#metrics.keys()) {
      const entry = byName.get(name);
      if (entry === undefined || --entry.scopes > 0) continue;
      byName.delete(name);
      options.sink.unregister?.(entry.kind, name);
    }
    this.#metrics.clear();
    for (const [scope, family] of this.#declared.values()) options.sink.undeclare?.(scope, family);
    this.#declared.clear();
    this.#range = null;
  }

  #hold(kind: StatKind, name: string, tagExtractedName: string | null, tags: readonly Tag[] | null): Metric {
    if (this.#isReleased) return ignored[kind];
    const metric = this.#find(kind, name, tagExtractedName, tags);
    this.#metrics.set(name, metric);
    return metric;
  }

  #find(kind: StatKind, name: string, tagExtractedName: string | null, tags: readonly Tag[] | null): Metric {
    const { byName, options } = this.#thread;
    const known = byName.get(name);
    if (known !== undefined) {
      known.scopes++;
      return known.metric;
    }
    if (!options.isIncluded(name)) return ignored[kind];
    const metric = kind === 'text-readout' ? this.#makeText(name) : this.#makeNumber(kind, name, tagExtractedName, tags);
    byName.set(name, { kind, metric, scopes: 1 });
    return metric;
  }

  #makeText(name: string): TextReadout {
    const readout = new TextReadout();
    this.#thread.options.sink.registerText?.(name, readout);
    return readout;
  }

  #makeNumber(kind: CellKind, name: string, tagExtractedName: string | null, tags: readonly Tag[] | null): Metric {
    const { cells, index, code } = this.#allocate(cellsOf[kind]);
    this.#thread.options.sink.register({ kind, name, tagExtractedName, tags, ...locateRange(code) });
    if (kind === 'histogram') return new Histogram(cells, index, this.#takeDecade);
    if (kind === 'gauge') return new Gauge(cells, index);
    // A counter that was never touched (`usedonly`) holds -0: any addition, also of 0, makes it a plain number.
    cells[index] = -0;
    return new Counter(cells, index);
  }

  readonly #takeDecade = (): CellRange => this.#thread.cells.take(bucketsPerDecade);

  #allocate(length: number): CellRange & { readonly index: number } {
    if (this.#range === null || this.#used + length > rangeCells) {
      this.#range = this.#thread.cells.take(rangeCells);
      this.#used = 0;
    }
    const index = this.#used;
    this.#used += length;
    return { cells: this.#range.cells, index, code: this.#range.code + index };
  }
}
