/**
 * The implementation of Connection over a net.Socket, plain or TLS, downstream or upstream.
 *
 * Reads of plain sockets arrive in the connection's own buffer (read-buffer.ts), writes leave once per event
 * (write-coalescing.ts).
 */
import type net from 'node:net';
import type { TLSSocket } from 'node:tls';
import { Timer, type TimerWheel } from '../../common/timer-wheel.ts';
import type { CloseEvent, CloseType, Connection, ConnectionCallbacks, TlsInfo } from './connection.ts';
import type { ConnectionRecord } from './connection-record.ts';
import { PendingWrites } from './pending-writes.ts';
import { ReadBuffer, returnReadBuffer } from './read-buffer.ts';
import {
  createAcceptedSocket,
  createClientSocket,
  enableDirectReads,
  hasDirectReads,
  type ReadSink,
  resetSocket,
  type SocketHandle,
  unsentBytes,
} from './socket-handle.ts';
import { beginDispatch, type BufferHolder, endDispatch, type Flushable, scheduleFlush } from './write-coalescing.ts';

const noBytes = Buffer.alloc(0);
/** Envoy's default of delayed_close_timeout. */
const defaultDelayedCloseTimeoutMs = 1000;

export const ignoreConnection: ConnectionCallbacks = { onData() {}, onClose() {} };

export class SocketConnection implements Connection, ReadSink, Flushable {
  readonly info: ConnectionRecord;
  callbacks: ConnectionCallbacks = ignoreConnection;
  state: Connection['state'];
  bytesReceived = 0;
  readonly #timers: TimerWheel;
  #raw!: net.Socket;
  #stream!: net.Socket;
  #isTls = false;
  /** The TLS stream reads into our buffer. */
  #readsDirectly = false;
  #buffer: ReadBuffer | null = null;
  #lastReadBytes = 0;
  #bufferHolder: BufferHolder | null = null;
  /** Buffers of others that bytes waiting here point into. */
  #kept: Buffer[] = [];
  #acceptedBytes = 0;
  readonly #pending = new PendingWrites();
  #flushScheduled = false;
  #endRequested = false;
  #writeEnded = false;
  #readEnded = false;
  #readDisabled = 0;
  #halfClose = false;
  #bufferLimit = 0;
  #aboveHighWatermark = false;
  #closing: 'flush-write' | 'flush-write-and-delay' | null = null;
  #delayedCloseTimeoutMs = defaultDelayedCloseTimeoutMs;
  #closeTimer: Timer | null = null;
  #unsentAtTimer = -1;

  constructor(info: ConnectionRecord, timers: TimerWheel, state: 'connecting' | 'open') {
    this.info = info;
    this.#timers = timers;
    this.state = state;
  }

  /** Takes an accepted handle; reading starts with `resumeReading`. */
  adoptHandle(handle: SocketHandle): void {
    const socket = createAcceptedSocket(handle, this);
    socket.setNoDelay(true);
    this.#attach(socket);
    this.#readDisabled = 1;
  }

  /** Makes the socket of a client connection; the caller connects it. `direct` is false where TLS will wrap it. */
  createSocket(direct: boolean, fd: number | null): net.Socket {
    const socket = createClientSocket(direct ? this : null, fd);
    this.#attach(socket);
    return socket;
  }

  /** The plain socket, for reading its options and for TLS to wrap. */
  get socket(): net.Socket {
    return this.#raw;
  }

  #attach(socket: net.Socket): void {
    this.#raw = socket;
    this.#stream = socket;
    socket.on('error', error => this.onTransportError(error));
    socket.on('close', () => this.#onSocketClose());
    this.#listen(socket);
  }

