/** One metric over all threads: where its cells are, and what they add up to. */
import { addCounts, type BucketCounts, noCounts, readCounts, subtractCounts } from './bucket-counts.ts';
import { gaugeSet, type TextReadout } from './stat-metrics.ts';
import type { StatKind, Tag } from './stats-store.ts';
import type { ExtractedTags } from './tag-extractor.ts';

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

/** Reads its cells whenever it is looked at. */
export class MergedMetric {
  readonly kind: StatKind;
  readonly name: string;
  readonly #extract: (name: string) => ExtractedTags;
  #tags: ExtractedTags | null;
  readonly #bounds: readonly number[];
  readonly #parts: MetricPart[] = [];
  #retired = nothingRetired;
  /** How many declared families it belongs to. */
  declarations = 0;
  /** What reset_counters has forgotten. */
  #counterBase = 0;
  /** Of a text. */
  readout: TextReadout | null = null;
  /** Of histograms: values as of the last flush, and those of the interval before it. */
  #flushed = noCounts;
  #interval = noCounts;

  /** `tags` is null where they are to be found in the name, by `extract`. */
  constructor(
    kind: StatKind,
    name: string,
    tags: ExtractedTags | null,
    extract: (name: string) => ExtractedTags,
    bounds: readonly number[],
  ) {
    this.kind = kind;
    this.name = name;
    this.#tags = tags;
    this.#extract = extract;
    this.#bounds = bounds;
  }

  get tagExtractedName(): string {
    return this.#extractTags().tagExtractedName;
  }

  get tags(): readonly Tag[] {
    return this.#extractTags().tags;
  }

  #extractTags(): ExtractedTags {
    this.#tags ??= this.#extract(this.name);
    return this.#tags;
  }

  /** Of counters and gauges. */
  get value(): number {
    if (this.kind === 'counter') return this.#sumParts() - this.#counterBase;
    return this.kind === 'gauge' ? this.#readGauge().value : 0;
  }

  /** Was ever written. */
  get used(): boolean {
    switch (this.kind) {
      case 'counter':
        return this.#retired.used || this.#parts.some(isTouched);
      case 'gauge':
        return this.#readGauge().used;
      case 'histogram':
        return this.#countValues() > 0;
      default:
        return this.text !== '';
    }
  }

  get histogram(): HistogramSnapshot | null {
    if (this.kind !== 'histogram') return null;
    const cumulative = this.#readCounts();
    return { bounds: this.#bounds, sum: this.#sumParts(), count: cumulative.count, cumulative, interval: this.#interval };
  }

  get text(): string {
    return this.readout?.text ?? '';
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

  /** Gauges that threads add to are summed; of those that threads set, the largest is shown. */
  #readGauge(): { value: number; used: boolean } {
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

  /** Shows a counter as zero. */
  reset(): void {
    this.#counterBase = this.#sumParts();
  }

  /** Ends a histogram's interval. */
  flushInterval(): void {
    const isUnchanged = this.#countValues() === this.#flushed.count;
    const current = isUnchanged ? this.#flushed : this.#readCounts();
    this.#interval = isUnchanged ? noCounts : subtractCounts(current, this.#flushed);
    this.#flushed = current;
  }

  #countValues(): number {
    let count = this.#retired.counts.count;
    for (const { cells, index } of this.#parts) count += cells[index + 1];
    return count;
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
