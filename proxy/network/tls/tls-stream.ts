/**
 * TLS between a socket and its connection: ciphertext below, plain bytes above. What the socket reads is decrypted into the
 * connection's buffers, what one event writes leaves in as few records and in one system call.
 */
import type net from 'node:net';
import { sendNow } from '../socket-handle.ts';
import { beginDispatch, endDispatch } from '../write-coalescing.ts';
import type { OpenSslError } from './openssl.ts';
import { RecordCounter } from './record-counter.ts';
import { sslClosed, sslFailed, type SslSession } from './ssl-session.ts';

/** Above TLS: where plain bytes go. */
export interface PlaintextSink {
  /** Where the next bytes go; asked for again only after they came. */
  nextPlaintextBuffer(): Buffer;
  onPlaintext(bytes: number): void;
  /** The peer ended its direction. */
  onTlsEnd(): void;
}

/** What becomes of the handshake, and of the records after it. */
export interface TlsEvents {
  /** Once; nothing was delivered yet. It may close the connection. */
  onHandshakeDone(): void;
  /** The peer broke the protocol, or was refused. Null: there is no reason but the end of its bytes. */
  onTlsFailure(failure: OpenSslError | null): void;
  onSocketError(error: Error & { code?: string }): void;
}

/** The most plain bytes in a record (RFC 8446 5.1). */
const recordBytes = 16_384;
/** So much is handed to OpenSSL at once: its buffers grow with what waits in them, and never shrink. */
const feedBytes = recordBytes + 256;

/** Of this thread: ciphertext is read into it and decrypted from it within one event. */
const received = Buffer.allocUnsafeSlow(65_536);
/** Plain bytes of one record, joined from small writes. */
const joined = Buffer.allocUnsafeSlow(recordBytes);
/** Ciphertext on its way to the socket. */
const sending = Buffer.allocUnsafeSlow(131_072);
/** A record and what is around it. */
const outputReserve = recordBytes + 1024;
/** As many as BoringSSL lets pass without plain bytes between: who sends more only keeps us busy. */
const maxSilentRecords = 32;
const tooManyRecords: OpenSslError = { reason: 'TOO_MANY_KEY_UPDATES', library: 20 };

export class TlsStream {
  readonly #raw: net.Socket;
  readonly #session: SslSession;
  readonly #sink: PlaintextSink;
  readonly #events: TlsEvents;
  #isEstablished = false;
  #isPaused = false;
  /** No more is read, or nothing can be. */
  #isEnded = false;
  /** Nothing follows what was received; it is read first. */
  #isSocketEnded = false;
  #isFreed = false;
  #isAdvancing = false;
  #advancesAgain = false;
  /** Where decrypted bytes wait to be delivered, and how many there are. */
  #target: Buffer | null = null;
  #filled = 0;
  readonly #records = new RecordCounter();
  /** Complete, and not read yet; some of them bring no bytes. */
  #waitingRecords = 0;
  /** Records since the last plain bytes, but for those of the handshake. */
  #silentRecords = 0;
  #isCorked = false;
  #joinedBytes = 0;
  #sendingBytes = 0;
  /** Plain bytes that OpenSSL takes only once a message of the peer is complete: a ticket in several records. */
  #held: Buffer[] = [];
  #heldBytes = 0;
  #isEndHeld = false;

  constructor(raw: net.Socket, session: SslSession, sink: PlaintextSink, events: TlsEvents) {
    this.#raw = raw;
    this.#session = session;
    this.#sink = sink;
    this.#events = events;
  }

  /** Where the socket reads to. */
  get readBuffer(): Buffer {
    return received;
  }

  /** A client begins. */
  start(): void {
    this.#advance();
  }

  /** Ciphertext arrived. */
  receive(from: Buffer, bytes: number): void {
    for (let offset = 0; offset < bytes && !this.#isEnded; offset += feedBytes) {
      const end = Math.min(offset + feedBytes, bytes);
      this.#waitingRecords += this.#records.count(from, offset, end);
      this.#session.feed(offset === 0 ? from : from.subarray(offset, end), end - offset);
      this.#advance(end < bytes);
    }
  }

  /** Reading is asked for again; what waits is delivered in an event of its own. */
  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#raw.resume();
    queueMicrotask(() => this.#advance());
  }

