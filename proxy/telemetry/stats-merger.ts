/**
 * All metrics of the process, merged over threads. Every thread's StatsStore announces its metrics to a sink of this merger;
 * values are read from shared memory when a snapshot is taken.
 */
import { type BucketCounts, noCounts, readCounts, subtractCounts } from './bucket-counts.ts';
import { type StatFamilyName, statFamilies } from './stat-families.ts';
import type { TagExtractor } from './tag-extractor.ts';
import { gaugeSet, type StatKind, type StatRegistration, type StatSink, type Tag } from './stats-store.ts';

type Cells = Float64Array<SharedArrayBuffer>;

export interface HistogramSnapshot {
  /** Upper bounds to show values by. */
  readonly bounds: readonly number[];
  readonly sum: number;
  readonly count: number;
  readonly cumulative: BucketCounts;
  /** Of the last complete flush interval. */
  readonly interval: BucketCounts;
}

/** One metric at one moment. */
export interface MetricSnapshot {
  readonly kind: StatKind;
  readonly name: string;
  readonly tagExtractedName: string;
  readonly tags: readonly Tag[];
  /** Of counters and gauges. */
  readonly value: number;
  /** Was ever written. */
  readonly used: boolean;
  readonly histogram: HistogramSnapshot | null;
  /** Of text readouts. */
  readonly text: string;
}

interface MetricPart {
  readonly cells: Cells;
  readonly index: number;
  /** Of the thread: a histogram's values are spread over them. */
  readonly blocks: ReadonlyMap<number, Cells>;
}

interface MergedMetric {
  readonly kind: StatKind;
  readonly name: string;
  tagExtractedName: string | null;
  tags: readonly Tag[] | null;
  readonly bounds: readonly number[];
  readonly parts: MetricPart[];
  /** What reset_counters has forgotten. */
  counterBase: number;
  text: string;
  /** Of histograms: values as of the last flush, and those of the interval before it. */
  flushed: BucketCounts;
  interval: BucketCounts;
}

export interface StatsMergerOptions {
  readonly tagExtractor: TagExtractor;
  /** The bootstrap's stats matcher; null: everything. */
  readonly isIncluded?: (name: string) => boolean;
  readonly histogramBounds: (name: string) => readonly number[];
  /** Intervals of histograms end when a snapshot is taken, not with `flushIntervals`. */
  readonly flushOnSnapshot?: boolean;
}

/** A string that is shown beside the numbers. */
export interface TextReadout {
  set(text: string): void;
}

