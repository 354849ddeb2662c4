/** gRPC servers whose messages are passed on as bytes. */
import { type MethodDefinition, type Server, ServerCredentials } from '@grpc/grpc-js';
import type { UnixListener } from './unix-listener.ts';

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

/** Serves the connections of a socket, in plaintext. */
export function serveOn(server: Server, listener: UnixListener): void {
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  listener.deliverTo(connection => injector.injectConnection(connection));
}
