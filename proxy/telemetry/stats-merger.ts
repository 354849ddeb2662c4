/**
 * All metrics of the process, merged over threads. Every thread's StatsStore announces its metrics to a sink of this merger;
 * values are read from shared memory when somebody looks.
 */
import { type Cells, type HistogramSnapshot, MergedMetric } from './merged-metric.ts';
import { type StatFamilyName, statFamilies } from './stat-families.ts';
import type { StatKind, StatRegistration, StatSink } from './stats-store.ts';
import type { ExtractedTags, TagExtractor } from './tag-extractor.ts';

export type { HistogramSnapshot, MergedMetric };

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
        this.#ensure('text-readout', name, null).readout = readout;
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

  /** Calls `refresh` before metrics are listed: for gauges that are computed when they are read. */
  onSnapshot(refresh: () => void): void {
    this.#refreshers.push(refresh);
  }

  /** Every metric, in no order. Gives null where there is none yet: other work may run between any two steps. */
  *list(): Generator<MergedMetric | null> {
    for (const refresh of this.#refreshers) refresh();
    for (const declaration of this.#pending) {
      this.#make(declaration);
      yield null;
    }
    if (this.#options.flushOnSnapshot) this.flushIntervals();
    for (const metrics of Object.values(this.#metrics)) yield* metrics.values();
  }

  /** The whole list at once. */
  snapshot(): MergedMetric[] {
    return [...this.list()].filter(metric => metric !== null);
  }

  /** The merged value of a counter or gauge, 0 if there is none. */
  valueOf(kind: 'counter' | 'gauge', name: string): number {
    return this.#metrics[kind].get(name)?.value ?? 0;
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
    const ownTags = tagExtractedName === null ? null : { tagExtractedName, tags: tags ?? [] };
    this.#ensure(kind, name, ownTags).addPart({ cells, index, blocks });
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

  /** Does ahead, in short slices, what the first reading would have to do. */
  #schedulePreparation(delayMs: number): void {
    this.#preparation ??= setTimeout(() => {
      this.#preparation = null;
      const endMs = performance.now() + preparationSliceMs;
      const isTime = (): boolean => performance.now() < endMs;
      for (const declaration of this.#pending) {
        if (!isTime()) break;
        this.#make(declaration);
      }
      // Looking is what makes them extract their tags.
      while (this.#untagged.length > 0 && isTime()) void this.#untagged.pop()?.tags;
      if (this.#pending.size > 0 || this.#untagged.length > 0) this.#schedulePreparation(preparationPauseMs);
    }, delayMs).unref();
  }

  #make(declaration: Declaration): void {
    this.#pending.delete(declaration);
    const { scope, family } = declaration;
    const { isIncluded = () => true } = this.#options;
    for (const { kind, name } of statFamilies[family]) {
      if (isIncluded(scope + name)) this.#ensure(kind, scope + name, null).declarations++;
    }
  }

  #ensure(kind: StatKind, name: string, tags: ExtractedTags | null): MergedMetric {
    const known = this.#metrics[kind].get(name);
    if (known !== undefined) return known;
    const bounds = kind === 'histogram' ? this.#options.histogramBounds(name) : [];
    const metric = new MergedMetric(kind, name, tags, this.#extract, bounds);
    this.#metrics[kind].set(name, metric);
    if (tags === null) {
      this.#untagged.push(metric);
      this.#schedulePreparation(preparationDelayMs);
    }
    return metric;
  }

  readonly #extract = (name: string): ExtractedTags => this.#options.tagExtractor.extract(name);
}
