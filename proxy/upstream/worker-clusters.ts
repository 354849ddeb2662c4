/**
 * The clusters of one worker, as the main thread last sent them. Texts are parsed when a request first needs the cluster, so
 * that a push of a thousand clusters costs a worker next to nothing.
 */
import { parseText, type SharedText } from '../../common/shared-text.ts';
import type { ClusterModel, HostSetModel } from '../config/model/cluster.ts';
import type { CommonTlsModel } from '../config/model/tls.ts';
import type { StatsStore } from '../telemetry/stats-store.ts';
import type { Cluster, ClusterManager } from './cluster-manager.ts';
import { WorkerCluster } from './worker-cluster.ts';
import type { UpstreamServices } from './worker-cluster.ts';

export interface SharedUpstreamServices extends Omit<UpstreamServices, 'localCluster'> {
  /** The cluster whose hosts are the proxies themselves; absent or empty: there is none. */
  readonly localClusterName?: string;
}

interface Entry {
  readonly row: number;
  /** Null once parsed. */
  model: string | SharedText | null;
  hosts: string | SharedText | HostSetModel | null;
  cluster: WorkerCluster | null;
  readonly ejected: Set<number>;
  /** By slot: what checks have found since the hosts came. */
  readonly health: Map<number, number>;
  /** Of all versions, made when the first one is used. */
  scope: StatsStore | null;
}

export class WorkerClusters implements ClusterManager {
  readonly #services: SharedUpstreamServices;
  readonly #localClusterName: string;
  readonly #entries = new Map<string, Entry>();
  /** Hosts that came before their cluster. */
  readonly #earlyHosts = new Map<string, string | SharedText>();

  constructor(services: SharedUpstreamServices) {
    this.#services = services;
    this.#localClusterName = services.localClusterName ?? '';
  }

  find(name: string): Cluster | null {
    return this.#find(name);
  }

  #find(name: string): WorkerCluster | null {
    const entry = this.#entries.get(name);
    return entry === undefined ? null : (entry.cluster ?? this.#open(name, entry));
  }

  /** A new or changed cluster; `model` is JSON of a ClusterModel. Its hosts follow in a message of their own. */
  onCluster(name: string, row: number, model: string | SharedText, isChecked = false): void {
    const previous = this.#entries.get(name);
    previous?.cluster?.destroy();
    // Until the new ones come, the old hosts serve: a request between the two messages must not fail.
    const hosts = this.#earlyHosts.get(name) ?? previous?.cluster?.hostSet ?? previous?.hosts ?? null;
    this.#earlyHosts.delete(name);
    const entry: Entry = {
      row,
      model,
      hosts,
      cluster: null,
      ejected: previous?.ejected ?? new Set(),
      health: previous?.health ?? new Map(),
      scope: previous?.scope ?? null,
    };
    this.#entries.set(name, entry);
    // Checks begin without a request.
    if (isChecked && this.#services.workerIndex === 0) this.#open(name, entry);
  }

  onRemoved(name: string): void {
    const entry = this.#entries.get(name);
    entry?.cluster?.destroy();
    entry?.scope?.release();
    this.#entries.delete(name);
    this.#earlyHosts.delete(name);
  }

  /** `hosts` is JSON of a HostSetModel. */
  onHosts(name: string, hosts: string | SharedText): void {
    const entry = this.#entries.get(name);
    entry?.health.clear();
    if (entry === undefined) this.#earlyHosts.set(name, hosts);
    else if (entry.cluster === null) entry.hosts = hosts;
    else this.#applyHosts(entry, entry.cluster, hosts);
    if (name === this.#localClusterName) this.#rebalanceAll();
  }

  /** Zone-aware routing of every cluster depends on where the proxies are. */
  #rebalanceAll(): void {
    for (const { cluster } of this.#entries.values()) cluster?.rebalance();
  }

  onEjected(name: string, slot: number, ejected: boolean): void {
    const entry = this.#entries.get(name);
    if (entry === undefined) return;
    if (ejected) entry.ejected.add(slot);
    else entry.ejected.delete(slot);
    entry.cluster?.setEjected(slot, ejected);
  }

  onHealth(name: string, slot: number, flags: number): void {
    const entry = this.#entries.get(name);
    entry?.health.set(slot, flags);
    entry?.cluster?.setHealth(slot, flags);
  }

  /** New streams get new connections with the new secret; streams in flight finish on the old ones. */
  onSecret(key: string): void {
    for (const { cluster } of this.#entries.values()) {
      if (cluster !== null && usesSecret(cluster.model, key)) cluster.retirePools();
    }
  }

  #open(name: string, entry: Entry): WorkerCluster {
    entry.scope ??= this.#services.stats.createScope();
    const localName = name === this.#localClusterName ? '' : this.#localClusterName;
    const localCluster = () => (localName === '' ? null : (this.#find(localName)?.firstPriority ?? null));
    const services = { ...this.#services, stats: entry.scope, localCluster };
    const cluster = new WorkerCluster(parseText<ClusterModel>(entry.model as string | SharedText), entry.row, services);
    entry.cluster = cluster;
    entry.model = null;
    if (entry.hosts !== null) this.#applyHosts(entry, cluster, entry.hosts);
    entry.hosts = null;
    return cluster;
  }

  #applyHosts(entry: Entry, cluster: WorkerCluster, hosts: string | SharedText | HostSetModel): void {
    cluster.setHosts(typeof hosts === 'string' || hosts instanceof Uint8Array ? parseText<HostSetModel>(hosts) : hosts);
    for (const slot of entry.ejected) cluster.setEjected(slot, true);
    for (const [slot, flags] of entry.health) cluster.setHealth(slot, flags);
    if (this.#services.workerIndex === 0) cluster.checkHosts();
  }
}

function usesSecret(model: ClusterModel, key: string): boolean {
  return [model.transportSocket, ...model.transportSocketMatches.map(match => match.transportSocket)].some(
    socket => socket.kind === 'upstream-tls' && namesSecret(socket.common, key),
  );
}

function namesSecret(common: CommonTlsModel, key: string): boolean {
  return common.certificateSecret === key || common.validationSecret === key;
}
