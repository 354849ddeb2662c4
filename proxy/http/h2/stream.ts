/** One stream: its windows, what waits to be sent, and how each direction ends. The roles add their messages. */
import type { CodecStream, StreamCallbacks, StreamResetReason } from '../codec.ts';
import type { HeaderMap } from '../header-map.ts';
import { ReceiveWindow } from './flow-control.ts';
import { defaultMaxFrameBytes, ErrorCode, frameHeaderBytes, maxWindowBytes } from './frame.ts';
import type { Http2Session } from './session.ts';

const noData = Buffer.alloc(0);

/** As a length: not even the end of a body may come. */
export const bodyNotAllowed = -2;

export abstract class Http2Stream implements CodecStream {
  /** 0 until a client's headers are sent. */
  id: number;
  protected readonly session: Http2Session;
  /** Envoy's words for why the codec ended the stream; empty if it did not. */
  responseDetails = '';
  wireBytesSent = 0;
  wireBytesReceived = 0;
  /** The peer sent its last byte. */
  remoteEnded = false;
  /** Our last byte was given to the codec; it may wait for the window. */
  localEnded = false;
  /** No frame of this stream is of interest any more. */
  closed = false;
  /** Length of the incoming body that was announced; -1: none was. */
  expectedBytes = -1;
  #receivedBytes = 0;
  readonly #receiveWindow: ReceiveWindow;
  #unconsumedBytes = 0;
  #readDisables = 0;
  #sendWindowBytes: number;
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #pendingTrailers: HeaderMap | null = null;
  #deferredReset: ErrorCode | null = null;
  #aboveHighWatermark = false;

  constructor(session: Http2Session, id: number) {
    this.session = session;
    this.id = id;
    this.#receiveWindow = new ReceiveWindow(session.options.protocol.initialStreamWindowBytes);
    this.#sendWindowBytes = session.peer.initialWindowBytes;
  }

  /** Whoever takes this stream's messages; null once it must not be called. */
  protected abstract get callbacks(): StreamCallbacks | null;
  protected abstract passData(data: Buffer, endStream: boolean): void;
  /** A server's reset waits for the response to be sent. */
  protected abstract readonly isServer: boolean;

  get bufferedBytes(): number {
    return this.#pendingBytes;
  }

  // Receiving

  /** Counts a DATA frame; false if it overruns the window. */
  takeFrame(length: number): boolean {
    this.wireBytesReceived += frameHeaderBytes + length;
    return this.#receiveWindow.take(length);
  }

