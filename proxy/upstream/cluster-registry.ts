/**
 * The main thread's clusters: gives each cluster a row and each host a slot in the shared tables, resolves DNS clusters,
 * detects outliers, and tells the workers what changed.
 */
import { isDeepStrictEqual } from 'node:util';
import type { ClusterModel, HostModel, HostSetModel, LoadAssignmentModel, SlottedHostModel } from '../config/model/cluster.ts';
import { formatAddress } from '../config/model/address.ts';
import type { StatsStore } from '../telemetry/stats-store.ts';
import type { MainToWorker } from '../workers/messages.ts';
import { DnsCluster } from './dns-cluster.ts';
import { ClusterHealth } from './health/cluster-health.ts';
import { HealthFlag } from './health/health-flags.ts';
import { HostSlots } from './host-slots.ts';
import { resolveName } from './dns-resolver.ts';
import type { NameResolver } from './dns-resolver.ts';
import { OutlierDetector } from './outlier-detector.ts';
import type { OutlierRun } from './outlier-reporter.ts';
import type { SecretLookup } from '../network/tls/secret-stats.ts';
import { listRegisteredHosts, readSuccessRates, type RegisteredCluster } from './registered-hosts.ts';
import { RegistryStats } from './registry-stats.ts';
import { isExcluded, readHealth } from './host-health.ts';
import { findTransportSocketMatch } from './transport-socket-match.ts';
import { ClusterCounters, HostCounters, maxClusterRows, RowAllocator } from './shared-counters.ts';

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
  readonly health: ClusterHealth;
  isWarm: boolean;
  warmCallbacks: (() => void)[];
  /** By worker. */
  readonly dynamicHosts: Map<number, readonly string[]>;
}

/** Priorities that have gained or lost hosts. */
function countChangedPriorities(before: HostSetModel['localities'], after: HostSetModel['localities']): number {
  const list = (localities: HostSetModel['localities'], priority: number) =>
    localities.flatMap(locality =>
      locality.priority === priority ? locality.hosts.map(host => formatAddress(host.address)) : [],
    );
  const priorities = new Set([...before, ...after].map(({ priority }) => priority));
  return [...priorities].filter(priority => {
    const addresses = new Set(list(before, priority));
    const now = list(after, priority);
    return now.length !== addresses.size || now.some(address => !addresses.has(address));
  }).length;
}

export class ClusterRegistry {
  readonly #options: ClusterRegistryOptions;
  readonly #hostCounters: HostCounters;
  readonly #clusterCounters: ClusterCounters;
  readonly #slots: HostSlots;
  readonly #rows: RowAllocator;
  readonly #entries = new Map<string, Entry>();

