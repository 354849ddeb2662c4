/** `strict_check_headers`: Envoy's own request headers must be well-formed. */
import type { HeaderMap } from '../http/header-map.ts';
import { grpcRetryOn, RetryOn } from './retry-policy.ts';

const isInteger = (value: string): boolean => /^\d+$/.test(value);

function areConditions(value: string, isGrpc: boolean): boolean {
  return value.split(',').every(member => {
    const bit = RetryOn[member.trim() as keyof typeof RetryOn] ?? 0;
    return bit !== 0 && ((bit & grpcRetryOn) !== 0) === isGrpc;
  });
}

const checks: { readonly [name: string]: (value: string) => boolean } = {
  'x-envoy-upstream-rq-timeout-ms': isInteger,
  'x-envoy-upstream-rq-per-try-timeout-ms': isInteger,
  'x-envoy-max-retries': isInteger,
  'x-envoy-retry-on': value => areConditions(value, false),
  'x-envoy-retry-grpc-on': value => areConditions(value, true),
};

/** The first of the named headers that is present and not valid, or null. */
export function findInvalidHeader(headers: HeaderMap, names: readonly string[]): { name: string; value: string } | null {
  for (const name of names) {
    const value = headers.get(name.toLowerCase());
    if (value !== undefined && checks[name.toLowerCase()]?.(value) === false) return { name: name.toLowerCase(), value };
  }
  return null;
}
