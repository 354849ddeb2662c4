/** What checks over HTTP streams share: a connection that is kept between checks, its codec, and one stream at a time. */
import type { HealthCheckModel } from '../../config/model/health-check.ts';
import type { ClientCodec, ClientConnectionCallbacks, RequestEncoder, ResponseDecoder } from '../../http/codec.ts';
import type { HeaderMap } from '../../http/header-map.ts';
import type { Connection, ConnectionCallbacks } from '../../network/connection.ts';
import type { WorkerHost } from '../worker-host.ts';
import { connectForCheck, type Probe, type ProbeCallbacks } from './probe.ts';

export abstract class StreamProbe implements Probe, ConnectionCallbacks, ClientConnectionCallbacks, ResponseDecoder {
  protected readonly host: WorkerHost;
  protected readonly model: HealthCheckModel;
  protected readonly callbacks: ProbeCallbacks;
  readonly #codecKind: 'http1' | 'http2';
  #connection: Connection | null = null;
  #codec: ClientCodec | null = null;
  #encoder: RequestEncoder | null = null;
  /** An answer is waited for. */
  #isAsking = false;
  /** The connection serves no further check. */
  #isLeaving = false;

  constructor(host: WorkerHost, model: HealthCheckModel, codecKind: 'http1' | 'http2', callbacks: ProbeCallbacks) {
    this.host = host;
    this.model = model;
    this.callbacks = callbacks;
    this.#codecKind = codecKind;
  }

  /** Writes the request. */
  protected abstract send(encoder: RequestEncoder): void;
  abstract onResponseHeaders(headers: HeaderMap, endStream: boolean): void;
  abstract onResponseData(data: Buffer, endStream: boolean): void;
  abstract onResponseTrailers(trailers: HeaderMap): void;

  start(): void {
    this.#isAsking = true;
    if (this.#connection === null) {
      this.#isLeaving = !this.model.reuseConnection;
      this.#connection = connectForCheck(this.host, this.model, this);
    } else this.#ask();
  }

  abandon(): void {
    this.stop();
  }

  stop(): void {
    this.#isAsking = false;
    this.#close();
  }

  get isSecure(): boolean {
    return this.host.transportSocket.kind === 'upstream-tls';
  }

  /** The answer is known; `isWhole`: nothing of it follows. True if it was waited for. */
  protected finish(isWhole: boolean): boolean {
    const wasAsking = this.#isAsking;
    this.#isAsking = false;
    if (!isWhole || this.#isLeaving) this.#close();
    return wasAsking;
  }

  #ask(): void {
    const codec = this.#codec;
    // Not connected yet; then it is asked.
    if (codec === null) return;
    this.#encoder = codec.newStream(this);
    this.send(this.#encoder);
  }

  #close(): void {
    const connection = this.#connection;
    this.#connection = null;
    const codec = this.#codec;
    this.#codec = null;
    this.#encoder = null;
    connection?.close('no-flush');
    codec?.onConnectionClose('connection-termination');
  }

  #fail(): void {
    const wasAsking = this.#isAsking;
    this.#isAsking = false;
    this.#close();
    if (wasAsking) this.callbacks.onFailure('network', false);
  }

  // ConnectionCallbacks

  onConnected(): void {
    const connection = this.#connection;
    if (connection === null) return;
    connection.setNoDelay(true);
    const { cluster } = this.host;
    this.#codec =
      this.#codecKind === 'http2' ? cluster.createHttp2Codec(connection, this) : cluster.createHttp1Codec(connection, this);
    if (this.#isAsking) this.#ask();
  }

  onData(data: Buffer, endStream: boolean): void {
    this.#codec?.dispatch(data, endStream);
  }

  onClose(): void {
    if (this.#connection !== null) this.#fail();
  }

  // ClientConnectionCallbacks

  onStreamComplete(reusable: boolean): void {
    this.#encoder = null;
    if (reusable) return;
    this.#isLeaving = true;
    if (!this.#isAsking) this.#close();
  }

  onGoAway(): void {
    this.#isLeaving = true;
    if (!this.#isAsking) this.#close();
  }

  onProtocolError(): void {
    this.#fail();
  }

  // Of the stream

  onResponse1xxHeaders(): void {}

  onReset(): void {
    if (this.#connection !== null) this.#fail();
  }

  onAboveWriteBufferHighWatermark(): void {}

  onBelowWriteBufferLowWatermark(): void {}
}
