/**
 * The write side of TLS: what one event writes becomes as few records as it fits in, which leave in one system call; what the kernel
 * does not take goes through the socket's own queue.
 */
import type net from 'node:net';
import type { ByteSink } from '../pending-writes.ts';
import { sendNow } from '../socket-handle.ts';
import type { SslSession } from './ssl-session.ts';

/** The most plain bytes in a record (RFC 8446 5.1). */
export const recordBytes = 16_384;
/** Plain bytes of one record, joined from small writes; of this thread, used within one event. */
const joined = Buffer.allocUnsafeSlow(recordBytes);
/** Ciphertext on its way to the socket; likewise. */
const sending = Buffer.allocUnsafeSlow(131_072);
/** A record and what is around it. */
const outputReserve = recordBytes + 1024;

export class RecordWriter implements ByteSink {
  readonly #raw: net.Socket;
  readonly #session: SslSession;
  /** After the handshake, and until the session is freed. */
  #isOpen = false;
  #isFreed = false;
  #isCorked = false;
  #joinedBytes = 0;
  #sendingBytes = 0;
  /** Plain bytes that OpenSSL takes only once a message of the peer is complete: a ticket in several records. */
  #held: Buffer[] = [];
  #heldBytes = 0;
  #isEndHeld = false;

  constructor(raw: net.Socket, session: SslSession) {
    this.#raw = raw;
    this.#session = session;
  }

  /** The handshake is over. */
  open(): void {
    this.#isOpen = true;
  }

  cork(): void {
    this.#isCorked = true;
  }

  uncork(): void {
    this.#isCorked = false;
    if (!this.#isFreed) this.#flushRecords();
  }

  /** Text is of characters that are bytes. */
  write(piece: Buffer | string): void {
    if (this.#isFreed) return;
    if (piece.length > recordBytes - this.#joinedBytes) this.#encryptJoined();
    if (typeof piece === 'string') this.#writeText(piece);
    else if (piece.length > recordBytes / 4) this.#writeBytes(piece);
    else {
      joined.set(piece, this.#joinedBytes);
      this.#joinedBytes += piece.length;
    }
    if (!this.#isCorked) this.#flushRecords();
  }

  #writeText(text: string): void {
    for (let offset = 0; offset < text.length; offset += recordBytes) {
      this.#joinedBytes += joined.write(offset === 0 ? text : text.slice(offset), this.#joinedBytes, recordBytes, 'latin1');
      if (this.#joinedBytes === recordBytes) this.#encryptJoined();
    }
  }

  #writeBytes(bytes: Buffer): void {
    this.#encryptJoined();
    for (let offset = 0; offset < bytes.length; offset += recordBytes) {
      const end = Math.min(offset + recordBytes, bytes.length);
      this.#encrypt(offset === 0 ? bytes : bytes.subarray(offset, end), end - offset);
    }
  }

  #encryptJoined(): void {
    if (this.#joinedBytes === 0) return;
    this.#encrypt(joined, this.#joinedBytes);
    this.#joinedBytes = 0;
  }

  #encrypt(from: Buffer, bytes: number): void {
    if (this.#heldBytes > 0 || !this.#session.write(from, bytes)) {
      this.#held.push(Buffer.copyBytesFrom(from, 0, bytes));
      this.#heldBytes += bytes;
      return;
    }
    if (this.#sendingBytes + outputReserve > sending.length) this.#send();
    this.#takeOutput();
  }

  /** Tries again what OpenSSL did not take before. */
  encryptHeld(): void {
    if (this.#heldBytes === 0) return;
    for (let piece = this.#held.at(0); piece !== undefined; piece = this.#held.at(0)) {
      if (!this.#session.write(piece, piece.length)) return;
      this.#held.shift();
      this.#heldBytes -= piece.length;
      this.#takeOutput();
      // Through the socket, which tells who waits when it is gone.
      this.#raw.write(Buffer.copyBytesFrom(sending, 0, this.#sendingBytes));
      this.#sendingBytes = 0;
    }
    if (this.#isEndHeld) this.end();
  }

  #flushRecords(): void {
    this.#encryptJoined();
    this.#takeOutput();
    this.#send();
  }

  /** Sends what OpenSSL has to say by itself: of the handshake, alerts, tickets. */
  flush(): void {
    if (this.#isFreed) return;
    this.#takeOutput();
    this.#send();
  }

  /** Moves what OpenSSL has for the peer behind what is to be sent. */
  #takeOutput(): void {
    for (;;) {
      const offset = this.#sendingBytes;
      const room = sending.length - offset;
      const bytes = this.#session.takeOutput(offset === 0 ? sending : sending.subarray(offset), room);
      if (bytes <= 0) return;
      this.#sendingBytes += bytes;
      if (bytes < room) return;
      this.#send();
    }
  }

  /** To the kernel at once if nothing waits before it; the rest through the socket. */
  #send(): void {
    const bytes = this.#sendingBytes;
    this.#sendingBytes = 0;
    if (bytes === 0 || this.#raw.destroyed || this.#raw.writableEnded) return;
    const sent = this.#raw.writableLength === 0 ? sendNow(this.#raw, sending, bytes) : 0;
    if (sent < bytes) this.#raw.write(Buffer.copyBytesFrom(sending, sent, bytes - sent));
  }

  // Ending

  /** Says that nothing more will be sent, and half closes the socket, behind everything that was written. */
  end(): void {
    if (this.#isFreed) return;
    this.#isEndHeld = this.#heldBytes > 0;
    if (this.#isEndHeld) return;
    this.shutdown();
    this.#raw.end();
  }

  /** Says that nothing more will be sent. */
  shutdown(): void {
    if (!this.#isOpen) return;
    this.#session.shutdown();
    this.flush();
  }

  /** Plain bytes that were written and cannot be sent yet. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Nothing is written any more. */
  free(): void {
    this.#isOpen = false;
    this.#isFreed = true;
    this.#held.length = 0;
    this.#heldBytes = 0;
  }
}
