/**
 * How histograms keep values: two significant decimal digits, as Envoy's log-linear histograms do for whole numbers. Bucket 0
 * holds zero, 1 to 9 those numbers, and then 90 buckets per decade: 10 to 99 one by one, 100 to 999 in tens, and so on.
 */

export const smallBuckets = 10;
export const bucketsPerDecade = 90;
/** Up to 10^15: beyond every duration in milliseconds and every size in bytes. */
export const decadeCount = 14;
const highest = 10 ** (decadeCount + 1) - 1;

/** The bucket of a value; fractions are cut off, negative values count as zero. */
export function bucketOf(value: number): number {
  if (!(value >= 1)) return 0;
  if (value < smallBuckets) return Math.floor(value);
  let decade = 0;
  let unit = 1;
  const bounded = Math.min(value, highest);
  while (bounded >= unit * 100) {
    unit *= 10;
    decade++;
  }
  return decade * bucketsPerDecade + Math.floor(bounded / unit);
}

export function lowerBoundOf(bucket: number): number {
  if (bucket < smallBuckets) return bucket;
  const decade = Math.floor((bucket - smallBuckets) / bucketsPerDecade);
  return (bucket - decade * bucketsPerDecade) * 10 ** decade;
}

/** Distance to the next bucket's lower bound, as Envoy counts it: the numbers below 10 have a second digit, too. */
export function widthOf(bucket: number): number {
  if (bucket === 0) return 0;
  if (bucket < smallBuckets) return 0.1;
  return 10 ** Math.floor((bucket - smallBuckets) / bucketsPerDecade);
}
