/** The worker threads, as the main thread sees them. A dead worker is the end of the proxy. */
import type net from 'node:net';
import { type ResourceLimits, type Transferable, Worker } from 'node:worker_threads';
import { Logger } from '../../common/log.ts';
import { allocateTokenBuckets } from '../network/shared-token-buckets.ts';
import { exitProcess } from '../network/socket-options.ts';
import type { StatSink } from '../telemetry/stats-store.ts';
import { readMemoryLimit, workerResourceLimits } from './heap-limit.ts';
import type { MainToWorker, UrgentMessage, WorkerStart, WorkerToMain } from './messages.ts';
import { Outbox } from './outbox.ts';
import { nameWorker } from './worker-name.ts';

const log = new Logger('main');

/** Exit code of a process that SIGABRT ended: what a supervisor sees when Envoy crashes. */
export const crashExitCode = 134;

export interface WorkerPoolOptions {
  /** What is the same for every worker. */
  readonly start: Omit<WorkerStart, 'inbox' | 'workerIndex' | 'workerCount' | 'connectionCounts' | 'tokenBuckets'>;
  readonly workerCount: number;
  /** Metrics of one worker go to its own sink. */
  readonly createSink: (worker: number) => StatSink;
  /** Messages that are not about the pool itself. */
  readonly onMessage: (worker: number, message: WorkerToMain) => void;
  /** Heap limits of one worker; by default its share of what the container allows. */
  readonly resourceLimits?: ResourceLimits;
  /** Told when a worker died; by default the process ends like a crash. */
  readonly onDeath?: (error: Error) => void;
}

interface Barrier {
  waiting: number;
  readonly resolve: () => void;
}

export class WorkerPool {
  readonly workerCount: number;
  /** Open downstream connections per worker. */
  readonly connectionCounts: Int32Array;
  readonly #options: WorkerPoolOptions;
  readonly #workers: Worker[] = [];
  readonly #outbox = new Outbox();
  readonly #barriers = new Map<number, Barrier>();
  #nextBarrier = 1;
  #stopping = false;

  constructor(options: WorkerPoolOptions) {
    this.#options = options;
    this.workerCount = options.workerCount;
    this.connectionCounts = new Int32Array(new SharedArrayBuffer(4 * options.workerCount));
  }

  /** Resolves when every worker is ready for messages. */
  async start(): Promise<void> {
    const { workerCount } = this;
    const resourceLimits = this.#options.resourceLimits ?? workerResourceLimits(workerCount + 1, readMemoryLimit());
    // In the built package the threads' files lie side by side, and are JavaScript.
    const file = import.meta.url.endsWith('.ts') ? './worker.ts' : './worker-start.cjs';
    const tokenBuckets = allocateTokenBuckets();
    const ready: Promise<void>[] = [];
    for (let index = 0; index < workerCount; index++) {
      const inbox = this.#outbox.connect(() => this.#tell(index, { type: 'wake' }));
      const workerData: WorkerStart = {
        ...this.#options.start,
        inbox,
        workerIndex: index,
        workerCount,
        connectionCounts: this.connectionCounts.buffer as SharedArrayBuffer,
        tokenBuckets,
      };
      const worker = new Worker(new URL(file, import.meta.url), {
        workerData,
        transferList: [inbox.port],
        resourceLimits,
        name: nameWorker(index),
      });
      this.#workers.push(worker);
      ready.push(this.#watch(worker, index));
    }
    await Promise.all(ready);
  }

  #watch(worker: Worker, index: number): Promise<void> {
    const sink = this.#options.createSink(index);
    worker.on('error', (error: unknown) => this.#onDeath(index, error instanceof Error ? error : new Error(String(error))));
    worker.on('messageerror', error => this.#onDeath(index, error));
    worker.on('exit', code => this.#onDeath(index, new Error(`exited with code ${code}`)));
    return new Promise(resolve => {
      worker.on('message', (message: WorkerToMain) => {
        if (message.type === 'ready') resolve();
        else this.#onMessage(index, message, sink);
      });
    });
  }

  #onMessage(index: number, message: WorkerToMain, sink: StatSink): void {
    switch (message.type) {
      case 'stats-block':
        sink.addBlock(message.block, message.cells);
        break;
      case 'stats':
        for (const registration of message.registrations) sink.register(registration);
        break;
      case 'stats-removed':
        for (const [kind, name] of message.metrics) sink.unregister?.(kind, name);
        break;
      case 'stats-declared':
        if (message.exists) sink.declare?.(message.scope, message.family);
        else sink.undeclare?.(message.scope, message.family);
        break;
      case 'done':
        this.#arrive(message.id);
        break;
      case 'hand-over': {
        const socket = message.socket as net.Socket;
        this.#tell(message.to, { type: 'adopt', listener: message.listener, socket }, [socket as never]);
        break;
      }
      case 'fatal':
        this.#onDeath(index, new Error(message.error));
        break;
      default:
        this.#options.onMessage(index, message);
    }
  }

  #onDeath(index: number, error: Error): void {
    if (this.#stopping) return;
    this.#stopping = true;
    log.critical(`worker ${index} died: ${error.stack ?? error.message}`);
    if (this.#options.onDeath !== undefined) this.#options.onDeath(error);
    else exitProcess(crashExitCode);
    for (const worker of this.#workers) void worker.terminate();
  }

  broadcast(message: MainToWorker): void {
    this.#outbox.broadcast(message);
  }

  post(worker: number, message: MainToWorker): void {
    this.#outbox.post(worker, message);
  }

  #tell(worker: number, message: UrgentMessage, transfer: Transferable[] = []): void {
    this.#workers[worker].postMessage(message, transfer);
  }

  /** Resolves when every worker has handled everything that was sent before. */
  barrier(): Promise<void> {
    const id = this.#nextBarrier++;
    return new Promise(resolve => {
      this.#barriers.set(id, { waiting: this.#workers.length, resolve });
      this.broadcast({ type: 'barrier', id });
    });
  }

  #arrive(id: number): void {
    const barrier = this.#barriers.get(id);
    if (barrier === undefined || --barrier.waiting > 0) return;
    this.#barriers.delete(id);
    barrier.resolve();
  }

  /** Flushes the workers' logs and begins to end them; what is left of them ends with the process (`exitProcess`). */
  async stop(): Promise<void> {
    if (this.#stopping) return;
    this.broadcast({ type: 'flush-logs' });
    await this.barrier();
    this.#stopping = true;
    for (const worker of this.#workers) void worker.terminate();
  }
}
