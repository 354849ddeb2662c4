/**
 * The seam that hides the HTTP version: Envoy's codec interfaces. A server codec turns downstream bytes into streams for the
 * connection manager; a client codec carries a pool's streams to an upstream. `endStream` means: nothing of this message
 * follows. No call comes after a reset.
 */
import type { Connection } from '../network/connection.ts';
import type { Protocol } from '../telemetry/stream-info.ts';
import type { HeaderMap } from './header-map.ts';

export type StreamResetReason =
  | 'local-reset'
  | 'local-refused-stream-reset'
  | 'remote-reset'
  | 'remote-reset-no-error'
  | 'remote-refused-stream-reset'
  | 'connection-failure'
  | 'connection-timeout'
  | 'connection-termination'
  | 'overflow'
  | 'protocol-error'
  | 'connect-error';

/** Common to both directions of a stream. */
export interface CodecStream {
  reset(reason: StreamResetReason): void;
  /** Counted: stops reading this message from the peer (on HTTP/1, the connection). */
  readDisable(disable: boolean): void;
  /** Bytes of this stream that the connection has not sent. */
  readonly bufferedBytes: number;
  /** HTTP/2: why the codec ended the stream, in Envoy's words; empty if it did not. Known when `onReset` is called. */
  readonly responseDetails?: string;
  /** Bytes on the wire so far, with framing. */
  readonly wireBytesSent: number;
  readonly wireBytesReceived: number;
}

export interface StreamCallbacks {
  onReset(reason: StreamResetReason, transportFailureReason: string): void;
  onAboveWriteBufferHighWatermark(): void;
  onBelowWriteBufferLowWatermark(): void;
}

// Server side

export interface RequestDecoder extends StreamCallbacks {
  onRequestHeaders(headers: HeaderMap, endStream: boolean): void;
  onRequestData(data: Buffer, endStream: boolean): void;
  onRequestTrailers(trailers: HeaderMap): void;
  /**
   * The request broke the protocol before the decoder could be given headers, or a limit was exceeded: answer with a local
   * reply.
   */
  sendLocalReply(status: number, body: string, details: string): void;
  /** HTTP/2: the last byte of a response that had to wait for the peer's window was sent. */
  onEncodeComplete(): void;
}

export interface ResponseEncoder extends CodecStream {
  /** An informational response (1xx but 101). */
  encode1xxHeaders(headers: HeaderMap): void;
  encodeHeaders(headers: HeaderMap, endStream: boolean): void;
  encodeData(data: Buffer, endStream: boolean): void;
  encodeTrailers(trailers: HeaderMap): void;
  /** The response has its end, and nothing of it waits for the peer's window. */
  readonly isEncodeComplete: boolean;
  /** HTTP/2: how long a whole response may wait for the peer to read it; 0: forever. Then the stream is reset. */
  setFlushTimeout?(timeoutMs: number): void;
}

export interface ServerConnectionCallbacks {
  newStream(encoder: ResponseEncoder): RequestDecoder;
  /**
   * A protocol error ended the connection; the codec has answered it if it could, and the caller closes. Streams are not reset
   * yet. With `isFlood` the peer stayed within the protocol but beyond a limit.
   */
  onProtocolError(details: string, isFlood?: boolean): void;
}

export interface ServerCodec {
  readonly protocol: Protocol;
  dispatch(data: Buffer, endStream: boolean): void;
  /** Announces the end: `connection: close` on the next response, or a GOAWAY that still admits every stream. */
  shutdownNotice(): void;
  /** No further request is taken; those under way go on. */
  goAway(): void;
  onConnectionClose(reason: StreamResetReason): void;
  onAboveWriteBufferHighWatermark(): void;
  onBelowWriteBufferLowWatermark(): void;
}

// Client side

export interface ResponseDecoder extends StreamCallbacks {
  onResponse1xxHeaders(headers: HeaderMap): void;
  onResponseHeaders(headers: HeaderMap, endStream: boolean): void;
  onResponseData(data: Buffer, endStream: boolean): void;
  onResponseTrailers(trailers: HeaderMap): void;
}

export interface RequestEncoder extends CodecStream {
  /** HTTP/1: the end of the request ends the writing half of the connection, for a tunnel knows half closes. */
  enableTcpTunneling?(): void;
  encodeHeaders(headers: HeaderMap, endStream: boolean): void;
  encodeData(data: Buffer, endStream: boolean): void;
  encodeTrailers(trailers: HeaderMap): void;
}

export interface ClientConnectionCallbacks {
  /**
   * A stream ended in both directions; the connection can take another if `reusable`. On HTTP/2 also when it ended by a reset
   * of either side. Not called for streams that end with the connection.
   */
  onStreamComplete(reusable: boolean): void;
  /** HTTP/1: a response says that the connection ends behind it. */
  onCloseAnnounced?(): void;
  /** The peer wants no new stream; those under way go on. */
  onGoAway(): void;
  /** HTTP/2: the peer changed `maxConcurrentStreams`. */
  onMaxConcurrentStreams?(maxConcurrentStreams: number): void;
  /** The connection is of no use any more: its streams were reset, and the caller closes it. */
  onProtocolError(details: string, isFlood?: boolean): void;
}

export interface ClientCodec {
  readonly protocol: Protocol;
  /** Streams that the connection carries at once: the smaller of what is configured and what the peer allows. */
  readonly maxConcurrentStreams: number;
  /** Begins a stream. HTTP/1 carries one at a time. */
  newStream(decoder: ResponseDecoder): RequestEncoder;
  dispatch(data: Buffer, endStream: boolean): void;
  onConnectionClose(reason: StreamResetReason): void;
  onAboveWriteBufferHighWatermark(): void;
  onBelowWriteBufferLowWatermark(): void;
}

export type ClientCodecFactory = (connection: Connection, callbacks: ClientConnectionCallbacks) => ClientCodec;
