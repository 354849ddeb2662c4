/**
 * The main thread's clusters: gives each cluster a row and each host a slot in the shared tables, resolves DNS clusters,
 * detects outliers, and tells the workers what changed.
 */
import { isDeepStrictEqual } from 'node:util';
import { Logger } from '../../common/log.ts';
import type { ClusterModel, HostModel, HostSetModel, LoadAssignmentModel, SlottedHostModel } from '../config/model/cluster.ts';
import { formatAddress } from '../config/model/address.ts';
import type { StatsStore } from '../telemetry/stats-store.ts';
import type { MainToWorker } from '../workers/messages.ts';
import { DnsCluster } from './dns-cluster.ts';
import { resolveName } from './dns-resolver.ts';
import type { NameResolver } from './dns-resolver.ts';
import { OutlierDetector } from './outlier-detector.ts';
import type { OutlierRun } from './outlier-reporter.ts';
import type { SecretLookup } from '../network/tls/secret-stats.ts';
import { RegistryStats } from './registry-stats.ts';
import { findTransportSocketMatch } from './transport-socket-match.ts';
import { ClusterCounters, HostCounters, HostField, maxClusterRows, maxHostSlots, RowAllocator } from './shared-counters.ts';

const log = new Logger('upstream');

export interface ClusterRegistryOptions {
  readonly broadcast: (message: MainToWorker) => void;
  /** As given to the workers. */
  readonly hostCounters: SharedArrayBuffer;
  readonly clusterCounters: SharedArrayBuffer;
  readonly stats: StatsStore;
  /** The statistics of a cluster's traffic appear with the first of it. */
  readonly deferredStats?: boolean;
  readonly findSecret?: SecretLookup;
  readonly resolve?: NameResolver;
  /** Wall clock, milliseconds. */
  readonly now?: () => number;
  readonly random?: () => number;
}

/** A host as the admin API shows it. */
export interface RegisteredHost {
  readonly model: SlottedHostModel;
  readonly locality: { readonly region: string; readonly zone: string; readonly subZone: string };
  /** 0: unset. */
  readonly localityWeight: number;
  readonly priority: number;
  readonly ejected: boolean;
  readonly counters: HostCounterValues;
}

export interface HostCounterValues {
  readonly connectionsActive: number;
  readonly connectFailures: number;
  readonly connectionsTotal: number;
  readonly requestsActive: number;
  readonly requestsFailed: number;
  readonly requestsSucceeded: number;
  readonly requestsTimedOut: number;
  readonly requestsTotal: number;
}

export interface RegisteredCluster {
  readonly model: ClusterModel;
  readonly hosts: readonly RegisteredHost[];
  /** `ip:port` of the hosts that workers made for an original destination cluster. */
  readonly dynamicHosts: readonly string[];
}

interface Entry {
  model: ClusterModel;
  readonly row: number;
  /** Of all versions: a changed cluster counts on. */
  readonly scope: StatsStore;
  stats: RegistryStats;
  set: HostSetModel | null;
  slots: Map<string, number>;
  dns: DnsCluster | null;
  detector: OutlierDetector | null;
  isWarm: boolean;
  warmCallbacks: (() => void)[];
  /** By worker. */
  readonly dynamicHosts: Map<number, readonly string[]>;
}

export class ClusterRegistry {
  readonly #options: ClusterRegistryOptions;
  readonly #hostCounters: HostCounters;
  readonly #clusterCounters: ClusterCounters;
  readonly #slots: RowAllocator;
  readonly #rows: RowAllocator;
  /** What a slot's cumulative counters were when its present host got it. */
  readonly #baselines = new Map<number, HostCounterValues>();
  readonly #entries = new Map<string, Entry>();

  constructor(options: ClusterRegistryOptions) {
    this.#options = options;
    this.#hostCounters = new HostCounters(options.hostCounters);
    this.#clusterCounters = new ClusterCounters(options.clusterCounters);
    const isIdle = (slot: number) =>
      this.#hostCounters.sum(slot, HostField.requestsActive) === 0 &&
      this.#hostCounters.sum(slot, HostField.connectionsActive) === 0;
    this.#slots = new RowAllocator(maxHostSlots, isIdle, options.now);
    this.#rows = new RowAllocator(maxClusterRows, () => true, options.now);
  }

