/** What one downstream connection adds to its connection manager's statistics. */
import type { CloseEvent, Connection } from '../network/connection.ts';
import type { ManagerStats } from './manager-stats.ts';

/** A timer may fire this much early. */
const timerGrainMs = 20;

export class ConnectionStats {
  readonly #stats: ManagerStats;
  readonly #connection: Connection;
  readonly #startMs = performance.now();
  #version: 1 | 2 | null = null;
  #sentBytes = 0;
  /** When the wait for the client's close began; 0: it did not. */
  #delayedCloseMs = 0;

  constructor(stats: ManagerStats, connection: Connection) {
    this.#stats = stats;
    this.#connection = connection;
  }

  onConnection(): void {
    const stats = this.#stats;
    stats.connectionsTotal.inc();
    stats.connectionsActive.inc();
    if (this.#connection.info.tls === null) return;
    stats.counter('downstream_cx_ssl_total').inc();
    stats.gauge('downstream_cx_ssl_active').inc();
  }

  onVersion(version: 1 | 2): void {
    this.#version = version;
    this.#stats.counter(`downstream_cx_http${version}_total`).inc();
    this.#stats.gauge(`downstream_cx_http${version}_active`).inc();
  }

  onRequest(): void {
    this.#stats.requestsTotal.inc();
    (this.#version === 2 ? this.#stats.requestsHttp2 : this.#stats.requestsHttp1).inc();
    this.#stats.requestsActive.inc();
  }

  onDelayedClose(): void {
    if (this.#delayedCloseMs === 0) this.#delayedCloseMs = performance.now();
  }

  /** Adds what was written since the last call. */
  countSent(): void {
    const sent = this.#connection.bytesSent;
    this.#stats.sentBytes.add(sent - this.#sentBytes);
    this.#sentBytes = sent;
  }

  /** Requests end with their connection, which `side` ends. */
  countActiveRequests(side: 'local' | 'remote'): void {
    this.#stats.counter('downstream_cx_destroy_active_rq').inc();
    this.#stats.counter(`downstream_cx_destroy_${side}_active_rq`).inc();
  }

  onClose(event: CloseEvent, delayedCloseTimeoutMs: number, hasStreams: boolean): void {
    const stats = this.#stats;
    const side = event === 'local-close' || event === 'local-reset' ? 'local' : 'remote';
    stats.counter('downstream_cx_destroy').inc();
    stats.counter(`downstream_cx_destroy_${side}`).inc();
    const waitedMs = this.#delayedCloseMs === 0 ? 0 : performance.now() - this.#delayedCloseMs;
    if (side === 'local' && delayedCloseTimeoutMs > 0 && waitedMs >= delayedCloseTimeoutMs - timerGrainMs) {
      stats.counter('downstream_cx_delayed_close_timeout').inc();
    }
    if (hasStreams) this.countActiveRequests(side);
    stats.connectionsActive.dec();
    if (this.#connection.info.tls !== null) stats.gauge('downstream_cx_ssl_active').dec();
    if (this.#version !== null) stats.gauge(`downstream_cx_http${this.#version}_active`).dec();
    stats.connectionLengthMs.record(performance.now() - this.#startMs);
  }
}