  #listen(stream: net.Socket): void {
    stream.on('end', () => {
      if (stream === this.#stream) this.#onEnd();
    });
    stream.on('drain', () => {
      if (stream === this.#stream) this.#onDrain();
    });
    stream.on('finish', () => {
      if (stream === this.#stream) this.#onFinish();
    });
  }

  /** Moves to TLS: `stream` wraps the plain socket and does its handshake; nothing is delivered before `finishTls`. */
  beginTls(stream: TLSSocket): void {
    this.#stream = stream;
    this.#isTls = true;
    this.#readDisabled = 0;
    this.#readsDirectly = enableDirectReads(stream, this);
    if (this.#buffer !== null) this.#buffer.limitToRecords = true;
    stream.on('error', error => this.onTransportError(error));
    this.#listen(stream);
  }

  /** The handshake is over and the peer is who it should be. */
  finishTls(info: TlsInfo): void {
    this.info.tls = info;
    if (!this.#readsDirectly) this.#stream.on('data', (data: Buffer) => this.#onChunk(data));
    if (this.#readDisabled > 0) this.#stream.pause();
  }

  /** Delivers plain bytes by 'data' events where direct reads are not supported. */
  startReading(): void {
    if (!hasDirectReads() && !this.#isTls && this.#raw.listenerCount('data') === 0) {
      this.#raw.on('data', (data: Buffer) => {
        if (!this.#isTls) this.#onChunk(data);
      });
    }
    this.readDisable(false);
  }

  /** False once it was closed. */
  get isOpen(): boolean {
    return this.state !== 'closed';
  }

  /** Delivers bytes that were read before the callbacks were set; they are counted already. */
  deliverPeeked(data: Buffer): void {
    beginDispatch();
    this.callbacks.onData(data, false);
    endDispatch();
  }

  /** The same for a client, whose socket reads from the start. */
  startClientReading(): void {
    if (!hasDirectReads()) this.#raw.on('data', (data: Buffer) => this.#onChunk(data));
  }

  // Reading

  nextBuffer(): Buffer {
    if (this.#buffer === null) {
      this.#buffer = new ReadBuffer();
      return this.#buffer.current;
    }
    return this.#buffer.advance(this.#lastReadBytes, this.#bufferHolder);
  }

  onRead(bytes: number, buffer: Buffer): boolean {
    this.#lastReadBytes = bytes;
    this.#bufferHolder = this.#deliver(bytes === buffer.length ? buffer : buffer.subarray(0, bytes));
    return this.#readDisabled === 0 || this.state === 'closed';
  }

  #onChunk(data: Buffer): void {
    this.#deliver(data);
  }

  #deliver(data: Buffer): BufferHolder | null {
    this.bytesReceived += data.length;
    if (this.#closing !== null || this.state === 'closed') return null;
    beginDispatch();
    this.callbacks.onData(data, false);
    return endDispatch();
  }

  #onEnd(): void {
    if (this.#readEnded || this.state === 'closed') return;
    this.#readEnded = true;
    if (this.#closing !== null || !this.#halfClose) {
      this.#destroy('remote-close');
      return;
    }
    this.state = 'half-closed';
    beginDispatch();
    this.callbacks.onData(noBytes, true);
    endDispatch();
    if (this.#writeEnded && this.#stream.writableFinished) this.#destroy('remote-close');
  }

  readDisable(disable: boolean): void {
    if (this.state === 'closed') return;
    if (disable) {
      if (this.#readDisabled++ === 0) this.#stream.pause();
    } else if (--this.#readDisabled === 0) {
      this.#stream.resume();
    }
  }

  // Writing

  write(data: Buffer, endStream: boolean): void {
    if (!this.#beginWrite(endStream) || data.length === 0) return;
    this.#acceptedBytes += data.length;
    this.#pending.add(data);
  }

  writeLatin1(text: string, endStream: boolean): void {
    if (!this.#beginWrite(endStream) || text.length === 0) return;
    this.#acceptedBytes += text.length;
    this.#pending.addLatin1(text);
  }

  #beginWrite(endStream: boolean): boolean {
    if (this.state === 'closed' || this.#closing !== null || this.#endRequested) return false;
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
    if (this.#endRequested && !this.#writeEnded) {
      this.#writeEnded = true;
      if (this.state === 'open') this.state = 'half-closed';
      stream.end();
    }
    const pending = stream.writableLength;
    if (this.#bufferLimit > 0 && pending > this.#bufferLimit && !this.#aboveHighWatermark && this.#closing === null) {
      this.#aboveHighWatermark = true;
      this.callbacks.onAboveWriteBufferHighWatermark?.();
    }
    // TLS copies what it takes; what waits behind an earlier write is still the caller's memory.
    return this.#isTls ? waitedBefore : pending > 0;
  }

  keep(buffer: Buffer): void {
    this.#kept.push(buffer);
  }

  #onDrain(): void {
    if (this.#kept.length > 0 && this.#stream.writableLength === 0) {
      for (const buffer of this.#kept) returnReadBuffer(buffer);
      this.#kept.length = 0;
    }
    if (this.#closing !== null) this.#continueClosing();
    else if (this.#aboveHighWatermark) {
      this.#aboveHighWatermark = false;
      beginDispatch();
      this.callbacks.onBelowWriteBufferLowWatermark?.();
      endDispatch();
    }
  }

  #onFinish(): void {
    if (this.#closing !== null) this.#continueClosing();
    else if (this.#readEnded) this.#destroy('local-close');
  }

  get bufferedBytes(): number {
    return this.#pending.bytes + this.#stream.writableLength;
  }

  get bytesSent(): number {
    return this.#acceptedBytes - this.bufferedBytes;
  }

  // Closing

  close(type: CloseType, _details = ''): void {
    if (this.state === 'closed' || (this.#closing !== null && type.startsWith('flush'))) return;
    if (type === 'abort-reset') {
      resetSocket(this.#raw);
      this.#finish('local-reset');
      return;
    }
    this.flush();
    // A flush may have told somebody who closed.
    if ((this.state as Connection['state']) === 'closed') return;
    const wait = type === 'flush-write-and-delay' && this.#delayedCloseTimeoutMs > 0;
    if (type === 'no-flush' || this.state === 'connecting' || (this.#stream.writableLength === 0 && !wait)) {
      this.#destroy('local-close');
      return;
    }
    this.#closing = type as 'flush-write' | 'flush-write-and-delay';
    // What still arrives is read and dropped, so that a reset does not overtake the response.
    if (this.#readDisabled > 0) this.#stream.resume();
    this.#readDisabled = 0;
    this.#armCloseTimer();
    this.#continueClosing();
  }

  #continueClosing(): void {
    if (this.#stream.writableLength > 0) return;
    if (this.#closing === 'flush-write') this.#destroy('local-close');
    else this.#armCloseTimer();
  }

  #armCloseTimer(): void {
    if (this.#delayedCloseTimeoutMs === 0) return;
    this.#closeTimer ??= new Timer(() => this.#onCloseTimer());
    this.#unsentAtTimer = this.#unsent();
    this.#timers.arm(this.#closeTimer, this.#delayedCloseTimeoutMs);
  }

  #onCloseTimer(): void {
    const unsent = this.#unsent();
    if (unsent > 0 && unsent !== this.#unsentAtTimer) this.#armCloseTimer();
    else this.#destroy('local-close');
  }

  #unsent(): number {
    return this.#stream.writableLength === 0 ? 0 : this.#stream.writableLength + unsentBytes(this.#raw);
  }

  /** A failed connect, read or write. */
  onTransportError(error: Error & { code?: string }): void {
    if (this.state === 'closed') return;
    this.#destroy(error.code === 'ECONNRESET' || error.code === 'EPIPE' ? 'remote-reset' : 'remote-close');
  }

  /** Ends the connection at once and reports why. */
  fail(event: CloseEvent, reason: string): void {
    if (this.state === 'closed') return;
    if (reason !== '') this.info.transportFailureReason = reason;
    this.#destroy(event);
  }

  #destroy(event: CloseEvent): void {
    if (this.#isTls && event === 'local-close' && !this.#stream.destroyed && this.info.tls !== null) this.#closeTls();
    else this.#stream.destroy();
    if (this.#stream !== this.#raw && this.#stream.destroyed) this.#raw.destroy();
    this.#finish(event);
  }

  /** Sends close_notify, as far as the socket takes it at once. */
  #closeTls(): void {
    const stream = this.#stream;
    const raw = this.#raw;
    stream.end();
    setImmediate(() => {
      stream.destroy();
      raw.destroy();
    });
  }

  #onSocketClose(): void {
    if (this.#buffer !== null && !this.#isTls) {
      this.#buffer.release();
      this.#buffer = null;
    }
    if (this.state !== 'closed') this.#finish('remote-close');
  }

  #finish(event: CloseEvent): void {
    if (this.state === 'closed') return;
    this.state = 'closed';
    if (this.#closeTimer !== null) this.#timers.cancel(this.#closeTimer);
    beginDispatch();
    this.callbacks.onClose(event);
    endDispatch();
  }

  // Settings

  get bufferLimitBytes(): number {
    return this.#bufferLimit;
  }

  setBufferLimit(bytes: number): void {
    this.#bufferLimit = bytes;
  }

  setNoDelay(enabled: boolean): void {
    this.#raw.setNoDelay(enabled);
  }

  enableHalfClose(enabled: boolean): void {
    this.#halfClose = enabled;
  }

  setDelayedCloseTimeoutMs(timeoutMs: number): void {
    this.#delayedCloseTimeoutMs = timeoutMs;
  }
}
