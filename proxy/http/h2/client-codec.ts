/** The client side of HTTP/2: many streams on one pooled connection. */
import type { Connection } from '../../network/connection.ts';
import type { Protocol } from '../../telemetry/stream-info.ts';
import type { ClientCodec, ClientConnectionCallbacks, RequestEncoder, ResponseDecoder, StreamResetReason } from '../codec.ts';
import type { HeaderMap } from '../header-map.ts';
import { clientPreface, ErrorCode, maxStreamId, SettingId } from './frame.ts';
import type { Http2Options } from './options.ts';
import { Http2Session } from './session.ts';
import { bodyNotAllowed, Http2Stream } from './stream.ts';
import { readUpgradeType, requestToHttp2, responseFromHttp2 } from './upgrade.ts';

class ClientStream extends Http2Stream implements RequestEncoder {
  readonly #codec: Http2ClientCodec;
  #decoder: ResponseDecoder | null;
  /** The final headers came. */
  headersReceived = false;
  /** Informational ones came, between which and the final ones there is no body. */
  awaitsFinalHeaders = false;
  method = '';
  upgradeType = '';
  protected readonly isServer = false;

  constructor(codec: Http2ClientCodec, decoder: ResponseDecoder) {
    super(codec, 0);
    this.#codec = codec;
    this.#decoder = decoder;
  }

  get decoder(): ResponseDecoder | null {
    return this.#decoder;
  }

  protected get callbacks(): ResponseDecoder | null {
    return this.#decoder;
  }

  encodeHeaders(headers: HeaderMap, endStream: boolean): void {
    if (this.closed) return;
    this.method = headers.method;
    this.upgradeType = readUpgradeType(headers);
    this.#codec.openStream(this);
    this.sendHeaders(this.upgradeType === '' ? headers : requestToHttp2(headers, this.upgradeType), endStream);
  }

  encodeData(data: Buffer, endStream: boolean): void {
    this.sendData(data, endStream);
  }

  encodeTrailers(trailers: HeaderMap): void {
    this.sendTrailers(trailers);
  }

  protected passData(data: Buffer, endStream: boolean): void {
    this.#decoder?.onResponseData(data, endStream);
  }

  protected detach(): void {
    this.#decoder = null;
  }
}

class Http2ClientCodec extends Http2Session implements ClientCodec {
  readonly protocol: Protocol = 'HTTP/2';
  protected readonly limitsResets = false;
  protected readonly messagingResetReason: StreamResetReason = 'protocol-error';
  readonly #callbacks: ClientConnectionCallbacks;
  /** Begun, but without headers as yet. */
  readonly #unopened = new Set<ClientStream>();
  #nextStreamId = 1;
  /** Of the peer's last GOAWAY. */
  #lastAdmittedId = maxStreamId;
  #goawayReceived = false;
  #announcedMaxStreams: number;

  constructor(connection: Connection, options: Http2Options, callbacks: ClientConnectionCallbacks) {
    super(connection, options, false);
    this.#callbacks = callbacks;
    this.#announcedMaxStreams = this.maxConcurrentStreams;
    this.writer.writeBytes(clientPreface);
    this.sendSettings([[SettingId.enablePush, 0]]);
  }

  get maxConcurrentStreams(): number {
    return Math.min(this.options.protocol.maxConcurrentStreams, this.peer.maxConcurrentStreams);
  }

  protected get lastPeerStreamId(): number {
    return 0;
  }

  newStream(decoder: ResponseDecoder): RequestEncoder {
    const stream = new ClientStream(this, decoder);
    this.#unopened.add(stream);
    this.keepalive?.onNewStream();
    return stream;
  }

