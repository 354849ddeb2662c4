/**
 * Quantiles of a histogram, as Envoy computes them: the values of a bucket are taken as spread evenly inside it.
 *
 * Source: Envoy's `/stats` (libcircllhist's approximate quantiles).
 */
import type { BucketCounts } from './bucket-counts.ts';
import { lowerBoundOf, widthOf } from './log-linear-buckets.ts';

/** What Envoy shows. */
export const supportedQuantiles: readonly number[] = [0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1];

/** One value per supported quantile; NaN where nothing was recorded. */
export function computeQuantiles(counts: BucketCounts): readonly number[] {
  return supportedQuantiles.map(quantile => computeQuantile(counts, quantile));
}

function computeQuantile({ buckets, counts, count }: BucketCounts, quantile: number): number {
  const rank = Math.max(1, Math.ceil(quantile * count));
  let below = 0;
  for (const [i, bucket] of buckets.entries()) {
    if (below + counts[i] >= rank) return lowerBoundOf(bucket) + (widthOf(bucket) * (rank - below)) / (counts[i] + 1);
    below += counts[i];
  }
  return Number.NaN;
}
