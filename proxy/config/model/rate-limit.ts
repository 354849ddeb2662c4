/** Token buckets, and what of a request selects one. */
import type { HeaderMatcher, QueryParameterMatcher } from './matchers.ts';

export interface TokenBucketModel {
  /** 16 hexadecimal digits: what has the same on another worker is the same bucket. */
  readonly id: string;
  readonly maxTokens: number;
  readonly tokensPerFill: number;
  readonly fillIntervalMs: number;
}

/** One member of `rate_limits`: makes a descriptor of a request, or none. */
export interface RateLimitModel {
  readonly stage: number;
  /** Set: the local rate limit passes it over. */
  readonly disableKey: string;
  readonly actions: readonly RateLimitAction[];
}

/** Makes one entry of a descriptor; where it cannot, there is no descriptor. */
export type RateLimitAction =
  | { readonly kind: 'source-cluster' | 'destination-cluster' | 'remote-address' }
  | { readonly kind: 'generic-key'; readonly key: string; readonly value: string }
  | { readonly kind: 'request-header'; readonly header: string; readonly key: string; readonly skipIfAbsent: boolean }
  | { readonly kind: 'masked-remote-address'; readonly v4Bits: number; readonly v6Bits: number }
  | {
      readonly kind: 'header-match';
      readonly key: string;
      readonly value: string;
      readonly expectMatch: boolean;
      readonly headers: readonly HeaderMatcher[];
    }
  | {
      readonly kind: 'query-match';
      readonly key: string;
      readonly value: string;
      readonly expectMatch: boolean;
      readonly queryParameters: readonly QueryParameterMatcher[];
    }
  | {
      readonly kind: 'metadata';
      readonly key: string;
      readonly source: 'dynamic' | 'route';
      readonly namespace: string;
      readonly path: readonly string[];
      readonly defaultValue: string;
      readonly skipIfAbsent: boolean;
    };
