/** One metric over all threads: where its cells are, and what they add up to. */
import { addCounts, type BucketCounts, noCounts, readCounts, subtractCounts } from './bucket-counts.ts';
import { gaugeSet, type TextReadout } from './stat-metrics.ts';
import type { StatKind, Tag } from './stats-store.ts';

export type Cells = Float64Array<SharedArrayBuffer>;

export interface HistogramSnapshot {
  /** Upper bounds to show values by. */
  readonly bounds: readonly number[];
  readonly sum: number;
  readonly count: number;
  readonly cumulative: BucketCounts;
  /** Of the last complete flush interval. */
  readonly interval: BucketCounts;
}

export interface MetricPart {
  readonly cells: Cells;
  readonly index: number;
  /** Of the thread: a histogram's values are spread over them. */
  readonly blocks: ReadonlyMap<number, Cells>;
}

/** What threads counted that do not have the metric any more, while others do. */
interface Retired {
  /** Of counters; the sum of histograms. */
  readonly value: number;
  readonly used: boolean;
  readonly counts: BucketCounts;
}

const nothingRetired: Retired = { value: 0, used: false, counts: noCounts };

export class MergedMetric {
  readonly kind: StatKind;
  readonly name: string;
  tagExtractedName: string | null;
  tags: readonly Tag[] | null;
  readonly #bounds: readonly number[];
  readonly #parts: MetricPart[] = [];
  #retired = nothingRetired;
  /** How many declared families it belongs to. */
  declarations = 0;
  /** What reset_counters has forgotten. */
  #counterBase = 0;
  readout: TextReadout | null = null;
  /** Of histograms: values as of the last flush, and those of the interval before it. */
  #flushed = noCounts;
  #interval = noCounts;

  constructor(
    kind: StatKind,
    name: string,
    tagExtractedName: string | null,
    tags: readonly Tag[] | null,
    bounds: readonly number[],
  ) {
    this.kind = kind;
    this.name = name;
    this.tagExtractedName = tagExtractedName;
    this.tags = tags;
    this.#bounds = bounds;
  }

  /** Nobody counts it or says that it exists. */
  get isGone(): boolean {
    return this.#parts.length === 0 && this.declarations === 0;
  }

  addPart(part: MetricPart): void {
    this.#parts.push(part);
  }

  /** Keeps what the thread of these blocks counted so far, but not what its gauge shows. */
  retirePart(blocks: MetricPart['blocks']): void {
    const at = this.#parts.findIndex(part => part.blocks === blocks);
    if (at === -1) return;
    const [part] = this.#parts.splice(at, 1);
    const value = this.kind === 'gauge' ? 0 : part.cells[part.index];
    this.#retired = {
      value: this.#retired.value + value,
      used: this.#retired.used || (this.kind === 'counter' && isTouched(part)),
      counts: this.kind === 'histogram' ? addCounts(this.#retired.counts, readCounts([part])) : noCounts,
    };
  }

  readCounter(): { value: number; used: boolean } {
    const used = this.#retired.used || this.#parts.some(isTouched);
    return { value: this.#sumParts() - this.#counterBase, used };
  }

  /** Gauges that threads add to are summed; of those that threads set, the largest is shown. */
  readGauge(): { value: number; used: boolean } {
    let total = 0;
    let largest = Number.NEGATIVE_INFINITY;
    let onlySet = true;
    let used = false;
    for (const { cells, index } of this.#parts) {
      const writes = cells[index + 1];
      if (writes === 0) continue;
      used = true;
      if (writes !== gaugeSet) onlySet = false;
      total += cells[index];
      largest = Math.max(largest, cells[index]);
    }
    return { value: used && onlySet ? largest : total, used };
  }

  readHistogram(): HistogramSnapshot {
    const cumulative = this.#readCounts();
    return { bounds: this.#bounds, sum: this.#sumParts(), count: cumulative.count, cumulative, interval: this.#interval };
  }

  /** Shows a counter as zero. */
  reset(): void {
    this.#counterBase = this.#sumParts();
  }

  /** Ends a histogram's interval. */
  flushInterval(): void {
    let count = this.#retired.counts.count;
    for (const { cells, index } of this.#parts) count += cells[index + 1];
    const isUnchanged = count === this.#flushed.count;
    const current = isUnchanged ? this.#flushed : this.#readCounts();
    this.#interval = isUnchanged ? noCounts : subtractCounts(current, this.#flushed);
    this.#flushed = current;
  }

  #readCounts(): BucketCounts {
    return addCounts(this.#retired.counts, readCounts(this.#parts));
  }

  #sumParts(): number {
    let total = this.#retired.value;
    for (const { cells, index } of this.#parts) total += cells[index];
    return total;
  }
}

/** A counter that was never touched holds -0. */
function isTouched({ cells, index }: MetricPart): boolean {
  return !Object.is(cells[index], -0);
}
