/**
 * The main thread's half of outlier detection for one cluster: decides on ejections, keeps their share within the limit, and
 * returns hosts when their time is over. Workers report runs of failures (outlier-reporter.ts).
 *
 * Source: Envoy's outlier detector: ejection times grow with each ejection and shrink with each healthy interval.
 */
import type { OutlierDetectionModel } from '../config/model/cluster.ts';
import type { OutlierRun } from './outlier-reporter.ts';
import { computeSuccessRates, noSuccessRates } from './success-rate.ts';
import type { HostResults, SuccessRates } from './success-rate.ts';

export type EjectionCause =
  | OutlierRun
  | 'success-rate'
  | 'failure-percentage'
  | 'local-origin-success-rate'
  | 'local-origin-failure-percentage';

/** Whose errors: of hosts that answer, or of the way to them where the cluster keeps these apart. */
export type ErrorOrigin = 'external' | 'local';

/** Cumulative results of a host. */
export interface ResultCounts {
  readonly succeeded: number;
  readonly total: number;
}

export interface OutlierDetectorOptions {
  readonly model: OutlierDetectionModel;
  /** Slots of the cluster's hosts now. */
  readonly slots: () => readonly number[];
  /** Cumulative results of a slot over all workers. */
  readonly results: (slot: number, origin: ErrorOrigin) => ResultCounts;
  /** A host would be ejected, whether it is or not. */
  readonly onDetected: (cause: EjectionCause) => void;
  /** It could be ejected, too many are not; whether it is follows from how the cause is enforced. */
  readonly onEjectable: (cause: EjectionCause) => void;
  readonly onEjected: (slot: number, cause: EjectionCause) => void;
  readonly onReturned: (slot: number) => void;
  /** A host would have been ejected, but too many are. */
  readonly onOverflow: () => void;
  readonly now: () => number;
  /** In [0, 1). */
  readonly random: () => number;
}

interface Monitor {
  ejectedAtMs: number | null;
  /** Of the present ejection. */
  jitterMs: number;
  /** How many times the base ejection time the next ejection lasts. */
  backoff: number;
  /** At the end of the last interval. */
  readonly before: { [O in ErrorOrigin]: ResultCounts };
}

export class OutlierDetector {
  readonly #options: OutlierDetectorOptions;
  readonly #monitors = new Map<number, Monitor>();
  readonly #timer: NodeJS.Timeout;
  readonly #rates: { [O in ErrorOrigin]: SuccessRates } = { external: noSuccessRates, local: noSuccessRates };

