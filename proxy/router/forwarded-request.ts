/** A request on its way to a cluster: attempts, retries, timeouts, and the response on its way back. */
import type { Timer } from '../../common/timer-wheel.ts';
import type { HttpFilterCallbacks } from '../http/filter.ts';
import type { HeaderMap } from '../http/header-map.ts';
import { isGrpcContentType } from '../http/local-reply.ts';
import { ResponseFlag } from '../telemetry/response-flags.ts';
import type { StreamInfo } from '../telemetry/stream-info.ts';
import type { Cluster, Host } from '../upstream/cluster-manager.ts';
import { readStreamOptions } from '../upstream/stream-options.ts';
import { setAutomaticNames } from './automatic-names.ts';
import { FlowControl } from './flow-control.ts';
import { HostSelection } from './host-selection.ts';
import { RequestBody } from './request-body.ts';
import { sendMirrors } from './request-mirror.ts';
import { finalizeRequestHeaders, prepareTimeouts } from './request-preparation.ts';
import { writeTimeoutHeaders } from './request-timeout.ts';
import type { RequestTimeouts } from './request-timeout.ts';
import { formatResetBody, formatResetDetails, localReset } from './reset-reason.ts';
import type { ResetReason } from './reset-reason.ts';
import { countAbort, countOutcome, countResponse, isGrpcSuccess, recordResponseTime } from './response-accounting.ts';
import type { AccountedRequest } from './response-accounting.ts';
import { createRetryState, retryFlags } from './retry-state.ts';
import type { RetryState } from './retry-state.ts';
import { rewriteHost } from './rewrite.ts';
import type { ForwardEntry, RouteEntry } from './route-entry.ts';
import type { RouterConfig } from './router-config.ts';
import { sendRouterReply, writeResponseAttemptCount } from './router-reply.ts';
import type { RouteStats } from './router-stats.ts';
import { UpstreamRequest } from './upstream-request.ts';
import type { UpstreamRequestOwner } from './upstream-request.ts';

const timeoutStatus = 504;
const noTimeouts: RequestTimeouts = { globalMs: 0, perTryMs: 0, perTryIdleMs: 0, streamDurationMs: null };

/** Of informational responses only these begin a response; others are dropped. */
const passedInformational = new Set([100, 102, 103, 104]);

export class ForwardedRequest implements UpstreamRequestOwner, AccountedRequest {
  readonly config: RouterConfig;
  readonly info: StreamInfo;
  readonly headers: HeaderMap;
  readonly isGrpc: boolean;
  cluster: Cluster;
  readonly routeStats: RouteStats | null;
  readonly #callbacks: HttpFilterCallbacks;
  readonly #entry: RouteEntry;
  readonly #action: ForwardEntry;
  readonly #body: RequestBody;
  readonly #selection: HostSelection;
  #trailers: HeaderMap | null = null;
  timeouts = noTimeouts;
  #retryState: RetryState | null = null;
  #attempt: UpstreamRequest | null = null;
  #attemptCount = 1;
  #responseStarted = false;
  #headersSent = false;
  /** No attempt will follow and none runs. */
  #finished = false;
  #timeoutStatus = timeoutStatus;
  /** Monotonic; 0: the request is still arriving. */
  #completeMs = 0;
  #timeoutTimer: Timer | null = null;
  readonly flow: FlowControl;

  constructor(
    config: RouterConfig,
    callbacks: HttpFilterCallbacks,
    entry: RouteEntry,
    action: ForwardEntry,
    cluster: Cluster,
    headers: HeaderMap,
  ) {
    this.config = config;
    this.info = callbacks.streamInfo;
    this.headers = headers;
    this.isGrpc = isGrpcContentType(headers.get('content-type'));
    this.cluster = cluster;
    this.routeStats = config.stats.ofRoute(entry.virtualHostName, entry.route.statPrefix);
    this.#callbacks = callbacks;
    this.#entry = entry;
    this.#action = action;
    this.#body = new RequestBody(callbacks.bufferLimitBytes);
    this.flow = new FlowControl(callbacks);
    this.#selection = new HostSelection(action, headers, this.info);
  }

