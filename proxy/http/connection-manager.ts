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
import type { StreamInfo } from '../telemetry/stream-info.ts';
import { runAfterFlush } from '../network/write-coalescing.ts';
import { ActiveStream } from './active-stream.ts';
import { chooseCodec } from './codec-choice.ts';
import type { RequestDecoder, ResponseEncoder, ServerCodec, ServerConnectionCallbacks } from './codec.ts';
import { ConnectionStats } from './connection-stats.ts';
import { describeClientCert } from './forwarded-client-cert.ts';
import { Http1ServerCodec } from './h1/server-codec.ts';
import { createServerCodec } from './h2/server-codec.ts';
import { PrematureResets } from './premature-resets.ts';
import { buildManagerContext, type ManagerContext } from './manager-context.ts';

/** The connection manager of one downstream connection. */
export class ConnectionManager implements NetworkFilter, ServerConnectionCallbacks {
  readonly context: ManagerContext;
  readonly connection: Connection;
  readonly #callbacks: NetworkFilterCallbacks;
  readonly #stats: ConnectionStats;
  readonly #idleTimer: Timer | null;
  readonly #durationTimer: Timer | null;
  #drainTimer: Timer | null = null;
  #codec: ServerCodec | null = null;
  /** Many streams at once, each of which ends for itself. */
  isMultiplexed = false;
  #peeked: Buffer | null = null;
  readonly #streams = new Set<ActiveStream>();
  #requests = 0;
  readonly #resets = new PrematureResets();
  #dispatching = false;
  #closed = false;
  #clientCert: string | null = null;
  /** No further request is wanted. On HTTP/1 the next response says `connection: close`. */
  #closing = false;
  /** The drain is over: the connection ends with its last stream. */
  #isDrained = false;

  constructor(context: ManagerContext, callbacks: NetworkFilterCallbacks) {
    this.context = context;
    this.#callbacks = callbacks;
    this.connection = callbacks.connection;
    const { model } = context;
    this.#stats = new ConnectionStats(context.stats, this.connection);
    this.#idleTimer = model.idleTimeoutMs > 0 ? new Timer(() => this.#onIdle()) : null;
    this.#durationTimer = model.maxConnectionDurationMs > 0 ? new Timer(() => this.#onMaxDuration()) : null;
  }

  onNewConnection(): FilterStatus {
    const { model, services } = this.context;
    this.#stats.onConnection();
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

  #selectCodec(data: Buffer, endStream: boolean): void {
    const { model, codecOptions, http2Options } = this.context;
    const seen = this.#peeked === null ? data : Buffer.concat([this.#peeked, data]);
    const choice = chooseCodec(model.codecType, this.connection.info.tls?.alpn ?? '', seen);
    if (choice === 'more' && !endStream) {
      this.#peeked = Buffer.from(seen);
      return;
    }
    this.#peeked = null;
    this.isMultiplexed = choice === 'http2';
    this.#stats.onVersion(this.isMultiplexed ? 2 : 1);
    this.#codec = this.isMultiplexed
      ? createServerCodec(this.connection, http2Options(), this)
      : new Http1ServerCodec(this.connection, codecOptions, this);
    this.#dispatch(this.#codec, seen, endStream);
  }

