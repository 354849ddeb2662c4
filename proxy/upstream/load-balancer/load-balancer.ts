/**
 * Chooses hosts of one cluster on one worker: priority by load, then locality by weight where configured, then a host by
 * policy. Everything is recomputed when hosts or their health change, nothing per request.
 *
 * Source: Envoy's LoadBalancerBase and its policies.
 */
import type { LoadBalancerModel } from '../../config/model/cluster.ts';
import type { BalancedHost, BalancedLocality, BalancedPriority } from './balanced-host.ts';
import { EdfScheduler } from './edf-scheduler.ts';
import { makePicker } from './host-picker.ts';
import type { BalancerClock, HostPicker } from './host-picker.ts';
import { computePriorityLoad, excludePriorities } from './priority-load.ts';
import type { PriorityLoad } from './priority-load.ts';

interface WeightedLocality<H extends BalancedHost> {
  readonly weight: number;
  readonly picker: HostPicker<H>;
}

/** The pickers of one priority; null where there is no host. */
interface PriorityPickers<H extends BalancedHost> {
  readonly all: HostPicker<H> | null;
  readonly healthy: HostPicker<H> | null;
  readonly degraded: HostPicker<H> | null;
  readonly localities: EdfScheduler<WeightedLocality<H>> | null;
}

export interface LoadBalancerOptions {
  readonly model: LoadBalancerModel;
  /** Percent. */
  readonly overprovisioningFactor: number;
  readonly clock: BalancerClock;
  /** A choice was made without regard to health. */
  readonly onPanic: () => void;
}

export class LoadBalancer<H extends BalancedHost> {
  readonly #options: LoadBalancerOptions;
  readonly #pickers: readonly PriorityPickers<H>[];
  readonly #load: PriorityLoad;

  constructor(priorities: readonly BalancedPriority<H>[], options: LoadBalancerOptions) {
    this.#options = options;
    this.#pickers = priorities.map(priority => this.#makePickers(priority));
    this.#load = computePriorityLoad(
      priorities.map(({ localities }) => {
        const hosts = localities.flatMap(locality => locality.hosts);
        return { total: hosts.length, healthy: countHealth(hosts, 'healthy'), degraded: countHealth(hosts, 'degraded') };
      }),
      options.overprovisioningFactor,
      options.model.healthyPanicThreshold,
    );
  }

  /** `triedPriorities`: those that failed this request; they are avoided while another has hosts. */
  pick(hash: bigint | null, triedPriorities: readonly number[] | null): H | null {
    const pickers = this.#pickers;
    if (pickers.length === 0) return null;
    let priority = 0;
    let isDegraded = false;
    // One priority with every host healthy is the common case.
    if (this.#load.healthy[0] < 100 || (triedPriorities !== null && triedPriorities.length > 0)) {
      const chosen = this.#choosePriority(hash, triedPriorities ?? []);
      priority = chosen % pickers.length;
      isDegraded = chosen >= pickers.length;
    }
    const sources = pickers[priority];
    if (this.#load.panic[priority]) {
      this.#options.onPanic();
      return this.#options.model.failTrafficOnPanic ? null : (sources.all?.pick(hash) ?? null);
    }
    if (isDegraded) return sources.degraded?.pick(hash) ?? null;
    if (sources.localities !== null) {
      const locality = sources.localities.pick(({ weight }) => weight);
      if (locality !== null) return locality.picker.pick(hash);
    }
    return sources.healthy?.pick(hash) ?? null;
  }

  /** The priority's index; plus the number of priorities for degraded hosts. */
  #choosePriority(hash: bigint | null, tried: readonly number[]): number {
    const load = tried.length === 0 ? null : excludePriorities(this.#load, tried);
    const { healthy, degraded } = load ?? this.#load;
    const shares = [...healthy, ...degraded];
    const point = hash === null ? Math.floor(this.#options.clock.random() * 100) : Number(hash % 100n);
    let sum = 0;
    for (let i = 0; i < shares.length; i++) {
      sum += shares[i];
      if (point < sum) return i;
    }
    return 0;
  }

  #makePickers({ localities }: BalancedPriority<H>): PriorityPickers<H> {
    const { model, clock } = this.#options;
    const make = (hosts: readonly H[]) => (hosts.length === 0 ? null : makePicker(hosts, model, clock));
    const all = localities.flatMap(locality => locality.hosts);
    const healthy = all.filter(host => host.health === 'healthy');
    return {
      all: make(all),
      healthy: make(healthy),
      degraded: make(all.filter(host => host.health === 'degraded')),
      localities: model.localityWeighted ? this.#weighLocalities(localities) : null,
    };
  }

  /** Weights reduced by the share of healthy hosts; null if no locality has a weight. */
  #weighLocalities(localities: readonly BalancedLocality<H>[]): EdfScheduler<WeightedLocality<H>> | null {
    const { model, clock, overprovisioningFactor } = this.#options;
    const scheduler = new EdfScheduler<WeightedLocality<H>>();
    for (const { weight, hosts } of localities) {
      const healthy = hosts.filter(host => host.health === 'healthy');
      if (weight === 0 || healthy.length === 0) continue;
      const availability = Math.min(1, ((overprovisioningFactor / 100) * healthy.length) / hosts.length);
      const effective = weight * availability;
      scheduler.add(effective, { weight: effective, picker: makePicker(healthy, model, clock) });
    }
    return scheduler.isEmpty ? null : scheduler;
  }
}

function countHealth(hosts: readonly BalancedHost[], health: BalancedHost['health']): number {
  return hosts.reduce((count, host) => count + (host.health === health ? 1 : 0), 0);
}
