/** The server side of HTTP/2: many streams on one downstream connection. */
import type { Timer } from '../../../common/timer-wheel.ts';
import type { Connection } from '../../network/connection.ts';
import type { Protocol } from '../../telemetry/stream-info.ts';
import type { RequestDecoder, ResponseEncoder, ServerCodec, ServerConnectionCallbacks, StreamResetReason } from '../codec.ts';
import type { HeaderMap } from '../header-map.ts';
import { ErrorCode, maxStreamId, SettingId } from './frame.ts';
import type { Http2Options } from './options.ts';
import { Http2Session } from './session.ts';
import { Http2Stream } from './stream.ts';
import { requestFromHttp2, responseToHttp2 } from './upgrade.ts';

class ServerStream extends Http2Stream implements ResponseEncoder {
  decoder: RequestDecoder | null = null;
  headersReceived = false;
  /** Its headers had `host`. */
  hasHost = false;
  isUpgrade = false;
  protected readonly isServer = true;
  #flushTimeoutMs = 0;
  #flushTimer: Timer | null = null;

  protected get callbacks(): RequestDecoder | null {
    return this.decoder;
  }

  encode1xxHeaders(headers: HeaderMap): void {
    this.sendHeaders(headers, false);
  }

  encodeHeaders(headers: HeaderMap, endStream: boolean): void {
    this.sendHeaders(this.isUpgrade ? responseToHttp2(headers) : headers, endStream);
  }

  encodeData(data: Buffer, endStream: boolean): void {
    this.sendData(data, endStream);
  }

  encodeTrailers(trailers: HeaderMap): void {
    this.sendTrailers(trailers);
  }

  setFlushTimeout(timeoutMs: number): void {
    this.#flushTimeoutMs = timeoutMs;
  }

  protected override onPendingEnd(): void {
    if (this.#flushTimeoutMs === 0) return;
    this.#flushTimer = this.session.options.timers.schedule(this.#flushTimeoutMs, () => {
      this.session.options.stats.txFlushTimeout.inc();
      const { decoder } = this;
      this.decoder = null;
      decoder?.onReset('local-reset', '');
      this.session.reset(this, ErrorCode.noError);
    });
  }

  get isEncodeComplete(): boolean {
    return this.localEnded && this.bufferedBytes === 0;
  }

  protected override onPendingSent(): void {
    this.decoder?.onEncodeComplete();
  }

  protected passData(data: Buffer, endStream: boolean): void {
    this.decoder?.onRequestData(data, endStream);
  }

  protected detach(): void {
    this.decoder = null;
  }

  override release(): void {
    super.release();
    if (this.#flushTimer !== null) this.session.options.timers.cancel(this.#flushTimer);
  }
}

class Http2ServerCodec extends Http2Session implements ServerCodec {
  readonly protocol: Protocol = 'HTTP/2';
  protected readonly limitsResets = true;
  protected readonly messagingResetReason: StreamResetReason = 'remote-reset';
  readonly #callbacks: ServerConnectionCallbacks;
  #lastStreamId = 0;
  /** Later streams are ignored. */
  #goAwaySent = false;

  constructor(connection: Connection, options: Http2Options, callbacks: ServerConnectionCallbacks) {
    super(connection, options, true);
    this.#callbacks = callbacks;
    options.stats.downstreamConnections.inc();
    this.sendSettings([[SettingId.enableConnectProtocol, options.protocol.allowConnect ? 1 : 0]]);
  }

  protected get lastPeerStreamId(): number {
    return this.#lastStreamId;
  }

  isIdle(streamId: number): boolean {
    return streamId > this.#lastStreamId || streamId % 2 === 0;
  }

  acceptsData(): boolean {
    return true;
  }

  protected beginBlock(streamId: number, endStream: boolean, dependsOn: number): ServerStream | null {
    if (streamId % 2 === 0) {
      this.onViolation();
      return null;
    }
    if (streamId <= this.#lastStreamId) return this.#beginTrailers(streamId);
    this.#lastStreamId = streamId;
    const { maxConcurrentStreams } = this.options.protocol;
    if (this.streams.size >= maxConcurrentStreams) {
      // Before the acknowledgement the client may not know the limit.
      if (this.settingsAcknowledged) this.onViolation();
      else {
        this.options.stats.streamRefusedErrors.inc();
        this.streams.writeRst(streamId, ErrorCode.refusedStream);
      }
      return null;
    }
    if (this.#goAwaySent) return null;
    if (dependsOn === streamId) {
      this.onViolation();
      return null;
    }
    return this.#openStream(streamId, endStream);
  }

  #openStream(streamId: number, endStream: boolean): ServerStream {
    const stream = new ServerStream(this, streamId);
    this.streams.add(stream);
    stream.remoteEnded = endStream;
    this.block.reader.begin('request');
    stream.decoder = this.#callbacks.newStream(stream);
    if (this.aboveHighWatermark) stream.onConnectionWatermark();
    return stream;
  }

  #beginTrailers(streamId: number): ServerStream | null {
    const stream = this.streams.get(streamId) as ServerStream | undefined;
    if (stream === undefined) return null;
    if (stream.remoteEnded) this.onViolation(stream);
    this.options.stats.trailers.inc();
    this.block.reader.begin('request-trailers', stream.expectedBytes, stream.hasHost);
    return stream;
  }

  protected finishBlock(stream: ServerStream, endStream: boolean): void {
    const { headers, contentLength } = this.block.reader;
    if (stream.headersReceived) this.#finishTrailers(stream, headers, endStream);
    else {
      stream.headersReceived = true;
      stream.hasHost = this.block.reader.hasHost;
      stream.expectedBytes = headers.method === 'CONNECT' ? -1 : contentLength;
      if (endStream && stream.isBodyMissing) {
        this.onInvalidMessage(stream, 'http2.violation.of.messaging.rule');
        return;
      }
      stream.isUpgrade = requestFromHttp2(headers) !== '';
      stream.decoder?.onRequestHeaders(headers, endStream);
    }
    this.streams.closeIfDone(stream);
  }

  #finishTrailers(stream: ServerStream, trailers: HeaderMap, endStream: boolean): void {
    stream.expectedBytes = this.block.reader.contentLength;
    if (!endStream || stream.isBodyMissing) {
      this.onInvalidMessage(stream, 'http2.violation.of.messaging.rule');
      return;
    }
    stream.remoteEnded = true;
    stream.decoder?.onRequestTrailers(trailers);
  }

  protected onGoawayReceived(): void {}
  protected onSettingsChanged(): void {}
  protected onStreamClosed(): void {}

  protected reportError(details: string, isFlood: boolean): void {
    this.#callbacks.onProtocolError(details, isFlood);
  }

  shutdownNotice(): void {
    if (this.#goAwaySent || this.hasEnded) return;
    this.#writeGoaway(maxStreamId);
  }

  goAway(): void {
    if (this.#goAwaySent || this.hasEnded) return;
    this.#goAwaySent = true;
    this.#writeGoaway(this.#lastStreamId);
  }

  #writeGoaway(lastStreamId: number): void {
    this.writer.writeGoaway(lastStreamId, ErrorCode.noError, '');
    this.options.stats.goawaySent.inc();
    // The caller may close the connection next.
    this.writer.flush();
  }
}

/** Makes the codec of one downstream connection and sends its SETTINGS. */
export function createServerCodec(
  connection: Connection,
  options: Http2Options,
  callbacks: ServerConnectionCallbacks,
): ServerCodec {
  return new Http2ServerCodec(connection, options, callbacks);
}
