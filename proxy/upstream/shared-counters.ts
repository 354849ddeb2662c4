/**
 * Counters that every thread must see at once: load per host for balancing, and use of each cluster's limits for circuit
 * breaking. A table is fixed shared memory with one region per worker, written by that worker only and summed by readers; the
 * region behind the workers' holds what all threads write with Atomics.
 */

/** Hosts and clusters that can be counted at the same time; those beyond count per worker only. */
export const maxHostSlots = 65_536;
export const maxClusterRows = 16_384;

/** Fields of a host's row, in a worker's region. */
export const HostField = {
  requestsActive: 0,
  connectionsActive: 1,
  connectionsTotal: 2,
  connectFailures: 3,
  requestsTotal: 4,
  requestsSucceeded: 5,
  requestsFailed: 6,
  requestsTimedOut: 7,
} as const;
export type HostField = (typeof HostField)[keyof typeof HostField];

/** Fields of a host's row in the region behind the workers'. */
export const SharedHostField = {
  consecutive5xx: 0,
  consecutiveGatewayFailures: 1,
  consecutiveLocalOriginFailures: 2,
  externalTotal: 3,
  externalSucceeded: 4,
  localTotal: 5,
  localSucceeded: 6,
} as const;
export type SharedHostField = (typeof SharedHostField)[keyof typeof SharedHostField];

/** Fields of a cluster's row; those of priority high follow at `clusterFieldsPerPriority`. */
export const ClusterField = { connections: 0, pendingRequests: 1, requests: 2, retries: 3 } as const;
export type ClusterField = (typeof ClusterField)[keyof typeof ClusterField];
export const clusterFieldsPerPriority = 4;

const fieldsPerRow = 8;
const bytesPerCell = 4;

/** Rows by regions; the operating system gives memory to what is touched. */
class CounterTable {
  readonly cells: Int32Array;
  readonly #rows: number;
  readonly #workers: number;

  constructor(buffer: SharedArrayBuffer, rows: number) {
    this.cells = new Int32Array(buffer);
    this.#rows = rows;
    this.#workers = buffer.byteLength / (rows * fieldsPerRow * bytesPerCell) - 1;
  }

  /** Index of a row's first field in the region of a worker (or, after the last worker, in the common region). */
  indexOf(row: number, region: number): number {
    return (region * this.#rows + row) * fieldsPerRow;
  }

  get commonRegion(): number {
    return this.#workers;
  }

  /** Sum over the workers. Other threads' parts may be some microseconds old. */
  sum(row: number, field: number): number {
    const stride = this.#rows * fieldsPerRow;
    let index = row * fieldsPerRow + field;
    let sum = 0;
    for (let worker = 0; worker < this.#workers; worker++) {
      sum += this.cells[index];
      index += stride;
    }
    return sum;
  }
}

function allocate(rows: number, workerCount: number): SharedArrayBuffer {
  return new SharedArrayBuffer((workerCount + 1) * rows * fieldsPerRow * bytesPerCell);
}

export function allocateHostCounters(workerCount: number): SharedArrayBuffer {
  return allocate(maxHostSlots, workerCount);
}

export function allocateClusterCounters(workerCount: number): SharedArrayBuffer {
  return allocate(maxClusterRows, workerCount);
}

/** The table of hosts, by slot. */
export class HostCounters extends CounterTable {
  constructor(buffer: SharedArrayBuffer) {
    super(buffer, maxHostSlots);
  }

  /** One more of a run of failures, whichever thread saw it: the length of the run. */
  extendRun(slot: number, field: SharedHostField): number {
    return Atomics.add(this.cells, this.indexOf(slot, this.commonRegion) + field, 1) + 1;
  }

  /** One more of what is only ever counted up. */
  addShared(slot: number, field: SharedHostField): void {
    Atomics.add(this.cells, this.indexOf(slot, this.commonRegion) + field, 1);
  }

  /** What outlier detection has seen of a host, over all threads. */
  readResults(slot: number, origin: 'external' | 'local'): { readonly succeeded: number; readonly total: number } {
    const start = slot < 0 ? -1 : this.indexOf(slot, this.commonRegion);
    const read = (field: SharedHostField) => (start < 0 ? 0 : Atomics.load(this.cells, start + field));
    return origin === 'external'
      ? { succeeded: read(SharedHostField.externalSucceeded), total: read(SharedHostField.externalTotal) }
      : { succeeded: read(SharedHostField.localSucceeded), total: read(SharedHostField.localTotal) };
  }

  endRun(slot: number, field: SharedHostField): void {
    const index = this.indexOf(slot, this.commonRegion) + field;
    // A plain read first: a run is rarely open, and an atomic store costs more.
    if (this.cells[index] !== 0) Atomics.store(this.cells, index, 0);
  }
}

/** The table of clusters, by row. */
export class ClusterCounters extends CounterTable {
  constructor(buffer: SharedArrayBuffer) {
    super(buffer, maxClusterRows);
  }
}

/**
 * Gives out rows. A freed row rests before it is used again: requests that are still in flight on a worker go on counting
 * on it.
 */
export class RowAllocator {
  readonly #capacity: number;
  readonly #restMs: number;
  readonly #now: () => number;
  readonly #isIdle: (row: number) => boolean;
  readonly #freed: { row: number; atMs: number }[] = [];
  #next = 0;

  constructor(capacity: number, isIdle: (row: number) => boolean, now: () => number = Date.now, restMs = 60_000) {
    this.#capacity = capacity;
    this.#isIdle = isIdle;
    this.#now = now;
    this.#restMs = restMs;
  }

  /** A row, or -1 if all are in use. */
  take(): number {
    const oldest = this.#freed[0];
    if (oldest !== undefined && this.#now() - oldest.atMs >= this.#restMs) {
      this.#freed.shift();
      if (this.#isIdle(oldest.row)) return oldest.row;
      this.#freed.push({ row: oldest.row, atMs: this.#now() });
    }
    return this.#next < this.#capacity ? this.#next++ : -1;
  }

  give(row: number): void {
    if (row >= 0) this.#freed.push({ row, atMs: this.#now() });
  }
}