  /** Counts the body of a frame; false if the announced length does not allow it. */
  takeBody(dataLength: number, endStream: boolean): boolean {
    this.#receivedBytes += dataLength;
    const expected = this.expectedBytes;
    return expected === -1 || (endStream ? this.#receivedBytes === expected : this.#receivedBytes <= expected);
  }

  /** A piece of the incoming body, or its end. */
  receiveData(data: Buffer, endStream: boolean): void {
    if (endStream) this.remoteEnded = true;
    if (this.#readDisables === 0) this.consume(data.length);
    else this.#unconsumedBytes += data.length;
    this.passData(data, endStream);
    if (endStream) this.session.streams.closeIfDone(this);
  }

  /** The message cannot end here. */
  get isBodyMissing(): boolean {
    return this.expectedBytes > 0 && this.#receivedBytes !== this.expectedBytes;
  }

  consume(bytes: number): void {
    if (bytes === 0) return;
    this.session.bodies.consume(bytes);
    if (this.remoteEnded || this.closed) return;
    const increment = this.#receiveWindow.consume(bytes);
    if (increment > 0) this.session.writer.writeWindowUpdate(this.id, increment);
  }

  readDisable(disable: boolean): void {
    if (this.closed || (!disable && this.#readDisables === 0)) return;
    this.#readDisables += disable ? 1 : -1;
    if (this.#readDisables > 0) return;
    const unconsumed = this.#unconsumedBytes;
    this.#unconsumedBytes = 0;
    this.consume(unconsumed);
  }

  // Sending

  protected sendHeaders(headers: HeaderMap, endStream: boolean): void {
    if (this.closed || this.localEnded) return;
    this.wireBytesSent += this.session.headerWriter.write(this.id, headers, endStream);
    if (endStream) this.#endLocal();
  }

  protected sendTrailers(trailers: HeaderMap): void {
    if (this.closed || this.localEnded) return;
    if (this.#pendingBytes > 0) {
      this.localEnded = true;
      this.#pendingTrailers = trailers;
      this.onPendingEnd();
      return;
    }
    if (trailers.size > 0) this.wireBytesSent += this.session.headerWriter.write(this.id, trailers, true);
    else this.#writeData(noData, true);
    this.#endLocal();
  }

  protected sendData(data: Buffer, endStream: boolean): void {
    if (this.closed || this.localEnded) return;
    let sent = 0;
    if (this.#pendingBytes === 0) {
      sent = Math.min(data.length, this.#sendWindowBytes, this.session.sendFlow.windowBytes);
      if (sent < 0) sent = 0;
      for (let at = 0; at < sent; at += defaultMaxFrameBytes) {
        const end = Math.min(at + defaultMaxFrameBytes, sent);
        this.#writeData(data.subarray(at, end), endStream && end === data.length);
      }
      if (data.length === 0 && endStream) this.#writeData(data, true);
    }
    if (sent < data.length) this.#enqueue(data.subarray(sent));
    if (!endStream) return;
    if (this.#pendingBytes === 0) {
      this.#endLocal();
    } else {
      this.localEnded = true;
      this.onPendingEnd();
    }
  }

  /** The message is complete, but waits for the peer's window. */
  protected onPendingEnd(): void {}

  #writeData(data: Buffer, endStream: boolean): void {
    const { session } = this;
    this.#sendWindowBytes -= data.length;
    session.sendFlow.windowBytes -= data.length;
    this.wireBytesSent += frameHeaderBytes + data.length;
    session.guard.onDataFrameSent();
    session.writer.writeData(this.id, data, endStream);
  }

  #enqueue(data: Buffer): void {
    this.#pending.push(Buffer.from(data));
    this.#pendingBytes += data.length;
    this.session.options.stats.pendingSendBytes.add(data.length);
    this.session.sendFlow.await(this);
    this.#checkHighWatermark();
  }

  /** Sends the next frame of what waits; false if the windows do not allow any. */
  sendPendingFrame(): boolean {
    const { sendFlow, options } = this.session;
    const allowed = Math.min(this.#sendWindowBytes, sendFlow.windowBytes, defaultMaxFrameBytes);
    const first = this.#pending[0];
    if (allowed <= 0 || first === undefined) return false;
    const data = first.length <= allowed ? first : first.subarray(0, allowed);
    if (data === first) this.#pending.shift();
    else this.#pending[0] = first.subarray(allowed);
    this.#pendingBytes -= data.length;
    options.stats.pendingSendBytes.add(-data.length);
    const isLast = this.#pendingBytes === 0;
    if (isLast) sendFlow.forget(this);
    this.#writeData(data, isLast && this.localEnded && this.#pendingTrailers === null);
    this.#checkLowWatermark();
    if (isLast && this.localEnded && !this.closed) this.#finishPending();
    return true;
  }

  #finishPending(): void {
    const trailers = this.#pendingTrailers;
    this.#pendingTrailers = null;
    if (trailers !== null) {
      if (trailers.size > 0) this.wireBytesSent += this.session.headerWriter.write(this.id, trailers, true);
      else this.#writeData(noData, true);
    }
    if (this.#deferredReset === null) this.#endLocal();
    else this.finishReset();
  }

  #endLocal(): void {
    this.localEnded = true;
    this.session.streams.closeIfDone(this);
  }

  /** Both directions are over: nothing is to be received or sent. */
  get isDone(): boolean {
    return this.remoteEnded && this.localEnded && this.#pendingBytes === 0 && this.#pendingTrailers === null;
  }

  /** WINDOW_UPDATE, or a change of the initial size; false if the window overflows. */
  adjustSendWindow(bytes: number): boolean {
    this.#sendWindowBytes += bytes;
    return this.#sendWindowBytes <= maxWindowBytes;
  }

  resumeSending(): void {
    while (this.#pendingBytes > 0 && this.sendPendingFrame());
  }

  // Watermarks: of what waits here, and of the connection below

  #checkHighWatermark(): void {
    const limit = this.session.connection.bufferLimitBytes;
    const above = (limit > 0 && this.#pendingBytes > limit) || this.session.aboveHighWatermark;
    if (!above || this.#aboveHighWatermark) return;
    this.#aboveHighWatermark = true;
    this.callbacks?.onAboveWriteBufferHighWatermark();
  }

  #checkLowWatermark(): void {
    if (!this.#aboveHighWatermark || this.session.aboveHighWatermark) return;
    if (this.#pendingBytes * 2 > this.session.connection.bufferLimitBytes) return;
    this.#aboveHighWatermark = false;
    this.callbacks?.onBelowWriteBufferLowWatermark();
  }

  /** The connection crossed one of its marks. */
  onConnectionWatermark(): void {
    this.#checkHighWatermark();
    this.#checkLowWatermark();
  }

  // Ends

  reset(reason: StreamResetReason): void {
    if (this.closed || this.#deferredReset !== null) return;
    const code = this.#codeOf(reason);
    const { callbacks } = this;
    this.detach();
    callbacks?.onReset(reason, '');
    if (!this.isServer || !this.localEnded) {
      this.session.reset(this, code);
      return;
    }
    // The response still goes out, and the request may be whole before it does.
    this.#deferredReset = code;
    if (this.#pendingBytes === 0) this.session.afterDispatch(this);
  }

  /** The time of a deferred reset has come, if it is still needed. */
  finishReset(): void {
    const code = this.#deferredReset;
    if (code === null || this.closed || this.#pendingBytes > 0) return;
    if (this.remoteEnded) this.session.streams.closeIfDone(this);
    else this.session.reset(this, code);
  }

  /** The code that tells the peer why: a response that is complete needs no more of its request. */
  #codeOf(reason: StreamResetReason): ErrorCode {
    switch (reason) {
      case 'local-refused-stream-reset':
        return ErrorCode.refusedStream;
      case 'connect-error':
        return ErrorCode.connectError;
      case 'protocol-error':
        return ErrorCode.protocolError;
      default:
        return this.isServer && this.localEnded ? ErrorCode.noError : ErrorCode.internalError;
    }
  }

  /** The stream is gone, by the peer's or the connection's doing. */
  abort(reason: StreamResetReason, transportFailureReason: string): void {
    const { callbacks } = this;
    this.detach();
    callbacks?.onReset(reason, transportFailureReason);
  }

  /** No more calls to whoever took the messages. */
  protected abstract detach(): void;

  /** Gives up what waits; the session has forgotten the stream. */
  release(): void {
    this.closed = true;
    this.session.bodies.consume(this.#unconsumedBytes);
    this.#unconsumedBytes = 0;
    this.session.options.stats.pendingSendBytes.add(-this.#pendingBytes);
    this.session.sendFlow.forget(this);
    this.#pending = [];
    this.#pendingBytes = 0;
    this.#pendingTrailers = null;
  }
}
