/**
 * Tells when a proxy is done with what it was sent, however slow the machine: a request to another listener of the same, only
 * worker is answered after everything that had arrived before it was read.
 */
import { connect, type Socket } from 'node:net';
import { setImmediate as nextTurn, setTimeout as wait } from 'node:timers/promises';

const request = 'GET / HTTP/1.1\r\nhost: probe\r\n\r\n';
/** A message passes at most this many sockets, and as many turns of both event loops, until an end sees its effect. */
const passesToRest = 6;

/** Counts what happened at the ends of one lane. */
export interface Activity {
  count: number;
}

export class Probe {
  readonly #socket: Socket;
  #running: Promise<void> = Promise.resolve();
  #next: Promise<void> | null = null;
  #answered: (() => void) | null = null;

  constructor(port: number) {
    this.#socket = connect({ port, host: '127.0.0.1' });
    let received = '';
    this.#socket.on('data', chunk => {
      received += chunk.toString('latin1');
      if (!received.endsWith('\r\n\r\n')) return;
      received = '';
      this.#answered?.();
    });
    this.#socket.on('error', () => {});
    this.#socket.on('close', () => this.#answered?.());
  }

  /** Resolves when a request that was sent after this call has been answered, or when the proxy is gone. */
  pass(): Promise<void> {
    this.#next ??= this.#running.then(() => {
      this.#running = this.#next as Promise<void>;
      this.#next = null;
      return this.#exchange();
    });
    return this.#next;
  }

  #exchange(): Promise<void> {
    if (this.#socket.destroyed) return nextTurn();
    return new Promise(resolve => {
      this.#answered = resolve;
      this.#socket.write(request);
    });
  }

  /** Waits until nothing moves any more, for at least `quietMs`: the delays that a proxy makes by itself are shorter. */
  async rest(activity: Activity, quietMs: number): Promise<void> {
    let seen = activity.count;
    let sinceMs = Date.now();
    for (let passes = 0; passes < passesToRest || Date.now() - sinceMs < quietMs; passes++) {
      if (passes >= passesToRest) {
        await wait(10);
        // The last passes must come after the whole quiet time.
        if (Date.now() - sinceMs >= quietMs) passes = 1;
      }
      await this.pass();
      await nextTurn();
      if (activity.count === seen) continue;
      seen = activity.count;
      sinceMs = Date.now();
      passes = 0;
    }
  }

  close(): void {
    this.#socket.destroy();
  }
}
