/**
 * Whether sockets can read into our buffers on this Node: known of the one that this package brings, and tried at start-up, on a
 * loopback connection of its own, on any other.
 */
import net from 'node:net';
import { createAcceptedSocket, listenOn, setDirectReads } from './socket-handle.ts';

const probe = 'direct reads';
const timeoutMs = 1000;
/** The test suite runs on it. */
export const provenVersion = 'v26.10.0';

/** Calls back once; on failure connections use 'data' events from then on. */
export function checkDirectReads(done: (supported: boolean) => void): void {
  if (process.version !== provenVersion) {
    tryDirectReads(done);
    return;
  }
  setDirectReads(true);
  done(true);
}

export function tryDirectReads(done: (supported: boolean) => void): void {
  let server: net.Server | null = null;
  let client: net.Socket | null = null;
  let finished = false;
  const finish = (supported: boolean): void => {
    if (finished) return;
    finished = true;
    clearTimeout(timer);
    client?.destroy();
    server?.close();
    setDirectReads(supported);
    done(supported);
  };
  const timer = setTimeout(() => finish(false), timeoutMs);
  try {
    const bound = new net.BoundSocket({ host: '127.0.0.1', port: 0 });
    const { port } = bound.address() as net.AddressInfo;
    // The descriptor now has two owners; the bound one forgets it by being adopted.
    server = listenOn(
      bound,
      1,
      handle => {
        const socket = createAcceptedSocket(handle, {
          nextBuffer: () => Buffer.alloc(64),
          onRead: (bytes, buffer) => {
            finish(buffer.toString('latin1', 0, bytes) === probe);
            socket.destroy();
            return true;
          },
        });
        socket.on('error', () => finish(false));
        socket.resume();
      },
      () => finish(false),
    );
    client = net.connect(port, '127.0.0.1', () => client?.write(probe));
    client.on('error', () => finish(false));
  } catch {
    finish(false);
  }
}