  /** A new or changed cluster. Discovered endpoints of a changed one stay until new ones come. */
  update(model: ClusterModel): void {
    const known = this.#entries.get(model.name);
    known?.dns?.stop();
    known?.detector?.stop();
    const row = known?.row ?? this.#rows.take();
    const scope = known?.scope ?? this.#options.stats.createScope();
    const { deferredStats = false, findSecret = () => null } = this.#options;
    const stats = new RegistryStats(scope, model, deferredStats, findSecret, this.#hostCounters.commonRegion + 1);
    const entry: Entry = known ?? {
      model,
      row,
      scope,
      stats,
      set: null,
      slots: new Map(),
      dns: null,
      detector: null,
      isWarm: false,
      warmCallbacks: [],
      dynamicHosts: new Map(),
    };
    entry.model = model;
    entry.stats = stats;
    this.#entries.set(model.name, entry);
    this.#options.broadcast({ type: 'cluster', name: model.name, row, model: JSON.stringify(model) });
    entry.detector = this.#makeDetector(entry);
    this.#discover(entry);
  }

  setLoadAssignment(cluster: string, assignment: LoadAssignmentModel): void {
    const entry = this.#entries.get(cluster);
    if (entry !== undefined) this.#applyDiscovered(entry, assignment);
  }

  confirmLoadAssignment(cluster: string): void {
    this.#entries.get(cluster)?.stats.countUnchangedUpdate();
  }

  /** A secret has a value, or another one. */
  onSecret(key: string): void {
    for (const { stats } of this.#entries.values()) stats.onSecret(key);
  }

  remove(name: string): void {
    const entry = this.#entries.get(name);
    if (entry === undefined) return;
    entry.dns?.stop();
    entry.detector?.stop();
    entry.scope.release();
    for (const slot of entry.slots.values()) this.#slots.give(slot);
    this.#rows.give(entry.row);
    this.#entries.delete(name);
    this.#options.broadcast({ type: 'cluster-removed', name });
    // Nobody waits for what is gone.
    for (const callback of entry.warmCallbacks.splice(0)) callback();
  }

  /** True once a DNS cluster's names were asked for; at once for every other kind. */
  isWarm(name: string): boolean {
    return this.#entries.get(name)?.isWarm ?? false;
  }

  onWarm(name: string, callback: () => void): void {
    const entry = this.#entries.get(name);
    if (entry === undefined || entry.isWarm) callback();
    else entry.warmCallbacks.push(callback);
  }

  get size(): number {
    return this.#entries.size;
  }

  list(): RegisteredCluster[] {
    return Array.from(this.#entries.values(), entry => ({
      model: entry.model,
      hosts: this.#listHosts(entry),
      dynamicHosts: [...listDynamicHosts(entry)],
    }));
  }

  /** The whole configuration, for a worker that starts. */
  *replay(): Iterable<MainToWorker> {
    for (const [name, { row, model, set, detector, slots }] of this.#entries) {
      yield { type: 'cluster', name, row, model: JSON.stringify(model) };
      if (set !== null) yield { type: 'hosts', cluster: name, hosts: JSON.stringify(set) };
      for (const slot of slots.values()) if (detector?.isEjected(slot)) yield { type: 'host-ejected', cluster: name, slot };
    }
  }

  /** A worker's `host-result`. */
  onHostResult(cluster: string, slot: number, result: string): void {
    this.#entries.get(cluster)?.detector?.onRun(slot, result as OutlierRun);
  }

