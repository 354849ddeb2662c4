/** The far end of a lane: reads request heads and does what its case says. */
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { UpstreamBehaviour } from './parity-case.ts';
import type { Activity } from './probe.ts';

const defaultBehaviour: UpstreamBehaviour = { respond: 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok' };
/** Nothing listens here, and no test may: a privileged port that no service uses any more. */
const deadPort = 1;
const heads = /[A-Z]+ \S+ HTTP\/1\.1\r\n(?:[^\r\n]+\r\n)*\r\n/g;

export class Upstream {
  readonly #behaviours: readonly UpstreamBehaviour[];
  readonly #server: Server | null;
  readonly #activity: Activity;
  readonly #rest: () => Promise<void>;
  readonly #sockets = new Set<Socket>();
  #headCount = 0;
  readonly received: string[] = [];

  /** `rest` is awaited between the pieces of a response. */
  constructor(
    behaviours: UpstreamBehaviour | readonly UpstreamBehaviour[] | undefined,
    activity: Activity,
    rest: () => Promise<void>,
  ) {
    this.#behaviours = behaviours === undefined ? [defaultBehaviour] : [behaviours].flat();
    this.#activity = activity;
    this.#rest = rest;
    this.#server = 'absent' in this.#behaviours[0] ? null : createServer(socket => this.#serve(socket));
  }

  /** Returns the port. */
  async listen(): Promise<number> {
    const server = this.#server;
    if (server === null) return deadPort;
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
    return (server.address() as AddressInfo).port;
  }

  #serve(socket: Socket): void {
    const index = this.received.push('') - 1;
    let answered = 0;
    this.#activity.count++;
    this.#sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#activity.count++;
      this.#sockets.delete(socket);
    });
    socket.on('data', async chunk => {
      this.received[index] += chunk.toString('latin1');
      this.#activity.count++;
      const complete = this.received[index].match(heads)?.length ?? 0;
      while (answered < complete) {
        answered++;
        await this.#answer(socket);
      }
    });
  }

  async #answer(socket: Socket): Promise<void> {
    const behaviour = this.#behaviours[Math.min(this.#headCount++, this.#behaviours.length - 1)];
    if ('closeAfterHead' in behaviour) socket.end();
    else if ('resetAfterHead' in behaviour) socket.resetAndDestroy();
    else if ('respond' in behaviour) {
      for (const [index, piece] of [behaviour.respond].flat().entries()) {
        if (index > 0) await this.#rest();
        this.#activity.count++;
        socket.write(piece, 'latin1');
      }
      if (behaviour.thenClose) socket.end();
    }
  }

  close(): void {
    this.#server?.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}
