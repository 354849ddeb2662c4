/** One metric over all threads: where its cells are, and what they add up to. */
import { type BucketCounts, readCounts } from './bucket-counts.ts';
import { gaugeSet, type StatKind, type Tag } from './stats-store.ts';

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

export interface MergedMetric {
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

export function sumParts({ parts }: MergedMetric): number {
  let total = 0;
  for (const { cells, index } of parts) total += cells[index];
  return total;
}

/** A counter that was never touched holds -0. */
export function isUsed({ parts }: MergedMetric): boolean {
  return parts.some(({ cells, index }) => !Object.is(cells[index], -0));
}

/** Gauges that threads add to are summed; of those that threads set, the largest is shown. */
export function readGauge({ parts }: MergedMetric): { value: number; used: boolean } {
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

export function countValues({ parts }: MergedMetric): number {
  let count = 0;
  for (const { cells, index } of parts) count += cells[index + 1];
  return count;
}

export function readHistogram({ parts, bounds, interval }: MergedMetric): HistogramSnapshot {
  const cumulative = readCounts(parts);
  let total = 0;
  for (const { cells, index } of parts) total += cells[index];
  return { bounds, sum: total, count: cumulative.count, cumulative, interval };
}
