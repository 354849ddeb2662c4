/** The deadlines of one stream; each timer exists only if its timeout is set. */
import { Timer } from '../../common/timer-wheel.ts';
import type { MaxStreamDuration } from '../config/model/route.ts';
import { ResponseFlag } from '../telemetry/response-flags.ts';
import type { LocalReply, RouteMatchView } from './filter.ts';
import { formatGrpcTimeout, parseGrpcTimeout } from './grpc-timeout.ts';
import type { HeaderMap } from './header-map.ts';
import { isGrpcContentType } from './local-reply.ts';
import type { ManagerContext } from './manager-context.ts';

const grpcDeadlineExceeded = 4;

interface TimedStream {
  readonly streamInfo: { readonly startMonotonicMs: number };
  sendLocalReply(reply: LocalReply): void;
  readonly requestComplete: boolean;
  /** How long a whole response may wait for a client that does not read. */
  setFlushTimeout(timeoutMs: number): void;
}

/** Least time between two re-armings of the idle timer: activity more often than that changes nothing. */
const idleGranularityMs = 10;

export class StreamTimers {
  readonly #stream: TimedStream;
  readonly #context: ManagerContext;
  #headers: Timer | null = null;
  #request: Timer | null = null;
  #idle: Timer | null = null;
  #duration: Timer | null = null;
  #idleMs = 0;
  #armedAtMs = 0;

  constructor(stream: TimedStream, context: ManagerContext) {
    this.#stream = stream;
    this.#context = context;
    const { model } = context;
    if (model.requestHeadersTimeoutMs > 0)
      this.#headers = this.#schedule(model.requestHeadersTimeoutMs, () => this.#onHeadersTimeout());
    if (model.requestTimeoutMs > 0) this.#request = this.#schedule(model.requestTimeoutMs, () => this.#onRequestTimeout());
    if (model.maxStreamDurationMs > 0) this.#setDuration(model.maxStreamDurationMs);
    this.#setIdle(model.streamIdleTimeoutMs);
  }

  #schedule(timeoutMs: number, callback: () => void): Timer {
    return this.#context.services.timers.schedule(timeoutMs, callback);
  }

  /** Of the whole stream, from its start; null: none. */
  #setDuration(limitMs: number | null): void {
    if (this.#duration !== null) this.#context.services.timers.cancel(this.#duration);
    this.#duration = null;
    if (limitMs === null) return;
    const usedMs = performance.now() - this.#stream.streamInfo.startMonotonicMs;
    this.#duration = this.#schedule(Math.max(0, limitMs - usedMs), () => this.#onMaxDuration());
  }

  #setIdle(timeoutMs: number): void {
    this.#idleMs = timeoutMs;
    this.#stream.setFlushTimeout(timeoutMs);
    if (timeoutMs > 0) {
      this.#idle ??= new Timer(() => this.#onIdle());
      this.#armedAtMs = performance.now();
      this.#context.services.timers.arm(this.#idle, timeoutMs);
    } else if (this.#idle !== null) {
      this.#context.services.timers.cancel(this.#idle);
      this.#idle = null;
    }
  }

  onHeaders(): void {
    if (this.#headers !== null) this.#context.services.timers.cancel(this.#headers);
  }

  onRequestComplete(): void {
    if (this.#request !== null) this.#context.services.timers.cancel(this.#request);
  }

  onActivity(): void {
    if (this.#idle === null) return;
    const now = performance.now();
    if (now - this.#armedAtMs < idleGranularityMs) return;
    this.#armedAtMs = now;
    this.#context.services.timers.arm(this.#idle, this.#idleMs);
  }

  /** The route's own limits replace the connection manager's. */
  onRoute(route: RouteMatchView | null, headers: HeaderMap): void {
    const action = route?.route.action;
    if (action === undefined || action.kind !== 'forward') return;
    if (action.idleTimeoutMs !== null && action.idleTimeoutMs !== this.#idleMs) this.#setIdle(action.idleTimeoutMs);
    if (action.maxStreamDuration !== null) this.#applyDuration(action.maxStreamDuration, headers);
  }

  /** The route's limits, of which a gRPC client may choose its own part; the upstream is told what was granted. */
  #applyDuration(limits: MaxStreamDuration, headers: HeaderMap): void {
    const { maxMs, grpcTimeoutHeaderMaxMs, grpcTimeoutHeaderOffsetMs } = limits;
    const askedMs = grpcTimeoutHeaderMaxMs === null ? null : parseGrpcTimeout(headers.get('grpc-timeout'));
    const isGrpc = isGrpcContentType(headers.get('content-type'));
    let limitMs: number | null;
    if (grpcTimeoutHeaderMaxMs !== null && askedMs !== null) {
      let grantedMs = grpcTimeoutHeaderMaxMs === 0 ? askedMs : Math.min(askedMs, grpcTimeoutHeaderMaxMs);
      if (grantedMs > 0) grantedMs = Math.max(0, grantedMs - grpcTimeoutHeaderOffsetMs);
      limitMs = grantedMs;
    } else {
      const configuredMs = maxMs ?? this.#context.model.maxStreamDurationMs;
      limitMs = configuredMs > 0 ? configuredMs : null;
    }
    if (isGrpc && limitMs !== null) headers.set('grpc-timeout', formatGrpcTimeout(limitMs));
    else if (isGrpc && this.#duration !== null) headers.remove('grpc-timeout');
    this.#setDuration(limitMs);
  }

  cancel(): void {
    const { timers } = this.#context.services;
    for (const timer of [this.#headers, this.#request, this.#idle, this.#duration]) if (timer !== null) timers.cancel(timer);
  }

  #onHeadersTimeout(): void {
    this.#context.stats.counter('downstream_rq_header_timeout').inc();
    this.#reply(408, 'request header timeout', 'request_header_timeout', 0);
  }

  #onRequestTimeout(): void {
    this.#context.stats.counter('downstream_rq_timeout').inc();
    this.#reply(408, 'request timeout', 'request_overall_timeout', 0);
  }

  #onIdle(): void {
    this.#context.stats.counter('downstream_rq_idle_timeout').inc();
    this.#reply(this.#timeoutStatus, 'stream timeout', 'stream_idle_timeout', ResponseFlag.streamIdleTimeout);
  }

  #onMaxDuration(): void {
    this.#context.stats.counter('downstream_rq_max_duration_reached').inc();
    const status = this.#timeoutStatus;
    this.#reply(status, 'downstream duration timeout', 'max_duration_timeout', 0, grpcDeadlineExceeded);
  }

  /** Whose fault it is: the upstream's once it has the whole request. */
  get #timeoutStatus(): number {
    return this.#stream.requestComplete ? 504 : 408;
  }

  #reply(status: number, body: string, details: string, flags: number, grpcStatus: number | null = null): void {
    this.#stream.sendLocalReply({ status, body, details, flags, grpcStatus });
  }
}
