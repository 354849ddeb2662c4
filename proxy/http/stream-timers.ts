/** The deadlines of one stream; each timer exists only if its timeout is set. */
import { Timer } from '../../common/timer-wheel.ts';
import { ResponseFlag } from '../telemetry/response-flags.ts';
import type { LocalReply, RouteMatchView } from './filter.ts';
import type { ManagerContext } from './manager-context.ts';

interface TimedStream {
  readonly streamInfo: { protocol: string };
  sendLocalReply(reply: LocalReply): void;
  readonly requestComplete: boolean;
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

  #setDuration(timeoutMs: number): void {
    if (this.#duration !== null) this.#context.services.timers.cancel(this.#duration);
    this.#duration = timeoutMs > 0 ? this.#schedule(timeoutMs, () => this.#onMaxDuration()) : null;
  }

  #setIdle(timeoutMs: number): void {
    this.#idleMs = timeoutMs;
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
  onRoute(route: RouteMatchView | null): void {
    const action = route?.route.action;
    if (action === undefined || action.kind !== 'forward') return;
    if (action.idleTimeoutMs !== null && action.idleTimeoutMs !== this.#idleMs) this.#setIdle(action.idleTimeoutMs);
    const limitMs = action.maxStreamDuration?.maxMs ?? null;
    if (limitMs !== null) this.#setDuration(limitMs);
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
    const status = this.#stream.requestComplete ? 504 : 408;
    this.#reply(status, 'stream timeout', 'stream_idle_timeout', ResponseFlag.streamIdleTimeout);
  }

  #onMaxDuration(): void {
    this.#context.stats.counter('downstream_rq_max_duration_reached').inc();
    this.#reply(408, 'downstream duration timeout', 'max_duration_timeout', ResponseFlag.durationTimeout);
  }

  #reply(status: number, body: string, details: string, flags: number): void {
    this.#stream.sendLocalReply({ status, body, details, flags, grpcStatus: null });
  }
}