  /** Gives a stream its number when its headers are about to be sent: numbers must rise in the order of the headers. */
  openStream(stream: ClientStream): void {
    if (!this.#unopened.delete(stream)) return;
    stream.id = this.#nextStreamId;
    this.#nextStreamId += 2;
    this.streams.add(stream);
    if (this.aboveHighWatermark) stream.onConnectionWatermark();
  }

  override reset(stream: Http2Stream, code: ErrorCode): void {
    if (!this.#unopened.delete(stream as ClientStream)) {
      super.reset(stream, code);
      return;
    }
    stream.release();
    this.onStreamClosed();
  }

  isIdle(streamId: number): boolean {
    return streamId >= this.#nextStreamId || streamId % 2 === 0;
  }

  acceptsData(stream: ClientStream): boolean {
    return stream.headersReceived || stream.awaitsFinalHeaders;
  }

  protected beginBlock(streamId: number): ClientStream | null {
    if (this.isIdle(streamId)) {
      this.onViolation();
      return null;
    }
    const stream = this.streams.get(streamId) as ClientStream | undefined;
    if (stream === undefined) return null;
    if (stream.remoteEnded) this.onViolation(stream);
    if (stream.headersReceived) this.block.reader.begin('response-trailers', stream.expectedBytes);
    else this.block.reader.begin('response');
    return stream;
  }

  protected finishBlock(stream: ClientStream, endStream: boolean): void {
    const { headers } = this.block.reader;
    if (stream.headersReceived) {
      stream.expectedBytes = this.block.reader.contentLength;
      if (!endStream || stream.isBodyMissing) {
        this.onInvalidMessage(stream, 'http2.violation.of.messaging.rule');
        return;
      }
      stream.remoteEnded = true;
      stream.decoder?.onResponseTrailers(headers);
    } else if (headers.status >= 100 && headers.status < 200) {
      this.#passInformational(stream, headers, endStream);
    } else {
      this.#finishHeaders(stream, headers, endStream);
    }
    this.streams.closeIfDone(stream);
  }

  #passInformational(stream: ClientStream, headers: HeaderMap, endStream: boolean): void {
    if (endStream) {
      this.onInvalidMessage(stream, 'http2.violation.of.messaging.rule');
      return;
    }
    stream.awaitsFinalHeaders = true;
    stream.expectedBytes = bodyNotAllowed;
    stream.decoder?.onResponse1xxHeaders(headers);
  }

  #finishHeaders(stream: ClientStream, headers: HeaderMap, endStream: boolean): void {
    stream.headersReceived = true;
    stream.expectedBytes = -1;
    const { status } = headers;
    if (stream.method === 'HEAD' || status === 304 || status === 204) stream.expectedBytes = 0;
    else if (stream.method !== 'CONNECT' && stream.upgradeType === '') stream.expectedBytes = this.block.reader.contentLength;
    if (endStream && stream.isBodyMissing) {
      this.onInvalidMessage(stream, 'http2.violation.of.messaging.rule');
      return;
    }
    if (endStream) stream.remoteEnded = true;
    if (stream.upgradeType !== '') responseFromHttp2(headers, stream.upgradeType);
    stream.decoder?.onResponseHeaders(headers, endStream);
  }

  protected onGoawayReceived(lastStreamId: number): void {
    if (lastStreamId > this.#lastAdmittedId) {
      this.onViolation();
      return;
    }
    this.#lastAdmittedId = lastStreamId;
    this.#goawayReceived = true;
    this.#callbacks.onGoAway();
    for (const stream of [...this.streams.all()]) {
      if (stream.id > lastStreamId) this.streams.closeRemotely(stream, ErrorCode.refusedStream);
    }
  }

  protected onSettingsChanged(): void {
    const { maxConcurrentStreams } = this;
    if (maxConcurrentStreams === this.#announcedMaxStreams) return;
    this.#announcedMaxStreams = maxConcurrentStreams;
    this.#callbacks.onMaxConcurrentStreams?.(maxConcurrentStreams);
  }

  protected onStreamClosed(): void {
    const isUsable = !this.#goawayReceived && !this.hasEnded && this.#nextStreamId < maxStreamId;
    this.#callbacks.onStreamComplete(isUsable);
  }

  protected reportError(details: string, isFlood: boolean): void {
    this.streams.abortAll('protocol-error', '');
    this.#callbacks.onProtocolError(details, isFlood);
  }

  override onConnectionClose(reason: StreamResetReason): void {
    super.onConnectionClose(reason);
    for (const stream of [...this.#unopened]) {
      this.#unopened.delete(stream);
      stream.release();
      stream.abort(reason, this.connection.info.transportFailureReason);
    }
  }
}

/** Makes the codec of one upstream connection and sends the preface and SETTINGS. */
export function createClientCodec(
  connection: Connection,
  options: Http2Options,
  callbacks: ClientConnectionCallbacks,
): ClientCodec {
  return new Http2ClientCodec(connection, options, callbacks);
}
