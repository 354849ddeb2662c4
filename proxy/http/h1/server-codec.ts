/** The server side of HTTP/1: requests in, responses out, one at a time and in order. */
import type { Connection } from '../../network/connection.ts';
import type { Protocol } from '../../telemetry/stream-info.ts';
import type { RequestDecoder, ResponseEncoder, ServerCodec, ServerConnectionCallbacks, StreamResetReason } from '../codec.ts';
import type { HeaderMap } from '../header-map.ts';
import { reasonPhrase } from '../status-text.ts';
import { Framing } from './body-parser.ts';
import { isConnectionValueWith, sanitizeConnectionHeader, sanitizeUpgrade } from './connection-header.ts';
import type { MessageHead } from './head-parser.ts';
import { formatResponseHead, formatTrailers } from './head-writer.ts';
import { writeChunk } from './chunk-writer.ts';
import { MessageReader, type ReaderEvents } from './message-reader.ts';
import { applyTarget, isAuthorityValid, parseRequestLine, type RequestLine } from './request-target.ts';

export interface ServerCodecOptions {
  readonly acceptHttp10: boolean;
  /** Host of HTTP/1.0 requests without one; empty: none. */
  readonly defaultHostForHttp10: string;
  readonly allowAbsoluteUrl: boolean;
  readonly enableTrailers: boolean;
  readonly allowChunkedLength: boolean;
  readonly headersWithUnderscores: 'allow' | 'reject' | 'drop';
  readonly preserveCase: boolean;
  readonly maxHeadersCount: number;
  readonly maxHeadBytes: number;
}

/** Bytes of later requests that are kept while a response is under way; beyond them reading stops. */
const maxPipelinedBytes = 64 * 1024;
const noData = Buffer.alloc(0);

class ServerStream implements ResponseEncoder {
  readonly #codec: Http1ServerCodec;
  decoder: RequestDecoder | null = null;
  isHead = false;
  isHttp10 = false;
  /** An upgrade or CONNECT, whose body is raw if it is accepted. */
  isUpgrade = false;
  requestEnded = false;
  responseStarted = false;
  responseEnded = false;
  #chunked = false;
  #discardsBody = false;
  #readDisables = 0;
  wireBytesSent = 0;

  constructor(codec: Http1ServerCodec) {
    this.#codec = codec;
  }

  get bufferedBytes(): number {
    return this.#codec.connection.bufferedBytes;
  }

  get wireBytesReceived(): number {
    return this.#codec.messageBytes;
  }

  get isEncodeComplete(): boolean {
    return this.responseEnded;
  }

