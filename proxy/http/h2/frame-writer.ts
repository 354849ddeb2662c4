/**
 * Frames to bytes: whatever one event causes on a connection is gathered in one buffer, which goes to the connection when the
 * event is over. Larger bodies go beside it without being copied.
 */
import type { Connection } from '../../network/connection.ts';
import { type Flushable, scheduleFlush } from '../../network/write-coalescing.ts';
import type { FloodGuard } from './flood-guard.ts';
import { FrameFlag, FrameType, frameHeaderBytes, writeFrameHeader, writeUint32 } from './frame.ts';

const smallBufferBytes = 2048;
const largeBufferBytes = 32_768;
/** After so many events in a row that a small buffer could have held, a large one is given up. */
const smallEventsToShrink = 16;
/** Bodies up to this many bytes are copied behind their frame header. */
const maxCopiedBytes = 2048;

export class FrameWriter implements Flushable {
  readonly #connection: Connection;
  readonly #guard: FloodGuard;
  readonly #onFlood: (details: string) => void;
  #buffer: Buffer | null = null;
  /** What is written but not handed over: `buffer[start, end)`. */
  #start = 0;
  #end = 0;
  #smallEvents = 0;
  #scheduled = false;
  /** The owner flushes when its dispatch is over. */
  held = false;
  /** Bytes handed to the connection so far. */
  #writtenBytes = 0;

  /** `onFlood` learns, in Envoy's words, that too many frames wait to be sent. */
  constructor(connection: Connection, guard: FloodGuard, onFlood: (details: string) => void) {
    this.#connection = connection;
    this.#guard = guard;
    this.#onFlood = onFlood;
  }

  /** Hands everything to the connection. */
  flush(): boolean {
    this.#scheduled = false;
    this.#handOver();
    return false;
  }

  #handOver(): void {
    if (this.#end === this.#start) return;
    const bytes = (this.#buffer as Buffer).subarray(this.#start, this.#end);
    this.#start = this.#end;
    this.#pass(bytes);
  }

  #pass(bytes: Buffer): void {
    this.#writtenBytes += bytes.length;
    this.#connection.write(bytes, false);
    this.#guard.onFlush(this.#writtenBytes);
  }

  /** Nothing written here points into a read buffer. */
  keep(): void {}

  /** Makes room for `bytes` and returns the buffer; what is written to it at `offset` is taken over by `commit`. */
  reserve(bytes: number): Buffer {
    if (!this.#scheduled && !this.held) {
      this.#scheduled = true;
      scheduleFlush(this);
    }
    const buffer = this.#buffer;
    if (buffer !== null) {
      // The kernel has all of it: the room can be used again.
      if (this.#start === this.#end && this.#connection.bufferedBytes === 0) this.#reuseBuffer(buffer);
      if (this.#buffer !== null && buffer.length - this.#end >= bytes) return buffer;
    }
    return this.#replaceBuffer(bytes);
  }

  #reuseBuffer(buffer: Buffer): void {
    if (buffer.length <= smallBufferBytes || this.#end > smallBufferBytes) this.#smallEvents = 0;
    else if (++this.#smallEvents >= smallEventsToShrink) this.#buffer = null;
    this.#start = 0;
    this.#end = 0;
  }

  #replaceBuffer(bytes: number): Buffer {
    const size = this.#buffer === null ? smallBufferBytes : largeBufferBytes;
    this.#handOver();
    this.#buffer = Buffer.allocUnsafeSlow(Math.max(size, bytes));
    this.#start = 0;
    this.#end = 0;
    return this.#buffer;
  }

  /** Where the next byte goes in the buffer of `reserve`. */
  get offset(): number {
    return this.#end;
  }

  commit(end: number): void {
    this.#end = end;
  }

  /** Counts a frame; for those too that others wrote to the buffer. */
  countFrame(isControl: boolean): void {
    const details = this.#guard.onOutboundFrame(isControl);
    if (details !== '') this.#onFlood(details);
  }

  #writeHeader(length: number, type: number, flags: number, streamId: number, isControl: boolean): Buffer {
    const buffer = this.reserve(frameHeaderBytes + length);
    writeFrameHeader(buffer, this.#end, length, type, flags, streamId);
    this.#end += frameHeaderBytes;
    this.countFrame(isControl);
    return buffer;
  }

  /** A DATA frame; `data` is used before the event is over and not kept. */
  writeData(streamId: number, data: Buffer, endStream: boolean): void {
    const flags = endStream ? FrameFlag.endStream : 0;
    if (data.length <= maxCopiedBytes) {
      const buffer = this.reserve(frameHeaderBytes + data.length);
      writeFrameHeader(buffer, this.#end, data.length, FrameType.data, flags, streamId);
      data.copy(buffer, this.#end + frameHeaderBytes);
      this.#end += frameHeaderBytes + data.length;
    } else {
      const buffer = this.reserve(frameHeaderBytes);
      writeFrameHeader(buffer, this.#end, data.length, FrameType.data, flags, streamId);
      this.#end += frameHeaderBytes;
      this.#handOver();
      this.#pass(data);
    }
    this.countFrame(false);
  }

  writeRstStream(streamId: number, code: number): void {
    const buffer = this.#writeHeader(4, FrameType.rstStream, 0, streamId, true);
    writeUint32(buffer, this.#end, code);
    this.#end += 4;
  }

  writeWindowUpdate(streamId: number, increment: number): void {
    const buffer = this.#writeHeader(4, FrameType.windowUpdate, 0, streamId, false);
    writeUint32(buffer, this.#end, increment);
    this.#end += 4;
  }

  /** Pairs of setting and value. */
  writeSettings(settings: readonly (readonly [id: number, value: number])[]): void {
    const buffer = this.#writeHeader(settings.length * 6, FrameType.settings, 0, 0, false);
    for (const [id, value] of settings) {
      buffer[this.#end] = id >> 8;
      buffer[this.#end + 1] = id;
      writeUint32(buffer, this.#end + 2, value);
      this.#end += 6;
    }
  }

  writeSettingsAck(): void {
    this.#writeHeader(0, FrameType.settings, FrameFlag.ack, 0, true);
  }

  /** `data[from, from + 8)` is what a PING carries. */
  writePing(data: Buffer, from: number, ack: boolean): void {
    const buffer = this.#writeHeader(8, FrameType.ping, ack ? FrameFlag.ack : 0, 0, ack);
    data.copy(buffer, this.#end, from, from + 8);
    this.#end += 8;
  }

  writeGoaway(lastStreamId: number, code: number, debugText: string): void {
    const buffer = this.#writeHeader(8 + debugText.length, FrameType.goaway, 0, 0, false);
    writeUint32(buffer, this.#end, lastStreamId);
    writeUint32(buffer, this.#end + 4, code);
    buffer.write(debugText, this.#end + 8, 'latin1');
    this.#end += 8 + debugText.length;
  }

  writeBytes(bytes: Buffer): void {
    bytes.copy(this.reserve(bytes.length), this.#end);
    this.#end += bytes.length;
  }
}
