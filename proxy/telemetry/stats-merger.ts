/**
 * All metrics of the process, merged over threads. Every thread's StatsStore announces its metrics to a sink of this merger;
 * values are read from shared memory when a snapshot is taken.
 */
import { type Cells, type HistogramSnapshot, MergedMetric } from './merged-metric.ts';
import { type StatFamilyName, statFamilies } from './stat-families.ts';
import type { StatKind, StatRegistration, StatSink, Tag } from './stats-store.ts';
import type { TagExtractor } from './tag-extractor.ts';

export type { HistogramSnapshot };

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

export interface StatsMergerOptions {
  readonly tagExtractor: TagExtractor;
  /** The bootstrap's stats matcher; null: everything. */
  readonly isIncluded?: (name: string) => boolean;
  readonly histogramBounds: (name: string) => readonly number[];
  /** Intervals of histograms end when a snapshot is taken, not with `flushIntervals`. */
  readonly flushOnSnapshot?: boolean;
}

/** A family of names below a scope. */
interface Declaration {
  readonly scope: string;
  readonly family: StatFamilyName;
  /** How many scopes of all threads declared it. */
  scopes: number;
}

/** A start is not slowed down by what the first reading will need. */
const preparationDelayMs = 2000;
const preparationSliceMs = 5;
const preparationPauseMs = 15;

export class StatsMerger {
  readonly #options: StatsMergerOptions;
  readonly #metrics: { readonly [K in StatKind]: Map<string, MergedMetric> } = {
    counter: new Map(),
    gauge: new Map(),
    histogram: new Map(),
    'text-readout': new Map(),
  };
  readonly #declarations = new Map<string, Declaration>();
  /** Those of the declarations whose metrics do not exist yet: they are made by the next reading, as most are never read. */
  readonly #pending = new Set<Declaration>();
  /** Metrics whose tags nobody asked for yet. */
  readonly #untagged: MergedMetric[] = [];
  #preparation: NodeJS.Timeout | null = null;
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
      registerText: (name, readout) => {
        this.#ensure('text-readout', name, null, null).readout = readout;
      },
      unregister: (kind, name) => {
        const metric = this.#metrics[kind].get(name);
        metric?.retirePart(blocks);
        if (metric?.isGone) this.#metrics[kind].delete(name);
      },
      declare: (scope, family) => this.#declare(scope, family),
      undeclare: (scope, family) => this.#undeclare(scope, family),
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
    this.#untagged.length = 0;
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
    for (const metric of this.#metrics.counter.values()) metric.reset();
  }

  /** Ends an interval of histograms; Envoy does so at every flush of statistics. */
  flushIntervals(): void {
    for (const metric of this.#metrics.histogram.values()) metric.flushInterval();
  }

  #register(registration: StatRegistration, cells: Cells, blocks: ReadonlyMap<number, Cells>): void {
    const { kind, name, tagExtractedName, tags, index } = registration;
    this.#ensure(kind, name, tagExtractedName, tags).addPart({ cells, index, blocks });
  }

  #declare(scope: string, family: StatFamilyName): void {
    const key = `${family} ${scope}`;
    const known = this.#declarations.get(key);
    if (known !== undefined) {
      known.scopes++;
      return;
    }
    const declaration = { scope, family, scopes: 1 };
    this.#declarations.set(key, declaration);
    this.#pending.add(declaration);
    this.#schedulePreparation(preparationDelayMs);
  }

  #undeclare(scope: string, family: StatFamilyName): void {
    const key = `${family} ${scope}`;
    const declaration = this.#declarations.get(key);
    if (declaration === undefined || --declaration.scopes > 0) return;
    this.#declarations.delete(key);
    if (this.#pending.delete(declaration)) return;
    for (const { kind, name } of statFamilies[family]) {
      const metric = this.#metrics[kind].get(scope + name);
      if (metric === undefined) continue;
      metric.declarations--;
      if (metric.isGone) this.#metrics[kind].delete(scope + name);
    }
  }

  /** Does ahead, in short slices, what the first reading would have to do at once. */
  #schedulePreparation(delayMs: number): void {
    this.#preparation ??= setTimeout(() => {
      this.#preparation = null;
      const endMs = performance.now() + preparationSliceMs;
      this.#makeDeclared(endMs);
      while (this.#untagged.length > 0 && performance.now() < endMs) this.#extractTags(this.#untagged.pop() as MergedMetric);
      if (this.#pending.size > 0 || this.#untagged.length > 0) this.#schedulePreparation(preparationPauseMs);
    }, delayMs).unref();
  }

  #makeDeclared(endMs = Number.POSITIVE_INFINITY): void {
    const isIncluded = this.#options.isIncluded ?? (() => true);
    for (const declaration of this.#pending) {
      if (performance.now() >= endMs) return;
      this.#pending.delete(declaration);
      const { scope, family } = declaration;
      for (const { kind, name } of statFamilies[family]) {
        if (isIncluded(scope + name)) this.#ensure(kind, scope + name, null, null).declarations++;
      }
    }
  }

  #extractTags(metric: MergedMetric): void {
    if (metric.tagExtractedName !== null && metric.tags !== null) return;
    const extracted = this.#options.tagExtractor.extract(metric.name);
    metric.tagExtractedName = extracted.tagExtractedName;
    metric.tags = extracted.tags;
  }

  #ensure(kind: StatKind, name: string, tagExtractedName: string | null, tags: readonly Tag[] | null): MergedMetric {
    let metric = this.#metrics[kind].get(name);
    if (metric === undefined) {
      const bounds = kind === 'histogram' ? this.#options.histogramBounds(name) : [];
      metric = new MergedMetric(kind, name, tagExtractedName, tags, bounds);
      this.#metrics[kind].set(name, metric);
      if (tagExtractedName === null) {
        this.#untagged.push(metric);
        this.#schedulePreparation(preparationDelayMs);
      }
    }
    return metric;
  }

  #read(metric: MergedMetric): MetricSnapshot {
    this.#extractTags(metric);
    const { kind, name } = metric;
    const text = metric.readout?.text ?? '';
    const common = { kind, name, tagExtractedName: metric.tagExtractedName ?? name, tags: metric.tags ?? [], text };
    switch (kind) {
      case 'counter':
        return { ...common, ...metric.readCounter(), histogram: null };
      case 'gauge':
        return { ...common, ...metric.readGauge(), histogram: null };
      case 'histogram': {
        const histogram = metric.readHistogram();
        return { ...common, value: 0, used: histogram.count > 0, histogram };
      }
      case 'text-readout':
        return { ...common, value: 0, used: text !== '', histogram: null };
    }
  }
}
