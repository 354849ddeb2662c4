/** Picks a host from one list of hosts. Pickers are made when a list changes and keep their own position. */
import type { LoadBalancerModel } from '../../config/model/cluster.ts';
import type { BalancedHost } from './balanced-host.ts';
import { EdfScheduler } from './edf-scheduler.ts';
import { areWeightsEqual, compileWeight, isAnyInSlowStart } from './host-weight.ts';

export interface HostPicker<H extends BalancedHost> {
  pick(): H | null;
}

/** Where chance and time come from; tests bring their own. */
export interface BalancerClock {
  /** In [0, 1). */
  random(): number;
  /** Monotonic milliseconds. */
  now(): number;
}

class RandomPicker<H extends BalancedHost> implements HostPicker<H> {
  readonly #hosts: readonly H[];
  readonly #random: () => number;
  constructor(hosts: readonly H[], random: () => number) {
    this.#hosts = hosts;
    this.#random = random;
  }
  pick(): H {
    return this.#hosts[Math.floor(this.#random() * this.#hosts.length)];
  }
}

class RoundRobinPicker<H extends BalancedHost> implements HostPicker<H> {
  readonly #hosts: readonly H[];
  #next: number;
  /** A random start: else every new proxy's first request goes to the same host. */
  constructor(hosts: readonly H[], random: () => number) {
    this.#hosts = hosts;
    this.#next = Math.floor(random() * hosts.length);
  }
  pick(): H {
    const host = this.#hosts[this.#next];
    this.#next = this.#next + 1 === this.#hosts.length ? 0 : this.#next + 1;
    return host;
  }
}

/** The least loaded of `choiceCount` random hosts. */
class LeastRequestPicker<H extends BalancedHost> implements HostPicker<H> {
  readonly #hosts: readonly H[];
  readonly #choiceCount: number;
  readonly #random: () => number;
  constructor(hosts: readonly H[], choiceCount: number, random: () => number) {
    this.#hosts = hosts;
    this.#choiceCount = choiceCount;
    this.#random = random;
  }
  pick(): H {
    const hosts = this.#hosts;
    const { length } = hosts;
    if (length === 1) return hosts[0];
    let best = hosts[Math.floor(this.#random() * length)];
    let bestLoad = best.activeRequests;
    for (let choice = 1; choice < this.#choiceCount; choice++) {
      const candidate = hosts[Math.floor(this.#random() * length)];
      if (candidate === best) continue;
      const load = candidate.activeRequests;
      if (load < bestLoad) {
        best = candidate;
        bestLoad = load;
      }
    }
    return best;
  }
}

/** The least loaded of all hosts; among equals, chance decides. */
class FullScanPicker<H extends BalancedHost> implements HostPicker<H> {
  readonly #hosts: readonly H[];
  readonly #random: () => number;
  constructor(hosts: readonly H[], random: () => number) {
    this.#hosts = hosts;
    this.#random = random;
  }
  pick(): H {
    let best = this.#hosts[0];
    let bestLoad = Number.POSITIVE_INFINITY;
    let equals = 0;
    for (const host of this.#hosts) {
      const load = host.activeRequests;
      if (load < bestLoad) {
        best = host;
        bestLoad = load;
        equals = 1;
      } else if (load === bestLoad && Math.floor(this.#random() * ++equals) === 0) best = host;
    }
    return best;
  }
}

class WeightedPicker<H extends BalancedHost> implements HostPicker<H> {
  readonly #scheduler = new EdfScheduler<H>();
  readonly #weigh: (host: H) => number;
  constructor(hosts: readonly H[], weigh: (host: H) => number, random: () => number) {
    this.#weigh = weigh;
    for (const host of hosts) this.#scheduler.add(weigh(host), host);
    // A random start, as with equal weights.
    const skipped = Math.floor(random() * hosts.length);
    for (let i = 0; i < skipped; i++) this.#scheduler.pick(weigh);
  }
  pick(): H | null {
    return this.#scheduler.pick(this.#weigh);
  }
}

/** The picker of a policy for a list that is not empty. */
export function makePicker<H extends BalancedHost>(
  hosts: readonly H[],
  model: LoadBalancerModel,
  clock: BalancerClock,
): HostPicker<H> {
  const random = () => clock.random();
  if (model.policy === 'random') return new RandomPicker(hosts, random);
  if (!areWeightsEqual(hosts) || isAnyInSlowStart(hosts, model.slowStart, clock.now())) {
    return new WeightedPicker(
      hosts,
      compileWeight(model, () => clock.now()),
      random,
    );
  }
  if (model.policy !== 'least-request') return new RoundRobinPicker(hosts, random);
  return model.fullScan ? new FullScanPicker(hosts, random) : new LeastRequestPicker(hosts, model.choiceCount, random);
}
