/** An internal connection in the form of a Node stream, which is what TLS can wrap. */
import { Duplex } from 'node:stream';
import type { Connection, ConnectionCallbacks } from './connection.ts';

const noBytes = Buffer.alloc(0);

/** For who waits for the connection. */
export interface InternalStreamEvents {
  readonly onConnected?: () => void;
  readonly onClosed?: () => void;
}

export class InternalStream extends Duplex implements ConnectionCallbacks {
  readonly #connection: Connection;
  #isPaused = false;
  /** Continues writing once the peer has read enough. */
  #waitingWrite: (() => void) | null = null;
  #isAboveWatermark = false;

  readonly #events: InternalStreamEvents;

  /** Takes over the connection's callbacks. */
  constructor(connection: Connection, events: InternalStreamEvents = {}) {
    super({ allowHalfOpen: true });
    this.#connection = connection;
    this.#events = events;
    connection.callbacks = this;
    connection.enableHalfClose(true);
  }

  /** As a socket has it; there is nothing to set. */
  setNoDelay(): this {
    return this;
  }

  /** As a socket has it. */
  resetAndDestroy(): this {
    return this.destroy();
  }

  onConnected(): void {
    this.#events.onConnected?.();
  }

  onData(data: Buffer, endStream: boolean): void {
    if (data.length > 0 && !this.push(Buffer.from(data)) && !this.#isPaused) {
      this.#isPaused = true;
      this.#connection.readDisable(true);
    }
    if (endStream) this.push(null);
  }

  onClose(): void {
    this.#events.onClosed?.();
    if (!this.readableEnded && !this.destroyed) this.push(null);
    this.onBelowWriteBufferLowWatermark();
  }

  onAboveWriteBufferHighWatermark(): void {
    this.#isAboveWatermark = true;
  }

  onBelowWriteBufferLowWatermark(): void {
    this.#isAboveWatermark = false;
    const proceed = this.#waitingWrite;
    this.#waitingWrite = null;
    proceed?.();
  }

  override _read(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#connection.readDisable(false);
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#connection.write(chunk, false);
    if (this.#isAboveWatermark) this.#waitingWrite = done;
    else done();
  }

  override _final(done: () => void): void {
    this.#connection.write(noBytes, true);
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#connection.close('no-flush');
    done(error);
  }
}
