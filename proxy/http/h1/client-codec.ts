/** The client side of HTTP/1: one request at a time on a pooled connection. */
import type { Connection } from '../../network/connection.ts';
import type { Protocol } from '../../telemetry/stream-info.ts';
import type { ClientCodec, ClientConnectionCallbacks, RequestEncoder, ResponseDecoder, StreamResetReason } from '../codec.ts';
import type { HeaderMap } from '../header-map.ts';
import { Framing } from './body-parser.ts';
import { writeChunk } from './chunk-writer.ts';
import { hasToken } from './connection-header.ts';
import type { MessageHead } from './head-parser.ts';
import { formatRequestHead, formatTrailers } from './head-writer.ts';
import { MessageReader, type ReaderEvents } from './message-reader.ts';

export interface ClientCodecOptions {
  readonly enableTrailers: boolean;
  readonly allowChunkedLength: boolean;
  readonly sendFullyQualifiedUrl: boolean;
  readonly preserveCase: boolean;
  readonly maxHeadersCount: number;
  readonly maxHeadBytes: number;
}

/** Envoy's defaults for upstream connections. */
export const defaultClientCodecOptions: ClientCodecOptions = {
  enableTrailers: false,
  allowChunkedLength: false,
  sendFullyQualifiedUrl: false,
  preserveCase: false,
  maxHeadersCount: 100,
  maxHeadBytes: 80 * 1024,
};

const noData = Buffer.alloc(0);
const statusLine = /^HTTP\/(\d\.\d)[ \t]+(\d{1,3})(?:[ \t].*)?$/s;

class ClientStream implements RequestEncoder {
  readonly #codec: Http1ClientCodec;
  readonly decoder: ResponseDecoder;
  isHead = false;
  isConnect = false;
  isUpgrade = false;
  #isTunnel = false;
  requestEnded = false;
  responseEnded = false;
  #chunked = false;
  #readDisables = 0;
  wireBytesSent = 0;

  constructor(codec: Http1ClientCodec, decoder: ResponseDecoder) {
    this.#codec = codec;
    this.decoder = decoder;
  }

  get bufferedBytes(): number {
    return this.#codec.connection.bufferedBytes;
  }

  get wireBytesReceived(): number {
    return this.#codec.messageBytes;
  }

