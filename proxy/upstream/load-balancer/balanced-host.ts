/** What balancers read of a host. */
export interface BalancedHost {
  /** 1 or more. */
  readonly weight: number;
  readonly health: 'healthy' | 'degraded' | 'unhealthy';
  /** Over all workers. */
  readonly activeRequests: number;
  /** `ip:port`. */
  readonly addressText: string;
  readonly hostname: string;
  /** Monotonic milliseconds at which this host joined: slow start counts from here. */
  readonly createdMs: number;
}

/** A locality of one priority. `weight` 0: unset. */
export interface BalancedLocality<H extends BalancedHost> {
  readonly weight: number;
  readonly hosts: readonly H[];
}

export interface BalancedPriority<H extends BalancedHost> {
  readonly localities: readonly BalancedLocality<H>[];
}
