/**
 * A retry policy as bits and predicates; retry-state.ts applies it to one request.
 *
 * Source: Envoy's `RetryPolicy` and the `x-envoy-retry-on` family of headers.
 */
import type { RetryPolicyModel } from '../config/model/route.ts';
import { compileHeaderMatcher, compileHeaderMatchers } from '../matching/header-matcher.ts';
import type { HeaderPredicate } from '../matching/header-matcher.ts';

/** One bit per condition. */
export const RetryOn = {
  '5xx': 1 << 0,
  'gateway-error': 1 << 1,
  'connect-failure': 1 << 2,
  'retriable-4xx': 1 << 3,
  'refused-stream': 1 << 4,
  'retriable-status-codes': 1 << 5,
  'retriable-headers': 1 << 6,
  reset: 1 << 7,
  'reset-before-request': 1 << 8,
  'envoy-ratelimited': 1 << 9,
  cancelled: 1 << 10,
  'deadline-exceeded': 1 << 11,
  'resource-exhausted': 1 << 12,
  unavailable: 1 << 13,
  internal: 1 << 14,
} as const;

/** The conditions that look at `grpc-status`. */
export const grpcRetryOn =
  RetryOn.cancelled | RetryOn['deadline-exceeded'] | RetryOn['resource-exhausted'] | RetryOn.unavailable | RetryOn.internal;

export interface RetryPolicy {
  readonly model: RetryPolicyModel;
  /** Bits of RetryOn. */
  readonly retryOn: number;
  readonly statusCodes: ReadonlySet<number>;
  /** Any of them makes a response retriable. */
  readonly retriableHeaders: readonly HeaderPredicate[];
  /** Requests that may be retried at all; null: every one. */
  readonly retriableRequest: HeaderPredicate | null;
}

/** The bits of a comma-separated list; unknown members have no effect. */
export function parseRetryOn(members: readonly string[]): number {
  let bits = 0;
  for (const member of members) bits |= RetryOn[member.trim() as keyof typeof RetryOn] ?? 0;
  return bits;
}

/** Compiles a policy; null stays null. */
export function compileRetryPolicy(model: RetryPolicyModel | null): RetryPolicy | null {
  if (model === null) return null;
  const requestMatchers = model.retriableRequestHeaders.map(matcher => compileHeaderMatchers([matcher]) as HeaderPredicate);
  return {
    model,
    retryOn: parseRetryOn(model.retryOn),
    statusCodes: new Set(model.statusCodes),
    retriableHeaders: model.retriableHeaders.map(compileHeaderMatcher),
    retriableRequest: requestMatchers.length === 0 ? null : headers => requestMatchers.some(accepts => accepts(headers)),
  };
}
