/**
 * All metrics of the process, merged over threads. Every thread's StatsStore announces its metrics to a sink of this merger;
 * values are read from shared memory when a snapshot is taken.
 */
import type { TagExtractor } from './tag-extractor.ts';
import { gaugeSet } from './stats-store.ts';
import type { StatKind, StatRegistration, StatSink, Tag } from './stats-store.ts';

type Cells = Float64Array<SharedArrayBuffer>;

export interface HistogramSnapshot {
  readonly bounds: readonly number[];
  /** Values per bucket, not cumulative; the last one is above all bounds. */
  readonly buckets: readonly number[];
  readonly sum: number;
  readonly count: number;
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

interface MergedMetric {
  readonly kind: StatKind;
  readonly name: string;
  tagExtractedName: string | null;
  tags: readonly Tag[] | null;
  readonly bounds: readonly number[];
  readonly parts: { readonly cells: Cells; readonly index: number }[];
  /** What reset_counters has forgotten. */
  counterBase: number;
  text: string;
}

export interface StatsMergerOptions {
  readonly tagExtractor: TagExtractor;
  readonly histogramBounds: (name: string) => readonly number[];
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
        this.#register(registration, cells);
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

  #register(registration: StatRegistration, cells: Cells): void {
    const { kind, name, tagExtractedName, tags, index } = registration;
    this.#ensure(kind, name, tagExtractedName, tags).parts.push({ cells, index });
  }

  #ensure(kind: StatKind, name: string, tagExtractedName: string | null, tags: readonly Tag[] | null): MergedMetric {
    let metric = this.#metrics[kind].get(name);
    if (metric === undefined) {
      const bounds = kind === 'histogram' ? this.#options.histogramBounds(name) : [];
      metric = { kind, name, tagExtractedName, tags, bounds, parts: [], counterBase: 0, text: '' };
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

function readHistogram({ parts, bounds }: MergedMetric): HistogramSnapshot {
  const buckets = new Array<number>(bounds.length + 1).fill(0);
  let total = 0;
  let count = 0;
  for (const { cells, index } of parts) {
    total += cells[index];
    count += cells[index + 1];
    for (let i = 0; i < buckets.length; i++) buckets[i] += cells[index + 2 + i];
  }
  return { bounds, buckets, sum: total, count };
}
