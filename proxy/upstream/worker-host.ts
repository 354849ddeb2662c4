/** One host on one worker: its part in the shared counters, its pools, and what outlier detection is told. */
import { isDeepStrictEqual } from 'node:util';
import { formatAddress } from '../config/model/address.ts';
import type { Address } from '../config/model/address.ts';
import type { HostHealthCheckModel, SlottedHostModel } from '../config/model/cluster.ts';
import type { Metadata } from '../config/model/matchers.ts';
import type { RawBufferModel, UpstreamTlsModel } from '../config/model/tls.ts';
import type { ResponseDecoder } from '../http/codec.ts';
import type { Host, HostResult, PoolCallbacks, PoolHandle, StreamOptions, TcpPoolCallbacks } from './cluster-manager.ts';
import type { BalancedHost } from './load-balancer/balanced-host.ts';
import { isExcluded, readHealth } from './host-health.ts';
import { HealthFlag, noHealthFlags } from './health/health-flags.ts';
import { reportHostResult } from './outlier-reporter.ts';
import { orderAddresses } from './pool/connection-race.ts';
import { HttpPool } from './pool/http-pool.ts';
import type { PoolKind } from './pool/http-pool.ts';
import { readPoolKey } from './pool/pool-key.ts';
import { connectTcp } from './pool/tcp-pool.ts';
import { HostField } from './shared-counters.ts';
import { selectTransportSocket } from './transport-socket-match.ts';
import type { WorkerCluster } from './worker-cluster.ts';

export interface HostPlacement {
  readonly locality: WorkerHost['locality'];
  readonly priority: number;
}

export class WorkerHost implements Host, BalancedHost {
  readonly cluster: WorkerCluster;
  readonly address: Address;
  /** All addresses, in the order in which they are tried; just `address` for most. */
  readonly addresses: readonly Address[];
  readonly addressText: string;
  readonly hostname: string;
  /** -1: not in the shared table; its load is known to this worker only. */
  readonly slot: number;
  readonly transportSocket: UpstreamTlsModel | RawBufferModel;
  healthySinceMs: number;
  metadata: Metadata;
  locality: { readonly region: string; readonly zone: string; readonly subZone: string };
  priority: number;
  weight: number;
  /** What active checks have found; bits of health-flags.ts. */
  healthFlags: number;
  #healthCheck: HostHealthCheckModel | undefined;
  #discoveryStatus: SlottedHostModel['health'];
  #ejected = false;
  readonly #cells: Int32Array;
  readonly #start: number;
  /** Pools without overrides, by priority and protocol; they carry most streams. */
  readonly #plainPools: (HttpPool | null)[] = [null, null, null, null];
  #keyedPools: Map<string, HttpPool> | null = null;

  constructor(cluster: WorkerCluster, model: SlottedHostModel, placement: HostPlacement) {
    const { hostCounters, workerIndex, timers } = cluster.services;
    this.cluster = cluster;
    this.address = model.address;
    this.addresses = listAddresses(cluster, model);
    this.addressText = formatAddress(model.address);
    this.hostname = model.hostname;
    this.slot = model.slot;
    this.transportSocket = selectTransportSocket(cluster.model, model.metadata);
    this.healthySinceMs = timers.now() - readAgeMs(model);
    this.metadata = model.metadata;
    this.locality = placement.locality;
    this.priority = placement.priority;
    this.weight = model.weight;
    this.#discoveryStatus = model.health;
    this.healthFlags = model.healthFlags ?? noHealthFlags;
    this.#healthCheck = model.healthCheck;
    this.#cells = model.slot < 0 ? new Int32Array(8) : hostCounters.cells;
    this.#start = model.slot < 0 ? 0 : hostCounters.indexOf(model.slot, workerIndex);
  }

