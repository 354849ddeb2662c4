/**
 * The timeouts of one request: the route's, replaced by what headers ask for, and what the upstream is told of them.
 *
 * Source: Envoy's router, `x-envoy-upstream-rq-timeout-ms`, `x-envoy-upstream-stream-duration-ms` and `grpc-timeout`.
 */
import type { ForwardAction } from '../config/model/route.ts';
import { formatGrpcTimeout, parseGrpcTimeout } from '../http/grpc-timeout.ts';
import type { HeaderMap } from '../http/header-map.ts';

/** Milliseconds; 0: none. */
export interface RequestTimeouts {
  readonly globalMs: number;
  readonly perTryMs: number;
  readonly perTryIdleMs: number;
  /** An attempt whose time is over goes on beside its retry. */
  readonly isHedged: boolean;
  /** How long a stream to the upstream may last, where the request asks for it; null: as the cluster says. */
  readonly streamDurationMs: number | null;
}

export const noTimeouts: RequestTimeouts = { globalMs: 0, perTryMs: 0, perTryIdleMs: 0, isHedged: false, streamDurationMs: null };

function readMs(text: string | undefined): number | null {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : null;
}

function routeTimeout(action: ForwardAction, headers: HeaderMap, isGrpc: boolean): number {
  // With a stream duration configured, the connection manager keeps time and the route's timeout has no effect.
  if (action.maxStreamDuration !== null) return 0;
  if (!isGrpc || action.maxGrpcTimeoutMs === null) return action.timeoutMs;
  let timeoutMs = parseGrpcTimeout(headers.get('grpc-timeout')) ?? 0;
  if (action.grpcTimeoutOffsetMs < timeoutMs) timeoutMs -= action.grpcTimeoutOffsetMs;
  const maximumMs = action.maxGrpcTimeoutMs;
  return maximumMs !== 0 && (timeoutMs === 0 || timeoutMs > maximumMs) ? maximumMs : timeoutMs;
}

/** Computes the timeouts and removes the headers that asked for them. */
export function readTimeouts(
  action: ForwardAction,
  perTryMs: number,
  perTryIdleMs: number,
  isHedged: boolean,
  headers: HeaderMap,
  isGrpc: boolean,
  respectExpected: boolean,
): RequestTimeouts {
  let globalMs = routeTimeout(action, headers, isGrpc);
  const expected = respectExpected ? headers.get('x-envoy-expected-rq-timeout-ms') : undefined;
  if (expected !== undefined) {
    globalMs = readMs(expected) ?? globalMs;
  } else {
    const asked = headers.get('x-envoy-upstream-rq-timeout-ms');
    if (asked !== undefined) {
      globalMs = readMs(asked) ?? globalMs;
      headers.remove('x-envoy-upstream-rq-timeout-ms');
    }
  }
  let tryMs = perTryMs;
  const askedPerTry = headers.get('x-envoy-upstream-rq-per-try-timeout-ms');
  if (askedPerTry !== undefined) {
    tryMs = readMs(askedPerTry) ?? tryMs;
    headers.remove('x-envoy-upstream-rq-per-try-timeout-ms');
  }
  if (globalMs !== 0 && tryMs >= globalMs) tryMs = 0;
  const streamDurationMs = readMs(headers.get('x-envoy-upstream-stream-duration-ms'));
  headers.remove('x-envoy-upstream-stream-duration-ms');
  return { globalMs, perTryMs: tryMs, perTryIdleMs, isHedged, streamDurationMs };
}

/** Tells the upstream how long this attempt may take. */
export function writeTimeoutHeaders(
  headers: HeaderMap,
  timeouts: RequestTimeouts,
  action: ForwardAction,
  elapsedMs: number,
  isGrpc: boolean,
  insertsExpected: boolean,
): void {
  const { globalMs, perTryMs, isHedged } = timeouts;
  let expectedMs = perTryMs === 0 || isHedged ? globalMs : perTryMs;
  if (expectedMs === 0) return;
  // Out of time: 0 would mean none.
  if (globalMs > 0) expectedMs = elapsedMs >= globalMs ? 1 : Math.min(expectedMs, globalMs - elapsedMs);
  expectedMs = Math.ceil(expectedMs);
  if (insertsExpected) headers.set('x-envoy-expected-rq-timeout-ms', String(expectedMs));
  if (isGrpc && action.maxStreamDuration === null && action.maxGrpcTimeoutMs !== null) {
    headers.set('grpc-timeout', formatGrpcTimeout(expectedMs));
  }
}
