/** One stream: its windows, what waits to be sent, and how each direction ends. The roles add their messages. */
import type { CodecStream, StreamCallbacks, StreamResetReason } from '../codec.ts';
import type { HeaderMap } from '../header-map.ts';
import { ReceiveWindow } from './flow-control.ts';
import { defaultMaxFrameBytes, ErrorCode, frameHeaderBytes, maxWindowBytes } from './frame.ts';
import { PendingBody } from './pending-body.ts';
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
  /** Null: nothing waits. */
  #pending: PendingBody | null = null;
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
    return this.#pending === null ? 0 : this.#pending.bytes;
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
    return this.expectedBytes >= 0 && this.#receivedBytes !== this.expectedBytes;
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
    if (this.#pending !== null) {
      this.localEnded = true;
      this.#pending.trailers = trailers;
      this.onPendingEnd();
      return;
    }
    this.#writeTrailers(trailers);
    this.#endLocal();
  }

  #writeTrailers(trailers: HeaderMap): void {
    if (trailers.size > 0) this.wireBytesSent += this.session.headerWriter.write(this.id, trailers, true);
    else this.#writeData(noData, true);
  }

  protected sendData(data: Buffer, endStream: boolean): void {
    if (this.closed || this.localEnded) return;
    let sent = 0;
    if (this.#pending === null) {
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
    if (this.#pending === null) {
      this.#endLocal();
    } else {
      this.localEnded = true;
      this.onPendingEnd();
    }
  }

  /** The message is complete, but waits for the peer's window. */
  protected onPendingEnd(): void {}
  /** What waited is sent, and with it the whole message. */
  protected onPendingSent(): void {}

  #writeData(data: Buffer, endStream: boolean): void {
    const { session } = this;
    this.#sendWindowBytes -= data.length;
    session.sendFlow.windowBytes -= data.length;
    this.wireBytesSent += frameHeaderBytes + data.length;
    session.guard.onDataFrameSent();
    session.writer.writeData(this.id, data, endStream);
  }

  #enqueue(data: Buffer): void {
    this.#pending ??= new PendingBody();
    this.#pending.add(data);
    this.session.options.stats.pendingSendBytes.add(data.length);
    this.session.sendFlow.await(this);
    this.#checkHighWatermark();
  }

  /** Sends the next frame of what waits; false if the windows do not allow any. */
  sendPendingFrame(): boolean {
    const pending = this.#pending;
    const { sendFlow, options } = this.session;
    const allowed = Math.min(this.#sendWindowBytes, sendFlow.windowBytes, defaultMaxFrameBytes);
    if (allowed <= 0 || pending === null) return false;
    const data = pending.take(allowed);
    options.stats.pendingSendBytes.add(-data.length);
    const isLast = pending.bytes === 0;
    this.#writeData(data, isLast && this.localEnded && pending.trailers === null);
    if (isLast) {
      this.#pending = null;
      sendFlow.forget(this);
      if (this.localEnded) this.#finishPending(pending.trailers);
    }
    if (!this.closed) this.#checkLowWatermark();
    return true;
  }

  #finishPending(trailers: HeaderMap | null): void {
    if (trailers !== null) this.#writeTrailers(trailers);
    if (this.#deferredReset !== null) {
      this.finishReset();
      return;
    }
    this.#endLocal();
    this.onPendingSent();
  }

  #endLocal(): void {
    this.localEnded = true;
    this.session.streams.closeIfDone(this);
  }

  /** Both directions are over: nothing is to be received or sent. */
  get isDone(): boolean {
    return this.remoteEnded && this.localEnded && this.#pending === null;
  }

  /** WINDOW_UPDATE, or a change of the initial size; false if the window overflows. */
  adjustSendWindow(bytes: number): boolean {
    this.#sendWindowBytes += bytes;
    return this.#sendWindowBytes <= maxWindowBytes;
  }

  resumeSending(): void {
    while (this.sendPendingFrame());
  }

  // Watermarks: of what waits here, and of the connection below

  #checkHighWatermark(): void {
    const limit = this.session.connection.bufferLimitBytes;
    const above = (limit > 0 && this.bufferedBytes > limit) || this.session.aboveHighWatermark;
    if (!above || this.#aboveHighWatermark) return;
    this.#aboveHighWatermark = true;
    this.callbacks?.onAboveWriteBufferHighWatermark();
  }

  #checkLowWatermark(): void {
    if (!this.#aboveHighWatermark || this.session.aboveHighWatermark) return;
    if (this.bufferedBytes * 2 > this.session.connection.bufferLimitBytes) return;
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
    if (this.#pending === null) this.session.afterDispatch(this);
  }

  /** The time of a deferred reset has come, if it is still needed. */
  finishReset(): void {
    const code = this.#deferredReset;
    if (code === null || this.closed || this.#pending !== null) return;
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
    if (this.#pending === null) return;
    this.session.options.stats.pendingSendBytes.add(-this.#pending.bytes);
    this.session.sendFlow.forget(this);
    this.#pending = null;
  }
}
