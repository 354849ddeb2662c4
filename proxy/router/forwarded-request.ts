/** A request on its way to a cluster: attempts, retries, timeouts, and the response on its way back. */
import type { Timer } from '../../common/timer-wheel.ts';
import type { HttpFilterCallbacks } from '../http/filter.ts';
import type { HeaderMap } from '../http/header-map.ts';
import { isGrpcContentType } from '../http/local-reply.ts';
import { ResponseFlag } from '../telemetry/response-flags.ts';
import type { StreamInfo } from '../telemetry/stream-info.ts';
import type { Cluster, Host } from '../upstream/cluster-manager.ts';
import { readStreamOptions } from '../upstream/stream-options.ts';
import { Attempts } from './attempts.ts';
import { setAutomaticNames } from './automatic-names.ts';
import { FlowControl } from './flow-control.ts';
import { HostSelection } from './host-selection.ts';
import { RequestBody } from './request-body.ts';
import { sendMirrors } from './request-mirror.ts';
import { redirectHeaders } from './internal-redirect.ts';
import { finalizeRequestHeaders, prepareTimeouts, writeAttemptHeaders } from './request-preparation.ts';
import { noTimeouts, writeTimeoutHeaders } from './request-timeout.ts';
import { formatResetBody, formatResetDetails, localReset } from './reset-reason.ts';
import type { ResetReason } from './reset-reason.ts';
import {
  countAbort,
  countOutcome,
  countResponse,
  countTimeout,
  isGrpcSuccess,
  recordResponseTime,
} from './response-accounting.ts';
import type { AccountedRequest } from './response-accounting.ts';
import { createRetryState } from './retry-state.ts';
import { rewriteHost } from './rewrite.ts';
import type { ForwardEntry, RouteEntry } from './route-entry.ts';
import type { RouterConfig } from './router-config.ts';
import { finalizeResponseHeaders, sendRouterReply } from './router-reply.ts';
import type { RouteStats } from './router-stats.ts';
import { UpstreamRequest } from './upstream-request.ts';
import type { UpstreamRequestOwner } from './upstream-request.ts';

