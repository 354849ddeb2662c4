/**
 * Chooses hosts of one cluster, or of one subset of it, on one worker: priority by load, then locality by weight or by zone,
 * then a host by policy. Everything is computed when hosts or their health change, nothing per request.
 *
 * Source: Envoy's ZoneAwareLoadBalancerBase and the policies that stand on it.
 */
import type { LoadBalancerModel } from '../../config/model/cluster.ts';
import type { BalancedHost, BalancedLocality, BalancedPriority, BalancerEvent, HostBalancer } from './balanced-host.ts';
import { listHosts } from './balanced-host.ts';
import { ConsistentHashBalancer } from './consistent-hash-balancer.ts';
import { EdfScheduler } from './edf-scheduler.ts';
import { makePicker } from './host-picker.ts';
import type { BalancerClock, HostPicker } from './host-picker.ts';
import { choosePriority, computeLoadOfPriorities, excludePriorities, isInPanic, measureHealth } from './priority-load.ts';
import type { PriorityLoad } from './priority-load.ts';
import { ZoneRouting } from './zone-routing.ts';

export interface LoadBalancerOptions {
  readonly model: LoadBalancerModel;
  /** Percent. */
  readonly overprovisioningFactor: number;
  readonly clock: BalancerClock;
  readonly onEvent: (event: BalancerEvent) => void;
  /** Requests in flight to the whole cluster. */
  readonly clusterActiveRequests: () => number;
  /** The priority 0 of the local cluster, which holds the proxies themselves; null: there is none. */
  readonly localCluster: BalancedPriority<BalancedHost> | null;
}

interface WeightedLocality<H extends BalancedHost> {
  readonly weight: number;
  readonly picker: HostPicker<H>;
}

type Availability = 'healthy' | 'degraded';

/** The hosts of one priority behind their pickers, which are made when they are first needed; null where there is no host. */
class PrioritySource<H extends BalancedHost> {
  readonly #options: LoadBalancerOptions;
  readonly #localities: readonly BalancedLocality<H>[];
  readonly #hosts: readonly H[];
  readonly #pickers = new Map<string, HostPicker<H> | null>();
  readonly #schedulers = new Map<Availability, EdfScheduler<WeightedLocality<H>>>();

  constructor(priority: BalancedPriority<H>, options: LoadBalancerOptions) {
    this.#options = options;
    this.#localities = priority.localities;
    this.#hosts = listHosts(priority);
  }

  pickAny(): H | null {
    return this.#picker('all', this.#hosts, null)?.pick() ?? null;
  }

  pick(availability: Availability): H | null {
    return this.#picker(availability, this.#hosts, availability)?.pick() ?? null;
  }

  pickOfLocality(index: number, availability: Availability): H | null {
    return this.#picker(`${availability} ${index}`, this.#localities[index].hosts, availability)?.pick() ?? null;
  }

  /** Null if no locality has a weight and hosts of this availability. */
  pickByLocalityWeight(availability: Availability): H | null {
    let scheduler = this.#schedulers.get(availability);
    if (scheduler === undefined) {
      scheduler = this.#weighLocalities(availability);
      this.#schedulers.set(availability, scheduler);
    }
    return scheduler.pick(({ weight }) => weight)?.picker.pick() ?? null;
  }

  #picker(key: string, hosts: readonly H[], availability: Availability | null): HostPicker<H> | null {
    let picker = this.#pickers.get(key);
    if (picker === undefined) {
      const candidates = availability === null ? hosts : hosts.filter(({ health }) => health === availability);
      picker = candidates.length === 0 ? null : makePicker(candidates, this.#options.model, this.#options.clock);
      this.#pickers.set(key, picker);
    }
    return picker;
  }

