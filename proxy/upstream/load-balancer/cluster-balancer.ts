/** Chooses the host of a request: in the subset that its route asks for, if the cluster has subsets, and not among refused hosts. */
import type { LoadBalancerContext } from '../cluster-manager.ts';
import type { HostView } from '../views.ts';
import type { BalancedPriority, HostBalancer } from './balanced-host.ts';
import { createBalancer, type LoadBalancerOptions } from './load-balancer.ts';
import { SubsetBalancer, type SubsetHost } from './subset-balancer.ts';
import { subsetNamespace } from './subset-key.ts';

export class ClusterBalancer<H extends SubsetHost & HostView> {
  readonly #balancer: HostBalancer<H> | null;
  readonly #subsets: SubsetBalancer<H> | null;

  constructor(priorities: readonly BalancedPriority<H>[], options: LoadBalancerOptions) {
    const { subsets } = options.model;
    this.#balancer = subsets === undefined ? createBalancer(priorities, options) : null;
    this.#subsets = subsets === undefined ? null : new SubsetBalancer(priorities, options, subsets);
  }

  /** Null if no host can serve. Where all attempts met refused hosts, the last one has to do. */
  choose(context: LoadBalancerContext): H | null {
    if (this.#balancer !== null) return pickAccepted(this.#balancer, context);
    const criteria = context.metadataMatch?.[subsetNamespace] ?? null;
    return this.#subsets?.pick(criteria, balancer => pickAccepted(balancer, context)) ?? null;
  }
}

function pickAccepted<H extends SubsetHost & HostView>(balancer: HostBalancer<H>, context: LoadBalancerContext): H | null {
  const hash = typeof context.hash === 'number' ? BigInt(context.hash) : context.hash;
  for (let attempt = 0; ; attempt++) {
    const host = balancer.pick(hash, context.triedPriorities, attempt);
    if (host === null || attempt >= context.hostSelectionMaxAttempts || !context.shouldSelectAnotherHost(host)) return host;
  }
}
