/** DATA frames to the bodies of their streams, within the windows that were granted. */
import { ErrorCode } from './frame.ts';
import { ReceiveWindow } from './flow-control.ts';
import type { FrameWriter } from './frame-writer.ts';
import type { StreamRegistry } from './stream-registry.ts';
import type { Http2Stream } from './stream.ts';

/** What bodies need to know of the connection. */
export interface BodyRules {
  /** No stream of this id was ever opened. */
  isIdle(streamId: number): boolean;
  /** The headers before the body have come. */
  acceptsData(stream: Http2Stream): boolean;
  onFrameError(code: ErrorCode, reason: string): void;
}

const noData = Buffer.alloc(0);

export class InboundBodies {
  readonly #rules: BodyRules;
  readonly #streams: StreamRegistry;
  readonly #writer: FrameWriter;
  readonly #window: ReceiveWindow;
  /** Stream of the DATA frame under way; null: nobody wants it. */
  #stream: Http2Stream | null = null;
  #endsStream = false;

  constructor(rules: BodyRules, streams: StreamRegistry, writer: FrameWriter, windowBytes: number) {
    this.#rules = rules;
    this.#streams = streams;
    this.#writer = writer;
    this.#window = new ReceiveWindow(windowBytes);
  }

  /** `length` counts padding, `dataLength` does not. */
  beginFrame(streamId: number, length: number, dataLength: number, endStream: boolean): void {
    this.#stream = null;
    const stream = this.#streams.get(streamId);
    const error = this.#judge(streamId, stream, length);
    if (error !== '') {
      this.#refuse(error);
      return;
    }
    if (stream === undefined) {
      this.consume(length - dataLength);
    } else if (!stream.takeFrame(length)) {
      this.#streams.resetInvalid(stream, ErrorCode.flowControlError);
    } else if (!stream.takeBody(dataLength, endStream)) {
      this.consume(length - dataLength);
      this.#streams.resetInvalid(stream, ErrorCode.protocolError);
    } else {
      if (length > dataLength) stream.consume(length - dataLength);
      if (dataLength > 0) {
        this.#stream = stream;
        this.#endsStream = endStream;
      } else if (endStream) {
        stream.receiveData(noData, true);
      }
    }
  }

  /** A frame whose padding is wrong: what is wrong with its stream comes first. */
  refuseFrame(streamId: number, reason: string): void {
    this.#refuse(this.#judge(streamId, this.#streams.get(streamId), 0) || reason);
  }

  #refuse(error: string): void {
    this.#rules.onFrameError(this.#codeOf(error), error === 'window' ? '' : `DATA: ${error}`);
  }

  /** Why a frame ends the connection, in nghttp2's words, or an empty string. */
  #judge(streamId: number, stream: Http2Stream | undefined, length: number): string {
    if (streamId === 0) return 'stream_id == 0';
    if (!this.#window.take(length)) return 'window';
    if (stream === undefined) return this.#rules.isIdle(streamId) ? 'stream in idle' : '';
    if (stream.remoteEnded) return 'stream in half-closed(remote)';
    return this.#rules.acceptsData(stream) ? '' : 'stream not opened';
  }

  #codeOf(error: string): ErrorCode {
    if (error === 'window') return ErrorCode.flowControlError;
    return error === 'stream in half-closed(remote)' ? ErrorCode.streamClosed : ErrorCode.protocolError;
  }

  /** A piece of the frame; `last` ends it. */
  pass(data: Buffer, last: boolean): void {
    const stream = this.#stream;
    if (stream === null || stream.closed) this.consume(data.length);
    else stream.receiveData(data, last && this.#endsStream);
  }

  /** Bytes of the connection's window are free again. */
  consume(bytes: number): void {
    if (bytes === 0) return;
    const increment = this.#window.consume(bytes);
    if (increment > 0) this.#writer.writeWindowUpdate(0, increment);
  }
}