export class StatsMerger {
  readonly #options: StatsMergerOptions;
  readonly #metrics: { readonly [K in StatKind]: Map<string, MergedMetric> } = {
    counter: new Map(),
    gauge: new Map(),
    histogram: new Map(),
    'text-readout': new Map(),
  };
  /** Declared since the last reading; made then, as most are never read. */
  readonly #declared = new Map<string, readonly [scope: string, family: StatFamilyName]>();
  readonly #refreshers: (() => void)[] = [];

  constructor(options: StatsMergerOptions) {
    this.#options = options;
  }

  /** A sink for the StatsStore of one thread. */
  createSink(): StatSink {
    const blocks = new Map<number, Cells>();
    return {
      addBlock: (block, cells) => {
        blocks.set(block, cells);
      },
      register: registration => {
        const cells = blocks.get(registration.block);
        if (cells === undefined) throw new Error(`stats block ${registration.block} was not announced`);
        this.#register(registration, cells, blocks);
      },
      declare: (scope, family) => {
        this.#declared.set(`${family} ${scope}`, [scope, family]);
      },
    };
  }

  textReadout(name: string): TextReadout {
    const metric = this.#ensure('text-readout', name, null, null);
    return {
      set: text => {
        metric.text = text;
      },
    };
  }

  /** Calls `refresh` before each snapshot: for gauges that are computed when they are read. */
  onSnapshot(refresh: () => void): void {
    this.#refreshers.push(refresh);
  }

  /** Every metric, sorted by kind (counters, gauges, text readouts, histograms), not by name. */
  snapshot(): MetricSnapshot[] {
    for (const refresh of this.#refreshers) refresh();
    this.#makeDeclared();
    if (this.#options.flushOnSnapshot) this.flushIntervals();
    const snapshots: MetricSnapshot[] = [];
    for (const kind of ['counter', 'gauge', 'text-readout', 'histogram'] as const) {
      for (const metric of this.#metrics[kind].values()) snapshots.push(this.#read(metric));
    }
    return snapshots;
  }

  /** The merged value of a counter or gauge, 0 if there is none. */
  valueOf(kind: 'counter' | 'gauge', name: string): number {
    const metric = this.#metrics[kind].get(name);
    return metric === undefined ? 0 : this.#read(metric).value;
  }

  /** Sets every counter to zero, as shown. */
  resetCounters(): void {
    for (const metric of this.#metrics.counter.values()) metric.counterBase = sum(metric);
  }

  /** Ends an interval of histograms; Envoy does so at every flush of statistics. */
  flushIntervals(): void {
    for (const metric of this.#metrics.histogram.values()) {
      const isUnchanged = countValues(metric) === metric.flushed.count;
      const current = isUnchanged ? metric.flushed : readCounts(metric.parts);
      metric.interval = isUnchanged ? noCounts : subtractCounts(current, metric.flushed);
      metric.flushed = current;
    }
  }

  #register(registration: StatRegistration, cells: Cells, blocks: ReadonlyMap<number, Cells>): void {
    const { kind, name, tagExtractedName, tags, index } = registration;
    this.#ensure(kind, name, tagExtractedName, tags).parts.push({ cells, index, blocks });
  }

  #makeDeclared(): void {
    const isIncluded = this.#options.isIncluded ?? (() => true);
    for (const [scope, family] of this.#declared.values()) {
      for (const { kind, name } of statFamilies[family]) {
        if (isIncluded(scope + name)) this.#ensure(kind, scope + name, null, null);
      }
    }
    this.#declared.clear();
  }

  #ensure(kind: StatKind, name: string, tagExtractedName: string | null, tags: readonly Tag[] | null): MergedMetric {
    let metric = this.#metrics[kind].get(name);
    if (metric === undefined) {
      const bounds = kind === 'histogram' ? this.#options.histogramBounds(name) : [];
      metric = {
        kind,
        name,
        tagExtractedName,
        tags,
        bounds,
        parts: [],
        counterBase: 0,
        text: '',
        flushed: noCounts,
        interval: noCounts,
      };
      this.#metrics[kind].set(name, metric);
    }
    return metric;
  }

  #read(metric: MergedMetric): MetricSnapshot {
    if (metric.tagExtractedName === null || metric.tags === null) {
      const extracted = this.#options.tagExtractor.extract(metric.name);
      metric.tagExtractedName = extracted.tagExtractedName;
      metric.tags = extracted.tags;
    }
    const { kind, name, tagExtractedName, tags, text } = metric;
    const common = { kind, name, tagExtractedName, tags, text };
    switch (kind) {
      case 'counter':
        return { ...common, value: sum(metric) - metric.counterBase, used: isUsed(metric), histogram: null };
      case 'gauge':
        return { ...common, ...readGauge(metric), histogram: null };
      case 'histogram': {
        const histogram = readHistogram(metric);
        return { ...common, value: 0, used: histogram.count > 0, histogram };
      }
      case 'text-readout':
        return { ...common, value: 0, used: text !== '', histogram: null };
    }
  }
}

function sum({ parts }: MergedMetric): number {
  let total = 0;
  for (const { cells, index } of parts) total += cells[index];
  return total;
}

/** A counter that was never touched holds -0. */
function isUsed({ parts }: MergedMetric): boolean {
  return parts.some(({ cells, index }) => !Object.is(cells[index], -0));
}

/** Gauges that threads add to are summed; of those that threads set, the largest is shown. */
function readGauge({ parts }: MergedMetric): { value: number; used: boolean } {
  let total = 0;
  let largest = Number.NEGATIVE_INFINITY;
  let onlySet = true;
  let used = false;
  for (const { cells, index } of parts) {
    const writes = cells[index + 1];
    if (writes === 0) continue;
    used = true;
    if (writes !== gaugeSet) onlySet = false;
    total += cells[index];
    largest = Math.max(largest, cells[index]);
  }
  return { value: used && onlySet ? largest : total, used };
}

function countValues({ parts }: MergedMetric): number {
  let count = 0;
  for (const { cells, index } of parts) count += cells[index + 1];
  return count;
}

function readHistogram({ parts, bounds, interval }: MergedMetric): HistogramSnapshot {
  const cumulative = readCounts(parts);
  let total = 0;
  for (const { cells, index } of parts) total += cells[index];
  return { bounds, sum: total, count: cumulative.count, cumulative, interval };
}
