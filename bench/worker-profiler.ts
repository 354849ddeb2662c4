/** Profiles the worker threads of a process that runs with `--inspect`, over the inspector's protocol. */
import { once } from 'node:events';
import { setTimeout as wait } from 'node:timers/promises';
import type { CpuProfile } from './flame-graph.ts';

const samplingIntervalUs = 200;

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: { readonly sessionId: string; readonly message?: string };
  readonly result?: unknown;
}

/** One inspector connection to the main thread, which passes messages on to workers. */
export class WorkerProfiler {
  readonly #socket: WebSocket;
  readonly #answers = new Map<number, (result: unknown) => void>();
  readonly #workers: string[] = [];
  #nextId = 1;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener('message', ({ data }) => this.#onMessage(JSON.parse(String(data)) as Message));
  }

  /** @throws if the process does not answer on that port, or has no worker. */
  static async attach(inspectorPort: number): Promise<WorkerProfiler> {
    const response = await fetch(`http://127.0.0.1:${inspectorPort}/json/list`);
    const [target] = (await response.json()) as { webSocketDebuggerUrl: string }[];
    const socket = new WebSocket(target.webSocketDebuggerUrl);
    await once(socket, 'open');
    const profiler = new WorkerProfiler(socket);
    await profiler.#call(message => message, 'NodeWorker.enable', { waitForDebuggerOnStart: false });
    for (let tries = 0; profiler.#workers.length === 0 && tries < 50; tries++) await wait(20);
    if (profiler.#workers.length === 0) throw new Error('bench: the profiled process has no worker');
    return profiler;
  }

  async start(): Promise<void> {
    await this.#callWorkers('Profiler.enable');
    await this.#callWorkers('Profiler.setSamplingInterval', { interval: samplingIntervalUs });
    await this.#callWorkers('Profiler.start');
  }

  /** Ends the profiles and the connection. */
  async stop(): Promise<CpuProfile[]> {
    const results = (await this.#callWorkers('Profiler.stop')) as { profile: CpuProfile }[];
    this.#socket.close();
    return results.map(({ profile }) => profile);
  }

  #callWorkers(method: string, params: object = {}): Promise<unknown[]> {
    const wrap = (sessionId: string) => (message: object) => ({
      id: 0,
      method: 'NodeWorker.sendMessageToWorker',
      params: { sessionId, message: JSON.stringify(message) },
    });
    return Promise.all(this.#workers.map(worker => this.#call(wrap(worker), method, params)));
  }

  #call(wrap: (message: object) => object, method: string, params: object): Promise<unknown> {
    const id = this.#nextId++;
    return new Promise(resolve => {
      this.#answers.set(id, resolve);
      this.#socket.send(JSON.stringify(wrap({ id, method, params })));
    });
  }

  #onMessage({ id, method, params, result }: Message): void {
    if (method === 'NodeWorker.attachedToWorker') this.#workers.push(params?.sessionId as string);
    else if (method === 'NodeWorker.receivedMessageFromWorker') this.#onMessage(JSON.parse(params?.message as string) as Message);
    else if (id !== undefined) {
      this.#answers.get(id)?.(result);
      this.#answers.delete(id);
    }
  }
}