  readDisable(disable: boolean): void {
    if (this.responseEnded && this.requestEnded) return;
    if (!disable && this.#readDisables === 0) return;
    this.#readDisables += disable ? 1 : -1;
    this.#codec.connection.readDisable(disable);
  }

  undoReadDisables(): void {
    for (; this.#readDisables > 0; this.#readDisables--) this.#codec.connection.readDisable(false);
  }

  reset(_reason: StreamResetReason): void {
    this.#codec.resetStream(this);
  }

  #write(text: string): void {
    this.wireBytesSent += text.length;
    this.#codec.connection.writeLatin1(text, false);
  }

  encode1xxHeaders(headers: HeaderMap): void {
    this.#write(formatResponseHead(headers, false, this).text);
  }

  get isRaw(): boolean {
    return false;
  }

  encodeHeaders(headers: HeaderMap, endStream: boolean): void {
    this.responseStarted = true;
    const accepted =
      this.isUpgrade && (headers.status === 101 || (headers.status >= 200 && headers.status < 300 && !this.#codec.isHttpUpgrade));
    const { text, chunked } = accepted
      ? formatResponseHead(headers, endStream, { isHttp10: this.isHttp10, isHead: false, isRaw: true })
      : formatResponseHead(headers, endStream, this);
    this.#chunked = chunked && !this.isHead;
    this.#discardsBody = this.isHead || headers.status === 304 || headers.status === 204;
    this.#write(text);
    if (endStream) this.#end();
  }

  encodeData(data: Buffer, endStream: boolean): void {
    if (data.length > 0 && !this.#discardsBody) {
      if (this.#chunked) this.wireBytesSent += writeChunk(this.#codec.connection, data, endStream);
      else {
        this.wireBytesSent += data.length;
        this.#codec.connection.write(data, false);
      }
    } else if (endStream && this.#chunked) {
      this.#write('0\r\n\r\n');
    }
    if (endStream) this.#end();
  }

  encodeTrailers(trailers: HeaderMap): void {
    if (this.#chunked) this.#write(formatTrailers(this.#codec.options.enableTrailers ? trailers : null));
    this.#end();
  }

  #end(): void {
    this.responseEnded = true;
    this.#codec.onResponseEnd(this);
  }
}

export class Http1ServerCodec implements ServerCodec, ReaderEvents {
  readonly connection: Connection;
  readonly options: ServerCodecOptions;
  readonly #callbacks: ServerConnectionCallbacks;
  readonly #reader: MessageReader;
  #stream: ServerStream | null = null;
  #protocol: Protocol = 'HTTP/1.1';
  #pipelineStopped = false;
  /** The current request is an upgrade, not CONNECT. */
  isHttpUpgrade = false;

  constructor(connection: Connection, options: ServerCodecOptions, callbacks: ServerConnectionCallbacks) {
    this.connection = connection;
    this.options = options;
    this.#callbacks = callbacks;
    this.#reader = new MessageReader(this, {
      maxHeadBytes: options.maxHeadBytes,
      message: 'request',
      maxHeadersCount: options.maxHeadersCount,
      underscores: options.headersWithUnderscores,
      preserveCase: options.preserveCase,
      skipsEmptyLines: true,
      refusesBlankStart: true,
    });
  }

  get protocol(): Protocol {
    return this.#protocol;
  }

  get messageBytes(): number {
    return this.#reader.messageBytes;
  }

  dispatch(data: Buffer, _endStream: boolean): void {
    this.#reader.feed(data);
    if (this.#reader.paused && this.#reader.heldBytes > maxPipelinedBytes && !this.#pipelineStopped) {
      this.#pipelineStopped = true;
      this.connection.readDisable(true);
    }
  }

  // Reader events

  onPartialHead(firstLine: string | null): void {
    this.#beginStream();
    if (firstLine !== null && parseRequestLine(firstLine) === null) this.#reject(400, 'http1.codec_error');
  }

  #beginStream(): ServerStream {
    if (this.#stream === null) {
      this.#protocol = 'HTTP/1.1';
      this.#stream = new ServerStream(this);
      this.#stream.decoder = this.#callbacks.newStream(this.#stream);
    }
    return this.#stream;
  }

  onHead(head: MessageHead): Framing {
    const line = parseRequestLine(head.firstLine);
    if (line === null) return this.#reject(400, 'http1.codec_error');
    const stream = this.#beginStream();
    const isHttp10 = line.version !== 'HTTP/1.1' && !withoutVersion(head, line);
    stream.isHttp10 = isHttp10 && this.options.acceptHttp10;
    const details = this.#prepareHeaders(head, line, stream);
    if (details !== '') return this.#reject(details === 'http1.invalid_transfer_encoding' ? 501 : 400, details);
    if (isHttp10 && !this.options.acceptHttp10) return this.#reject(426, 'low_version');
    // From here on answers know the method: those above have a body even for HEAD.
    stream.isHead = line.method === 'HEAD';
    if (isHttp10) this.#protocol = 'HTTP/1.0';
    const framing = this.#chooseFraming(head, stream);
    stream.decoder?.onRequestHeaders(head.headers, framing === Framing.none);
    return framing;
  }

  /** Completes the header map; returns the details of an error, or an empty string. */
  #prepareHeaders(head: MessageHead, line: RequestLine, stream: ServerStream): string {
    const headers = head.headers;
    headers.method = line.method;
    stream.isUpgrade = line.method === 'CONNECT';
    this.isHttpUpgrade = false;
    if (Number.isNaN(head.contentLength)) return 'http1.codec_error';
    const framingError = this.#checkFraming(head, line);
    if (framingError !== '') return framingError;
    if (stream.isHttp10 && !head.hasHost) headers.authority = this.options.defaultHostForHttp10;
    // An absent host and an empty one differ: the connection manager refuses only the former.
    headers.hasAuthority = head.hasHost || headers.authority !== '';
    if (head.hasConnection && !sanitizeConnectionHeader(headers)) return 'http1.connection_header_rejected';
    if (head.hasUpgrade && isConnectionValueWith(headers, 'upgrade')) {
      this.isHttpUpgrade = sanitizeUpgrade(headers);
      stream.isUpgrade ||= this.isHttpUpgrade;
    }
    const targetError = applyTarget(headers, line.target, this.options.allowAbsoluteUrl);
    if (targetError !== '') return targetError;
    if (headers.authority !== '') headers.hasAuthority = true;
    return isAuthorityValid(headers.authority) ? '' : 'http.invalid_authority';
  }