  pause(): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    this.#raw.pause();
  }

  /** Goes as far as what was received allows. With `moreFollows` decrypted bytes may wait for those that follow. */
  #advance(moreFollows = false): void {
    this.#advancesAgain = true;
    if (this.#isAdvancing) return;
    this.#isAdvancing = true;
    // What is sent to an internal listener may be answered within the call.
    while (this.#advancesAgain && !this.#isEnded) {
      this.#advancesAgain = false;
      if (this.#isEstablished || this.#shakeHands()) this.#readRecords(moreFollows);
    }
    this.#isAdvancing = false;
    if (this.#heldBytes > 0) this.#encryptHeld();
    if (this.#isSocketEnded && !this.#isPaused) this.#end();
  }

  /** True once the handshake is over and the peer accepted. */
  #shakeHands(): boolean {
    if (this.#isEnded) return false;
    const step = this.#session.shakeHands();
    if (step === 1) {
      this.#isEstablished = true;
      this.#silentRecords = -this.#waitingRecords;
      beginDispatch();
      this.#events.onHandshakeDone();
      endDispatch();
    }
    if (this.#isFreed) return false;
    // Behind the last message there is often what was just written, in the same packet.
    this.#flushOutput();
    if (step === sslFailed || step === sslClosed) this.#fail();
    return step === 1;
  }

  #readRecords(moreFollows: boolean): void {
    while (!this.#isPaused && !this.#isEnded) {
      this.#target ??= this.#sink.nextPlaintextBuffer();
      const target = this.#target;
      const filled = this.#filled;
      const room = target.length - filled;
      const result = this.#session.read(filled === 0 ? target : target.subarray(filled), room);
      if (result > 0) {
        this.#silentRecords = 0;
        this.#filled += result;
        if (result === room) {
          this.#deliver();
          continue;
        }
        if (--this.#waitingRecords > 0) continue;
      }
      if (result < 0) {
        this.#deliver();
        if (result === sslFailed && !this.#isEnded) this.#fail();
        // Else it says so again when reading goes on.
        else if (!this.#isPaused) this.#end();
        return;
      }
      if (this.#waitingRecords > 0) this.#answerRecords();
      if (moreFollows) return;
      this.#deliver();
      if (this.#waitingRecords === 0) return;
    }
  }

  /** Records were read that brought no bytes: of a changed key, of a ticket. What they ask for is answered. */
  #answerRecords(): void {
    this.#silentRecords += this.#waitingRecords;
    this.#waitingRecords = 0;
    this.#flushOutput();
    if (this.#silentRecords > maxSilentRecords && !this.#isEnded) this.#fail(tooManyRecords);
  }

  #deliver(): void {
    const bytes = this.#filled;
    if (bytes === 0) return;
    this.#target = null;
    this.#filled = 0;
    this.#sink.onPlaintext(bytes);
  }

  /** The socket below brings no more. */
  onEnd(): void {
    this.#isSocketEnded = true;
    this.#advance();
  }

  /** The socket is over, but what it brought waits for a reader. */
  get holdsEnd(): boolean {
    return this.#isSocketEnded && this.#isPaused && !this.#isEnded;
  }

  /** The peer ended its direction, in TLS or below it. */
  #end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    if (this.#isEstablished) this.#sink.onTlsEnd();
    else this.#events.onTlsFailure(null);
  }

  /** The socket below failed. */
  onSocketError(error: Error & { code?: string }): void {
    this.#isEnded = true;
    this.#events.onSocketError(error);
  }

  #fail(failure = this.#session.failure): void {
    this.#isEnded = true;
    this.#flushOutput();
    this.#events.onTlsFailure(failure);
  }

  // Writing

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

  #encryptHeld(): void {
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

  #flushOutput(): void {
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
    if (this.#isFreed || !this.#isEstablished) return;
    this.#session.shutdown();
    this.#flushOutput();
  }

  /** Plain bytes that were written and cannot be sent yet. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  get isEstablished(): boolean {
    return this.#isEstablished;
  }

  /** Gives OpenSSL's memory back; nothing is read or written any more. */
  free(): void {
    this.#isEnded = true;
    this.#isFreed = true;
    this.#held.length = 0;
    this.#heldBytes = 0;
    this.#session.free();
  }
}
