/** The HTTP connection manager: a network filter that turns bytes into streams and streams into responses. */
import { Timer } from '../../common/timer-wheel.ts';
import type { HttpConnectionManagerModel } from '../config/model/http-connection-manager.ts';
import type { CloseEvent, Connection, TlsInfo } from '../network/connection.ts';
import {
  FilterStatus,
  type NetworkFactoryContext,
  type NetworkFilter,
  type NetworkFilterCallbacks,
  type NetworkFilterFactory,
} from '../network/filter.ts';
import { ActiveStream } from './active-stream.ts';
import type { RequestDecoder, ResponseEncoder, ServerCodec, ServerConnectionCallbacks } from './codec.ts';
import { describeClientCert } from './forwarded-client-cert.ts';
import { Http1ServerCodec } from './h1/server-codec.ts';
import { buildManagerContext, type ManagerContext } from './manager-context.ts';

const http2Preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');
/** SETTINGS (empty), then GOAWAY with HTTP_1_1_REQUIRED. */
const http2Refusal = Buffer.from(`${'000000040000000000'}${'000008070000000000'}${'00000000'}${'0000000d'}`, 'hex');

/** A timer may fire this much early. */
const timerGrainMs = 20;

/** The connection manager of one downstream connection. */
export class ConnectionManager implements NetworkFilter, ServerConnectionCallbacks {
  readonly context: ManagerContext;
  readonly connection: Connection;
  readonly #callbacks: NetworkFilterCallbacks;
  readonly #idleTimer: Timer | null;
  readonly #durationTimer: Timer | null;
  readonly #startMonotonicMs: number;
  #drainTimer: Timer | null = null;
  #codec: ServerCodec | null = null;
  #peeked: Buffer | null = null;
  #stream: ActiveStream | null = null;
  #requests = 0;
  #dispatching = false;
  /** When the wait for the client's close began; 0: it did not. */
  #delayedCloseMs = 0;
  #closed = false;
  #sentBytes = 0;
  #clientCert: string | null = null;
  /** No further request is wanted: the next response says `connection: close`. */
  closing = false;

  constructor(context: ManagerContext, callbacks: NetworkFilterCallbacks) {
    this.context = context;
    this.#callbacks = callbacks;
    this.connection = callbacks.connection;
    this.#startMonotonicMs = performance.now();
    const { model } = context;
    this.#idleTimer = model.idleTimeoutMs > 0 ? new Timer(() => this.#onIdle()) : null;
    this.#durationTimer = model.maxConnectionDurationMs > 0 ? new Timer(() => this.#onMaxDuration()) : null;
  }

  onNewConnection(): FilterStatus {
    const { stats, model, services } = this.context;
    stats.connectionsTotal.inc();
    stats.connectionsActive.inc();
    if (this.connection.info.tls !== null) {
      stats.counter('downstream_cx_ssl_total').inc();
      stats.gauge('downstream_cx_ssl_active').inc();
    }
    this.connection.setDelayedCloseTimeoutMs(model.delayedCloseTimeoutMs);
    if (this.#idleTimer !== null) services.timers.arm(this.#idleTimer, model.idleTimeoutMs);
    if (this.#durationTimer !== null) services.timers.arm(this.#durationTimer, model.maxConnectionDurationMs);
    return FilterStatus.continue;
  }

  onData(data: Buffer, endStream: boolean): FilterStatus {
    this.context.stats.countReceived(data.length);
    if (this.#codec === null) this.#selectCodec(data, endStream);
    else this.#dispatch(this.#codec, data, endStream);
    return FilterStatus.stop;
  }

  /** HTTP/1 unless the connection begins with the preface of HTTP/2, or is said to speak it. */
  #selectCodec(data: Buffer, endStream: boolean): void {
    const { codecType } = this.context.model;
    const seen = this.#peeked === null ? data : Buffer.concat([this.#peeked, data]);
    this.#peeked = null;
    if (codecType === 'http2' || (codecType === 'auto' && this.connection.info.tls?.alpn === 'h2')) {
      this.#refuseHttp2();
      return;
    }
    if (codecType === 'auto') {
      const common = Math.min(seen.length, http2Preface.length);
      if (seen.compare(http2Preface, 0, common, 0, common) === 0) {
        if (common === http2Preface.length) this.#refuseHttp2();
        else this.#peeked = Buffer.from(seen);
        return;
      }
    }
    this.context.stats.counter('downstream_cx_http1_total').inc();
    this.context.stats.gauge('downstream_cx_http1_active').inc();
    this.#codec = new Http1ServerCodec(this.connection, this.context.codecOptions, this);
    this.#dispatch(this.#codec, seen, endStream);
  }

  #dispatch(codec: ServerCodec, data: Buffer, endStream: boolean): void {
    this.#dispatching = true;
    codec.dispatch(data, endStream);
    this.#dispatching = false;
  }

  /** Waits for the client to close, at most the configured time. */
  #closeDelayed(details: string): void {
    if (this.#delayedCloseMs === 0) this.#delayedCloseMs = performance.now();
    this.connection.close('flush-write-and-delay', details);
  }

  /** Differs from Envoy: HTTP/2 is not spoken yet; the client is told to use HTTP/1.1. */
  #refuseHttp2(): void {
    this.connection.write(http2Refusal, false);
    this.connection.close('flush-write-and-delay', 'http2_not_supported');
  }

