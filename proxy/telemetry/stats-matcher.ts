/** The bootstrap's stats matcher and histogram settings as functions of a metric's name, for each thread's StatsStore. */
import type { StatsConfigModel } from '../config/model/stats.ts';
import { compileStringMatcher } from '../matching/string-matcher.ts';
import { defaultHistogramBounds } from './stats-store.ts';

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