  /** Weights reduced by the share of hosts that can serve. */
  #weighLocalities(availability: Availability): EdfScheduler<WeightedLocality<H>> {
    const { model, clock, overprovisioningFactor } = this.#options;
    const scheduler = new EdfScheduler<WeightedLocality<H>>();
    for (const { weight, hosts } of this.#localities) {
      const eligible = hosts.filter(host => host.health === availability);
      if (weight === 0 || eligible.length === 0) continue;
      const counted = hosts.filter(host => !host.isExcluded).length;
      const effective = weight * Math.min(1, ((overprovisioningFactor / 100) * eligible.length) / counted);
      scheduler.add(effective, { weight: effective, picker: makePicker(eligible, model, clock) });
    }
    return scheduler;
  }
}

class ZoneAwareBalancer<H extends BalancedHost> implements HostBalancer<H> {
  readonly #options: LoadBalancerOptions;
  readonly #sources: readonly PrioritySource<H>[];
  readonly #load: PriorityLoad;
  readonly #zoneRouting: ZoneRouting | null;

  constructor(priorities: readonly BalancedPriority<H>[], options: LoadBalancerOptions) {
    this.#options = options;
    this.#sources = priorities.map(priority => new PrioritySource(priority, options));
    this.#load = computeLoadOfPriorities(priorities, options.overprovisioningFactor, options.model.healthyPanicThreshold);
    this.#zoneRouting = makeZoneRouting(priorities[0], options);
  }

  pick(_hash: bigint | null, triedPriorities: readonly number[] | null): H | null {
    const { model, onEvent } = this.#options;
    let priority = 0;
    let availability: Availability = 'healthy';
    // One priority with every host healthy is the common case.
    if (this.#load.healthy[0] < 100 || (triedPriorities !== null && triedPriorities.length > 0)) {
      ({ priority, availability } = this.#choosePriority(triedPriorities ?? []));
    }
    const source = this.#sources[priority];
    if (this.#load.panic[priority]) {
      onEvent('lb_healthy_panic');
      return model.failTrafficOnPanic ? null : source.pickAny();
    }
    if (model.localityWeighted) {
      const host = source.pickByLocalityWeight(availability);
      if (host !== null) return host;
    }
    return priority === 0 && this.#zoneRouting !== null
      ? this.#pickByZone(source, this.#zoneRouting, availability)
      : source.pick(availability);
  }

  #choosePriority(tried: readonly number[]): { priority: number; availability: Availability } {
    const load = tried.length === 0 ? null : excludePriorities(this.#load, tried);
    return choosePriority(load ?? this.#load, Math.floor(this.#options.clock.random() * 100));
  }

  #pickByZone(source: PrioritySource<H>, zones: ZoneRouting, availability: Availability): H | null {
    const { model, localCluster, clock, onEvent } = this.#options;
    if (Math.floor(clock.random() * 100) >= (model.zoneRoutingPercent ?? 100)) return source.pick(availability);
    if (localCluster !== null && isInPanic(measureHealth(localCluster), model.healthyPanicThreshold)) {
      onEvent('lb_local_cluster_not_ok');
      return model.failTrafficOnPanic ? null : source.pick(availability);
    }
    return source.pickOfLocality(zones.choose(), availability);
  }
}

const defaultMinClusterSize = 6;

function makeZoneRouting(
  priority: BalancedPriority<BalancedHost> | undefined,
  { model, localCluster, clock, onEvent }: LoadBalancerOptions,
): ZoneRouting | null {
  if (localCluster === null || priority === undefined) return null;
  return ZoneRouting.create(priority.localities, localCluster.localities, {
    minClusterSize: model.zoneMinClusterSize ?? defaultMinClusterSize,
    random: () => clock.random(),
    onEvent,
  });
}

/**
 * A balancer by the model's policy. Its `pick` takes the hash of the route's hash policy (null: there is none; only the
 * consistent hashing policies read it), the priorities that failed this request, which are avoided while another has hosts, and
 * how many hosts were chosen for this attempt of the request before and refused.
 */
export function createBalancer<H extends BalancedHost>(
  priorities: readonly BalancedPriority<H>[],
  options: LoadBalancerOptions,
): HostBalancer<H> {
  const { policy } = options.model;
  return policy === 'ring-hash' || policy === 'maglev'
    ? new ConsistentHashBalancer(priorities, options)
    : new ZoneAwareBalancer(priorities, options);
}
