/** gRPC over Unix sockets, for messages that are passed on as bytes. */
import { chmodSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { type MethodDefinition, type Server, ServerCredentials } from '@grpc/grpc-js';

/** The health check of someone else's socket waits this long. */
const connectTimeoutMs = 1000;

function passBytes(bytes: Buffer): Buffer {
  return bytes;
}

/** A method whose messages stay bytes. */
export function rawMethod(path: string, streams: boolean): MethodDefinition<Buffer, Buffer> {
  return {
    path,
    requestStream: streams,
    responseStream: streams,
    requestSerialize: passBytes,
    requestDeserialize: passBytes,
    responseSerialize: passBytes,
    responseDeserialize: passBytes,
  };
}

/** Replaces what is left at the path and listens there; every user of the pod may connect. */
export async function listenOnSocket(server: Server, path: string): Promise<void> {
  rmSync(path, { force: true });
  mkdirSync(dirname(path), { recursive: true, mode: 0o750 });
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), error => (error === null ? resolve() : reject(error)));
  });
  chmodSync(path, 0o666);
}

/** True if someone serves this socket; a dead leftover is removed. */
export async function isSocketServed(path: string): Promise<boolean> {
  const entry = statSync(path, { throwIfNoEntry: false });
  if (entry === undefined || entry.isFile()) return false;
  const served = await new Promise<boolean>(resolve => {
    const socket = connect({ path, timeout: connectTimeoutMs });
    const settle = (result: boolean): void => {
      socket.destroy();
      resolve(result);
    };
    socket.once('connect', () => settle(true));
    socket.once('error', () => settle(false));
    socket.once('timeout', () => settle(false));
  });
  if (!served) rmSync(path);
  return served;
}
