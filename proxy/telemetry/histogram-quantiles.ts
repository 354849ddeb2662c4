/**
 * Quantiles of a histogram, estimated from its buckets.
 *
 * Differs from Envoy: Envoy keeps two significant digits of every value; here a quantile is interpolated within its bucket.
 */
import type { HistogramSnapshot } from './stats-merger.ts';

/** What Envoy shows. */
export const supportedQuantiles: readonly number[] = [0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1];

/** One value per supported quantile; NaN where nothing was recorded. */
export function computeQuantiles(histogram: HistogramSnapshot): readonly number[] {
  return supportedQuantiles.map(quantile => computeQuantile(histogram, quantile));
}

function computeQuantile({ bounds, buckets, sum, count }: HistogramSnapshot, quantile: number): number {
  if (count === 0) return Number.NaN;
  const mean = sum / count;
  const filled = buckets.filter(values => values > 0).length;
  // All values lie in one bucket: their mean is the best guess for each.
  if (filled === 1) return round(mean);
  const rank = quantile * count;
  let below = 0;
  for (let i = 0; i < buckets.length; i++) {
    if (buckets[i] === 0) continue;
    if (below + buckets[i] >= rank) {
      const lower = i === 0 ? 0 : bounds[i - 1];
      const upper = i < bounds.length ? bounds[i] : Math.max(lower, mean);
      return round(lower + ((upper - lower) * (rank - below)) / buckets[i]);
    }
    below += buckets[i];
  }
  return round(mean);
}

function round(value: number): number {
  return Number(value.toPrecision(6));
}