  /** Takes what an update may change in place; false: this must become a new host. */
  update(model: SlottedHostModel, placement: HostPlacement): boolean {
    if (!isDeepStrictEqual(model.healthCheck, this.#healthCheck)) return false;
    if (model.slot !== this.slot || model.hostname !== this.hostname) return false;
    if (describeAddresses(listAddresses(this.cluster, model)) !== describeAddresses(this.addresses)) return false;
    if (selectTransportSocket(this.cluster.model, model.metadata) !== this.transportSocket) return false;
    this.metadata = model.metadata;
    this.locality = placement.locality;
    this.priority = placement.priority;
    this.weight = model.weight;
    this.#discoveryStatus = model.health;
    this.setHealthFlags(model.healthFlags ?? noHealthFlags);
    return true;
  }

  get health(): BalancedHost['health'] {
    return this.#ejected ? 'unhealthy' : readHealth({ health: this.#discoveryStatus, healthFlags: this.healthFlags });
  }

  get isExcluded(): boolean {
    return isExcluded({ health: this.#discoveryStatus, healthFlags: this.healthFlags });
  }

  /** As discovered, unless a check or outlier detection has found otherwise. */
  get status(): SlottedHostModel['health'] {
    return this.#ejected || (this.healthFlags & HealthFlag.failed) !== 0 ? 'unhealthy' : this.#discoveryStatus;
  }

  get isEjected(): boolean {
    return this.#ejected;
  }

  /** True if the host has failed with this. */
  setHealthFlags(flags: number): boolean {
    const before = this.healthFlags;
    this.healthFlags = flags;
    // Slow start begins when a host is well again.
    if ((before & ~flags & HealthFlag.failed) !== 0) this.healthySinceMs = this.cluster.services.timers.now();
    return (flags & ~before & HealthFlag.failed) !== 0;
  }

  /** Where active checks connect to. */
  get healthCheckAddress(): Address {
    const { address: own, port = 0 } = this.#healthCheck ?? {};
    const address = own ?? this.address;
    return port === 0 || address.kind !== 'socket' ? address : { ...address, port };
  }

  /** The host of the requests of active checks; empty: as the check says. */
  get healthCheckHostname(): string {
    return this.#healthCheck?.hostname ?? '';
  }

  get isHealthCheckDisabled(): boolean {
    return this.#healthCheck?.isDisabled ?? false;
  }

  setEjected(ejected: boolean): void {
    this.#ejected = ejected;
  }

  get announcesDownstream(): boolean {
    return this.transportSocket.proxyProtocol !== undefined;
  }

  get activeRequests(): number {
    return this.slot < 0 ? this.#cells[0] : this.cluster.services.hostCounters.sum(this.slot, HostField.requestsActive);
  }

  count(field: HostField, amount: number): void {
    this.#cells[this.#start + field] += amount;
  }

  beginRequest(): void {
    this.#cells[this.#start + HostField.requestsActive]++;
    this.#cells[this.#start + HostField.requestsTotal]++;
  }

  endRequest(): void {
    this.#cells[this.#start + HostField.requestsActive]--;
  }

  countOutcome(succeeded: boolean): void {
    this.#cells[this.#start + (succeeded ? HostField.requestsSucceeded : HostField.requestsFailed)]++;
  }

  reportResult(result: HostResult): void {
    reportHostResult(this, result);
  }

  newStream(options: StreamOptions, decoder: ResponseDecoder, callbacks: PoolCallbacks): PoolHandle | null {
    return this.#findPool(options).newStream(decoder, callbacks);
  }

  connect(options: StreamOptions, callbacks: TcpPoolCallbacks): PoolHandle | null {
    return connectTcp(this, options, callbacks);
  }

  #findPool(options: StreamOptions): HttpPool {
    const kind = this.#kindOf(options);
    const key = readPoolKey(options);
    if (key === '') {
      const index = plainPoolIndex(options.priority, kind);
      this.#plainPools[index] ??= new HttpPool(this, kind, options);
      return this.#plainPools[index];
    }
    this.#keyedPools ??= new Map();
    const pools = this.#keyedPools;
    const fullKey = `${options.priority}${kind}${key}`;
    let pool = pools.get(fullKey);
    if (pool === undefined) {
      // With original_src every client has a pool of its own, which must not outlive its connections.
      pool = new HttpPool(this, kind, options, () => pools.delete(fullKey));
      pools.set(fullKey, pool);
    }
    return pool;
  }

  #kindOf(options: StreamOptions): PoolKind {
    const { kind } = this.cluster.model.protocol;
    if (kind !== 'downstream') return kind;
    return options.downstreamProtocol === 'HTTP/2' ? 'http2' : 'http1';
  }

  /** No stream begins on today's connections any more: the host left, or its transport socket changed. */
  retirePools(): void {
    for (const pool of this.#plainPools) pool?.drain();
    this.#plainPools.fill(null);
    for (const pool of this.#keyedPools?.values() ?? []) pool.drain();
    this.#keyedPools = null;
  }

  /** True while a pool holds a connection. */
  get hasConnections(): boolean {
    return this.#cells[this.#start + HostField.connectionsActive] > 0;
  }
}

function readAgeMs({ addedAtMs }: SlottedHostModel): number {
  return addedAtMs === undefined ? 0 : Math.max(0, Date.now() - addedAtMs);
}

function listAddresses({ model }: WorkerCluster, { address, additionalAddresses }: SlottedHostModel): readonly Address[] {
  if (additionalAddresses.length === 0) return [address];
  return orderAddresses(
    [address, ...additionalAddresses],
    model.happyEyeballs ?? { firstFamily: 'default', firstFamilyCount: 1 },
  );
}

function describeAddresses(addresses: readonly Address[]): string {
  return addresses.length === 1 ? '' : addresses.map(formatAddress).join(' ');
}

/** A cluster has pools of one kind, or of both versions where it follows the downstream. */
function plainPoolIndex(priority: 0 | 1, kind: PoolKind): number {
  return kind === 'http1' ? priority : priority + 2;
}
