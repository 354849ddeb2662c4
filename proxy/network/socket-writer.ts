/**
 * The write side of a socket connection: gathers what is written during an event, hands it to the socket in one piece, and
 * watches over what the kernel has not taken yet.
 */
import type net from 'node:net';
import { returnBuffer } from './buffer-pool.ts';
import { PendingWrites } from './pending-writes.ts';
import { requestDrain } from './socket-handle.ts';
import type { RecordWriter } from './tls/record-writer.ts';
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
  #socket!: net.Socket;
  /** Between the writer and the socket; it copies what it takes. */
  #tls: RecordWriter | null = null;
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
  attach(socket: net.Socket, tls: RecordWriter | null): void {
    this.#socket = socket;
    this.#tls = tls;
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
    const socket = this.#socket;
    const tls = this.#tls;
    if (socket.destroyed) return false;
    this.#pending.passTo(tls ?? socket);
    if (this.#endRequested && !this.#ended) {
      this.#ended = true;
      this.#owner.onWriteEnded();
      if (tls === null) socket.end();
      else tls.end();
    }
    const waiting = this.waitingBytes;
    if (this.limitBytes > 0 && waiting > this.limitBytes && !this.#aboveHighWatermark) {
      this.#aboveHighWatermark = true;
      this.#owner.onAboveHighWatermark();
    }
    // What waits is still the caller's memory.
    const refersToCaller = tls === null && waiting > 0;
    if (refersToCaller || this.#aboveHighWatermark) requestDrain(socket);
    return refersToCaller;
  }

  /** `onDrain` will be called for what waits now. */
  awaitDrain(): void {
    requestDrain(this.#socket);
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
    return this.#socket.writableLength + (this.#tls?.heldBytes ?? 0);
  }

  get bufferedBytes(): number {
    return this.#pending.bytes + this.waitingBytes;
  }

  get sentBytes(): number {
    return this.#acceptedBytes - this.bufferedBytes;
  }

  /** A half close was sent, and everything before it. */
  get isFinished(): boolean {
    return this.#ended && this.#socket.writableFinished;
  }
}
