/**
 * Balances within the subset of hosts whose metadata has the values that the route asks for; where there is none, as the
 * fallback policies say. A subset is a list of priorities like the whole cluster, with a balancer of its own.
 *
 * Source: Envoy's SubsetLoadBalancer.
 */
import type { LoadBalancerModel, SubsetSelectorModel, SubsetsModel } from '../../config/model/cluster.ts';
import type { Metadata } from '../../config/model/matchers.ts';
import type { BalancedHost, BalancedLocality, BalancedPriority, HostBalancer } from './balanced-host.ts';
import { createBalancer, type LoadBalancerOptions } from './load-balancer.ts';
import { describeSubset, hasValues, listSubsetsOfHost, type SubsetCriteria } from './subset-key.ts';

export interface SubsetHost extends BalancedHost {
  readonly metadata: Metadata;
}

/** How a host is picked of some balancer, for one request. */
type Pick<H extends SubsetHost> = (balancer: HostBalancer<H>) => H | null;

/** Gives the hosts of a subset, each under the priority where it is. */
class Subset<H extends SubsetHost> {
  readonly #hosts = new Set<H>();
  readonly #owner: { readonly priorities: readonly BalancedPriority<H>[]; readonly options: LoadBalancerOptions };
  readonly #subsets: SubsetsModel;
  /** Holds the first host of its values only. */
  readonly #isSingle: boolean;
  #balancer: HostBalancer<H> | null = null;

  constructor(owner: Subset<H>['owner'], subsets: SubsetsModel, isSingle: boolean) {
    this.#owner = owner;
    this.#subsets = subsets;
    this.#isSingle = isSingle;
  }

  get owner(): { readonly priorities: readonly BalancedPriority<H>[]; readonly options: LoadBalancerOptions } {
    return this.#owner;
  }

  add(host: H): void {
    if (!this.#isSingle || this.#hosts.size === 0) this.#hosts.add(host);
  }

  pick(pick: Pick<H>): H | null {
    // Whatever its health: there is no other.
    if (this.#isSingle) for (const host of this.#hosts) return host;
    this.#balancer ??= this.#makeBalancer();
    return pick(this.#balancer);
  }

  #makeBalancer(): HostBalancer<H> {
    const { priorities, options } = this.#owner;
    const { localityWeightAware } = this.#subsets;
    const model: LoadBalancerModel = {
      ...options.model,
      localityWeighted: options.model.localityWeighted && localityWeightAware,
    };
    return createBalancer(
      priorities.map(({ localities }) => ({ localities: localities.map(locality => this.#filter(locality)) })),
      { ...options, model },
    );
  }

  #filter(locality: BalancedLocality<H>): BalancedLocality<H> {
    const hosts = locality.hosts.filter(host => this.#hosts.has(host));
    if (!this.#subsets.scaleLocalityWeight || locality.hosts.length === 0) return { ...locality, hosts };
    return { ...locality, hosts, weight: Math.round((locality.weight * hosts.length) / locality.hosts.length) };
  }
}

export class SubsetBalancer<H extends SubsetHost> {
  readonly #model: SubsetsModel;
  readonly #options: LoadBalancerOptions;
  readonly #subsets = new Map<string, Subset<H>>();
  readonly #any: Subset<H>;
  readonly #default: Subset<H>;

  constructor(priorities: readonly BalancedPriority<H>[], options: LoadBalancerOptions, model: SubsetsModel) {
    this.#model = model;
    this.#options = options;
    const owner = { priorities, options };
    this.#any = new Subset(owner, model, false);
    this.#default = new Subset(owner, model, false);
    for (const { localities } of priorities) {
      for (const { hosts } of localities) for (const host of hosts) this.#add(host, owner);
    }
  }

  #add(host: H, owner: Subset<H>['owner']): void {
    this.#any.add(host);
    if (hasValues(host.metadata, this.#model.defaultSubset, this.#model.listAsAny)) this.#default.add(host);
    for (const { key, selector } of listSubsetsOfHost(host.metadata, this.#model)) {
      let subset = this.#subsets.get(key);
      if (subset === undefined) {
        subset = new Subset(owner, this.#model, selector.singleHostPerSubset);
        this.#subsets.set(key, subset);
      }
      subset.add(host);
    }
  }

  /** `criteria` are those of the route, null if it has none. `pick` takes a host of the balancer that is found. */
  pick(criteria: SubsetCriteria | null, pick: Pick<H>): H | null {
    const alternatives = this.#model.metadataFallback ? criteria?.fallback_list : undefined;
    if (!Array.isArray(alternatives) || criteria === null) return this.#pickOnce(criteria, pick);
    const { fallback_list: _, ...base } = criteria;
    if (alternatives.length === 0) return this.#pickOnce(base, pick);
    for (const alternative of alternatives) {
      const host = this.#pickOnce({ ...base, ...(alternative as SubsetCriteria) }, pick);
      if (host !== null) return host;
    }
    return null;
  }

  #pickOnce(given: SubsetCriteria | null, pick: Pick<H>): H | null {
    const criteria = given === null ? null : this.#withoutRedundantKeys(given);
    if (criteria !== null) {
      const subset = this.#subsets.get(describeSubset(criteria));
      if (subset !== undefined) {
        this.#options.onEvent('lb_subsets_selected');
        return subset.pick(pick);
      }
      const selector = this.#findSelector(criteria);
      if (selector !== null && selector.fallback !== 'not-defined') return this.#pickBySelector(selector, criteria, pick);
    }
    return this.#pickFallback(pick);
  }

  #withoutRedundantKeys(criteria: SubsetCriteria): SubsetCriteria {
    if (!this.#model.allowRedundantKeys) return criteria;
    const selector = this.#model.selectors.find(({ keys }) => keys.every(key => Object.hasOwn(criteria, key)));
    return selector === undefined ? criteria : keepKeys(criteria, selector.keys);
  }

  #findSelector(criteria: SubsetCriteria): SubsetSelectorModel | null {
    const wanted = Object.keys(criteria);
    const isMeant = ({ keys }: SubsetSelectorModel) => keys.length === wanted.length && keys.every(key => wanted.includes(key));
    return this.#model.selectors.find(isMeant) ?? null;
  }

  #pickBySelector({ fallback, fallbackKeys }: SubsetSelectorModel, criteria: SubsetCriteria, pick: Pick<H>): H | null {
    switch (fallback) {
      case 'any-endpoint':
        return this.#any.pick(pick);
      case 'default-subset':
        return this.#default.pick(pick);
      case 'keys-subset':
        return this.#pickOnce(keepKeys(criteria, fallbackKeys), pick);
      default:
        return null;
    }
  }

  #pickFallback(pick: Pick<H>): H | null {
    const { fallback, panicModeAny } = this.#model;
    if (fallback === 'no-fallback') return null;
    const host = (fallback === 'any-endpoint' ? this.#any : this.#default).pick(pick);
    if (host !== null) {
      this.#options.onEvent('lb_subsets_fallback');
      return host;
    }
    const last = panicModeAny ? this.#any.pick(pick) : null;
    if (last !== null) this.#options.onEvent('lb_subsets_fallback_panic');
    return last;
  }
}

function keepKeys(criteria: SubsetCriteria, keys: readonly string[]): SubsetCriteria {
  return Object.fromEntries(keys.filter(key => Object.hasOwn(criteria, key)).map(key => [key, criteria[key]]));
}
