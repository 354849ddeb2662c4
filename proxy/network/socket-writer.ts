/**
 * The write side of a socket connection: gathers what is written during an event, hands it to the socket in one piece, and
 * watches over what the kernel has not taken yet.
 */
import type net from 'node:net';
import { returnBuffer } from './buffer-pool.ts';
import { PendingWrites } from './pending-writes.ts';
import { requestDrain } from './socket-handle.ts';
import { type Flushable, scheduleFlush } from './write-coalescing.ts';

/** What the owner of a writer is told. */
export interface WriterOwner {
  /** The half close that was asked for is on its way. */
  onWriteEnded(): void;
  onAboveHighWatermark(): void;
}

export class SocketWriter implements Flushable {
  readonly #owner: WriterOwner;
  readonly #pending = new PendingWrites();
  #stream!: net.Socket;
  /** The stream copies what it takes, as TLS does. */
  #copies = false;
  /** Buffers of others that bytes waiting here point into. */
  #kept: Buffer[] = [];
  #acceptedBytes = 0;
  #flushScheduled = false;
  #endRequested = false;
  #ended = false;
  #aboveHighWatermark = false;
  /** Bytes; 0: no high watermark. */
  limitBytes = 0;

  constructor(owner: WriterOwner) {
    this.#owner = owner;
  }

  /** Where the bytes go from now on. */
  attach(stream: net.Socket, copies: boolean): void {
    this.#stream = stream;
    this.#copies = copies;
  }

  write(data: Buffer, endStream: boolean): void {
    if (!this.#begin(endStream) || data.length === 0) return;
    this.#acceptedBytes += data.length;
    this.#pending.add(data);
  }

  writeLatin1(text: string, endStream: boolean): void {
    if (!this.#begin(endStream) || text.length === 0) return;
    this.#acceptedBytes += text.length;
    this.#pending.addLatin1(text);
  }

  #begin(endStream: boolean): boolean {
    if (this.#endRequested) return false;
    this.#endRequested = endStream;
    if (!this.#flushScheduled) {
      this.#flushScheduled = true;
      scheduleFlush(this);
    }
    return true;
  }

  flush(): boolean {
    if (!this.#flushScheduled) return false;
    this.#flushScheduled = false;
    const stream = this.#stream;
    if (stream.destroyed) return false;
    const waitedBefore = stream.writableLength > 0;
    this.#pending.passTo(stream);
    if (this.#endRequested && !this.#ended) {
      this.#ended = true;
      this.#owner.onWriteEnded();
      stream.end();
    }
    const waiting = stream.writableLength;
    if (this.limitBytes > 0 && waiting > this.limitBytes && !this.#aboveHighWatermark) {
      this.#aboveHighWatermark = true;
      this.#owner.onAboveHighWatermark();
    }
    // A copy is safe, but what waits behind an earlier write is still the caller's memory.
    const refersToCaller = this.#copies ? waitedBefore : waiting > 0;
    if (refersToCaller || this.#aboveHighWatermark) requestDrain(stream);
    return refersToCaller;
  }

  /** `onDrain` will be called for what waits now. */
  awaitDrain(): void {
    requestDrain(this.#stream);
  }

  keep(buffer: Buffer): void {
    this.#kept.push(buffer);
  }

  /** The socket took everything that somebody waits for; true if that undoes the high watermark. */
  onDrain(): boolean {
    if (this.#kept.length > 0 && this.waitingBytes === 0) {
      for (const buffer of this.#kept) returnBuffer(buffer);
      this.#kept.length = 0;
    }
    const wasAbove = this.#aboveHighWatermark;
    this.#aboveHighWatermark = false;
    return wasAbove;
  }

  /** Bytes that were handed on and not taken. */
  get waitingBytes(): number {
    return this.#stream.writableLength;
  }

  get bufferedBytes(): number {
    return this.#pending.bytes + this.#stream.writableLength;
  }

  get sentBytes(): number {
    return this.#acceptedBytes - this.bufferedBytes;
  }

  /** A half close was sent, and everything before it. */
  get isFinished(): boolean {
    return this.#ended && this.#stream.writableFinished;
  }
}
