/** What a response, or its absence, adds to the statistics of cluster, route and host. */
import type { HeaderMap } from '../http/header-map.ts';
import type { StreamInfo } from '../telemetry/stream-info.ts';
import type { Cluster, Host } from '../upstream/cluster-manager.ts';
import type { RouterConfig } from './router-config.ts';
import type { RouteStats } from './router-stats.ts';
import type { UpstreamRequest } from './upstream-request.ts';

/** The request that is accounted for. */
export interface AccountedRequest {
  readonly config: RouterConfig;
  readonly info: StreamInfo;
  readonly headers: HeaderMap;
  readonly isGrpc: boolean;
  readonly cluster: Cluster;
  readonly routeStats: RouteStats | null;
}

/** Counts a status that goes downstream; `host` is null if none was chosen. */
export function countResponse(request: AccountedRequest, status: number, host: Host | null): void {
  if (!request.config.model.dynamicStats || request.info.healthCheck) return;
  const isInternal = request.headers.get('x-envoy-internal') === 'true';
  request.cluster.stats.countResponse(status, isInternal);
  request.routeStats?.countResponse(status);
  if (status >= 500) host?.countOutcome(false);
}

/** Whether the host served the request; gRPC tells with its trailers. */
export function countOutcome(request: AccountedRequest, attempt: UpstreamRequest, headers: HeaderMap, endStream: boolean): void {
  if (headers.status >= 500) return;
  if (!request.isGrpc) attempt.host.countOutcome(true);
  else if (endStream) attempt.host.countOutcome(isGrpcSuccess(headers.get('grpc-status')));
  else attempt.isOutcomeDeferred = true;
}

/** Counts an attempt that ended without a whole response, and the status that the client gets for it, if it can. */
export function countAbort(request: AccountedRequest, attempt: UpstreamRequest, status: number, responseStarted: boolean): void {
  if (!responseStarted) {
    countResponse(request, status, attempt.host);
    if (status < 500) attempt.host.countOutcome(false);
  } else if (attempt.isOutcomeDeferred) {
    attempt.host.countOutcome(false);
    request.config.stats.resetAfterResponseStarted.inc();
  }
}

/** Counts an attempt that runs when the time of its request is over. */
export function countTimeout(
  request: AccountedRequest,
  attempt: UpstreamRequest,
  status: number,
  responseStarted: boolean,
): void {
  request.cluster.stats.countRequestTimeout();
  request.routeStats?.timeout.inc();
  if (attempt.hasResponse) return;
  if (!attempt.isTimeoutReported) attempt.host.reportResult({ kind: 'request-timeout' });
  countAbort(request, attempt, status, responseStarted);
}

export function recordResponseTime(request: AccountedRequest, timeMs: number): void {
  if (!request.config.model.dynamicStats || request.info.healthCheck) return;
  request.cluster.stats.recordRequestTimeMs(timeMs, request.headers.get('x-envoy-internal') === 'true');
  request.routeStats?.time.record(timeMs);
}

/** Unknown, deadline exceeded, unimplemented, internal, unavailable and data loss are the server's errors. */
const grpcServerErrors = new Set(['2', '4', '12', '13', '14', '15']);

export function isGrpcSuccess(status: string | undefined): boolean {
  return status !== undefined && !grpcServerErrors.has(status);
}