  #dispatch(codec: ServerCodec, data: Buffer, endStream: boolean): void {
    this.#dispatching = true;
    codec.dispatch(data, endStream);
    this.#dispatching = false;
  }

  onClose(event: CloseEvent): void {
    if (this.#closed) return;
    this.#closed = true;
    const { model, services } = this.context;
    if (this.#idleTimer !== null) services.timers.cancel(this.#idleTimer);
    if (this.#durationTimer !== null) services.timers.cancel(this.#durationTimer);
    if (this.#drainTimer !== null) services.timers.cancel(this.#drainTimer);
    this.#stats.onClose(event, model.delayedCloseTimeoutMs, this.#streams.size > 0);
    for (const stream of this.#streams) stream.onConnectionClose(event);
    this.#codec?.onConnectionClose(event === 'local-close' || event === 'local-reset' ? 'local-reset' : 'connection-termination');
    this.#stats.countSent();
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
    this.#stats.onRequest();
    this.#requests++;
    if (model.maxRequestsPerConnection > 0 && this.#requests >= model.maxRequestsPerConnection && !this.#closing) {
      stats.counter('downstream_cx_max_requests_reached').inc();
      this.beginDrain();
    }
    return this.#addStream(encoder, null);
  }

  #addStream(encoder: ResponseEncoder, previous: StreamInfo | null): ActiveStream {
    const stream = new ActiveStream(this, encoder, this.#callbacks.streamInfo, previous);
    this.#streams.add(stream);
    return stream;
  }

  /** A stream in place of one that ends without an answer. */
  recreateStream(stream: ActiveStream, encoder: ResponseEncoder): ActiveStream {
    this.#streams.delete(stream);
    this.context.stats.requestsActive.dec();
    this.#stats.onRequest();
    return this.#addStream(encoder, stream.streamInfo);
  }

  get protocol() {
    return this.#codec === null ? '' : this.#codec.protocol;
  }

  onProtocolError(details: string, isFlood = false): void {
    const { stats } = this.context;
    if (!isFlood) stats.counter('downstream_cx_protocol_error').inc();
    if (this.#streams.size > 0 && this.isMultiplexed) this.#stats.countActiveRequests('local');
    for (const stream of this.#streams) stream.onProtocolError(details);
    this.#closeDelayed(details);
  }

  // Winding down

  get closing(): boolean {
    return this.#closing;
  }

  /** The response under way is the connection's last, where it carries one stream at a time. */
  closeAfterResponse(): void {
    if (!this.isMultiplexed) this.#closing = true;
  }

  /** No further request is taken; those under way are answered, then the connection ends. */
  endRequests(): void {
    this.#closing = true;
    if (!this.isMultiplexed) return;
    this.#codec?.goAway();
    this.#isDrained = true;
  }

  /**
   * No further request is wanted. HTTP/1 says so with its next response. HTTP/2 announces the end, goes on serving for the drain
   * timeout, so that requests which are on their way get through, and then takes none.
   */
  beginDrain(): void {
    if (this.#closing) return;
    this.#closing = true;
    if (!this.isMultiplexed) return;
    this.#codec?.shutdownNotice();
    this.#drainTimer = this.context.services.timers.schedule(this.context.model.drainTimeoutMs, () => this.#onDrainTimeout());
  }

  #onDrainTimeout(): void {
    if (this.isMultiplexed) this.#codec?.goAway();
    this.#isDrained = true;
    this.#closeIfDrained();
  }

  #closeIfDrained(): void {
    if (this.#isDrained && this.#streams.size === 0 && !this.#closed) this.#closeDelayed('deferred_close_on_drained_connection');
  }

  /** Waits for the client to close, at most the configured time. */
  #closeDelayed(details: string): void {
    this.#stats.onDelayedClose();
    const close = () => this.connection.close('flush-write-and-delay', details);
    // HTTP/2 gathers the frames of one turn: the last of them go out first.
    if (this.isMultiplexed) runAfterFlush(close);
    else close();
  }

  #onIdle(): void {
    this.context.stats.counter('downstream_cx_idle_timeout').inc();
    if (this.isMultiplexed) this.beginDrain();
    else this.#closeDelayed('on_idle_timeout');
  }

  #onMaxDuration(): void {
    this.context.stats.counter('downstream_cx_max_duration_reached').inc();
    if (this.#codec === null) {
      this.#closeDelayed('max_connection_duration_reached');
      return;
    }
    if (this.#closing) return;
    this.beginDrain();
    // A request that is on its way is still answered, and its answer ends the connection.
    this.#drainTimer ??= this.context.services.timers.schedule(this.context.model.drainTimeoutMs, () => this.#onDrainTimeout());
  }

  // What streams ask for

  /** The x-forwarded-client-cert element of this connection, made once. */
  readonly describeCert = (tls: TlsInfo): string => {
    this.#clientCert ??= describeClientCert(tls, this.context.model.setCurrentClientCert);
    return this.#clientCert;
  };

  /** The stream is over and logged. `abandoned`: one of its messages is not whole, with which HTTP/1 cannot go on. */
  onStreamEnd(stream: ActiveStream, abandoned: boolean): void {
    if (!this.#streams.delete(stream)) return;
    const { stats, model, services } = this.context;
    stats.requestsActive.dec();
    this.#stats.countSent();
    if (this.#closed) return;
    const { responseCode, startMonotonicMs, endMonotonicMs } = stream.streamInfo;
    if (this.isMultiplexed && this.#resets.count(responseCode, endMonotonicMs - startMonotonicMs)) this.#endForResets();
    else if (!this.isMultiplexed && (abandoned || this.#closing)) this.#endHttp1(stream, abandoned);
    else if (this.#isDrained) this.#closeIfDrained();
    else if (this.#idleTimer !== null && this.#streams.size === 0) services.timers.arm(this.#idleTimer, model.idleTimeoutMs);
  }

  #endForResets(): void {
    this.context.stats.counter('downstream_rq_too_many_premature_resets').inc();
    for (const stream of this.#streams) stream.onConnectionAborted('too_many_premature_resets');
    this.connection.close('no-flush', 'too_many_premature_resets');
  }

  #endHttp1(stream: ActiveStream, abandoned: boolean): void {
    this.#closing = true;
    this.#codec?.goAway();
    // The client asked for the close and sent everything: no byte of it can cross a reset, so there is nothing to wait for.
    // As in Envoy, an answer given while the request is read waits all the same.
    const isSafe = stream.sawConnectionClose && stream.requestComplete && !abandoned && !this.#dispatching;
    if (isSafe) this.connection.close('flush-write', 'downstream_connection_closing');
    else this.#closeDelayed('downstream_connection_closing');
  }
}

/** Builds the factory: once per filter chain and push. */
export function buildConnectionManager(model: HttpConnectionManagerModel, context: NetworkFactoryContext): NetworkFilterFactory {
  const shared = buildManagerContext(model, context);
  const create: NetworkFilterFactory = callbacks => new ConnectionManager(shared, callbacks);
  return Object.assign(create, { countRefused: (lengthMs: number) => shared.stats.countRefused(lengthMs) });
}
