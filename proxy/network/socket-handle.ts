/**
 * The only file that touches the private handle behind a net.Socket: sockets that read into a buffer of ours (`onread` has no
 * public form for accepted sockets), accepting without Node's wrapper, descriptors, and writing past Node's queue.
 */
import net from 'node:net';
import { sendBytes, setResetOnClose } from './socket-options.ts';

/** An accepted connection that has no net.Socket yet. */
export interface SocketHandle {
  readonly fd: number;
  close(): void;
}

interface Handle extends SocketHandle {
  onconnection: unknown;
  writeQueueSize?: number;
}

interface WithHandle {
  _handle: Handle | null;
}

/** Reads come to `onRead` in a buffer that `nextBuffer` gave; without support they come as they are. */
export interface ReadSink {
  nextBuffer(): Buffer;
  onRead(bytes: number, buffer: Buffer): boolean;
}

let directReads = true;

/** True while sockets read into our buffers; false after a failed self-test, then they deliver 'data' events. */
export function hasDirectReads(): boolean {
  return directReads;
}

/** For tests of the fallback. */
export function setDirectReads(enabled: boolean): void {
  directReads = enabled;
}

interface WithWritableState {
  _writableState?: { needDrain?: boolean };
}

/** Most writes are over when they return: only who waits asks for 'drain'. Where that is not supported every write tells. */
export const drainOptions =
  (new net.Socket() as unknown as WithWritableState)._writableState?.needDrain === undefined ? { highWaterMark: 1 } : {};

/** Makes a stream emit 'drain' when everything it holds was taken, unless it is ending. */
export function requestDrain(stream: net.Socket): void {
  const state = (stream as unknown as WithWritableState)._writableState;
  if (state !== undefined) state.needDrain = true;
}

/** Makes the socket of an accepted handle, not reading yet. */
export function createAcceptedSocket(handle: SocketHandle, sink: ReadSink): net.Socket {
  const options = { handle, allowHalfOpen: true, pauseOnCreate: true, ...drainOptions };
  return new net.Socket((directReads ? { ...options, onread: onRead(sink) } : options) as unknown as net.SocketConstructorOpts);
}

/** The socket of an accepted handle for handing it to another thread. */
export function createTransferableSocket(handle: SocketHandle): net.Socket {
  return new net.Socket({ handle, allowHalfOpen: true, pauseOnCreate: true } as unknown as net.SocketConstructorOpts);
}

/** Takes the handle out of a socket that came from another thread. */
export function takeHandle(socket: net.Socket): SocketHandle {
  return (socket as unknown as WithHandle)._handle as SocketHandle;
}

/** A client socket, not connected. `fd` is a socket made elsewhere, which is then owned by the result. */
export function createClientSocket(sink: ReadSink, fd: number | null): net.Socket {
  const options = {
    allowHalfOpen: true,
    ...drainOptions,
    ...(directReads ? { onread: onRead(sink) } : {}),
    ...(fd === null ? {} : { fd, manualStart: true }),
  };
  return new net.Socket(options as net.SocketConstructorOpts);
}

function onRead(sink: ReadSink): { buffer: () => Buffer; callback: (bytes: number, buffer: Uint8Array) => boolean } {
  return { buffer: () => sink.nextBuffer(), callback: (bytes, buffer) => sink.onRead(bytes, buffer as Buffer) };
}

/**
 * Listens on a descriptor or bound socket, which it then owns, and gives every accepted handle to `accept`; the net.Socket
 * Node would make is left out.
 */
export function listenOn(
  source: number | net.BoundSocket,
  backlog: number,
  accept: (handle: SocketHandle) => void,
  fail: (error: Error) => void,
): net.Server {
  const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true });
  server.on('error', fail);
  server.on('connection', socket => accept(takeHandle(socket)));
  // As an option beside a descriptor the backlog would not be read.
  server.listen((typeof source === 'number' ? { fd: source } : source) as net.ListenOptions, backlog);
  const handle = (server as unknown as WithHandle)._handle;
  if (directReads && handle !== null) {
    handle.onconnection = (status: number, client: SocketHandle | undefined) => {
      if (status === 0 && client !== undefined) accept(client);
      else fail(new Error(`accept: error ${status}`));
    };
  }
  return server;
}

/** -1 once it is closed. */
export function descriptorOf(socket: net.Socket): number {
  return (socket as unknown as WithHandle)._handle?.fd ?? -1;
}

/** Sends a RST now. Node's `resetAndDestroy` flushes first, and leaks the descriptor while a half close is on its way. */
export function resetSocket(socket: net.Socket): void {
  const fd = descriptorOf(socket);
  if (fd >= 0) setResetOnClose(fd);
  socket.destroy();
}

/** Bytes of the current write that the kernel has not taken: shows progress inside one large write. */
export function unsentBytes(socket: net.Socket): number {
  return (socket as unknown as WithHandle)._handle?.writeQueueSize ?? 0;
}

/**
 * Hands bytes to the kernel without Node's queue between, which must be empty. How many it took; of an error nothing is told here,
 * but to the write of what it did not take.
 */
export function sendNow(socket: net.Socket, from: Buffer, bytes: number): number {
  const fd = descriptorOf(socket);
  return fd < 0 ? 0 : Math.max(0, sendBytes(fd, from, bytes));
}
