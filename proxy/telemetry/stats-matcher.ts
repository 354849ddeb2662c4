/** The bootstrap's stats matcher and histogram settings as functions of a metric's name. */
import type { StatsConfigModel } from '../config/model/stats.ts';
import { compileStringMatcher } from '../matching/string-matcher.ts';

/** Upper bounds of Envoy's default buckets, shown by Prometheus. Istio's annotations may replace them per name. */
export const defaultHistogramBounds: readonly number[] = [
  0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000,
];

/** @throws Error for a regex that is not RE2's. */
export function createStatsMatcher(model: StatsConfigModel['matcher']): (name: string) => boolean {
  if (model.kind === 'all') return () => true;
  if (model.kind === 'none') return () => false;
  const matchers = model.patterns.map(compileStringMatcher);
  const isInclusion = model.kind === 'inclusion';
  return name => matchers.some(matches => matches(name)) === isInclusion;
}

/** @throws Error for a regex that is not RE2's. */
export function createHistogramBounds(settings: StatsConfigModel['histogramBuckets']): (name: string) => readonly number[] {
  const entries = settings.map(({ match, bounds }) => ({ matches: compileStringMatcher(match), bounds }));
  return name => entries.find(({ matches }) => matches(name))?.bounds ?? defaultHistogramBounds;
}