  constructor(options: ClusterRegistryOptions) {
    this.#options = options;
    this.#hostCounters = new HostCounters(options.hostCounters);
    this.#clusterCounters = new ClusterCounters(options.clusterCounters);
    this.#slots = new HostSlots(this.#hostCounters, options.now);
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
      health: new ClusterHealth(model),
      isWarm: false,
      warmCallbacks: [],
      dynamicHosts: new Map(),
    };
    entry.health.update(model, entry.slots.values());
    entry.model = model;
    entry.stats = stats;
    this.#entries.set(model.name, entry);
    this.#options.broadcast(describeCluster(entry));
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
    // Endpoints that never came cannot be checked.
    if (entry === undefined || entry.isWarm || (entry.set === null && entry.dns === null)) callback();
    else entry.warmCallbacks.push(callback);
  }

  get size(): number {
    return this.#entries.size;
  }

  list(): RegisteredCluster[] {
    return Array.from(this.#entries.values(), entry => ({
      model: entry.model,
      hosts: listRegisteredHosts(entry.set, entry.detector, this.#slots),
      dynamicHosts: [...listDynamicHosts(entry)],
      successRates: readSuccessRates(entry.detector),
    }));
  }

  /** The whole configuration, for a worker that starts. */
  *replay(): Iterable<MainToWorker> {
    for (const [name, entry] of this.#entries) {
      const { set, detector, slots } = entry;
      yield describeCluster(entry);
      if (set !== null) yield { type: 'hosts', cluster: name, hosts: JSON.stringify(set) };
      for (const slot of slots.values()) if (detector?.isEjected(slot)) yield { type: 'host-ejected', cluster: name, slot };
    }
  }

  /** A worker's `host-result`. */
  onHostResult(cluster: string, slot: number, result: string): void {
    this.#entries.get(cluster)?.detector?.onRun(slot, result as OutlierRun);
  }

  /** A worker's `host-health`. */
  onHostHealth(cluster: string, slot: number, flags: number): void {
    const entry = this.#entries.get(cluster);
    if (entry === undefined || entry.set === null || ![...entry.slots.values()].includes(slot)) return;
    entry.health.record(slot, flags);
    const hasFailed = (flags & HealthFlag.failed) !== 0;
    if (!hasFailed && !entry.model.outlierDetection?.keepEjectedWhenHealthy) entry.detector?.returnHost(slot);
    const leaving = entry.set.localities.some(({ hosts }) => hosts.some(host => host.slot === slot && host.isLeaving));
    if (hasFailed && leaving) {
      this.#dropHost(entry, slot);
      return;
    }
    entry.set = describeHealth(entry, entry.set);
    this.#countMembership(entry);
    this.#options.broadcast({ type: 'host-health', cluster, slot, flags });
  }

  /** A worker's `hosts-checked`. */
  onHostsChecked(cluster: string): void {
    const entry = this.#entries.get(cluster);
    if (entry !== undefined && !entry.isWarm) this.#markWarm(entry);
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
        onWarm: () => {
          if (model.healthCheck === undefined || entry.set === null) this.#markWarm(entry);
        },
      });
      return;
    }
    if (loadAssignment !== null) this.#setHosts(entry, loadAssignment);
    else if (entry.set !== null) this.#publish(entry, entry.set);
    if (model.healthCheck === undefined) this.#markWarm(entry);
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
    const { slowStart } = entry.model.loadBalancer;
    const addSlot = (host: HostModel): SlottedHostModel => {
      const key = formatAddress(host.address);
      let slot = slots.get(key) ?? entry.slots.get(key);
      if (slot === undefined) slot = this.#slots.take();
      slots.set(key, slot);
      // A worker may make the host much later, with the first request.
      return { ...host, slot, ...(slowStart !== null && { addedAtMs: this.#slots.takenAtMs(slot) }) };
    };
    const named = assignment.localities.map(locality => ({ ...locality, hosts: dedupe(locality.hosts).map(addSlot) }));
    const localities = entry.health.keepLeaving(canKeepHosts(entry.model) ? entry.set : null, named, slots);
    const before = entry.slots;
    for (const [key, slot] of before) if (!slots.has(key)) this.#slots.give(slot);
    entry.slots = slots;
    entry.health.retain(new Set(slots.values()));
    this.#countSocketMatches(
      entry,
      localities.flatMap(({ hosts }) => hosts).filter(({ address }) => !before.has(formatAddress(address))),
    );
    entry.stats.countMembershipChange(countChangedPriorities(entry.set?.localities ?? [], localities));
    entry.detector?.onHostsChanged();
    this.#publish(entry, { cluster: entry.model.name, localities, overprovisioningFactor: assignment.overprovisioningFactor });
  }

  /** It had left discovery before. */
  #dropHost(entry: Entry, slot: number): void {
    const { localities, ...rest } = entry.set as HostSetModel;
    for (const [key, each] of entry.slots) if (each === slot) entry.slots.delete(key);
    this.#slots.give(slot);
    entry.health.retain(new Set(entry.slots.values()));
    entry.stats.countMembershipChange();
    entry.detector?.onHostsChanged();
    const stay = localities.map(locality => ({ ...locality, hosts: locality.hosts.filter(host => host.slot !== slot) }));
    this.#publish(entry, { ...rest, localities: stay });
  }

  #countSocketMatches({ model, stats }: Entry, added: readonly HostModel[]): void {
    for (const { metadata } of added) stats.countTransportSocketMatch(findTransportSocketMatch(model, metadata)?.name ?? null);
  }

  #publish(entry: Entry, found: HostSetModel): void {
    const set = describeHealth(entry, found);
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
      healthy: inService.filter(host => readHealth(host) === 'healthy').length,
      degraded: inService.filter(host => readHealth(host) === 'degraded').length,
      excluded: hosts.filter(isExcluded).length,
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
      results: (slot, origin) => this.#hostCounters.readResults(slot, origin),
      onDetected: cause => entry.stats.countOutlier(cause, 'detected'),
      onEjectable: cause => entry.stats.countEjectable(cause),
      onOverflow: () => entry.stats.countEjectionOverflow(),
      onEjected: (slot, cause) => {
        entry.stats.countOutlier(cause, 'enforced');
        refresh('host-ejected', slot);
      },
      onReturned: slot => refresh('host-returned', slot),
      now: this.#options.now ?? Date.now,
      random: this.#options.random ?? Math.random,
    });
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

function describeCluster({ model, row }: Entry): MainToWorker {
  const isChecked = model.healthCheck !== undefined;
  return { type: 'cluster', name: model.name, row, model: JSON.stringify(model), ...(isChecked && { isChecked }) };
}

/** The hosts with what is known of their health. */
function describeHealth({ health, model }: Entry, set: HostSetModel): HostSetModel {
  if (model.healthCheck === undefined) return set;
  return {
    ...set,
    localities: set.localities.map(locality => ({ ...locality, hosts: locality.hosts.map(host => health.describe(host)) })),
  };
}

/** Where hosts come and go by themselves, one that is well may outlive its discovery. */
function canKeepHosts({ discovery }: ClusterModel): boolean {
  return discovery.kind === 'eds' || discovery.kind === 'strict-dns';
}
