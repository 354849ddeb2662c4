/**
 * The main thread's half of outlier detection for one cluster: decides on ejections, keeps their share within the limit, and
 * returns hosts when their time is over. Workers report runs of failures (outlier-reporter.ts).
 *
 * Source: Envoy's outlier detector: ejection times grow with each ejection and shrink with each healthy interval.
 */
import type { OutlierDetectionModel } from '../config/model/cluster.ts';
import type { OutlierRun } from './outlier-reporter.ts';
import { findFailingHosts, findSlowestSuccess } from './success-rate.ts';
import type { HostRequests } from './success-rate.ts';

export type EjectionCause = OutlierRun | 'success-rate' | 'failure-percentage';

export interface OutlierDetectorOptions {
  readonly model: OutlierDetectionModel;
  /** Slots of the cluster's hosts now. */
  readonly slots: () => readonly number[];
  /** Cumulative results of a slot over all workers. */
  readonly requests: (slot: number) => { readonly succeeded: number; readonly failed: number };
  readonly onEjected: (slot: number, cause: EjectionCause) => void;
  readonly onReturned: (slot: number) => void;
  /** A host would have been ejected, but too many are, or the cause is not enforced. */
  readonly onNotEjected: (cause: EjectionCause, why: 'overflow' | 'not-enforced') => void;
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
  succeeded: number;
  failed: number;
}

export class OutlierDetector {
  readonly #options: OutlierDetectorOptions;
  readonly #monitors = new Map<number, Monitor>();
  readonly #timer: NodeJS.Timeout;

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

  /** Forgets hosts that left. */
  onHostsChanged(): void {
    const present = new Set(this.#options.slots());
    for (const slot of this.#monitors.keys()) if (!present.has(slot)) this.#monitors.delete(slot);
  }

  /** The periodic work; public so that tests need no clock. */
  onInterval(): void {
    const now = this.#options.now();
    for (const [slot, monitor] of this.#monitors) this.#checkReturn(slot, monitor, now);
    const requests = this.#readInterval();
    for (const slot of findSlowestSuccess(requests, this.#options.model)) this.#eject(slot, 'success-rate');
    for (const slot of findFailingHosts(requests, this.#options.model)) this.#eject(slot, 'failure-percentage');
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

  #readInterval(): HostRequests[] {
    return this.#options
      .slots()
      .filter(slot => !this.isEjected(slot))
      .map(slot => {
        const monitor = this.#ensure(slot);
        const { succeeded, failed } = this.#options.requests(slot);
        const interval = { slot, succeeded: succeeded - monitor.succeeded, failed: failed - monitor.failed };
        monitor.succeeded = succeeded;
        monitor.failed = failed;
        return interval;
      });
  }

  #ensure(slot: number): Monitor {
    let monitor = this.#monitors.get(slot);
    if (monitor === undefined) {
      monitor = { ejectedAtMs: null, jitterMs: 0, backoff: 0, ...this.#options.requests(slot) };
      this.#monitors.set(slot, monitor);
    }
    return monitor;
  }

  #eject(slot: number, cause: EjectionCause): void {
    const { model, slots, now, random, onEjected, onNotEjected } = this.#options;
    const present = slots();
    if (!present.includes(slot) || this.isEjected(slot)) return;
    const isFirst = this.ejectedCount === 0 && model.alwaysEjectOneHost === true;
    if (!isFirst && (100 * (this.ejectedCount + 1)) / present.length > model.maxEjectionPercent) {
      onNotEjected(cause, 'overflow');
      return;
    }
    if (random() * 100 >= enforcement(model, cause)) {
      onNotEjected(cause, 'not-enforced');
      return;
    }
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
  }
}
