/** The open streams of a connection, and the ways in which one ends without its connection. */
import type { StreamResetReason } from '../codec.ts';
import type { Http2CodecStats } from './codec-stats.ts';
import { ErrorCode } from './frame.ts';
import type { FrameWriter } from './frame-writer.ts';
import type { Http2Stream } from './stream.ts';

function reasonOf(code: number): StreamResetReason {
  switch (code) {
    case ErrorCode.noError:
      return 'remote-reset-no-error';
    case ErrorCode.refusedStream:
      return 'remote-refused-stream-reset';
    case ErrorCode.connectError:
      return 'connect-error';
    case ErrorCode.protocolError:
      return 'protocol-error';
    default:
      return 'remote-reset';
  }
}

export class StreamRegistry {
  readonly #streams = new Map<number, Http2Stream>();
  readonly #writer: FrameWriter;
  readonly #stats: Http2CodecStats;
  readonly #onClosed: () => void;

  /** `onClosed` is called behind every stream that ends while its connection goes on. */
  constructor(writer: FrameWriter, stats: Http2CodecStats, onClosed: () => void) {
    this.#writer = writer;
    this.#stats = stats;
    this.#onClosed = onClosed;
  }

  get size(): number {
    return this.#streams.size;
  }

  get(streamId: number): Http2Stream | undefined {
    return this.#streams.get(streamId);
  }

  all(): Iterable<Http2Stream> {
    return this.#streams.values();
  }

  add(stream: Http2Stream): void {
    this.#streams.set(stream.id, stream);
    this.#stats.streamsActive.inc();
  }

  #remove(stream: Http2Stream): void {
    this.#streams.delete(stream.id);
    stream.release();
    this.#stats.streamsActive.dec();
  }

  closeIfDone(stream: Http2Stream): void {
    if (stream.closed || !stream.isDone) return;
    this.#remove(stream);
    this.#onClosed();
  }

  writeRst(streamId: number, code: ErrorCode): void {
    this.#writer.writeRstStream(streamId, code);
    this.#stats.txReset.inc();
  }

  /** This side gives the stream up, and has told its user. */
  reset(stream: Http2Stream, code: ErrorCode): void {
    this.writeRst(stream.id, code);
    this.#remove(stream);
    this.#onClosed();
  }

  /** The peer gives the stream up. */
  closeRemotely(stream: Http2Stream, code: number): void {
    this.#end(stream, reasonOf(code), code === ErrorCode.refusedStream ? 'http2.remote_refuse' : 'http2.remote_reset');
  }

  /** The peer broke a rule whose breach costs only the stream. */
  resetInvalid(stream: Http2Stream, code: ErrorCode): void {
    this.writeRst(stream.id, code);
    this.closeRemotely(stream, code);
  }

  /** The same for a message that HTTP does not allow. */
  resetInvalidMessage(stream: Http2Stream, reason: StreamResetReason): void {
    this.writeRst(stream.id, ErrorCode.protocolError);
    this.#end(stream, reason, '');
  }

  #end(stream: Http2Stream, reason: StreamResetReason, details: string): void {
    if (stream.responseDetails === '') stream.responseDetails = details;
    this.#remove(stream);
    stream.abort(reason, '');
    this.#onClosed();
  }

  /** The connection is gone. */
  abortAll(reason: StreamResetReason, transportFailureReason: string): void {
    for (const stream of [...this.#streams.values()]) {
      this.#remove(stream);
      stream.abort(reason, transportFailureReason);
    }
  }
}
