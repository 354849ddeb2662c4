/**
 * TLS between a socket and its connection: the handshake, and the read side. What the socket reads is decrypted into the
 * connection's buffers; for the write side see record-writer.ts.
 */
import type net from 'node:net';
import { beginDispatch, endDispatch } from '../write-coalescing.ts';
import type { OpenSslError } from './openssl.ts';
import { RecordCounter } from './record-counter.ts';
import { recordBytes, RecordWriter } from './record-writer.ts';
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

/** So much is handed to OpenSSL at once: its buffers grow with what waits in them, and never shrink. */
const feedBytes = recordBytes + 256;

/** Of this thread: ciphertext is read into it and decrypted from it within one event. */
const received = Buffer.allocUnsafeSlow(65_536);
/** As many as BoringSSL lets pass without plain bytes between: who sends more only keeps us busy. */
const maxSilentRecords = 32;
const tooManyRecords: OpenSslError = { reason: 'TOO_MANY_KEY_UPDATES', library: 20 };

export class TlsStream {
  readonly #raw: net.Socket;
  readonly #session: SslSession;
  /** What is written above it goes there. */
  readonly writer: RecordWriter;
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

  constructor(raw: net.Socket, session: SslSession, sink: PlaintextSink, events: TlsEvents) {
    this.#raw = raw;
    this.#session = session;
    this.writer = new RecordWriter(raw, session);
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
    this.writer.encryptHeld();
    if (this.#isSocketEnded && !this.#isPaused) this.#end();
  }

  /** True once the handshake is over and the peer accepted. */
  #shakeHands(): boolean {
    if (this.#isEnded) return false;
    const step = this.#session.shakeHands();
    if (step === 1) {
      this.#isEstablished = true;
      this.writer.open();
      this.#silentRecords = -this.#waitingRecords;
      beginDispatch();
      this.#events.onHandshakeDone();
      endDispatch();
    }
    if (this.#isFreed) return false;
    // Behind the last message there is often what was just written, in the same packet.
    this.writer.flush();
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
          if (!this.#session.isAmidRecord) this.#waitingRecords--;
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
    this.writer.flush();
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
    this.writer.flush();
    this.#events.onTlsFailure(failure);
  }

  // Ending

  /** Says that nothing more will be sent. */
  shutdown(): void {
    this.writer.shutdown();
  }

  /** Gives OpenSSL's memory back; nothing is read or written any more. */
  free(): void {
    this.#isEnded = true;
    this.#isFreed = true;
    this.writer.free();
    this.#session.free();
  }
}
