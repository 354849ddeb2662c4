/**
 * The checks of one host: when the next one is due, and how many results in a row change the state.
 *
 * Source: Envoy's ActiveHealthCheckSession. Differs from Envoy: the gauge of degraded hosts falls when a host is no longer
 * degraded, not only when it leaves.
 */
import { Timer, type TimerWheel } from '../../../common/timer-wheel.ts';
import type { HealthCheckModel } from '../../config/model/health-check.ts';
import type { WorkerHost } from '../worker-host.ts';
import { HealthFlag } from './health-flags.ts';
import type { HealthStats } from './health-stats.ts';
import type { Probe, ProbeCallbacks, ProbeFailure } from './probe.ts';

export interface HealthSessionOptions {
  readonly host: WorkerHost;
  readonly model: HealthCheckModel;
  readonly stats: HealthStats;
  readonly timers: TimerWheel;
  /** In [0, 1). */
  readonly random: () => number;
  /** The cluster has ever carried traffic. */
  readonly hasTraffic: () => boolean;
  readonly createProbe: (callbacks: ProbeCallbacks) => Probe;
  /** After each check. */
  readonly onChecked: (session: HealthSession) => void;
}

/** What a check says beside the present state. */
type Transition = 'unchanged' | 'pending' | 'changed';

export class HealthSession implements ProbeCallbacks {
  readonly host: WorkerHost;
  readonly #options: HealthSessionOptions;
  readonly #probe: Probe;
  readonly #intervalTimer = new Timer(() => this.#check());
  readonly #timeoutTimer = new Timer(() => this.#onTimeout());
  #flags: number;
  /** What the main thread was last told, which may not have come back yet. */
  reportedFlags: number;
  /** Results in a row that speak against the present state. */
  #successes = 0;
  #failures = 0;
  #isFirst = true;

  constructor(options: HealthSessionOptions) {
    const { host, stats, model, timers, random } = options;
    this.#options = options;
    this.host = host;
    this.#flags = host.healthFlags;
    this.reportedFlags = this.#flags;
    this.#probe = options.createProbe(this);
    if (!this.#has(HealthFlag.failed)) stats.healthy.inc();
    if (this.#has(HealthFlag.degraded)) stats.degraded.inc();
    if (model.initialJitterMs === 0) this.#check();
    else timers.arm(this.#intervalTimer, Math.max(1, Math.floor(random() * model.initialJitterMs)));
  }

  get flags(): number {
    return this.#flags;
  }

  /** Its first check is done. */
  get isChecked(): boolean {
    return !this.#isFirst;
  }

  stop(): void {
    const { timers, stats } = this.#options;
    timers.cancel(this.#intervalTimer);
    timers.cancel(this.#timeoutTimer);
    this.#probe.stop();
    if (!this.#has(HealthFlag.failed)) stats.healthy.dec();
    if (this.#has(HealthFlag.degraded)) stats.degraded.dec();
  }

  #check(): void {
    const { timers, stats, model } = this.#options;
    stats.attempt.inc();
    timers.arm(this.#timeoutTimer, model.timeoutMs);
    this.#probe.start();
  }

  #onTimeout(): void {
    this.#probe.abandon();
    this.#fail('timeout', false);
  }

  // ProbeCallbacks

  onSuccess(isDegraded: boolean): void {
    const { stats, model } = this.#options;
    this.#failures = 0;
    let transition: Transition = 'unchanged';
    if (this.#has(HealthFlag.failed)) {
      // The first check decides alone: a start is not to take longer than it must.
      if (this.#isFirst || ++this.#successes === model.healthyThreshold) {
        this.#clear(HealthFlag.timeout | HealthFlag.excluded | HealthFlag.failed);
        stats.healthy.inc();
        transition = 'changed';
      } else transition = 'pending';
    }
    if (this.#clear(HealthFlag.pending)) transition = 'changed';
    if (isDegraded !== this.#has(HealthFlag.degraded)) {
      if (isDegraded) this.#flags |= HealthFlag.degraded;
      else this.#clear(HealthFlag.degraded);
      if (isDegraded) stats.degraded.inc();
      else stats.degraded.dec();
      if (transition === 'unchanged') transition = 'changed';
    }
    stats.success.inc();
    this.#finish('healthy', transition);
  }

  onFailure(kind: Exclude<ProbeFailure, 'timeout'>, isRetriable: boolean): void {
    this.#fail(kind, isRetriable);
  }

  onExcluded(): void {
    this.#flags |= HealthFlag.excluded;
  }

  onServiceNameCompared(): void {
    this.#options.stats.verifyCluster.inc();
  }

  #fail(kind: ProbeFailure, isRetriable: boolean): void {
    const { stats, model } = this.#options;
    this.#successes = 0;
    let transition: Transition = 'unchanged';
    if (!this.#has(HealthFlag.failed)) {
      // An answer that says no is believed at once.
      if ((kind === 'answer' && !isRetriable) || ++this.#failures === model.unhealthyThreshold) {
        this.#flags |= HealthFlag.failed;
        stats.healthy.dec();
        transition = 'changed';
      } else transition = 'pending';
    }
    if (kind === 'timeout' && this.#has(HealthFlag.failed)) this.#flags |= HealthFlag.timeout;
    else this.#clear(HealthFlag.timeout);
    if (this.#clear(HealthFlag.pending)) transition = 'changed';
    stats.failure.inc();
    if (kind !== 'answer') stats.networkFailure.inc();
    this.#finish('unhealthy', transition);
  }

  #finish(result: 'healthy' | 'unhealthy', transition: Transition): void {
    const { timers, onChecked } = this.#options;
    this.#isFirst = false;
    timers.cancel(this.#timeoutTimer);
    timers.arm(this.#intervalTimer, this.#chooseIntervalMs(result, transition));
    onChecked(this);
  }

  #chooseIntervalMs(result: 'healthy' | 'unhealthy', transition: Transition): number {
    const { model, hasTraffic, random } = this.#options;
    const isEdge = transition === 'pending';
    let intervalMs: number;
    if (!hasTraffic())
      intervalMs = result === 'healthy' && !isEdge ? model.noTrafficHealthyIntervalMs : model.noTrafficIntervalMs;
    else if (result === 'unhealthy') intervalMs = isEdge ? model.unhealthyEdgeIntervalMs : model.unhealthyIntervalMs;
    else intervalMs = isEdge ? model.healthyEdgeIntervalMs : model.intervalMs;
    intervalMs += Math.floor(random() * Math.floor((model.intervalJitterPercent * intervalMs) / 100));
    return Math.max(1, intervalMs + Math.floor(random() * model.intervalJitterMs));
  }

  #has(flag: number): boolean {
    return (this.#flags & flag) !== 0;
  }

  /** True if one of them was set. */
  #clear(flags: number): boolean {
    const wasSet = this.#has(flags);
    this.#flags &= ~flags;
    return wasSet;
  }
}
