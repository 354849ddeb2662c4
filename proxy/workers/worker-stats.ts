/** Sends the metrics that a worker makes to the main thread, in batches. */
import type { StatFamilyName } from '../telemetry/stat-families.ts';
import type { StatRegistration, StatSink } from '../telemetry/stats-store.ts';
import type { WorkerToMain } from './messages.ts';

export class WorkerStatSink implements StatSink {
  readonly #post: (message: WorkerToMain) => void;
  #registrations: StatRegistration[] = [];

  constructor(post: (message: WorkerToMain) => void) {
    this.#post = post;
  }

  addBlock(block: number, cells: Float64Array<SharedArrayBuffer>): void {
    this.flush();
    this.#post({ type: 'stats-block', block, cells });
  }

  register(registration: StatRegistration): void {
    if (this.#registrations.push(registration) === 1) queueMicrotask(() => this.flush());
  }

  declare(scope: string, family: StatFamilyName): void {
    this.#post({ type: 'stats-declared', scope, family });
  }

  /** Everything registered so far is on its way when this returns. */
  flush(): void {
    if (this.#registrations.length === 0) return;
    const registrations = this.#registrations;
    this.#registrations = [];
    this.#post({ type: 'stats', registrations });
  }
}
