/** Tells the main thread which metrics a worker has, in batches. */
import type { StatFamilyName } from '../telemetry/stat-families.ts';
import type { StatKind, StatRegistration, StatSink } from '../telemetry/stats-store.ts';
import type { WorkerToMain } from './messages.ts';

export class WorkerStatSink implements StatSink {
  readonly #post: (message: WorkerToMain) => void;
  #registrations: StatRegistration[] = [];
  #removals: (readonly [kind: StatKind, name: string])[] = [];

  constructor(post: (message: WorkerToMain) => void) {
    this.#post = post;
  }

  addBlock(block: number, cells: Float64Array<SharedArrayBuffer>): void {
    this.flush();
    this.#post({ type: 'stats-block', block, cells });
  }

  register(registration: StatRegistration): void {
    if (this.#removals.length > 0) this.flush();
    if (this.#registrations.push(registration) === 1) queueMicrotask(() => this.flush());
  }

  unregister(kind: StatKind, name: string): void {
    if (this.#registrations.length > 0) this.flush();
    if (this.#removals.push([kind, name]) === 1) queueMicrotask(() => this.flush());
  }

  declare(scope: string, family: StatFamilyName): void {
    this.#post({ type: 'stats-declared', scope, family, exists: true });
  }

  undeclare(scope: string, family: StatFamilyName): void {
    this.#post({ type: 'stats-declared', scope, family, exists: false });
  }

  /** Everything so far is on its way when this returns. */
  flush(): void {
    if (this.#registrations.length > 0) this.#post({ type: 'stats', registrations: this.#registrations });
    if (this.#removals.length > 0) this.#post({ type: 'stats-removed', metrics: this.#removals });
    this.#registrations = [];
    this.#removals = [];
  }
}
