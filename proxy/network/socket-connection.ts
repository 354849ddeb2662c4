/**
 * The implementation of Connection over a net.Socket, plain or TLS, downstream or upstream: its states, and its read side.
 *
 * Reads arrive in the connection's own buffer (read-buffer.ts), writes leave once per event (socket-writer.ts).
 */
import type net from 'node:net';
import type { TimerWheel } from '../../common/timer-wheel.ts';
import type { AcceptedConnection, CloseEvent, CloseType, Connection, ConnectionCallbacks, TlsInfo } from './connection.ts';
import type { ConnectionRecord } from './connection-record.ts';
import { type ClosingConnection, DelayedClose, defaultDelayedCloseTimeoutMs } from './delayed-close.ts';
import type { InternalStream } from './internal-stream.ts';
import { ReadBuffer } from './read-buffer.ts';
import {
  createAcceptedSocket,
  createClientSocket,
  descriptorOf,
  hasDirectReads,
  type ReadSink,
  resetSocket,
  type SocketHandle,
  unsentBytes,
} from './socket-handle.ts';
import { SocketWriter, type WriterOwner } from './socket-writer.ts';
import type { PlaintextSink, TlsStream } from './tls/tls-stream.ts';
import { beginDispatch, type BufferHolder, endDispatch } from './write-coalescing.ts';

const noBytes = Buffer.alloc(0);

export const ignoreConnection: ConnectionCallbacks = { onData() {}, onClose() {} };

/** Where a socket's events go; its listeners are shared by all connections. */
const owner = Symbol('connection');

type OwnedSocket = net.Socket & { [owner]: SocketConnection };

function handleError(this: OwnedSocket, error: Error): void {
  this[owner].onTransportError(error);
}
function handleEnd(this: OwnedSocket): void {
  this[owner].onSocketEnd();
}
function handleDrain(this: OwnedSocket): void {
  this[owner].onSocketDrain();
}
function handleFinish(this: OwnedSocket): void {
  this[owner].onSocketFinish();
}
function handleClose(this: OwnedSocket): void {
  this[owner].onSocketClose();
}

export class SocketConnection implements AcceptedConnection, ReadSink, PlaintextSink, WriterOwner, ClosingConnection {
  readonly info: ConnectionRecord;
  callbacks: ConnectionCallbacks = ignoreConnection;
  state: Connection['state'];
  bytesReceived = 0;
  readonly #timers: TimerWheel;
  #raw!: net.Socket;
  #tls: TlsStream | null = null;
  /** There is no socket, and so no direct reads, below. */
  #isStream = false;
  #buffer: ReadBuffer | null = null;
  /** Of the decrypted bytes. */
  #plaintextBuffer: ReadBuffer | null = null;
  #lastReadBytes = 0;
  #bufferHolder: BufferHolder | null = null;
  #readEnded = false;
  #readDisabled = 0;
  #halfClose = false;
  readonly #writer = new SocketWriter(this);
  /** Set once the connection is to be closed when its bytes are sent. */
  #closing: DelayedClose | null = null;
  #delayedCloseTimeoutMs = defaultDelayedCloseTimeoutMs;

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

  /** Takes an internal connection in place of a socket, for TLS to wrap. */
  adoptStream(stream: InternalStream): void {
    this.#attach(stream as unknown as net.Socket);
    this.#isStream = true;
    this.#readDisabled = 1;
  }

  /** Makes the socket of a client connection; the caller connects it. */
  createSocket(fd: number | null): net.Socket {
    const socket = createClientSocket(this, fd);
    this.#attach(socket);
    return socket;
  }

  /** The plain socket, for reading its options and for TLS to wrap. */
  get socket(): net.Socket {
    return this.#raw;
  }

  get descriptor(): number {
    return descriptorOf(this.#raw);
  }

  #attach(socket: net.Socket): void {
    this.#raw = socket;
    this.#writer.attach(socket, null);
    (socket as OwnedSocket)[owner] = this;
    socket.on('error', handleError);
    socket.on('end', handleEnd);
    socket.on('drain', handleDrain);
    socket.on('finish', handleFinish);
    socket.on('close', handleClose);
  }