  constructor(options: OutlierDetectorOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.onInterval(), options.model.intervalMs).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  isEjected(slot: number): boolean {
    return (this.#monitors.get(slot)?.ejectedAtMs ?? null) !== null;
  }

  get ejectedCount(): number {
    let count = 0;
    for (const { ejectedAtMs } of this.#monitors.values()) if (ejectedAtMs !== null) count++;
    return count;
  }

  onRun(slot: number, run: OutlierRun): void {
    this.#eject(slot, run);
  }

  /** Before its time: an active check has found it well. */
  returnHost(slot: number): void {
    const monitor = this.#monitors.get(slot);
    if (monitor === undefined || monitor.ejectedAtMs === null) return;
    monitor.ejectedAtMs = null;
    this.#options.onReturned(slot);
  }

  /** Forgets hosts that left, and watches those that came. */
  onHostsChanged(): void {
    const present = new Set(this.#options.slots());
    for (const slot of this.#monitors.keys()) if (!present.has(slot)) this.#monitors.delete(slot);
    for (const slot of present) this.#ensure(slot);
  }

  /** The periodic work; public so that tests need no clock. */
  onInterval(): void {
    const now = this.#options.now();
    for (const [slot, monitor] of this.#monitors) this.#checkReturn(slot, monitor, now);
    this.#checkRates('external', 'success-rate', 'failure-percentage');
    this.#checkRates('local', 'local-origin-success-rate', 'local-origin-failure-percentage');
  }

  /** Of the last interval. */
  ratesOf(origin: ErrorOrigin): SuccessRates {
    return this.#rates[origin];
  }

  #checkRates(origin: ErrorOrigin, outlierCause: EjectionCause, failingCause: EjectionCause): void {
    const rates = computeSuccessRates(this.#readInterval(origin), this.#options.slots().length, this.#options.model);
    this.#rates[origin] = rates;
    for (const slot of rates.outliers) this.#eject(slot, outlierCause);
    for (const slot of rates.failing) this.#eject(slot, failingCause);
  }

  #checkReturn(slot: number, monitor: Monitor, now: number): void {
    if (monitor.ejectedAtMs === null) {
      if (monitor.backoff > 0) monitor.backoff--;
      return;
    }
    const { baseEjectionTimeMs, maxEjectionTimeMs } = this.#options.model;
    const durationMs = Math.min(baseEjectionTimeMs * monitor.backoff, Math.max(maxEjectionTimeMs, baseEjectionTimeMs));
    if (now - monitor.ejectedAtMs < durationMs + monitor.jitterMs) return;
    this.returnHost(slot);
  }

  #readInterval(origin: ErrorOrigin): HostResults[] {
    const intervals = this.#options.slots().map(slot => {
      const { before } = this.#ensure(slot);
      const now = this.#options.results(slot, origin);
      const results = { slot, succeeded: now.succeeded - before[origin].succeeded, total: now.total - before[origin].total };
      before[origin] = now;
      return results;
    });
    return intervals.filter(({ slot }) => !this.isEjected(slot));
  }

  #ensure(slot: number): Monitor {
    let monitor = this.#monitors.get(slot);
    if (monitor === undefined) {
      const { results } = this.#options;
      const before = { external: results(slot, 'external'), local: results(slot, 'local') };
      monitor = { ejectedAtMs: null, jitterMs: 0, backoff: 0, before };
      this.#monitors.set(slot, monitor);
    }
    return monitor;
  }

  #eject(slot: number, cause: EjectionCause): void {
    const { model, slots, now, random, onDetected, onEjectable, onEjected, onOverflow } = this.#options;
    const present = slots();
    if (!present.includes(slot) || this.isEjected(slot)) return;
    onDetected(cause);
    const isFirst = this.ejectedCount === 0 && model.alwaysEjectOneHost === true;
    if (!isFirst && (100 * (this.ejectedCount + 1)) / present.length > model.maxEjectionPercent) {
      onOverflow();
      return;
    }
    onEjectable(cause);
    if (random() * 100 >= enforcement(model, cause)) return;
    const monitor = this.#ensure(slot);
    monitor.ejectedAtMs = now();
    monitor.jitterMs = Math.floor(random() * ((model.maxEjectionTimeJitterMs ?? 0) + 1));
    if (model.baseEjectionTimeMs * (monitor.backoff + 1) < model.maxEjectionTimeMs + model.baseEjectionTimeMs) monitor.backoff++;
    onEjected(slot, cause);
  }
}

/** The percentage of detections that lead to an ejection. */
function enforcement(model: OutlierDetectionModel, cause: EjectionCause): number {
  switch (cause) {
    case 'consecutive-5xx':
      return model.enforcingConsecutive5xx;
    case 'consecutive-gateway-failure':
      return model.enforcingConsecutiveGatewayFailure;
    case 'consecutive-local-origin-failure':
      return model.enforcingConsecutiveLocalOriginFailure;
    case 'success-rate':
      return model.enforcingSuccessRate;
    case 'failure-percentage':
      return model.enforcingFailurePercentage;
    case 'local-origin-success-rate':
      return model.enforcingLocalOriginSuccessRate;
    case 'local-origin-failure-percentage':
      return model.enforcingLocalOriginFailurePercentage;
  }
}