  onClose(event: CloseEvent): void {
    if (this.#closed) return;
    this.#closed = true;
    const { stats, services } = this.context;
    if (this.#idleTimer !== null) services.timers.cancel(this.#idleTimer);
    if (this.#durationTimer !== null) services.timers.cancel(this.#durationTimer);
    if (this.#drainTimer !== null) services.timers.cancel(this.#drainTimer);
    this.#countClose(event);
    stats.connectionsActive.dec();
    if (this.connection.info.tls !== null) stats.gauge('downstream_cx_ssl_active').dec();
    if (this.#codec !== null) stats.gauge('downstream_cx_http1_active').dec();
    stats.connectionLengthMs.record(performance.now() - this.#startMonotonicMs);
    const stream = this.#stream;
    stream?.onConnectionClose(event);
    this.#codec?.onConnectionClose(event === 'local-close' || event === 'local-reset' ? 'local-reset' : 'connection-termination');
    this.#countSent();
  }

  #countClose(event: CloseEvent): void {
    const { stats } = this.context;
    const side = event === 'local-close' || event === 'local-reset' ? 'local' : 'remote';
    stats.counter('downstream_cx_destroy').inc();
    stats.counter(`downstream_cx_destroy_${side}`).inc();
    const waitedMs = this.#delayedCloseMs === 0 ? 0 : performance.now() - this.#delayedCloseMs;
    const { delayedCloseTimeoutMs } = this.context.model;
    if (side === 'local' && delayedCloseTimeoutMs > 0 && waitedMs >= delayedCloseTimeoutMs - timerGrainMs) {
      stats.counter('downstream_cx_delayed_close_timeout').inc();
    }
    if (this.#stream === null) return;
    stats.counter('downstream_cx_destroy_active_rq').inc();
    stats.counter(`downstream_cx_destroy_${side}_active_rq`).inc();
  }

  onAboveWriteBufferHighWatermark(): void {
    this.#codec?.onAboveWriteBufferHighWatermark();
  }

  onBelowWriteBufferLowWatermark(): void {
    this.#codec?.onBelowWriteBufferLowWatermark();
  }

  // Codec callbacks

  newStream(encoder: ResponseEncoder): RequestDecoder {
    const { stats, model, services } = this.context;
    if (this.#idleTimer !== null) services.timers.cancel(this.#idleTimer);
    stats.requestsTotal.inc();
    stats.requestsHttp1.inc();
    stats.requestsActive.inc();
    this.#requests++;
    if (model.maxRequestsPerConnection > 0 && this.#requests >= model.maxRequestsPerConnection && !this.closing) {
      stats.counter('downstream_cx_max_requests_reached').inc();
      this.closing = true;
    }
    this.#stream = new ActiveStream(this, encoder, this.#callbacks.streamInfo);
    return this.#stream;
  }

  get protocol() {
    return this.#codec === null ? '' : this.#codec.protocol;
  }

  onProtocolError(details: string): void {
    this.context.stats.counter('downstream_cx_protocol_error').inc();
    const stream = this.#stream;
    if (stream !== null) stream.onProtocolError(details);
    else this.context.stats.counter('downstream_rq_rx_reset').inc();
    this.#closeDelayed(details);
  }

  // What streams ask for

  /** The x-forwarded-client-cert element of this connection, made once. */
  readonly describeCert = (tls: TlsInfo): string => {
    this.#clientCert ??= describeClientCert(tls, this.context.model.setCurrentClientCert);
    return this.#clientCert;
  };

  /** The stream is over and logged. `abandoned`: one of its messages is not, so that the connection cannot go on. */
  onStreamEnd(stream: ActiveStream, abandoned: boolean): void {
    if (this.#stream !== stream) return;
    this.#stream = null;
    const { stats, model, services } = this.context;
    stats.requestsActive.dec();
    this.#countSent();
    if (this.#closed) return;
    if (abandoned || this.closing) {
      this.closing = true;
      this.#codec?.goAway();
      // The client asked for the close and sent everything: no byte of it can cross a reset, so there is nothing to wait for.
      // As in Envoy, an answer given while the request is read waits all the same.
      const isSafe = stream.sawConnectionClose && stream.requestComplete && !abandoned && !this.#dispatching;
      if (isSafe) this.connection.close('flush-write', 'downstream_connection_closing');
      else this.#closeDelayed('downstream_connection_closing');
    } else if (this.#idleTimer !== null) {
      services.timers.arm(this.#idleTimer, model.idleTimeoutMs);
    }
  }

  #countSent(): void {
    const sent = this.connection.bytesSent;
    this.context.stats.sentBytes.add(sent - this.#sentBytes);
    this.#sentBytes = sent;
  }

  #onIdle(): void {
    this.context.stats.counter('downstream_cx_idle_timeout').inc();
    this.#closeDelayed('on_idle_timeout');
  }

  #onMaxDuration(): void {
    this.context.stats.counter('downstream_cx_max_duration_reached').inc();
    if (this.#codec === null) {
      this.#closeDelayed('max_connection_duration_reached');
      return;
    }
    if (this.closing) return;
    // A request that is on its way is still answered, and its answer ends the connection.
    this.closing = true;
    this.#drainTimer = this.context.services.timers.schedule(this.context.model.drainTimeoutMs, () => {
      if (this.#stream === null) this.#closeDelayed('max_connection_duration_reached');
    });
  }
}

/** Builds the factory: once per filter chain and push. */
export function buildConnectionManager(model: HttpConnectionManagerModel, context: NetworkFactoryContext): NetworkFilterFactory {
  const shared = buildManagerContext(model, context);
  return callbacks => new ConnectionManager(shared, callbacks);
}