  get #nowMs(): number {
    return this.config.context.services.timers.now();
  }

  // Downstream

  begin(endStream: boolean): void {
    const { headers, config } = this;
    setAutomaticNames(this.info, headers, this.cluster.model);
    this.info.upstreamRequestAttemptCount = this.#attemptCount;
    const host = this.cluster.chooseHost(this.#selection);
    if (host === null) {
      this.#replyNoHealthyUpstream();
      return;
    }
    const { suppressEnvoyHeaders } = config.model;
    this.timeouts = prepareTimeouts(this.#action, headers, config.model, this.isGrpc);
    if (headers.remove('x-envoy-upstream-rq-timeout-alt-response')) this.#timeoutStatus = 204;
    this.#writeAttemptCount();
    finalizeRequestHeaders(this.#entry, this.#action, headers, this.info, !suppressEnvoyHeaders);
    this.#retryState = createRetryState(this.#action.retryPolicy, headers, config.context.services.timers);
    this.#selection.retryState = this.#retryState;
    this.#selection.drawMirrors(this.#action.model.mirrors, headers);
    if (endStream) this.#body.isComplete = true;
    this.#startAttempt(host);
    if (endStream) this.#onComplete();
  }

  onData(data: Buffer, endStream: boolean): void {
    if (!this.#finished && this.#mustKeepBody() && this.#body.wouldOverflow(data.length)) this.#abandonRetries();
    if (this.#finished) return;
    const attempt = this.#attempt;
    const isReady = attempt !== null && attempt.encoder !== null;
    if (!isReady || this.#mustKeepBody()) this.#body.append(data);
    if (isReady) attempt.sendData(data, endStream);
    else if (this.#body.isFull && !this.flow.isDownstreamPaused) this.flow.onUpstreamWatermark(true);
    if (endStream) this.#onComplete();
  }

  onTrailers(trailers: HeaderMap): void {
    if (this.#finished) return;
    this.#trailers = trailers;
    if (this.#attempt !== null && this.#attempt.encoder !== null) this.#attempt.sendTrailers(trailers);
    this.#onComplete();
  }

  /** For a retry or for mirrors. */
  #mustKeepBody(): boolean {
    return this.#retryState !== null || this.#selection.mirrors.length > 0;
  }

  #writeAttemptCount(): void {
    this.info.upstreamRequestAttemptCount = this.#attemptCount;
    if (this.#entry.virtualHost.includeRequestAttemptCount) this.headers.set('x-envoy-attempt-count', String(this.#attemptCount));
  }

  #startAttempt(host: Host): void {
    const attempt = new UpstreamRequest(this, host, this.config.context.services.timers);
    this.#attempt = attempt;
    this.info.setUpstreamHost(host);
    this.#retryState?.onHostAttempted(host);
    if (this.#action.autoHostRewrite && host.hostname !== '') {
      rewriteHost(this.headers, host.hostname, this.#action.model.appendXForwardedHost, !this.config.model.suppressEnvoyHeaders);
    }
    attempt.start(readStreamOptions(this.info, this.#action.priority, host), this.#action.model);
  }

  #onComplete(): void {
    this.#body.isComplete = true;
    this.#completeMs = this.#nowMs;
    if (this.#finished) return;
    const { services } = this.config.context;
    const { globalMs, perTryMs } = this.timeouts;
    const { mirrors } = this.#selection;
    if (mirrors.length > 0) sendMirrors(mirrors, this.#body, services, globalMs, this.info);
    if (globalMs > 0) this.#timeoutTimer = services.timers.schedule(globalMs, () => this.#onTimeout());
    if (perTryMs > 0 && this.#attempt !== null && this.#attempt.encoder !== null) this.#attempt.armPerTryTimeout(perTryMs);
  }

  /** The body outgrew the buffer: the request can be neither repeated nor mirrored. */
  #abandonRetries(): void {
    this.cluster.stats.countRetryAbandoned();
    this.#selection.mirrors = [];
    const waits = this.#attempt === null;
    this.#dropRetries();
    if (!waits) return;
    this.finish();
    const body = 'exceeded request buffer limit while retrying upstream';
    this.#reply(507, body, 'request_payload_exceeded_retry_buffer_limit', 0);
  }

  // Upstream

  onUpstreamReady(attempt: UpstreamRequest): void {
    this.routeStats?.total.inc();
    this.flow.attach(attempt);
    const body = this.#body;
    const endsWithHead = body.isComplete && body.isEmpty && this.#trailers === null;
    attempt.sendHeaders(this.headers, endsWithHead);
    if (!endsWithHead) this.#sendBody(attempt);
    if (this.#attempt !== attempt) return;
    const { perTryMs, perTryIdleMs } = this.timeouts;
    if (perTryMs > 0 && body.isComplete) attempt.armPerTryTimeout(perTryMs);
    if (perTryIdleMs > 0) attempt.armPerTryIdleTimeout(perTryIdleMs);
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
    this.flow.resumeDownstream();
  }

  onUpstream1xxHeaders(attempt: UpstreamRequest, headers: HeaderMap): void {
    if (!passedInformational.has(headers.status)) return;
    countResponse(this, headers.status, attempt.host);
    this.#responseStarted = true;
    // A second 100 from another attempt would have to be swallowed: no retries after the first.
    this.#dropRetries();
    this.#callbacks.encode1xxHeaders(headers);
  }

  onUpstreamHeaders(attempt: UpstreamRequest, headers: HeaderMap, endStream: boolean): void {
    const { status } = headers;
    attempt.host.reportResult({ kind: 'response', status });
    if (this.#retryResponse(attempt, headers, endStream)) return;
    this.#dropRetries();
    if (this.#completeMs > 0 && !this.config.model.suppressEnvoyHeaders) {
      headers.set('x-envoy-upstream-service-time', String(Math.floor(this.#nowMs - this.#completeMs)));
    }
    writeResponseAttemptCount(headers, this.#entry, this.#attemptCount);
    countResponse(this, status, attempt.host);
    countOutcome(this, attempt, headers, endStream);
    for (const cookie of this.#selection.cookies) headers.add('set-cookie', cookie);
    this.info.responseCode = status;
    this.info.responseCodeDetails = 'via_upstream';
    this.#entry.responseEdits.apply(headers, this.info, this.headers, headers);
    this.#responseStarted = true;
    this.#headersSent = true;
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
    if (this.#completeMs > 0) recordResponseTime(this, Math.floor(this.#nowMs - this.#completeMs));
    this.finish();
  }

  onUpstreamFailure(attempt: UpstreamRequest, reason: ResetReason, transportFailureReason: string): void {
    const isOverflow = reason.kind === 'overflow';
    if (!isOverflow) attempt.host.reportResult({ kind: reason.kind === 'connect-failure' ? 'connect-failure' : 'reset' });
    if (this.#retryReset(attempt, reason)) return;
    countAbort(this, attempt, reason.status, this.#responseStarted);
    const body = formatResetBody(reason, this.#attemptCount > 1);
    const details = formatResetDetails(reason, transportFailureReason, this.#responseStarted);
    this.#abort(reason.status, body, details, reason.flag, isOverflow);
  }

  onPerTryTimeout(attempt: UpstreamRequest, isIdle: boolean): void {
    if (isIdle) this.cluster.stats.countPerTryIdleTimeout();
    else this.cluster.stats.countPerTryTimeout();
    attempt.abandon();
    attempt.host.reportResult({ kind: 'request-timeout' });
    if (this.#retryReset(attempt, localReset)) return;
    countAbort(this, attempt, this.#timeoutStatus, this.#responseStarted);
    this.#abortWithTimeout(isIdle ? 'upstream_per_try_idle_timeout' : 'upstream_per_try_timeout');
  }

  onMaxStreamDuration(attempt: UpstreamRequest): void {
    this.cluster.stats.countMaxDurationReached();
    attempt.abandon();
    if (this.#retryReset(attempt, localReset)) return;
    const status = this.#body.isComplete ? 504 : 408;
    const flag = ResponseFlag.upstreamMaxStreamDurationReached;
    this.#abort(status, 'upstream max stream duration reached', 'upstream_max_stream_duration_reached', flag, false);
  }

  #onTimeout(): void {
    const attempt = this.#attempt;
    if (attempt !== null) {
      this.cluster.stats.countRequestTimeout();
      this.routeStats?.timeout.inc();
      if (!attempt.hasResponse) {
        attempt.host.reportResult({ kind: 'request-timeout' });
        countAbort(this, attempt, this.#timeoutStatus, this.#responseStarted);
      }
      attempt.abandon();
    }
    this.#abortWithTimeout('response_timeout');
  }

  #abortWithTimeout(details: string): void {
    const body = this.#timeoutStatus === timeoutStatus ? 'upstream request timeout' : '';
    this.#abort(this.#timeoutStatus, body, details, ResponseFlag.upstreamRequestTimeout, false);
  }

  // Retries

  #retryResponse(attempt: UpstreamRequest, headers: HeaderMap, endStream: boolean): boolean {
    if (this.#retryState === null || this.#responseStarted) return false;
    const verdict = this.#retryState.shouldRetryHeaders(headers, this.cluster, this.#action.priority, () => this.#retry());
    if (verdict !== 'retry') {
      this.info.setFlag(retryFlags[verdict]);
      return false;
    }
    this.cluster.stats.countRetriedResponse(headers.status);
    attempt.host.countOutcome(false);
    this.#attempt = null;
    if (endStream) attempt.complete();
    else attempt.abandon();
    return true;
  }

  #retryReset(attempt: UpstreamRequest, reason: ResetReason): boolean {
    if (this.#retryState === null || this.#responseStarted) return false;
    const { priority } = this.#action;
    const verdict = this.#retryState.shouldRetryReset(reason, attempt.requestStarted, this.cluster, priority, () =>
      this.#retry(),
    );
    if (verdict !== 'retry') {
      this.info.setFlag(retryFlags[verdict]);
      return false;
    }
    attempt.host.countOutcome(false);
    this.#attempt = null;
    return true;
  }

  #retry(): void {
    if (this.#finished) return;
    this.#attemptCount++;
    this.info.upstreamRequestAttemptCount = this.#attemptCount;
    this.flow.resumeDownstream();
    // The cluster may have been replaced or removed since.
    this.#selection.overrideHost = null;
    const cluster = this.config.context.services.clusters.find(this.cluster.name);
    const host = cluster?.chooseHost(this.#selection) ?? null;
    if (cluster === null || host === null) {
      this.finish();
      this.#replyNoHealthyUpstream();
      return;
    }
    this.cluster = cluster;
    this.info.cluster = cluster;
    this.#writeAttemptCount();
    const elapsedMs = this.#completeMs === 0 ? 0 : this.#nowMs - this.#completeMs;
    const insertsExpected = !this.config.model.suppressEnvoyHeaders;
    writeTimeoutHeaders(this.headers, this.timeouts, this.#action.model, elapsedMs, this.isGrpc, insertsExpected);
    this.#startAttempt(host);
  }

  #dropRetries(): void {
    this.#retryState?.stop();
    this.#retryState = null;
    this.#selection.retryState = null;
    if (!this.#mustKeepBody() && this.#attempt !== null && this.#attempt.encoder !== null) this.#body.discard();
  }

  // Ends

  /** Stops timers and whatever still runs upstream. */
  finish(): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#retryState?.stop();
    this.#retryState = null;
    if (this.#timeoutTimer !== null) this.config.context.services.timers.cancel(this.#timeoutTimer);
    this.flow.end();
    const attempt = this.#attempt;
    this.#attempt = null;
    attempt?.abandon();
    this.#body.discard();
  }

  #abort(status: number, body: string, details: string, flag: number, isDropped: boolean): void {
    this.finish();
    if (!this.#headersSent) {
      this.#reply(status, body, details, flag, isDropped);
      return;
    }
    this.info.setFlag(flag);
    this.info.responseCodeDetails = details;
    this.#callbacks.resetStream('local-reset');
  }

  #replyNoHealthyUpstream(): void {
    countResponse(this, 503, null);
    this.#reply(503, 'no healthy upstream', 'no_healthy_upstream', ResponseFlag.noHealthyUpstream);
  }

  #reply(status: number, body: string, details: string, flags: number, isDropped = false): void {
    this.#finished = true;
    const reply = { status, body, details, flags, isDropped };
    sendRouterReply(this.#callbacks, reply, this.#entry, this.#attemptCount, this.config.model.suppressEnvoyHeaders);
  }
}