  /** A worker's `dynamic-hosts`. */
  onDynamicHosts(worker: number, cluster: string, addresses: readonly string[]): void {
    const entry = this.#entries.get(cluster);
    if (entry === undefined) return;
    const before = listDynamicHosts(entry);
    entry.dynamicHosts.set(worker, addresses);
    const hosts = listDynamicHosts(entry);
    const added = [...hosts].filter(address => !before.has(address)).length;
    if (added === 0 && hosts.size === before.size) return;
    entry.stats.countMembershipChange();
    for (let i = 0; i < added; i++) entry.stats.countTransportSocketMatch(null);
    entry.stats.setMembership({ total: hosts.size, healthy: hosts.size, degraded: 0, maxWeight: null });
  }

  /** Brings the gauges of circuit breakers up to date; call it before statistics are read. */
  refreshStats(): void {
    for (const { stats, model, row } of this.#entries.values()) {
      stats.refreshCircuitBreakers(model.circuitBreakers, this.#clusterCounters, row);
    }
  }

  stop(): void {
    for (const { dns, detector } of this.#entries.values()) {
      dns?.stop();
      detector?.stop();
    }
  }

  #discover(entry: Entry): void {
    const { model } = entry;
    const { discovery, loadAssignment } = model;
    entry.dns = null;
    if (discovery.kind === 'strict-dns' || discovery.kind === 'logical-dns') {
      const assignment = loadAssignment ?? { clusterName: model.name, localities: [], overprovisioningFactor: 140 };
      // A changed DNS cluster keeps its old hosts until the names are resolved again.
      entry.dns = new DnsCluster(discovery, assignment, {
        resolve: this.#options.resolve ?? resolveName,
        onHosts: resolved => this.#applyDiscovered(entry, resolved),
        onAttempt: outcome => entry.stats.countDnsUpdate(outcome),
        onWarm: () => this.#markWarm(entry),
      });
      return;
    }
    if (loadAssignment !== null) this.#setHosts(entry, loadAssignment);
    else if (entry.set !== null) this.#publish(entry, entry.set);
    this.#markWarm(entry);
  }