const timeoutStatus = 504;
const noBody = Buffer.alloc(0);

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
  readonly #attempts: Attempts;
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
    this.#body = new RequestBody(action.bodyLimitBytes ?? callbacks.bufferLimitBytes);
    this.flow = new FlowControl(callbacks, this);
    this.#selection = new HostSelection(action, headers, this.info);
    this.#attempts = new Attempts(this.info, action.priority);
  }

  get #nowMs(): number {
    return this.config.context.services.timers.now();
  }

  // Downstream

  begin(endStream: boolean): void {
    const { headers, config } = this;
    setAutomaticNames(this.info, headers, this.cluster.model);
    const { suppressEnvoyHeaders } = config.model;
    this.timeouts = prepareTimeouts(this.#action, headers, config.model, this.isGrpc);
    if (headers.remove('x-envoy-upstream-rq-timeout-alt-response')) this.#timeoutStatus = 204;
    writeAttemptHeaders(headers, this.#entry, this.#attempts.count, null);
    finalizeRequestHeaders(this.#entry, this.#action, headers, this.info, !suppressEnvoyHeaders);
    this.#attempts.retryState = createRetryState(this.#action.retryPolicy, headers, config.context.services.timers);
    this.#selection.retryState = this.#attempts.retryState;
    this.#selection.drawMirrors(this.#action.mirrors, headers);
    const host = this.cluster.chooseHost(this.#selection);
    if (host === null) {
      this.#replyNoHealthyUpstream();
      return;
    }
    if (endStream) this.#body.isComplete = true;
    this.#startAttempt(host);
    if (endStream) this.#onComplete();
  }

  onData(data: Buffer, endStream: boolean): void {
    if (!this.#finished && this.#mustKeepBody() && this.#body.wouldOverflow(data.length)) this.#abandonRetries();
    if (this.#finished) return;
    const attempt = this.#attempts.latest;
    const isReady = attempt !== null && attempt.encoder !== null;
    if (!isReady || this.#mustKeepBody()) this.#body.append(data);
    if (isReady) attempt.sendData(data, endStream);
    else if (this.#body.isFull && !this.flow.isDownstreamPaused) this.flow.onUpstreamWatermark(true);
    if (endStream) this.#onComplete();
  }

  onTrailers(trailers: HeaderMap): void {
    if (this.#finished) return;
    this.#trailers = trailers;
    const attempt = this.#attempts.latest;
    if (attempt !== null && attempt.encoder !== null) attempt.sendTrailers(trailers);
    this.#onComplete();
  }

  /** For a retry, for mirrors, for a redirect. */
  #mustKeepBody(): boolean {
    if (this.#attempts.retryState !== null || this.#selection.mirrors.length > 0) return true;
    return this.#action.model.internalRedirect !== undefined && !this.#body.isGivenUp && !this.#responseStarted;
  }

  #startAttempt(host: Host): void {
    const attempt = new UpstreamRequest(this, host, this.config.context.services.timers);
    this.#attempts.add(attempt);
    this.info.setUpstreamHost(host);
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
    const attempt = this.#attempts.latest;
    if (perTryMs > 0 && attempt !== null && attempt.encoder !== null) attempt.armPerTryTimeout(perTryMs);
  }

  /** The body outgrew the buffer: the request can be neither repeated nor mirrored. */
  #abandonRetries(): void {
    this.cluster.stats.countRetryAbandoned();
    this.#selection.mirrors = [];
    this.#body.isGivenUp = true;
    const waits = this.#attempts.latest === null;
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
    if (!this.#attempts.has(attempt)) return;
    const { perTryMs, perTryIdleMs } = this.timeouts;
    if (perTryMs > 0 && body.isComplete) attempt.armPerTryTimeout(perTryMs);
    if (perTryIdleMs > 0) attempt.armPerTryIdleTimeout(perTryIdleMs);
  }

  #sendBody(attempt: UpstreamRequest): void {
    const body = this.#body;
    const endsWithBody = body.isComplete && this.#trailers === null;
    const chunks = body.chunks;
    for (let i = 0; i < chunks.length && this.#attempts.has(attempt); i++) {
      attempt.sendData(chunks[i], endsWithBody && i === chunks.length - 1);
    }
    if (this.#trailers !== null && this.#attempts.has(attempt)) attempt.sendTrailers(this.#trailers);
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
    attempt.host.reportResult({ kind: 'response', status: headers.status });
    const mayRetry = !this.#responseStarted && this.#attempts.retryState !== null;
    const retry = (): void => this.#startRetry(false);
    const verdict = mayRetry ? this.#attempts.judgeResponse(attempt, headers, endStream, this.cluster, retry) : 'final';
    if (verdict === 'retry') return;
    if (this.#redirect(attempt, headers, endStream)) return;
    if (verdict === 'refused' && this.#attempts.mayStillAnswer) {
      this.#attempts.discard(attempt);
      return;
    }
    this.#responseStarted = true;
    this.#dropRetries();
    countResponse(this, headers.status, attempt.host);
    countOutcome(this, attempt, headers, endStream);
    const elapsedMs = this.#completeMs > 0 ? this.#nowMs - this.#completeMs : null;
    finalizeResponseHeaders(this, headers, this.#entry, this.#attempts.count, this.#selection.cookies, elapsedMs);
    this.#headersSent = true;
    this.#attempts.choose(attempt);
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
    this.#attempts.remove(attempt);
    if (!this.#responseStarted && this.#attempts.mayStillAnswer) return;
    const body = formatResetBody(reason, this.#attempts.count > 1);
    const details = formatResetDetails(reason, transportFailureReason, this.#responseStarted);
    this.#abort(reason.status, body, details, reason.flag, isOverflow);
  }

  onPerTryTimeout(attempt: UpstreamRequest, isIdle: boolean): void {
    if (this.timeouts.isHedged) {
      if (!this.#responseStarted) this.#attempts.hedge(attempt, this.cluster, () => this.#startRetry(true));
      return;
    }
    if (isIdle) this.cluster.stats.countPerTryIdleTimeout();
    else this.cluster.stats.countPerTryTimeout();
    attempt.abandon();
    attempt.host.reportResult({ kind: 'request-timeout' });
    if (this.#retryReset(attempt, localReset, true)) return;
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
    for (const attempt of this.#attempts.running) countTimeout(this, attempt, this.#timeoutStatus, this.#responseStarted);
    this.#abortWithTimeout('response_timeout');
  }

  #abortWithTimeout(details: string): void {
    const body = this.#timeoutStatus === timeoutStatus ? 'upstream request timeout' : '';
    this.#abort(this.#timeoutStatus, body, details, ResponseFlag.upstreamRequestTimeout, false);
  }

  // Retries

  #retryReset(attempt: UpstreamRequest, reason: ResetReason, isTimeout = false): boolean {
    if (this.#responseStarted) return false;
    return this.#attempts.retryReset(attempt, reason, this.cluster, () => this.#startRetry(isTimeout));
  }

  #startRetry(isAfterTimeout: boolean): void {
    if (this.#finished) return;
    this.#attempts.begin();
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
    writeAttemptHeaders(this.headers, this.#entry, this.#attempts.count, isAfterTimeout);
    const elapsedMs = this.#completeMs === 0 ? 0 : this.#nowMs - this.#completeMs;
    const insertsExpected = !this.config.model.suppressEnvoyHeaders;
    writeTimeoutHeaders(this.headers, this.timeouts, this.#action.model, elapsedMs, this.isGrpc, insertsExpected);
    this.#startAttempt(host);
  }

  /** True if the response is a redirect that is followed here: then this request is over. */
  #redirect(attempt: UpstreamRequest, response: HeaderMap, endStream: boolean): boolean {
    const policy = this.#action.model.internalRedirect;
    if (policy === undefined || this.#responseStarted || !policy.statuses.includes(response.status)) return false;
    const { cluster, headers, config } = this;
    const mayFollow = this.#body.isComplete && !this.#body.isGivenUp;
    const verdict = mayFollow
      ? redirectHeaders(policy, this.#callbacks, this.#entry.route.name, headers, response, config.stats)
      : 'refused';
    cluster.stats.countInternalRedirect(verdict !== 'refused');
    if (verdict === 'refused') return false;
    // A response that has ended leaves its connection as it is.
    if (endStream) attempt.complete();
    return this.#callbacks.recreateStream(response, verdict === 'with-body' ? this.#body.toBuffer() : noBody);
  }

  #dropRetries(): void {
    this.#attempts.dropRetries();
    this.#selection.retryState = null;
    const attempt = this.#attempts.latest;
    if (!this.#mustKeepBody() && attempt !== null && attempt.encoder !== null) this.#body.discard();
  }

  // Ends

  /** Stops timers and whatever still runs upstream. */
  finish(): void {
    if (this.#finished) return;
    this.#finished = true;
    if (this.#timeoutTimer !== null) this.config.context.services.timers.cancel(this.#timeoutTimer);
    this.flow.end();
    this.#attempts.stop();
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
    sendRouterReply(this.#callbacks, reply, this.#entry, this.#attempts.count, this.config.model.suppressEnvoyHeaders);
  }
}
