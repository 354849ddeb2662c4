/**
 * The terminal HTTP filter: finds route, cluster, host and connection for a request, sends it, retries it where that is
 * allowed, and passes the response back. Bodies, details and flags are Envoy's.
 *
 * Source: Envoy's router filter.
 */
import type { Timer } from '../../common/timer-wheel.ts';
import type { RouterModel } from '../extensions/filters/http/router/config.ts';
import type { FilterFactoryContext, HttpFilter, HttpFilterCallbacks, HttpFilterFactory } from '../http/filter.ts';
import { HookStatus } from '../http/filter.ts';
import type { HeaderMap } from '../http/header-map.ts';
import { isGrpcContentType } from '../http/local-reply.ts';
import { ResponseFlag } from '../telemetry/response-flags.ts';
import type { StreamInfo } from '../telemetry/stream-info.ts';
import type { Cluster, Host } from '../upstream/cluster-manager.ts';
import { readStreamOptions } from '../upstream/stream-options.ts';
import { setAutomaticNames } from './automatic-names.ts';
import { RequestBody } from './request-body.ts';
import { readTimeouts, writeTimeoutHeaders } from './request-timeout.ts';
import type { RequestTimeouts } from './request-timeout.ts';
import { localReset } from './reset-reason.ts';
import type { ResetReason } from './reset-reason.ts';
import { createRetryState } from './retry-state.ts';
import type { RetryState, RetryVerdict } from './retry-state.ts';
import { rewriteHost } from './rewrite.ts';
import type { DirectEntry, ForwardEntry, RouteEntry } from './route-entry.ts';
import { HostSelection } from './host-selection.ts';
import { RouterStats } from './router-stats.ts';
import type { RouteStats } from './router-stats.ts';
import { sendMirrors } from './request-mirror.ts';
import { findInvalidHeader } from './strict-headers.ts';
import { UpstreamRequest } from './upstream-request.ts';
import type { UpstreamRequestOwner } from './upstream-request.ts';

/** What all streams of one filter chain share. */
interface RouterConfig {
  readonly model: RouterModel;
  readonly context: FilterFactoryContext;
  readonly stats: RouterStats;
}

const timeoutStatus = 504;

class RouterFilter implements HttpFilter, UpstreamRequestOwner {
  readonly info: StreamInfo;
  readonly #config: RouterConfig;
  readonly #callbacks: HttpFilterCallbacks;
  readonly #body: RequestBody;
  #headers!: HeaderMap;
  #trailers: HeaderMap | null = null;
  #entry!: RouteEntry;
  #forward!: ForwardEntry;
  #cluster!: Cluster;
  #routeStats: RouteStats | null = null;
  #timeouts: RequestTimeouts | null = null;
  #retryState: RetryState | null = null;
  #selection: HostSelection | null = null;
  #attempt: UpstreamRequest | null = null;
  #attemptCount = 1;
  #isGrpc = false;
  #responseStarted = false;
  /** No attempt will follow and none runs. */
  #finished = false;
  #timeoutStatus = timeoutStatus;
  #requestCompleteMs = 0;
  #timeoutTimer: Timer | null = null;
  /** How often the upstream paused the downstream, and the downstream the upstream. */
  #downstreamPauses = 0;
  #upstreamPauses = 0;

  constructor(config: RouterConfig, callbacks: HttpFilterCallbacks) {
    this.#config = config;
    this.#callbacks = callbacks;
    this.info = callbacks.streamInfo;
    this.#body = new RequestBody(callbacks.bufferLimitBytes);
  }

  // Downstream

