/**
 * The main thread's record of what the checks of one cluster have found, and the hosts that stay after discovery has dropped
 * them because their checks succeed.
 *
 * Source: Envoy's BaseDynamicClusterImpl::updateDynamicHostList.
 */
import { formatAddress } from '../../config/model/address.ts';
import type { ClusterModel, HostModel, HostSetModel, SlottedHostModel } from '../../config/model/cluster.ts';
import { HealthFlag, noHealthFlags } from './health-flags.ts';

type Localities = HostSetModel['localities'];

export class ClusterHealth {
  /** By slot. */
  readonly #flags = new Map<number, number>();
  #model: ClusterModel;

  constructor(model: ClusterModel) {
    this.#model = model;
  }

  /** A changed cluster: what is known of its hosts stays. Hosts that served without checks go on until one fails. */
  update(model: ClusterModel, slots: Iterable<number>): void {
    if (this.#model.healthCheck === undefined && model.healthCheck !== undefined) {
      for (const slot of slots) this.#flags.set(slot, noHealthFlags);
    }
    this.#model = model;
  }

  /** The host as workers get it. */
  describe<H extends HostModel & { readonly slot: number }>(host: H): H & Pick<SlottedHostModel, 'healthFlags'> {
    const { healthCheck, ignoreNewHostsUntilFirstCheck } = this.#model;
    if (healthCheck === undefined || host.healthCheck?.isDisabled) return host;
    const initial = ignoreNewHostsUntilFirstCheck ? HealthFlag.failed | HealthFlag.pending : HealthFlag.failed;
    return { ...host, healthFlags: this.#flags.get(host.slot) ?? initial };
  }

  record(slot: number, flags: number): void {
    this.#flags.set(slot, flags);
  }

  /** Keeps only what is known of these. */
  retain(slots: ReadonlySet<number>): void {
    for (const slot of this.#flags.keys()) if (!slots.has(slot)) this.#flags.delete(slot);
  }

  /** Adds hosts of `before` that are not among `slots` (by address) but well by their checks; they keep their slots. */
  keepLeaving(before: HostSetModel | null, localities: Localities, slots: Map<string, number>): Localities {
    if (before === null || this.#model.healthCheck === undefined || this.#model.ignoreHealthOnHostRemoval) return localities;
    const result = localities.map(locality => ({ ...locality, hosts: [...locality.hosts] }));
    for (const old of before.localities) {
      const leaving = old.hosts.filter(host => !slots.has(formatAddress(host.address)) && this.#isWell(host));
      if (leaving.length === 0) continue;
      const hosts = leaving.map(host => ({ ...host, isLeaving: true as const }));
      for (const host of hosts) slots.set(formatAddress(host.address), host.slot);
      const same = result.find(each => isSamePlace(each, old));
      if (same === undefined) result.push({ ...old, hosts });
      else same.hosts.push(...hosts);
    }
    return result;
  }

  #isWell({ slot, health, healthCheck }: SlottedHostModel): boolean {
    const flags = this.#flags.get(slot) ?? HealthFlag.failed;
    return !healthCheck?.isDisabled && (flags & HealthFlag.failed) === 0 && health !== 'unhealthy';
  }
}

function isSamePlace(a: Localities[number], b: Localities[number]): boolean {
  return a.priority === b.priority && a.region === b.region && a.zone === b.zone && a.subZone === b.subZone;
}