  /** Moves to TLS, whose handshake follows: nothing is delivered before its end. */
  beginTls(stream: TlsStream): void {
    this.#tls = stream;
    this.#writer.attach(this.#raw, stream.writer);
    this.#readDisabled = 0;
    this.#listenToData();
    this.#raw.resume();
  }

  /** The handshake is over and the peer is who it should be. */
  finishTls(info: TlsInfo): void {
    this.info.tls = info;
  }

  get isTls(): boolean {
    return this.#tls !== null;
  }

  /** Plain bytes, or what TLS is to decrypt, come by 'data' events where direct reads are not supported. */
  #listenToData(): void {
    if ((!this.#isStream && hasDirectReads()) || this.#raw.listenerCount('data') > 0) return;
    this.#raw.on('data', (data: Buffer) => {
      if (this.#tls === null) this.#deliver(data);
      else this.#tls.receive(data, data.length);
    });
  }

  startReading(): void {
    this.#listenToData();
    this.readDisable(false);
  }

  get isOpen(): boolean {
    return this.state !== 'closed';
  }

  deliverPeeked(data: Buffer): void {
    beginDispatch();
    this.callbacks.onData(data, false);
    endDispatch();
  }

  /** The same for a client, whose socket reads from the start. */
  startClientReading(): void {
    this.#listenToData();
  }

  // Reading

  nextBuffer(): Buffer {
    if (this.#tls !== null) {
      this.#releaseBuffer();
      return this.#tls.readBuffer;
    }
    if (this.#buffer === null) {
      this.#buffer = new ReadBuffer();
      return this.#buffer.current;
    }
    return this.#buffer.advance(this.#lastReadBytes, this.#bufferHolder);
  }

  onRead(bytes: number, buffer: Buffer): boolean {
    if (this.#tls !== null) {
      this.#tls.receive(buffer, bytes);
    } else {
      this.#lastReadBytes = bytes;
      this.#bufferHolder = this.#deliver((this.#buffer as ReadBuffer).take(bytes));
    }
    return this.#readDisabled === 0 || this.state === 'closed';
  }

  nextPlaintextBuffer(): Buffer {
    this.#plaintextBuffer ??= new ReadBuffer();
    return this.#plaintextBuffer.current;
  }

