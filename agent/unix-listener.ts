/**
 * Unix sockets of the agent. They listen before what serves them is loaded: the proxy starts meanwhile, and finds them there.
 */
import { chmodSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { explainSystemError } from './failure-text.ts';

/** The health check of someone else's socket waits this long. */
const connectTimeoutMs = 1000;

export class UnixListener {
  readonly #server: Server;
  /** Connections that nobody takes yet. */
  #waiting: Socket[] = [];
  #take: ((connection: Socket) => void) | null = null;

  private constructor(server: Server) {
    this.#server = server;
    server.on('connection', connection => {
      if (this.#take === null) this.#waiting.push(connection);
      else this.#take(connection);
    });
  }

  /** Replaces what is left at the path and listens there; every user of the pod may connect. Rejects if it cannot. */
  static async open(path: string): Promise<UnixListener> {
    const server = createServer();
    try {
      rmSync(path, { force: true });
      mkdirSync(dirname(path), { recursive: true, mode: 0o750 });
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(path, resolve);
      });
      chmodSync(path, 0o666);
    } catch (error) {
      throw explainSystemError(`listen on Unix socket ${path}`, error);
    }
    return new UnixListener(server);
  }

  /** Hands over the connections there are, and each that comes. */
  deliverTo(take: (connection: Socket) => void): void {
    this.#take = take;
    for (const connection of this.#waiting) take(connection);
    this.#waiting = [];
  }

  /** Accepts no more; the connections stay with who took them. */
  close(): void {
    this.#server.close();
    for (const connection of this.#waiting) connection.destroy();
    this.#waiting = [];
  }
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