  readDisable(disable: boolean): void {
    if (this.responseEnded || (!disable && this.#readDisables === 0)) return;
    this.#readDisables += disable ? 1 : -1;
    this.#codec.connection.readDisable(disable);
  }

  undoReadDisables(): void {
    for (; this.#readDisables > 0; this.#readDisables--) this.#codec.connection.readDisable(false);
  }

  reset(reason: StreamResetReason): void {
    this.#codec.resetStream(this, reason);
  }

  encodeHeaders(headers: HeaderMap, endStream: boolean): void {
    this.isHead = headers.method === 'HEAD';
    this.isConnect = headers.method === 'CONNECT';
    const connection = headers.get('connection');
    this.isUpgrade = connection !== undefined && headers.has('upgrade') && hasToken(connection, 'upgrade');
    const { text, chunked } = formatRequestHead(headers, endStream, this.isUpgrade || this.isConnect, this.#targetOf(headers));
    this.#chunked = chunked;
    this.#write(text);
    if (endStream) this.#end();
  }

  #targetOf(headers: HeaderMap): string {
    if (this.isConnect) return headers.authority;
    if (!this.#codec.options.sendFullyQualifiedUrl) return headers.path;
    return `${headers.scheme === '' ? 'http' : headers.scheme}://${headers.authority}${headers.path}`;
  }

  encodeData(data: Buffer, endStream: boolean): void {
    if (data.length > 0) {
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

  #write(text: string): void {
    this.wireBytesSent += text.length;
    this.#codec.connection.writeLatin1(text, false);
  }

  enableTcpTunneling(): void {
    this.#isTunnel = true;
  }

  #end(): void {
    this.requestEnded = true;
    if (this.#isTunnel) this.#codec.connection.write(noData, true);
    this.#codec.onRequestEnd(this);
  }
}

class Http1ClientCodec implements ClientCodec, ReaderEvents {
  readonly protocol: Protocol = 'HTTP/1.1';
  readonly maxConcurrentStreams = 1;
  readonly connection: Connection;
  readonly options: ClientCodecOptions;
  readonly #callbacks: ClientConnectionCallbacks;
  readonly #reader: MessageReader;
  #stream: ClientStream | null = null;
  #keepAlive = true;
  #informational: HeaderMap | null = null;
  #failed = false;

  constructor(connection: Connection, options: ClientCodecOptions, callbacks: ClientConnectionCallbacks) {
    this.connection = connection;
    this.options = options;
    this.#callbacks = callbacks;
    this.#reader = new MessageReader(this, {
      maxHeadBytes: options.maxHeadBytes,
      message: 'response',
      maxHeadersCount: options.maxHeadersCount,
      underscores: 'allow',
      preserveCase: options.preserveCase,
      skipsEmptyLines: true,
      refusesBlankStart: false,
    });
  }

  get messageBytes(): number {
    return this.#reader.messageBytes;
  }

  newStream(decoder: ResponseDecoder): RequestEncoder {
    this.#stream = new ClientStream(this, decoder);
    return this.#stream;
  }

  dispatch(data: Buffer, endStream: boolean): void {
    if (data.length > 0) {
      if (this.#stream === null) this.#failConnection('http1.unexpected_data');
      else this.#reader.feed(data);
    }
    if (endStream && !this.#reader.stopped) this.#endOfInput();
  }

  #endOfInput(): void {
    this.#keepAlive = false;
    if (this.#reader.framing === Framing.raw) this.#endTunnel();
    else if (!this.#reader.endOfInput()) this.#failConnection('http1.codec_error');
  }

  /** A tunnel cannot be half closed: its end breaks it off. */
  #endTunnel(): void {
    const stream = this.#stream;
    this.#stream = null;
    this.#reader.stopped = true;
    stream?.undoReadDisables();
    stream?.decoder.onReset('connection-termination', '');
    this.connection.close('no-flush');
  }

  // Reader events

  onPartialHead(firstLine: string | null): void {
    if (firstLine !== null && !statusLine.test(firstLine)) this.#failConnection('http1.codec_error');
  }

  onHead(head: MessageHead): Framing {
    const stream = this.#stream;
    const line = statusLine.exec(head.firstLine);
    this.#informational = null;
    if (stream === null || line === null || Number.isNaN(head.contentLength)) return this.#fail();
    const headers = head.headers;
    headers.status = Number(line[2]);
    const status = headers.status;
    if (status === 204 || status < 200) {
      // RFC 9110 8.6 and 9112 6.1: neither has a body to frame. A length of zero is forgiven.
      if (head.transferEncoding !== null || ![undefined, '0'].includes(headers.get('content-length'))) return this.#fail();
      headers.remove('content-length');
    }
    if (head.transferEncoding !== null) {
      if (head.transferEncoding.toLowerCase() !== 'chunked') return this.#fail();
      if (head.contentLength >= 0) {
        if (!this.options.allowChunkedLength) return this.#fail();
        headers.remove('content-length');
        head.contentLength = -1;
      }
    }
    if (status >= 100 && status < 200 && status !== 101) {
      this.#informational = headers;
      return Framing.none;
    }
    this.#keepAlive = isKeptAlive(headers, line[1]);
    if (!this.#keepAlive) this.#callbacks.onCloseAnnounced?.();
    const framing = this.#chooseFraming(head, stream, status);
    stream.decoder.onResponseHeaders(headers, framing === Framing.none);
    return framing;
  }

  #chooseFraming(head: MessageHead, stream: ClientStream, status: number): Framing {
    if ((stream.isUpgrade && status === 101) || (stream.isConnect && status >= 200 && status < 300)) return Framing.raw;
    if (stream.isHead || status === 304 || status === 204 || status < 200) return Framing.none;
    if (head.transferEncoding !== null) return Framing.chunked;
    if (head.contentLength >= 0) return head.contentLength === 0 ? Framing.none : Framing.sized;
    this.#keepAlive = false;
    return Framing.untilClose;
  }

  onBody(data: Buffer, last: boolean): void {
    this.#stream?.decoder.onResponseData(data, last);
  }

  onMessageEnd(trailers: HeaderMap | null, ended: boolean): void {
    const stream = this.#stream;
    if (stream === null) return;
    if (this.#informational !== null) {
      const headers = this.#informational;
      this.#informational = null;
      stream.decoder.onResponse1xxHeaders(headers);
      return;
    }
    stream.responseEnded = true;
    // Bytes behind a response belong to no request: nothing more is read from this connection.
    const hasSurplus = this.#reader.unreadBytes > 0;
    if (hasSurplus) {
      this.#keepAlive = false;
      this.#reader.stopped = true;
    }
    if (trailers !== null && trailers.size > 0 && this.options.enableTrailers) stream.decoder.onResponseTrailers(trailers);
    else if (!ended && this.#reader.framing !== Framing.none) stream.decoder.onResponseData(noData, true);
    if (this.#stream === stream && stream.requestEnded) this.#complete(stream);
    if (hasSurplus && this.#stream === null) this.#failConnection('http1.unexpected_data');
  }

  onMalformed(details: string): void {
    this.#failConnection(details);
  }

  #fail(): Framing {
    this.#failConnection('http1.codec_error');
    return Framing.none;
  }

  #failConnection(details: string): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#reader.stopped = true;
    const stream = this.#stream;
    this.#stream = null;
    if (stream !== null) {
      stream.undoReadDisables();
      stream.decoder.onReset('protocol-error', '');
    }
    this.#callbacks.onProtocolError(details);
  }

  onRequestEnd(stream: ClientStream): void {
    if (stream === this.#stream && stream.responseEnded) this.#complete(stream);
  }

  #complete(stream: ClientStream): void {
    this.#stream = null;
    stream.undoReadDisables();
    this.#callbacks.onStreamComplete(this.#keepAlive && !stream.isUpgrade && !stream.isConnect);
  }

  resetStream(stream: ClientStream, reason: StreamResetReason): void {
    if (stream !== this.#stream) return;
    this.#stream = null;
    this.#reader.stopped = true;
    stream.undoReadDisables();
    stream.decoder.onReset(reason, '');
    this.connection.close('no-flush', 'codec_reset');
  }

  onConnectionClose(reason: StreamResetReason): void {
    const stream = this.#stream;
    if (stream === null || this.#failed) return;
    // A response that lasts until the end of the connection is whole now; one that was begun is a broken message.
    if (!this.#reader.stopped && reason === 'connection-termination') {
      this.#keepAlive = false;
      if (!this.#reader.idle) {
        this.#endOfInput();
        if (this.#stream === null) return;
      }
    }
    this.#reader.stopped = true;
    this.#stream = null;
    stream.decoder.onReset(reason, this.connection.info.transportFailureReason);
  }

  onAboveWriteBufferHighWatermark(): void {
    this.#stream?.decoder.onAboveWriteBufferHighWatermark();
  }

  onBelowWriteBufferLowWatermark(): void {
    this.#stream?.decoder.onBelowWriteBufferLowWatermark();
  }
}

function isKeptAlive(headers: HeaderMap, version: string): boolean {
  const connection = headers.get('connection');
  if (version !== '1.1') return version === '1.0' && connection !== undefined && hasToken(connection, 'keep-alive');
  if (connection !== undefined && hasToken(connection, 'close')) return false;
  const proxyConnection = headers.get('proxy-connection');
  return proxyConnection === undefined || !hasToken(proxyConnection, 'close');
}

/** Makes the codec of one upstream connection. */
export function createClientCodec(
  connection: Connection,
  options: ClientCodecOptions,
  callbacks: ClientConnectionCallbacks,
): ClientCodec {
  return new Http1ClientCodec(connection, options, callbacks);
}