  #markWarm(entry: Entry): void {
    entry.isWarm = true;
    for (const callback of entry.warmCallbacks.splice(0)) callback();
  }

  #applyDiscovered(entry: Entry, assignment: LoadAssignmentModel): void {
    const before = entry.set;
    this.#setHosts(entry, assignment);
    if (isDeepStrictEqual(before, entry.set)) entry.stats.countUnchangedUpdate();
  }

  #setHosts(entry: Entry, assignment: LoadAssignmentModel): void {
    const slots = new Map<string, number>();
    const addSlot = (host: HostModel): SlottedHostModel => {
      const key = formatAddress(host.address);
      let slot = slots.get(key) ?? entry.slots.get(key);
      if (slot === undefined) slot = this.#takeSlot();
      slots.set(key, slot);
      return { ...host, slot };
    };
    const localities = assignment.localities.map(locality => ({ ...locality, hosts: dedupe(locality.hosts).map(addSlot) }));
    const before = entry.slots;
    const isChanged = before.size !== slots.size || [...slots.keys()].some(key => !before.has(key));
    for (const [key, slot] of before) if (!slots.has(key)) this.#slots.give(slot);
    entry.slots = slots;
    this.#countSocketMatches(
      entry,
      localities.flatMap(({ hosts }) => hosts).filter(({ address }) => !before.has(formatAddress(address))),
    );
    if (isChanged) entry.stats.countMembershipChange();
    entry.detector?.onHostsChanged();
    this.#publish(entry, { cluster: entry.model.name, localities, overprovisioningFactor: assignment.overprovisioningFactor });
  }

  #countSocketMatches({ model, stats }: Entry, added: readonly HostModel[]): void {
    for (const { metadata } of added) stats.countTransportSocketMatch(findTransportSocketMatch(model, metadata)?.name ?? null);
  }

  #takeSlot(): number {
    const slot = this.#slots.take();
    if (slot < 0) log.warn('more hosts than the shared table holds: their load is balanced per worker');
    this.#baselines.delete(slot);
    if (slot >= 0) this.#baselines.set(slot, this.#readCounters(slot));
    return slot;
  }

  #publish(entry: Entry, set: HostSetModel): void {
    entry.set = set;
    this.#countMembership(entry);
    entry.stats.onHosts(set);
    this.#options.broadcast({ type: 'hosts', cluster: entry.model.name, hosts: JSON.stringify(set) });
  }

  #countMembership(entry: Entry): void {
    // Like Envoy: where nothing ever has a host, nothing ever is counted.
    if (entry.model.discovery.kind === 'static' && entry.set?.localities.length === 0) return;
    const hosts = entry.set?.localities.flatMap(locality => locality.hosts) ?? [];
    const inService = hosts.filter(host => !entry.detector?.isEjected(host.slot));
    entry.stats.setMembership({
      total: hosts.length,
      healthy: inService.filter(({ health }) => health === 'healthy' || health === 'unknown').length,
      degraded: inService.filter(({ health }) => health === 'degraded').length,
      excluded: hosts.filter(({ health }) => health === 'draining').length,
      maxWeight: hosts.reduce((maximum, host) => Math.max(maximum, host.weight), 0),
    });
  }

  #makeDetector(entry: Entry): OutlierDetector | null {
    const { outlierDetection, name } = entry.model;
    if (outlierDetection === null) return null;
    const refresh = (type: 'host-ejected' | 'host-returned', slot: number) => {
      this.#options.broadcast({ type, cluster: name, slot });
      entry.stats.setEjectionsActive(entry.detector?.ejectedCount ?? 0);
      this.#countMembership(entry);
    };
    return new OutlierDetector({
      model: outlierDetection,
      slots: () => [...entry.slots.values()],
      requests: slot => ({
        succeeded: this.#hostCounters.sum(slot, HostField.requestsSucceeded),
        failed: this.#hostCounters.sum(slot, HostField.requestsFailed),
      }),
      onEjected: (slot, cause) => {
        entry.stats.countEjection(cause, 'enforced');
        refresh('host-ejected', slot);
      },
      onReturned: slot => refresh('host-returned', slot),
      onNotEjected: (cause, why) => entry.stats.countEjection(cause, why),
      now: this.#options.now ?? Date.now,
      random: this.#options.random ?? Math.random,
    });
  }

  #listHosts({ set, detector }: Entry): RegisteredHost[] {
    return (set?.localities ?? []).flatMap(({ hosts, region, zone, subZone, priority, weight }) =>
      hosts.map(model => ({
        model,
        locality: { region, zone, subZone },
        localityWeight: weight,
        priority,
        ejected: detector?.isEjected(model.slot) ?? false,
        counters: this.#readCounters(model.slot),
      })),
    );
  }

  #readCounters(slot: number): HostCounterValues {
    const baseline = this.#baselines.get(slot);
    const read = (field: HostField) => (slot < 0 ? 0 : this.#hostCounters.sum(slot, field));
    return {
      connectionsActive: read(HostField.connectionsActive),
      requestsActive: read(HostField.requestsActive),
      connectFailures: read(HostField.connectFailures) - (baseline?.connectFailures ?? 0),
      connectionsTotal: read(HostField.connectionsTotal) - (baseline?.connectionsTotal ?? 0),
      requestsFailed: read(HostField.requestsFailed) - (baseline?.requestsFailed ?? 0),
      requestsSucceeded: read(HostField.requestsSucceeded) - (baseline?.requestsSucceeded ?? 0),
      requestsTimedOut: read(HostField.requestsTimedOut) - (baseline?.requestsTimedOut ?? 0),
      requestsTotal: read(HostField.requestsTotal) - (baseline?.requestsTotal ?? 0),
    };
  }
}

/** An address counts once per locality, as in Envoy. */
function dedupe(hosts: readonly HostModel[]): HostModel[] {
  const seen = new Set<string>();
  return hosts.filter(host => {
    const key = formatAddress(host.address);
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}

/** Of all workers. */
function listDynamicHosts({ dynamicHosts }: Entry): ReadonlySet<string> {
  return new Set([...dynamicHosts.values()].flat());
}
