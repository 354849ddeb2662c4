/** How the silence of istiod is noticed. Source: istio.io/istio pkg/keepalive and gRPC's client keepalive. */
import type { Environment } from './config/environment.ts';

/** gRPC pings no more often than this, whatever is asked for. */
const minIntervalMs = 10_000;

/** grpc-js counts the interval from the answer to the last ping, and its timers may be late: so much earlier it pings. */
const marginRatio = 1 / 15;

/**
 * Channel options under which a silent peer is given up within the interval and the timeout together (40 s by default), whenever
 * it fell silent. The ping stays well above half of the interval, below which istiod refuses a client.
 */
export function buildKeepaliveOptions({
  keepaliveIntervalMs,
  keepaliveTimeoutMs,
}: Pick<Environment, 'keepaliveIntervalMs' | 'keepaliveTimeoutMs'>): Readonly<Record<string, number>> {
  const intervalMs = Math.max(minIntervalMs, keepaliveIntervalMs);
  return {
    'grpc.keepalive_time_ms': Math.round(intervalMs * (1 - marginRatio)),
    'grpc.keepalive_timeout_ms': keepaliveTimeoutMs,
  };
}