  onPlaintext(bytes: number): void {
    const buffer = this.#plaintextBuffer as ReadBuffer;
    buffer.advance(bytes, this.#deliver(buffer.take(bytes)));
  }

  #deliver(data: Buffer): BufferHolder | null {
    this.bytesReceived += data.length;
    if (this.#closing !== null || this.state === 'closed') return null;
    beginDispatch();
    this.callbacks.onData(data, false);
    return endDispatch();
  }

  onSocketEnd(): void {
    if (this.#tls === null) this.onTlsEnd();
    else this.#tls.onEnd();
  }

  /** The peer sends no more, with or without TLS. */
  onTlsEnd(): void {
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
    if (this.#writer.isFinished) this.#destroy('remote-close');
  }

  readDisable(disable: boolean): void {
    if (this.state === 'closed') return;
    if (disable) {
      if (this.#readDisabled++ === 0) (this.#tls ?? this.#raw).pause();
    } else if (--this.#readDisabled === 0) {
      (this.#tls ?? this.#raw).resume();
    }
  }

  // Writing

  write(data: Buffer, endStream: boolean): void {
    if (this.#takesWrites) this.#writer.write(data, endStream);
  }

  writeLatin1(text: string, endStream: boolean): void {
    if (this.#takesWrites) this.#writer.writeLatin1(text, endStream);
  }

  get #takesWrites(): boolean {
    return this.state !== 'closed' && this.#closing === null;
  }

  onWriteEnded(): void {
    if (this.state === 'open') this.state = 'half-closed';
  }

  onAboveHighWatermark(): void {
    this.callbacks.onAboveWriteBufferHighWatermark?.();
  }

  onSocketDrain(): void {
    const isBelow = this.#writer.onDrain();
    if (this.#closing !== null) this.#continueClosing(this.#closing);
    else if (isBelow) {
      beginDispatch();
      this.callbacks.onBelowWriteBufferLowWatermark?.();
      endDispatch();
    }
  }

  onSocketFinish(): void {
    if (this.#closing !== null) this.#continueClosing(this.#closing);
    else if (this.#readEnded) this.#destroy('local-close');
  }

  get bufferedBytes(): number {
    return this.#writer.bufferedBytes;
  }

  get bytesSent(): number {
    return this.#writer.sentBytes;
  }

  // Closing

  close(type: CloseType, _details = ''): void {
    if (this.state === 'closed' || (this.#closing !== null && type.startsWith('flush'))) return;
    if (type === 'abort-reset') {
      resetSocket(this.#raw);
      this.#finish('local-reset');
      return;
    }
    this.#writer.flush();
    // A flush may have told somebody who closed.
    if ((this.state as Connection['state']) === 'closed') return;
    const wait = type === 'flush-write-and-delay' && this.#delayedCloseTimeoutMs > 0;
    if (type === 'no-flush' || this.state === 'connecting' || (this.#writer.waitingBytes === 0 && !wait)) {
      this.#destroy('local-close');
      return;
    }
    // What still arrives is read and dropped, so that a reset does not overtake the response.
    if (this.#readDisabled > 0) (this.#tls ?? this.#raw).resume();
    this.#readDisabled = 0;
    this.#closing = new DelayedClose(this, this.#timers, this.#delayedCloseTimeoutMs, wait);
    this.#continueClosing(this.#closing);
  }

  #continueClosing(closing: DelayedClose): void {
    if (this.#writer.waitingBytes === 0) closing.onFlushed();
    else this.#writer.awaitDrain();
  }

  get unsentBytes(): number {
    const { waitingBytes } = this.#writer;
    return waitingBytes === 0 ? 0 : waitingBytes + unsentBytes(this.#raw);
  }

  endDelayedClose(): void {
    this.#destroy('local-close');
  }

  /** A failed connect, read or write. */
  onTransportError(error: Error & { code?: string }): void {
    if (this.state === 'closed') return;
    if (this.#tls !== null) this.#tls.onSocketError(error);
    else this.#destroy(error.code === 'ECONNRESET' || error.code === 'EPIPE' ? 'remote-reset' : 'remote-close');
  }

  /** Ends the connection at once and reports why. */
  fail(event: CloseEvent, reason: string): void {
    if (this.state === 'closed') return;
    if (reason !== '') this.info.transportFailureReason = reason;
    this.#destroy(event);
  }

  #destroy(event: CloseEvent): void {
    // Says so to the peer, as far as the socket takes it at once.
    if (event === 'local-close' && this.info.tls !== null) this.#tls?.shutdown();
    this.#raw.destroy();
    this.#finish(event);
  }

  onSocketClose(): void {
    if (this.#tls?.holdsEnd) return;
    this.#releaseBuffer();
    this.#plaintextBuffer?.release();
    this.#plaintextBuffer = null;
    if (this.state !== 'closed') this.#finish('remote-close');
  }

  /** Nobody reads into it any more. */
  #releaseBuffer(): void {
    this.#buffer?.release();
    this.#buffer = null;
  }

  #finish(event: CloseEvent): void {
    if (this.state === 'closed') return;
    this.state = 'closed';
    this.#closing?.cancel();
    this.#tls?.free();
    beginDispatch();
    this.callbacks.onClose(event);
    endDispatch();
  }

  // Settings

  get bufferLimitBytes(): number {
    return this.#writer.limitBytes;
  }

  setBufferLimit(bytes: number): void {
    this.#writer.limitBytes = bytes;
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
