/** What balancers see of a host, and of the localities and priorities that hold hosts. */
export interface BalancedHost {
  /** 1 or more. */
  readonly weight: number;
  readonly health: 'healthy' | 'degraded' | 'unhealthy';
  /** Counts for nothing, not even as unhealthy: its first health check is not done, or it asked to be left out. */
  readonly isExcluded?: boolean;
  /** Over all workers. */
  readonly activeRequests: number;
  /** `ip:port`. */
  readonly addressText: string;
  readonly hostname: string;
  /** Monotonic milliseconds since when it serves: slow start counts from here. */
  readonly healthySinceMs: number;
}

/** A locality of one priority. `weight` 0: unset. */
export interface BalancedLocality<H extends BalancedHost> {
  readonly weight: number;
  readonly hosts: readonly H[];
  /** Identifies it among all clusters; absent where zone-aware routing is not in question. */
  readonly name?: string;
  /** It is where this proxy runs. */
  readonly isLocal?: boolean;
}

export interface BalancedPriority<H extends BalancedHost> {
  readonly localities: readonly BalancedLocality<H>[];
}

export function listHosts<H extends BalancedHost>({ localities }: BalancedPriority<H>): readonly H[] {
  return localities.length === 1 ? localities[0].hosts : localities.flatMap(({ hosts }) => hosts);
}

/** Chooses hosts of a list of priorities. `LoadBalancer.pick` has the meaning of the parameters. */
export interface HostBalancer<H extends BalancedHost> {
  pick(hash: bigint | null, triedPriorities: readonly number[] | null, attempt: number): H | null;
}

/** What a balancer did that statistics tell, by the names of Envoy's counters. */
export type BalancerEvent =
  | 'lb_healthy_panic'
  | 'lb_local_cluster_not_ok'
  | 'lb_recalculate_zone_structures'
  | 'lb_zone_cluster_too_small'
  | 'lb_zone_no_capacity_left'
  | 'lb_zone_routing_all_directly'
  | 'lb_zone_routing_cross_zone'
  | 'lb_zone_routing_sampled'
  | 'lb_subsets_selected'
  | 'lb_subsets_fallback'
  | 'lb_subsets_fallback_panic';
