/** `envoy.config.metrics.v3.StatsConfig` after compilation. */
import type { StringMatcher } from './matchers.ts';

export interface StatsConfigModel {
  readonly useAllDefaultTags: boolean;
  readonly tags: readonly TagSpecifierModel[];
  readonly matcher: {
    readonly kind: 'all' | 'none' | 'inclusion' | 'exclusion';
    readonly patterns: readonly StringMatcher[];
  };
  /** The statistics of a cluster's traffic appear with the first of it, not with the cluster. */
  readonly deferredCreation: boolean;
  /** How often intervals of histograms end; 0: whenever statistics are read. */
  readonly flushIntervalMs: number;
  /** The first entry that matches a histogram's name gives its upper bounds. */
  readonly histogramBuckets: readonly { readonly match: StringMatcher; readonly bounds: readonly number[] }[];
}

/** One of `regex` and `fixedValue`, or neither: the default extraction of that name. */
export interface TagSpecifierModel {
  readonly name: string;
  /** ECMAScript (or RE2) regex: the first group is removed from the name, the second (else the first) is the value. */
  readonly regex: string | null;
  readonly fixedValue: string | null;
}