  onRequestHeaders(headers: HeaderMap, endStream: boolean): HookStatus {
    this.#headers = headers;
    this.#config.stats.requestsTotal.inc();
    const route = this.#callbacks.route;
    if (route === null) {
      this.#config.stats.noRoute.inc();
      this.#reply(404, '', 'route_not_found', ResponseFlag.noRouteFound);
      return HookStatus.stop;
    }
    this.#entry = route.compiled as RouteEntry;
    const { action } = this.#entry;
    if (action.kind === 'direct-response') this.#respondDirectly(action);
    else if (this.#findCluster(action)) this.#begin(action, endStream);
    return HookStatus.stop;
  }

  onRequestData(data: Buffer, endStream: boolean): HookStatus {
    if (this.#finished) return HookStatus.stop;
    if (this.#mustKeepBody() && this.#body.wouldOverflow(data.length)) this.#abandonRetries();
    if (this.#finished) return HookStatus.stop;
    const attempt = this.#attempt;
    const isReady = attempt !== null && attempt.encoder !== null;
    if (this.#mustKeepBody() || !isReady) this.#body.append(data);
    if (isReady) attempt.sendData(data, endStream);
    else if (this.#body.isFull && this.#downstreamPauses === 0) this.onUpstreamWatermark(true);
    if (endStream) this.#onRequestComplete();
    return HookStatus.stop;
  }

  onRequestTrailers(trailers: HeaderMap): HookStatus {
    if (this.#finished) return HookStatus.stop;
    this.#trailers = trailers;
    if (this.#attempt !== null && this.#attempt.encoder !== null) this.#attempt.sendTrailers(trailers);
    this.#onRequestComplete();
    return HookStatus.stop;
  }

  onDestroy(): void {
    this.#finish();
  }

  onAboveHighWatermark(): void {
    this.#upstreamPauses++;
    this.#attempt?.encoder?.readDisable(true);
  }

  onBelowLowWatermark(): void {
    this.#upstreamPauses--;
    this.#attempt?.encoder?.readDisable(false);
  }

  #mustKeepBody(): boolean {
    return this.#retryState !== null || (this.#selection !== null && this.#selection.mirrors.length > 0);
  }

  #respondDirectly(action: DirectEntry): void {
    this.#config.stats.directResponse.inc();
    const location = action.location?.(this.#headers) ?? null;
    this.#callbacks.sendLocalReply({
      status: action.status,
      body: action.body,
      details: 'direct_response',
      flags: 0,
      grpcStatus: null,
      modifyHeaders: headers => {
        const allowsLocation = action.status === 201 || (action.status >= 300 && action.status < 400);
        if (location !== null && allowsLocation) headers.add('location', location);
        this.#entry.responseEdits.apply(headers, this.info, this.#headers, headers);
      },
    });
  }

  #findCluster(action: ForwardEntry): boolean {
    this.#forward = action;
    const name = action.clusterHeader === '' ? action.clusterName : (this.#headers.get(action.clusterHeader) ?? '');
    const cluster = this.#config.context.services.clusters.find(name);
    if (cluster === null) {
      this.#config.stats.noCluster.inc();
      this.#reply(action.model.clusterNotFoundStatus, '', 'cluster_not_found', ResponseFlag.noClusterFound);
      return false;
    }
    this.#cluster = cluster;
    this.info.cluster = cluster;
    return true;
  }

  #begin(action: ForwardEntry, endStream: boolean): void {
    const headers = this.#headers;
    const { model, stats } = this.#config;
    const invalid = findInvalidHeader(headers, model.strictCheckHeaders);
    if (invalid !== null) {
      const details = `request_headers_failed_strict_check{${invalid.name}}`;
      const body = `invalid header '${invalid.name}' with value '${invalid.value}'`;
      this.#reply(400, body, details, ResponseFlag.invalidEnvoyRequestHeaders);
      return;
    }
    this.#isGrpc = isGrpcContentType(headers.get('content-type'));
    this.#routeStats = stats.ofRoute(this.#entry.virtualHostName, this.#entry.route.statPrefix);
    setAutomaticNames(this.info, headers, this.#cluster.model);
    this.#selection = new HostSelection(action, headers, this.info);
    const host = this.#cluster.chooseHost(this.#selection);
    if (host === null) {
      this.#replyNoHealthyUpstream();
      return;
    }
    this.#prepareHeaders(action, headers);
    this.#retryState = createRetryState(action.retryPolicy, headers, this.#config.context.services.timers);
    this.#selection.retryState = this.#retryState;
    this.#selection.drawMirrors(action.model.mirrors, headers);
    this.#callbacks.downstreamWatermarks = this;
    if (endStream) this.#body.isComplete = true;
    this.#startAttempt(host);
    if (endStream) this.#onRequestComplete();
  }

  #prepareHeaders(action: ForwardEntry, headers: HeaderMap): void {
    const { suppressEnvoyHeaders, respectExpectedRequestTimeout } = this.#config.model;
    const retry = action.retryPolicy?.model;
    this.#timeouts = readTimeouts(
      action.model,
      retry?.perTryTimeoutMs ?? 0,
      retry?.perTryIdleTimeoutMs ?? 0,
      headers,
      this.#isGrpc,
      respectExpectedRequestTimeout,
    );
    writeTimeoutHeaders(headers, this.#timeouts, action.model, 0, this.#isGrpc, !suppressEnvoyHeaders);
    if (headers.remove('x-envoy-upstream-rq-timeout-alt-response')) this.#timeoutStatus = 204;
    this.#writeAttemptCount();
    this.#entry.requestEdits.apply(headers, this.info, headers, null);
    if (action.weightedHost !== '') rewriteHost(headers, action.weightedHost, action.model.appendXForwardedHost);
    else if (action.rewriteHost !== null) rewriteHost(headers, action.rewriteHost(headers), action.model.appendXForwardedHost);
    if (action.rewritePath !== null) {
      const path = action.rewritePath(headers.path);
      if (!suppressEnvoyHeaders) headers.set('x-envoy-original-path', headers.path);
      headers.path = path;
    }
  }

  #writeAttemptCount(): void {
    this.info.upstreamRequestAttemptCount = this.#attemptCount;
    if (this.#entry.virtualHost.includeRequestAttemptCount)
      this.#headers.set('x-envoy-attempt-count', String(this.#attemptCount));
  }

  #startAttempt(host: Host): void {
    const attempt = new UpstreamRequest(this, host, this.#config.context.services.timers);
    this.#attempt = attempt;
    this.info.upstreamHost = host;
    this.#retryState?.onHostAttempted(host);
    if (this.#forward.autoHostRewrite && host.hostname !== '') {
      rewriteHost(this.#headers, host.hostname, this.#forward.model.appendXForwardedHost);
    }
    attempt.start(readStreamOptions(this.info, this.#forward.priority));
  }

  #onRequestComplete(): void {
    this.#body.isComplete = true;
    this.#requestCompleteMs = this.#config.context.services.timers.now();
    if (this.#finished || this.#attempt === null) return;
    const { services } = this.#config.context;
    if (this.#selection !== null && this.#selection.mirrors.length > 0) {
      sendMirrors(this.#selection.mirrors, this.#body, services, this.#timeouts?.globalMs ?? 0, this.info);
    }
    const timeouts = this.#timeouts as RequestTimeouts;
    if (timeouts.globalMs > 0) this.#timeoutTimer = services.timers.schedule(timeouts.globalMs, () => this.#onTimeout());
    if (timeouts.perTryMs > 0 && this.#attempt.encoder !== null) this.#attempt.armPerTryTimeout(timeouts.perTryMs);
  }

  /** The body outgrew the buffer: the request can be neither repeated nor mirrored. */
  #abandonRetries(): void {
    this.#cluster.stats.countRetryAbandoned();
    this.#retryState?.stop();
    this.#retryState = null;
    if (this.#selection !== null) {
      this.#selection.retryState = null;
      this.#selection.mirrors = [];
    }
    if (this.#attempt === null) {
      this.#finish();
      const body = 'exceeded request buffer limit while retrying upstream';
      this.#reply(507, body, 'request_payload_exceeded_retry_buffer_limit', 0);
      return;
    }
    if (this.#attempt.encoder !== null) this.#body.discard();
  }

  // Upstream

  onUpstreamReady(attempt: UpstreamRequest): void {
    this.#routeStats?.total.inc();
    const timeouts = this.#timeouts as RequestTimeouts;
    for (let i = 0; i < this.#upstreamPauses; i++) attempt.encoder?.readDisable(true);
    const body = this.#body;
    const endsWithHead = body.isComplete && body.isEmpty && this.#trailers === null;
    attempt.sendHeaders(this.#headers, endsWithHead);
    if (!endsWithHead) this.#sendBody(attempt);
    if (this.#attempt !== attempt) return;
    if (timeouts.perTryMs > 0 && body.isComplete) attempt.armPerTryTimeout(timeouts.perTryMs);
    if (timeouts.perTryIdleMs > 0) attempt.armPerTryIdleTimeout(timeouts.perTryIdleMs);
  }

  #sendBody(attempt: UpstreamRequest): void {
    const body = this.#body;
    const endsWithBody = body.isComplete && this.#trailers === null;
    const chunks = body.chunks;
    for (let i = 0; i < chunks.length && this.#attempt === attempt; i++) {
      attempt.sendData(chunks[i], endsWithBody && i === chunks.length - 1);
    }
    if (this.#trailers !== null && this.#attempt === attempt) attempt.sendTrailers(this.#trailers);
    if (!this.#mustKeepBody()) body.discard();
    this.#resumeDownstream();
  }

  onUpstreamWatermark(isAbove: boolean): void {
    if (!isAbove && this.#downstreamPauses === 0) return;
    this.#downstreamPauses += isAbove ? 1 : -1;
    this.#callbacks.pauseDownstream(isAbove);
  }

  #resumeDownstream(): void {
    while (this.#downstreamPauses > 0) this.onUpstreamWatermark(false);
  }

  onUpstream1xxHeaders(headers: HeaderMap): void {
    this.#countResponse(headers.status);
    this.#responseStarted = true;
    // A second 100 from another attempt would have to be swallowed: no retries after the first.
    this.#dropRetries();
    this.#callbacks.encode1xxHeaders(headers);
  }

  onUpstreamHeaders(attempt: UpstreamRequest, headers: HeaderMap, endStream: boolean): void {
    const { status } = headers;
    if (this.#entry.virtualHost.includeAttemptCountInResponse) headers.set('x-envoy-attempt-count', String(this.#attemptCount));
    attempt.host.reportResult({ kind: 'response', status });
    if (this.#retryState !== null && !this.#responseStarted) {
      const verdict = this.#retryState.shouldRetryHeaders(headers, this.#cluster, this.#forward.priority, () => this.#retry());
      if (verdict === 'retry') {
        this.#cluster.stats.countRetriedResponse(status);
        attempt.host.countOutcome(false);
        this.#attempt = null;
        if (endStream) attempt.complete();
        else attempt.abandon();
        return;
      }
      this.#setRetryFlag(verdict);
    }
    this.#dropRetries();
    if (this.#requestCompleteMs > 0 && !this.#config.model.suppressEnvoyHeaders) {
      const serviceTimeMs = this.#config.context.services.timers.now() - this.#requestCompleteMs;
      headers.set('x-envoy-upstream-service-time', String(Math.floor(serviceTimeMs)));
    }
    this.#countResponse(status);
    this.#countOutcome(attempt, headers, endStream);
    for (const cookie of this.#selection?.cookies ?? []) headers.add('set-cookie', cookie);
    this.info.responseCodeDetails = 'via_upstream';
    this.#entry.responseEdits.apply(headers, this.info, this.#headers, headers);
    this.#responseStarted = true;
    if (endStream) this.#onUpstreamComplete(attempt);
    this.#callbacks.encodeHeaders(headers, endStream);
  }

  onUpstreamData(attempt: UpstreamRequest, data: Buffer, endStream: boolean): void {
    if (endStream) {
      // gRPC that ends without trailers has failed.
      if (attempt.isOutcomeDeferred) attempt.host.countOutcome(false);
      this.#onUpstreamComplete(attempt);
    }
    this.#callbacks.encodeData(data, endStream);
  }

  onUpstreamTrailers(attempt: UpstreamRequest, trailers: HeaderMap): void {
    if (attempt.isOutcomeDeferred) attempt.host.countOutcome(isGrpcSuccess(trailers.get('grpc-status')));
    this.#onUpstreamComplete(attempt);
    this.#callbacks.encodeTrailers(trailers);
  }

  #onUpstreamComplete(attempt: UpstreamRequest): void {
    attempt.complete();
    if (this.#requestCompleteMs > 0 && this.#config.model.dynamicStats && !this.info.healthCheck) {
      const timeMs = Math.floor(this.#config.context.services.timers.now() - this.#requestCompleteMs);
      this.#cluster.stats.recordRequestTimeMs(timeMs);
      this.#routeStats?.time.record(timeMs);
    }
    this.#finish();
  }

  #countOutcome(attempt: UpstreamRequest, headers: HeaderMap, endStream: boolean): void {
    if (headers.status >= 500) return;
    if (!this.#isGrpc) attempt.host.countOutcome(true);
    else if (endStream) attempt.host.countOutcome(isGrpcSuccess(headers.get('grpc-status')));
    else attempt.isOutcomeDeferred = true;
  }

  #countResponse(status: number): void {
    if (!this.#config.model.dynamicStats || this.info.healthCheck) return;
    const isInternal = this.#headers.get('x-envoy-internal') === 'true';
    this.#cluster.stats.countResponse(status, isInternal);
    this.#routeStats?.countResponse(status);
    if (status >= 500) this.#attempt?.host.countOutcome(false);
  }

  onUpstreamFailure(attempt: UpstreamRequest, reason: ResetReason, transportFailureReason: string): void {
    const isOverflow = reason.kind === 'overflow';
    if (!isOverflow) attempt.host.reportResult({ kind: reason.kind === 'connect-failure' ? 'connect-failure' : 'reset' });
    if (this.#retryReset(attempt, reason)) return;
    this.#countAbort(attempt, reason.status);
    const retried = this.#attemptCount > 1 ? 'retried and the latest ' : '';
    const suffix = transportFailureReason === '' ? '' : `, transport failure reason: ${transportFailureReason}`;
    const body = `upstream connect error or disconnect/reset before headers. ${retried}reset reason: ${reason.text}${suffix}`;
    const basic = this.#responseStarted ? 'upstream_reset_after_response_started' : 'upstream_reset_before_response_started';
    const cause = transportFailureReason === '' ? reason.text : `${reason.text}|${transportFailureReason}`;
    this.#abort(reason.status, body, `${basic}{${cause}}`.replaceAll(/\s/g, '_'), reason.flag, isOverflow);
  }

  onPerTryTimeout(attempt: UpstreamRequest, isIdle: boolean): void {
    if (isIdle) this.#cluster.stats.countPerTryIdleTimeout();
    else this.#cluster.stats.countPerTryTimeout();
    attempt.abandon();
    attempt.host.reportResult({ kind: 'request-timeout' });
    if (this.#retryReset(attempt, localReset)) return;
    this.#countAbort(attempt, this.#timeoutStatus);
    this.#abortWithTimeout(isIdle ? 'upstream_per_try_idle_timeout' : 'upstream_per_try_timeout');
  }

  #onTimeout(): void {
    const attempt = this.#attempt;
    if (attempt !== null) {
      this.#cluster.stats.countRequestTimeout();
      this.#routeStats?.timeout.inc();
      if (!attempt.hasResponse) {
        attempt.host.reportResult({ kind: 'request-timeout' });
        this.#countAbort(attempt, this.#timeoutStatus);
      }
      attempt.abandon();
    }
    this.#abortWithTimeout('response_timeout');
  }

  #abortWithTimeout(details: string): void {
    const body = this.#timeoutStatus === timeoutStatus ? 'upstream request timeout' : '';
    this.#abort(this.#timeoutStatus, body, details, ResponseFlag.upstreamRequestTimeout, false);
  }

  #countAbort(attempt: UpstreamRequest, status: number): void {
    if (!this.#responseStarted) {
      this.#countResponse(status);
      if (status < 500) attempt.host.countOutcome(false);
    } else if (attempt.isOutcomeDeferred) {
      attempt.host.countOutcome(false);
      this.#config.stats.resetAfterResponseStarted.inc();
    }
  }

  #abort(status: number, body: string, details: string, flag: number, isDropped: boolean): void {
    this.#finish();
    if (!this.#responseStarted) {
      this.#reply(status, body, details, flag, isDropped);
      return;
    }
    this.info.setFlag(flag);
    this.info.responseCodeDetails = details;
    this.#callbacks.resetStream('local-reset');
  }

  // Retries

  #retryReset(attempt: UpstreamRequest, reason: ResetReason): boolean {
    if (this.#responseStarted || this.#retryState === null) return false;
    const { priority } = this.#forward;
    const verdict = this.#retryState.shouldRetryReset(reason, attempt.requestStarted, this.#cluster, priority, () =>
      this.#retry(),
    );
    if (verdict !== 'retry') {
      this.#setRetryFlag(verdict);
      return false;
    }
    attempt.host.countOutcome(false);
    this.#attempt = null;
    return true;
  }

  #setRetryFlag(verdict: RetryVerdict): void {
    if (verdict === 'overflow') this.info.setFlag(ResponseFlag.upstreamOverflow);
    else if (verdict === 'limit-exceeded') this.info.setFlag(ResponseFlag.upstreamRetryLimitExceeded);
  }

  #retry(): void {
    if (this.#finished) return;
    this.#attemptCount++;
    this.#resumeDownstream();
    // The cluster may have been replaced or removed since.
    const cluster = this.#config.context.services.clusters.find(this.#cluster.name);
    const host = cluster === null || this.#selection === null ? null : cluster.chooseHost(this.#selection);
    if (cluster === null || host === null) {
      this.info.upstreamRequestAttemptCount = this.#attemptCount;
      this.#finish();
      this.#replyNoHealthyUpstream();
      return;
    }
    this.#cluster = cluster;
    this.info.cluster = cluster;
    this.#writeAttemptCount();
    const { timers } = this.#config.context.services;
    const elapsedMs = this.#requestCompleteMs === 0 ? 0 : timers.now() - this.#requestCompleteMs;
    const insertsExpected = !this.#config.model.suppressEnvoyHeaders;
    writeTimeoutHeaders(
      this.#headers,
      this.#timeouts as RequestTimeouts,
      this.#forward.model,
      elapsedMs,
      this.#isGrpc,
      insertsExpected,
    );
    this.#startAttempt(host);
  }

  #dropRetries(): void {
    this.#retryState?.stop();
    this.#retryState = null;
    if (this.#selection !== null) this.#selection.retryState = null;
    if (!this.#mustKeepBody() && this.#attempt !== null && this.#attempt.encoder !== null) this.#body.discard();
  }

  // Ends

  #finish(): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#retryState?.stop();
    this.#retryState = null;
    const { timers } = this.#config.context.services;
    if (this.#timeoutTimer !== null) timers.cancel(this.#timeoutTimer);
    this.#callbacks.downstreamWatermarks = null;
    this.#resumeDownstream();
    const attempt = this.#attempt;
    this.#attempt = null;
    attempt?.abandon();
    this.#body.discard();
  }

  #replyNoHealthyUpstream(): void {
    this.#countResponse(503);
    this.#reply(503, 'no healthy upstream', 'no_healthy_upstream', ResponseFlag.noHealthyUpstream);
  }

  #reply(status: number, body: string, details: string, flags: number, isDropped = false): void {
    this.#finished = true;
    this.#callbacks.sendLocalReply({
      status,
      body,
      details,
      flags,
      grpcStatus: null,
      modifyHeaders: headers => this.#modifyReply(headers, isDropped),
    });
  }

  #modifyReply(headers: HeaderMap, isDropped: boolean): void {
    if (isDropped && !this.#config.model.suppressEnvoyHeaders) headers.set('x-envoy-overloaded', 'true');
    // Only once the router has tried to send the request.
    if (this.#timeouts !== null && this.#entry.virtualHost.includeAttemptCountInResponse) {
      headers.set('x-envoy-attempt-count', String(this.#attemptCount));
    }
  }
}

function isGrpcSuccess(status: string | undefined): boolean {
  // Unknown, deadline exceeded, unimplemented, internal, unavailable and data loss are server errors.
  return status !== undefined && !['2', '4', '12', '13', '14', '15'].includes(status);
}

/** Makes the router's factory for one filter chain. */
export function createRouterFilterFactory(model: RouterModel, context: FilterFactoryContext): HttpFilterFactory {
  const stats = new RouterStats(context.stats, context.manager?.statPrefix ?? '');
  const config: RouterConfig = { model, context, stats };
  return callbacks => new RouterFilter(config, callbacks);
}
