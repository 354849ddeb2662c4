/**
 * Keeps the hosts of a STRICT_DNS or LOGICAL_DNS cluster resolved. A failure keeps the last addresses; the time until the next
 * query is the refresh rate, or the TTL where the cluster respects it, plus jitter; after failures it may be another.
 *
 * Source: Envoy's StrictDnsClusterImpl and LogicalDnsCluster.
 */
import { isIP } from 'node:net';
import type { ClusterModel, HostModel, LoadAssignmentModel } from '../config/model/cluster.ts';
import type { DnsFamily, NameResolver, ResolvedAddress } from './dns-resolver.ts';

export interface DnsClusterOptions {
  readonly resolve: NameResolver;
  readonly onHosts: (assignment: LoadAssignmentModel) => void;
  readonly onAttempt: (outcome: 'success' | 'failure') => void;
  /** The first query of every name is done, successful or not. */
  readonly onWarm: () => void;
}

type DnsDiscovery = Extract<ClusterModel['discovery'], { kind: 'strict-dns' | 'logical-dns' }>;

export class DnsCluster {
  readonly #discovery: DnsDiscovery;
  readonly #assignment: LoadAssignmentModel;
  readonly #options: DnsClusterOptions;
  /** By name; a name that has not resolved yet is absent. */
  readonly #addresses = new Map<string, readonly ResolvedAddress[]>();
  readonly #timers = new Map<string, NodeJS.Timeout>();
  /** By name: the longest wait after the next failure. */
  readonly #failureDelaysMs = new Map<string, number>();
  #unresolved: number;
  #stopped = false;

  constructor(discovery: DnsDiscovery, assignment: LoadAssignmentModel, options: DnsClusterOptions) {
    this.#discovery = discovery;
    this.#assignment = assignment;
    this.#options = options;
    const names = new Set<string>();
    for (const { hosts } of assignment.localities)
      for (const { address } of hosts) if (needsResolving(address)) names.add(address.address);
    this.#unresolved = names.size;
    if (names.size === 0) {
      this.#publish();
      options.onWarm();
    }
    for (const name of names) void this.#refresh(name, true);
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
  }

  async #refresh(name: string, isFirst: boolean): Promise<void> {
    let delayMs: number;
    try {
      const resolved = await this.#options.resolve(name, this.#discovery.family as DnsFamily);
      if (this.#stopped) return;
      // No address is an answer where hosts may come and go; a logical host keeps its last one, and asks again soon.
      delayMs = this.#isLogical && resolved.length === 0 ? this.#onFailure(name) : this.#onAddresses(name, resolved);
    } catch {
      if (this.#stopped) return;
      delayMs = this.#onFailure(name);
    }
    const jitterMs = Math.random() * this.#discovery.jitterMs;
    this.#timers.set(name, setTimeout(() => void this.#refresh(name, false), delayMs + jitterMs).unref());
    if (isFirst && --this.#unresolved === 0) this.#options.onWarm();
  }

  /** Returns the time until the next query. */
  #onAddresses(name: string, resolved: readonly ResolvedAddress[]): number {
    this.#options.onAttempt('success');
    this.#failureDelaysMs.delete(name);
    if (this.#accept(name, resolved)) this.#publish();
    return this.#delayAfter(resolved);
  }

  /** Returns the time until the next query. */
  #onFailure(name: string): number {
    this.#options.onAttempt('failure');
    return this.#delayAfterFailure(name);
  }

  get #isLogical(): boolean {
    return this.#discovery.kind === 'logical-dns';
  }

  /** A TTL of 0 says nothing. */
  #delayAfter(resolved: readonly ResolvedAddress[]): number {
    const { respectTtl, refreshRateMs } = this.#discovery;
    const ttlMs = Math.min(...resolved.map(record => record.ttlMs));
    return respectTtl && ttlMs > 0 && ttlMs < Number.POSITIVE_INFINITY ? ttlMs : refreshRateMs;
  }

  #delayAfterFailure(name: string): number {
    const { failureRefresh, refreshRateMs } = this.#discovery;
    if (failureRefresh === undefined) return refreshRateMs;
    const limitMs = this.#failureDelaysMs.get(name) ?? failureRefresh.baseMs;
    this.#failureDelaysMs.set(name, Math.min(limitMs * 2, failureRefresh.maxMs));
    return Math.random() * limitMs;
  }

  /** True if the name's addresses changed. */
  #accept(name: string, resolved: readonly ResolvedAddress[]): boolean {
    const previous = this.#addresses.get(name);
    this.#addresses.set(name, resolved);
    return previous === undefined || describe(previous, this.#isLogical) !== describe(resolved, this.#isLogical);
  }

  #publish(): void {
    const localities = this.#assignment.localities.map(locality => ({
      ...locality,
      hosts: locality.hosts.flatMap(host => this.#expand(host)),
    }));
    this.#options.onHosts({ ...this.#assignment, localities });
  }

  #expand(host: HostModel): HostModel[] {
    const { address } = host;
    if (!needsResolving(address)) return [host];
    const resolved = this.#addresses.get(address.address) ?? [];
    const hostname = host.hostname === '' ? address.address : host.hostname;
    const addresses = resolved.map(record => ({ ...address, address: record.address }));
    // One logical host, whose other addresses are for a first one that cannot be reached.
    if (this.#isLogical && addresses.length > 0) {
      return [{ ...host, hostname, address: addresses[0], additionalAddresses: addresses.slice(1) }];
    }
    return addresses.map(resolvedAddress => ({ ...host, hostname, address: resolvedAddress }));
  }
}

function needsResolving(address: HostModel['address']): address is Extract<HostModel['address'], { kind: 'socket' }> {
  return address.kind === 'socket' && isIP(address.address) === 0;
}

function describe(resolved: readonly ResolvedAddress[], isOrdered: boolean): string {
  const addresses = resolved.map(({ address }) => address);
  return (isOrdered ? addresses : addresses.sort()).join(' ');
}
