/**
 * Zone-aware routing: requests stay in the zone of this proxy as far as the upstream has hosts there in proportion to the
 * proxies (the local cluster); what is left goes to zones with more hosts than proxies.
 *
 * Source: Envoy's ZoneAwareLoadBalancerBase; it concerns priority 0 only.
 */
import type { BalancedHost, BalancedLocality, BalancerEvent } from './balanced-host.ts';

/** Shares are counted in parts of this. */
const whole = 10_000;

export interface ZoneRoutingOptions {
  readonly minClusterSize: number;
  /** In [0, 1). */
  readonly random: () => number;
  readonly onEvent: (event: BalancerEvent) => void;
}

/** Localities in Envoy's order: the local one first. */
type Localities = readonly BalancedLocality<BalancedHost>[];

interface Shares {
  /** Of the hosts of the upstream. */
  readonly upstream: number;
  /** Of the proxies. */
  readonly local: number;
}

export class ZoneRouting {
  readonly #options: ZoneRoutingOptions;
  readonly #isDirect: boolean;
  /** Parts of the traffic that stay. */
  readonly #sampled: number;
  /** Capacity beyond what the own proxies of a locality use, summed up to it. */
  readonly #residual: readonly number[];

  private constructor(shares: readonly Shares[], hasLocal: boolean, options: ZoneRoutingOptions) {
    this.#options = options;
    const here = hasLocal ? shares[0] : { upstream: 0, local: 0 };
    this.#isDirect = here.upstream > 0 && here.upstream >= here.local;
    this.#sampled = here.local > 0 ? Math.floor((here.upstream * whole) / here.local) : 0;
    let sum = 0;
    this.#residual = shares.map(({ upstream, local }, i) => {
      if (i > 0 || !hasLocal) sum += Math.max(0, upstream - local);
      return sum;
    });
  }

  /** Null where the clusters do not allow it. `proxies` are the localities of the local cluster. */
  static create(upstream: Localities, proxies: Localities, options: ZoneRoutingOptions): ZoneRouting | null {
    options.onEvent('lb_recalculate_zone_structures');
    if (upstream.length < 2 || proxies.length < 2) return null;
    if (!proxies[0].isLocal || proxies[0].hosts.length === 0) {
      options.onEvent('lb_local_cluster_not_ok');
      return null;
    }
    const counts = upstream.map(countHealthy);
    const total = sum(counts);
    if (total < options.minClusterSize) {
      options.onEvent('lb_zone_cluster_too_small');
      return null;
    }
    const proxyTotal = sum(proxies.map(countHealthy));
    const shares = upstream.map(({ name }, i) => {
      if (counts[i] === 0) return { upstream: 0, local: 0 };
      const proxiesThere = proxies.find(each => each.name === name);
      return {
        upstream: share(counts[i], total),
        local: share(proxiesThere === undefined ? 0 : countHealthy(proxiesThere), proxyTotal),
      };
    });
    return new ZoneRouting(shares, upstream[0].isLocal === true, options);
  }

  /** Index of the locality for one request. */
  choose(): number {
    const { random, onEvent } = this.#options;
    if (this.#isDirect) {
      onEvent('lb_zone_routing_all_directly');
      return 0;
    }
    if (Math.floor(random() * whole) < this.#sampled) {
      onEvent('lb_zone_routing_sampled');
      return 0;
    }
    onEvent('lb_zone_routing_cross_zone');
    const residual = this.#residual;
    const capacity = residual[residual.length - 1];
    if (capacity === 0) {
      onEvent('lb_zone_no_capacity_left');
      return Math.floor(random() * residual.length);
    }
    const point = Math.floor(random() * capacity);
    return residual.findIndex(limit => point < limit);
  }
}

function share(part: number, total: number): number {
  return total === 0 ? 0 : Math.floor((whole * part) / total);
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0);
}

function countHealthy({ hosts }: BalancedLocality<BalancedHost>): number {
  return hosts.reduce((count, host) => count + (host.health === 'healthy' ? 1 : 0), 0);
}
