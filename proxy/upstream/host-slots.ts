/** Gives hosts their slots in the shared table, and reads what is counted there. */
import { Logger } from '../../common/log.ts';
import { type HostCounters, HostField, maxHostSlots, RowAllocator } from './shared-counters.ts';

const log = new Logger('upstream');

export interface HostCounterValues {
  readonly connectionsActive: number;
  readonly connectFailures: number;
  readonly connectionsTotal: number;
  readonly requestsActive: number;
  readonly requestsFailed: number;
  readonly requestsSucceeded: number;
  readonly requestsTimedOut: number;
  readonly requestsTotal: number;
}

export class HostSlots {
  readonly #counters: HostCounters;
  readonly #allocator: RowAllocator;
  /** What a slot's cumulative counters were when its present host got it. */
  readonly #baselines = new Map<number, HostCounterValues>();
  readonly #takenAtMs = new Map<number, number>();
  readonly #now: () => number;

  /** `now` is the wall clock in milliseconds. */
  constructor(counters: HostCounters, now: () => number = Date.now) {
    this.#counters = counters;
    this.#now = now;
    const isIdle = (slot: number) =>
      counters.sum(slot, HostField.requestsActive) === 0 && counters.sum(slot, HostField.connectionsActive) === 0;
    this.#allocator = new RowAllocator(maxHostSlots, isIdle, now);
  }

  /** -1: the table is full. */
  take(): number {
    const slot = this.#allocator.take();
    if (slot < 0) log.warn('more hosts than the shared table holds: their load is balanced per worker');
    this.#baselines.delete(slot);
    if (slot >= 0) this.#baselines.set(slot, this.read(slot));
    this.#takenAtMs.set(slot, this.#now());
    return slot;
  }

  /** When the slot's present host joined, by the wall clock. */
  takenAtMs(slot: number): number {
    return this.#takenAtMs.get(slot) ?? this.#now();
  }

  give(slot: number): void {
    this.#allocator.give(slot);
  }

  /** Of the slot's present host. */
  read(slot: number): HostCounterValues {
    const baseline = this.#baselines.get(slot);
    const read = (field: HostField) => (slot < 0 ? 0 : this.#counters.sum(slot, field));
    return {
      connectionsActive: read(HostField.connectionsActive),
      requestsActive: read(HostField.requestsActive),
      connectFailures: read(HostField.connectFailures) - (baseline?.connectFailures ?? 0),
      connectionsTotal: read(HostField.connectionsTotal) - (baseline?.connectionsTotal ?? 0),
      requestsFailed: read(HostField.requestsFailed) - (baseline?.requestsFailed ?? 0),
      requestsSucceeded: read(HostField.requestsSucceeded) - (baseline?.requestsSucceeded ?? 0),
      requestsTimedOut: read(HostField.requestsTimedOut) - (baseline?.requestsTimedOut ?? 0),
      requestsTotal: read(HostField.requestsTotal) - (baseline?.requestsTotal ?? 0),
    };
  }
}