  #checkFraming(head: MessageHead, line: RequestLine): string {
    if (head.transferEncoding !== null) {
      if (head.transferEncoding.toLowerCase() !== 'chunked' || line.method === 'CONNECT')
        return 'http1.invalid_transfer_encoding';
      if (head.contentLength >= 0) {
        if (!this.options.allowChunkedLength) return 'http1.content_length_and_chunked_not_allowed';
        head.headers.remove('content-length');
        head.contentLength = -1;
      }
    }
    if (line.method === 'CONNECT' && head.contentLength >= 0) {
      if (head.contentLength > 0) return 'http1.body_disallowed';
      head.headers.remove('content-length');
    }
    return '';
  }

  #chooseFraming(head: MessageHead, stream: ServerStream): Framing {
    if (stream.isUpgrade) return Framing.raw;
    if (head.transferEncoding !== null) return Framing.chunked;
    return head.contentLength > 0 ? Framing.sized : Framing.none;
  }

  onBody(data: Buffer, last: boolean): void {
    this.#stream?.decoder?.onRequestData(data, last);
  }

  onMessageEnd(trailers: HeaderMap | null, ended: boolean): void {
    const stream = this.#stream;
    if (stream === null) return;
    const hasBody = this.#reader.framing !== Framing.none;
    stream.requestEnded = true;
    // The response may have ended already, then the connection is on its way to be closed.
    this.#reader.paused = true;
    if (trailers !== null && trailers.size > 0 && this.options.enableTrailers) stream.decoder?.onRequestTrailers(trailers);
    else if (hasBody && !ended) stream.decoder?.onRequestData(noData, true);
    if (stream.responseEnded) this.#finish(stream);
  }

  onMalformed(details: string): void {
    this.#reject(details.endsWith('too_large') || details === 'http1.too_many_headers' ? 431 : 400, details);
  }

  /** Answers what cannot be understood and ends the connection. */
  #reject(status: number, details: string): Framing {
    this.#reader.stopped = true;
    const stream = this.#beginStream();
    if (!stream.responseStarted) stream.decoder?.sendLocalReply(status, reasonPhrase(status), details);
    this.#callbacks.onProtocolError(details);
    return Framing.none;
  }

  // Ends of streams

  onResponseEnd(stream: ServerStream): void {
    if (stream.requestEnded && stream === this.#stream) this.#finish(stream);
  }

  #finish(stream: ServerStream): void {
    stream.undoReadDisables();
    stream.decoder = null;
    this.#stream = null;
    if (this.#reader.heldBytes === 0) {
      this.#reader.paused = false;
      return;
    }
    // The connection manager is still at work on the stream that ended.
    queueMicrotask(() => this.#resume());
  }

  #resume(): void {
    if (this.connection.state === 'closed') return;
    this.#reader.resume();
    if (this.#pipelineStopped && this.#reader.heldBytes <= maxPipelinedBytes) {
      this.#pipelineStopped = false;
      this.connection.readDisable(false);
    }
  }

  /** The stream is given up: on HTTP/1 that ends the connection. */
  resetStream(stream: ServerStream): void {
    if (this.#stream !== stream) return;
    this.#stream = null;
    this.#reader.stopped = true;
    const decoder = stream.decoder;
    stream.undoReadDisables();
    stream.decoder = null;
    decoder?.onReset('local-reset', '');
    this.connection.close('flush-write', 'codec_reset');
  }

  shutdownNotice(): void {}

  /** No further request is read. */
  goAway(): void {
    this.#reader.stopped = true;
  }

  onConnectionClose(reason: StreamResetReason): void {
    this.#reader.stopped = true;
    const stream = this.#stream;
    if (stream === null) return;
    this.#stream = null;
    const decoder = stream.decoder;
    stream.decoder = null;
    decoder?.onReset(reason, '');
  }

  onAboveWriteBufferHighWatermark(): void {
    this.#stream?.decoder?.onAboveWriteBufferHighWatermark();
  }

  onBelowWriteBufferLowWatermark(): void {
    this.#stream?.decoder?.onBelowWriteBufferLowWatermark();
  }
}

/**
 * A target that ends with the version, without a blank between them: HTTP/1.1 to Envoy's parser, but a request of the kind that
 * has no headers.
 */
function withoutVersion(head: MessageHead, line: RequestLine): boolean {
  if (line.version !== '' || !line.target.endsWith('HTTP/1.1')) return false;
  head.headers.entries.length = 0;
  head.headers.authority = '';
  head.hasHost = false;
  head.hasConnection = false;
  head.hasUpgrade = false;
  head.transferEncoding = null;
  head.contentLength = -1;
  return true;
}
