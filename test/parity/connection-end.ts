/** One end of a TCP connection in the parity suites: what it does, step by step, and what it saw. */
import type { Socket } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { resetSocket } from '../../proxy/network/socket-handle.ts';

/** `until` waits for a text, for `fin` or `reset`, or for `end`, which is either. */
export type Step = 'fin' | 'reset' | { readonly send: string } | { readonly until: string };

export const send = (text: string): Step => ({ send: text });
export const until = (text: string): Step => ({ until: text });

/** One end of a connection: does its steps and notes what it saw. */
export class End {
  received = '';
  end = 'open';
  readonly #socket: Socket;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', data => (this.received += data.toString('latin1')));
    socket.on('end', () => this.#note('fin'));
    socket.on('error', () => this.#note('reset'));
  }

  #note(end: string): void {
    this.end = this.end === 'open' ? end : `${this.end}, ${end}`;
  }

  async run(steps: readonly Step[]): Promise<void> {
    const deadline = Date.now() + 5000;
    for (const step of steps) {
      if (step === 'fin') this.#socket.end();
      else if (step === 'reset') resetSocket(this.#socket);
      else if ('send' in step) this.#socket.write(step.send);
      else while (!this.#saw(step.until) && Date.now() < deadline) await wait(5);
    }
  }

  #saw(text: string): boolean {
    if (text === 'end') return this.end !== 'open';
    return text === 'fin' || text === 'reset' ? this.end.includes(text) : this.received.includes(text);
  }

  destroy(): void {
    this.#socket.destroy();
  }

  get summary(): object {
    const { received, end } = this;
    return { received: received.length > 100 ? received.length : received, end };
  }
}
