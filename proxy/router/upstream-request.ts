/** One attempt of a request: waits for a connection, sends what the router has, and hands what comes back to the router. */
import { Timer } from '../../common/timer-wheel.ts';
import type { TimerWheel } from '../../common/timer-wheel.ts';
import type { ForwardAction } from '../config/model/route.ts';
import type { RequestEncoder, ResponseDecoder, StreamResetReason } from '../http/codec.ts';
import type { HeaderMap } from '../http/header-map.ts';
import type { ConnectionInfo } from '../network/connection.ts';
import type { Protocol, StreamInfo } from '../telemetry/stream-info.ts';
import type { Host, PoolCallbacks, PoolFailureReason, PoolHandle, StreamOptions } from '../upstream/cluster-manager.ts';
import type { FlowControl } from './flow-control.ts';
import type { RequestTimeouts } from './request-timeout.ts';
import { findTermination, openTerminatedConnect } from './terminated-connect.ts';
import { poolFailureReasons, streamResetReasons } from './reset-reason.ts';
import type { ResetReason } from './reset-reason.ts';

/** The router, as its attempts see it. */
export interface UpstreamRequestOwner {
  readonly info: StreamInfo;
  readonly headers: HeaderMap;
  readonly flow: FlowControl;
  /** The connection is ready: the owner sends the head and whatever of the body it has. */
  onUpstreamReady(attempt: UpstreamRequest): void;
  onUpstream1xxHeaders(attempt: UpstreamRequest, headers: HeaderMap): void;
  onUpstreamHeaders(attempt: UpstreamRequest, headers: HeaderMap, endStream: boolean): void;
  onUpstreamData(attempt: UpstreamRequest, data: Buffer, endStream: boolean): void;
  onUpstreamTrailers(attempt: UpstreamRequest, trailers: HeaderMap): void;
  onUpstreamFailure(attempt: UpstreamRequest, reason: ResetReason, transportFailureReason: string): void;
  readonly timeouts: RequestTimeouts;
  onPerTryTimeout(attempt: UpstreamRequest, isIdle: boolean): void;
  /** The cluster, or the request itself, lets no stream last longer. */
  onMaxStreamDuration(attempt: UpstreamRequest): void;
}

export class UpstreamRequest implements ResponseDecoder, PoolCallbacks {
  readonly host: Host;
  readonly #owner: UpstreamRequestOwner;
  readonly #timers: TimerWheel;
  #handle: PoolHandle | null = null;
  #encoder: RequestEncoder | null = null;
  #isMultiplexed = false;
  #perTryTimer: Timer | null = null;
  #idleTimer: Timer | null = null;
  #idleMs = 0;
  #durationTimer: Timer | null = null;
  /** Nothing is reported any more. */
  #done = false;
  hasResponse = false;
  /** A retry has been started beside it. */
  isHedged = false;
  /** Outlier detection knows that it is slow. */
  isTimeoutReported = false;
  #connection: ConnectionInfo | null = null;
  #protocol: Protocol = '';
  requestStarted = false;
  requestEnded = false;
  /** A gRPC response whose outcome is known only with its trailers. */
  isOutcomeDeferred = false;

  constructor(owner: UpstreamRequestOwner, host: Host, timers: TimerWheel) {
    this.#owner = owner;
    this.host = host;
    this.#timers = timers;
  }

