/** The values of a histogram at one moment: only the buckets that hold any. */
import { lowerBoundOf } from './log-linear-buckets.ts';
import { readHistogramCells } from './stat-metrics.ts';

export interface BucketCounts {
  /** Ascending; see log-linear-buckets.ts. */
  readonly buckets: readonly number[];
  /** Per entry of `buckets`, above zero. */
  readonly counts: readonly number[];
  readonly count: number;
}

export const noCounts: BucketCounts = { buckets: [], counts: [], count: 0 };

export interface HistogramPart {
  readonly cells: Float64Array;
  readonly index: number;
  readonly blocks: ReadonlyMap<number, Float64Array>;
}

/** Sums what the threads recorded. */
export function readCounts(parts: readonly HistogramPart[]): BucketCounts {
  const sums = new Map<number, number>();
  for (const part of parts) {
    readHistogramCells(part, part.blocks, (bucket, count) => sums.set(bucket, (sums.get(bucket) ?? 0) + count));
  }
  return sums.size === 0 ? noCounts : fromMap(sums);
}

export function addCounts(a: BucketCounts, b: BucketCounts): BucketCounts {
  if (a.count === 0) return b;
  const sums = new Map(a.buckets.map((bucket, i) => [bucket, a.counts[i]]));
  for (const [i, bucket] of b.buckets.entries()) sums.set(bucket, (sums.get(bucket) ?? 0) + b.counts[i]);
  return fromMap(sums);
}

/** What was recorded since `earlier`. */
export function subtractCounts(current: BucketCounts, earlier: BucketCounts): BucketCounts {
  const difference = new Map(current.buckets.map((bucket, i) => [bucket, current.counts[i]]));
  for (const [i, bucket] of earlier.buckets.entries()) {
    difference.set(bucket, (difference.get(bucket) ?? 0) - earlier.counts[i]);
  }
  return fromMap(difference);
}

function fromMap(sums: ReadonlyMap<number, number>): BucketCounts {
  const buckets = [...sums.keys()].filter(bucket => (sums.get(bucket) ?? 0) > 0).sort((a, b) => a - b);
  const counts = buckets.map(bucket => sums.get(bucket) ?? 0);
  return { buckets, counts, count: counts.reduce((total, count) => total + count, 0) };
}

/** Per bound, how many values lie in buckets that begin at or below it; `bounds` ascend. */
export function countPerBound({ buckets, counts }: BucketCounts, bounds: readonly number[]): number[] {
  let total = 0;
  let next = 0;
  return bounds.map(bound => {
    while (next < buckets.length && lowerBoundOf(buckets[next]) <= bound) total += counts[next++];
    return total;
  });
}

/** The same, without what the bounds before count. */
export function countBetweenBounds(counts: BucketCounts, bounds: readonly number[]): number[] {
  const totals = countPerBound(counts, bounds);
  return totals.map((total, i) => total - (i === 0 ? 0 : totals[i - 1]));
}