  /** May call the owner back before it returns. Where CONNECT ends here the stream is a plain connection. */
  start(options: StreamOptions, action: ForwardAction): void {
    const { host } = this;
    const connect = findTermination(action, this.#owner.headers.method);
    const handle =
      connect === null
        ? host.newStream(options, this, this)
        : openTerminatedConnect(host, options, connect, this.#owner.info, this, this);
    // A failure during the call has ended this attempt already.
    if (!this.#done && this.#encoder === null) this.#handle = handle;
  }

  /** Makes this the attempt that logs tell of. */
  describe(info: StreamInfo): void {
    info.setUpstreamHost(this.host);
    info.upstreamConnection = this.#connection;
    info.upstreamProtocol = this.#protocol;
  }

  get encoder(): RequestEncoder | null {
    return this.#encoder;
  }

  armPerTryTimeout(timeoutMs: number): void {
    if (this.#done || this.#perTryTimer !== null) return;
    this.#perTryTimer = this.#timers.schedule(timeoutMs, () => this.#owner.onPerTryTimeout(this, false));
  }

  armPerTryIdleTimeout(timeoutMs: number): void {
    if (this.#done) return;
    this.#idleMs = timeoutMs;
    this.#idleTimer ??= new Timer(() => this.#owner.onPerTryTimeout(this, true));
    this.#timers.arm(this.#idleTimer, timeoutMs);
  }

  #touch(): void {
    this.#owner.info.lastUpstreamRxByteMs = this.#timers.now();
    if (this.#idleTimer !== null) this.#timers.arm(this.#idleTimer, this.#idleMs);
  }

  sendHeaders(headers: HeaderMap, endStream: boolean): void {
    this.requestStarted = true;
    this.requestEnded = endStream;
    this.#owner.info.firstUpstreamTxByteMs = this.#timers.now();
    if (endStream) this.#owner.info.lastUpstreamTxByteMs = this.#owner.info.firstUpstreamTxByteMs;
    this.#encoder?.encodeHeaders(headers, endStream);
  }

  sendData(data: Buffer, endStream: boolean): void {
    this.requestEnded = endStream;
    if (this.#idleTimer !== null && !this.#done) this.#timers.arm(this.#idleTimer, this.#idleMs);
    if (endStream) this.#owner.info.lastUpstreamTxByteMs = this.#timers.now();
    this.#encoder?.encodeData(data, endStream);
  }

  sendTrailers(trailers: HeaderMap): void {
    this.requestEnded = true;
    this.#owner.info.lastUpstreamTxByteMs = this.#timers.now();
    this.#encoder?.encodeTrailers(trailers);
  }

  /** Ends the attempt without a report: cancels the wait, or resets the stream if it is still open. */
  abandon(): void {
    if (this.#done) return;
    this.#finish();
    if (this.#handle !== null) this.#handle.cancel();
    else this.#reset();
  }

  #finish(): void {
    this.#done = true;
    if (this.#perTryTimer !== null) this.#timers.cancel(this.#perTryTimer);
    if (this.#idleTimer !== null) this.#timers.cancel(this.#idleTimer);
    if (this.#durationTimer !== null) this.#timers.cancel(this.#durationTimer);
    const encoder = this.#encoder;
    if (encoder === null) return;
    const { info } = this.#owner;
    info.upstreamWireBytesSent += encoder.wireBytesSent;
    info.upstreamWireBytesReceived += encoder.wireBytesReceived;
  }

  /** The response is whole. A request that is not is given up: what is left of it has no reader. */
  complete(): void {
    if (this.#done) return;
    this.#finish();
    if (!this.requestEnded) this.#reset();
  }

  #reset(): void {
    this.#countReset('local-reset');
    this.#encoder?.reset('local-reset');
  }

  /** On HTTP/1 the end of the connection says it all. */
  #countReset(reason: StreamResetReason): void {
    if (this.#isMultiplexed) this.host.cluster.stats.countStreamReset(reason);
  }

  // PoolCallbacks

  onPoolReady(encoder: RequestEncoder, connection: ConnectionInfo, protocol: Protocol): void {
    this.#handle = null;
    this.#encoder = encoder;
    this.#isMultiplexed = protocol === 'HTTP/2';
    this.#connection = connection;
    this.#protocol = protocol;
    this.describe(this.#owner.info);
    this.host.reportResult({ kind: 'connect-success' });
    const durationMs = this.#owner.timeouts.streamDurationMs ?? this.host.cluster.model.protocol.maxStreamDurationMs;
    if (durationMs > 0) {
      this.#durationTimer = this.#timers.schedule(durationMs, () => this.#owner.onMaxStreamDuration(this));
    }
    this.#owner.onUpstreamReady(this);
  }

  onPoolFailure(reason: PoolFailureReason, transportFailureReason: string): void {
    this.#handle = null;
    if (this.#done) return;
    this.#finish();
    this.#owner.info.upstreamTransportFailureReason = transportFailureReason;
    this.#owner.onUpstreamFailure(this, poolFailureReasons[reason], transportFailureReason);
  }

  // ResponseDecoder

  onResponse1xxHeaders(headers: HeaderMap): void {
    if (this.#done) return;
    this.#touch();
    this.#owner.onUpstream1xxHeaders(this, headers);
  }

  onResponseHeaders(headers: HeaderMap, endStream: boolean): void {
    if (this.#done) return;
    this.hasResponse = true;
    this.#touch();
    this.#owner.info.firstUpstreamRxByteMs = this.#owner.info.lastUpstreamRxByteMs;
    this.#owner.onUpstreamHeaders(this, headers, endStream);
  }

  onResponseData(data: Buffer, endStream: boolean): void {
    if (this.#done) return;
    this.#touch();
    this.#owner.onUpstreamData(this, data, endStream);
  }

  onResponseTrailers(trailers: HeaderMap): void {
    if (this.#done) return;
    this.#touch();
    this.#owner.onUpstreamTrailers(this, trailers);
  }

  onReset(reason: StreamResetReason, transportFailureReason: string): void {
    if (this.#done) return;
    this.#countReset(reason);
    this.#finish();
    this.#owner.onUpstreamFailure(this, streamResetReasons[reason], transportFailureReason);
  }

  onAboveWriteBufferHighWatermark(): void {
    if (!this.#done) this.#owner.flow.onUpstreamWatermark(true);
  }

  onBelowWriteBufferLowWatermark(): void {
    if (!this.#done) this.#owner.flow.onUpstreamWatermark(false);
  }
}
