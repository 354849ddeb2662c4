/**
 * CDS and the static clusters: accepted clusters warm (endpoints, secrets, names) before they replace what serves.
 *
 * Source: Envoy's CdsApiImpl and ClusterManagerImpl.
 */
import { Logger } from '../../common/log.ts';
import type { SecretReference } from '../config/compile/scope.ts';
import type { ClusterModel, LoadAssignmentModel } from '../config/model/cluster.ts';
import type { ClusterManagerStats } from './manager-stats.ts';
import type { SubscriptionStats } from './discovery-stats.ts';
import type { EndpointDiscovery } from './endpoint-discovery.ts';
import { InitManager } from './init-manager.ts';
import type { ResourceStore, ResourceVersion } from './resource-store.ts';
import type { SecretStore } from './secret-store.ts';
import type { DiscoveredResource, DiscoveryHandler, DiscoveryUpdate, UpdateOutcome } from './subscription.ts';
import { applyEach, isUnchanged, noteFailure, type WarmingResource } from './warming-resource.ts';

const log = new Logger('upstream');

/**
 * How long a changed cluster waits for new endpoints when it knows its old ones. Differs from Envoy, which waits for
 * `initial_fetch_timeout`: a server that does not repeat endpoints after a cluster changed would hold the change back for that
 * long, or forever.
 */
const endpointRefreshMs = 500;

/** The registry of clusters, as discovery sees it. */
export interface ClusterSink {
  update(model: ClusterModel): void;
  setLoadAssignment(cluster: string, model: LoadAssignmentModel): void;
  remove(name: string): void;
  /** Calls back when the cluster's names are resolved; at once if there are none. */
  onWarm(name: string, callback: () => void): void;
}

export interface CompiledCluster {
  readonly model: ClusterModel;
  /** Null unless its endpoints are discovered. */
  readonly edsServiceName: string | null;
  /** `initial_fetch_timeout` of the endpoints' config source; 0 or absent: as long as it takes. */
  readonly edsInitialFetchTimeoutMs?: number;
  readonly secrets: readonly SecretReference[];
}

export interface ClusterDiscoveryOptions {
  readonly resources: ResourceStore;
  /** @throws ConfigError */
  readonly compile: (bytes: Uint8Array) => CompiledCluster;
  readonly clusters: ClusterSink;
  /** Null where no source of endpoints is configured. */
  readonly endpoints: () => EndpointDiscovery | null;
  readonly secrets: SecretStore;
  readonly stats: ClusterManagerStats;
  readonly subscriptionStats: SubscriptionStats;
}

export class ClusterDiscovery implements DiscoveryHandler {
  readonly #options: ClusterDiscoveryOptions;
  readonly #warming = new Map<string, WarmingResource>();
  /** Gives back what the active version of a cluster uses. */
  readonly #active = new Map<string, () => void>();
  #onInitialized: (() => void) | null = null;
  #firstUpdate: InitManager | null = null;
  #initialized = false;

  constructor(options: ClusterDiscoveryOptions) {
    this.#options = options;
  }

  /** Names of clusters that wait, with what they wait for. */
  get pending(): { readonly name: string; readonly targets: readonly string[] }[] {
    return [...this.#warming].map(([name, { init }]) => ({ name, targets: init.pending }));
  }

  /** @throws ConfigError */
  addStatic(name: string, bytes: Buffer, onWarm: () => void): void {
    this.#options.resources.ensure('cluster', name, true);
    this.#accept(name, this.#options.compile(bytes), { bytes, versionInfo: '', lastUpdatedMs: Date.now() }, onWarm);
  }

  /** Calls back when the first update, whatever became of it, and all clusters it brought are done with. */
  whenInitialized(callback: () => void): void {
    if (this.#initialized) callback();
    else this.#onInitialized = callback;
  }

  /** The first update will not come in time. */
  onFetchTimeout(): void {
    this.#options.subscriptionStats.countFetchTimeout();
    this.#finishInitialization();
  }

  onUpdateAttempt(): void {
    this.#options.subscriptionStats.countAttempt();
  }

  onConnectionFailure(): void {
    this.#options.subscriptionStats.countFailure();
  }

  onUpdate(update: DiscoveryUpdate): UpdateOutcome {
    const startMs = performance.now();
    const { resources, stats, subscriptionStats } = this.#options;
    const first = this.#initialized || this.#firstUpdate !== null ? null : new InitManager(() => this.#finishInitialization());
    this.#firstUpdate ??= first;
    const outcome = applyEach(
      update,
      problems => `Error adding/updating cluster(s) ${problems.join(', ')}`,
      resource => this.#apply(resource, update.versionInfo, first),
      (resource, details) => noteFailure(resources, 'cluster', resource, update.versionInfo, details),
    );
    for (const name of update.removed) this.#remove(name);
    if (outcome.error === null) {
      stats.countReload();
      subscriptionStats.countSuccess(update.versionInfo, performance.now() - startMs);
    } else {
      subscriptionStats.countRejected();
    }
    log.info(`cds: add ${update.resources.length} cluster(s), remove ${update.removed.length} cluster(s)`);
    first?.seal();
    return outcome;
  }

  #finishInitialization(): void {
    if (this.#initialized) return;
    this.#initialized = true;
    this.#onInitialized?.();
  }

  #apply(resource: DiscoveredResource, versionInfo: string, first: InitManager | null): void {
    const entry = this.#options.resources.get('cluster', resource.name);
    // A static cluster wins over a discovered one of the same name, silently, as in Envoy.
    if (entry?.isStatic || isUnchanged(entry, resource)) return;
    const compiled = this.#options.compile(resource.bytes);
    const onWarm = first?.add(`cluster ${resource.name}`) ?? (() => {});
    this.#accept(resource.name, compiled, { bytes: resource.bytes, versionInfo, lastUpdatedMs: Date.now() }, onWarm);
  }

  #accept(name: string, compiled: CompiledCluster, version: ResourceVersion, onWarm: () => void): void {
    const { resources, secrets, stats } = this.#options;
    this.#cancelWarming(name);
    const entry = resources.ensure('cluster', name);
    entry.warming = version;
    entry.failure = null;
    if (entry.active === null) stats.countAdded();
    else stats.countModified();
    const releases: (() => void)[] = [];
    let assignment: LoadAssignmentModel | null = null;
    const init = new InitManager(() => this.#activate(name, compiled.model, assignment, onWarm));
    this.#warming.set(name, { version, init, release: () => runAll(releases) });
    stats.setWarming(this.#warming.size);
    for (const reference of compiled.secrets) {
      releases.push(secrets.acquire(reference, init.add(`secret ${reference.name}`, reference.initialFetchTimeoutMs)));
    }
    if (compiled.edsServiceName !== null) {
      releases.push(
        this.#watchEndpoints(compiled, init, model => {
          assignment = model;
          if (this.#warming.get(name)?.init !== init) this.#options.clusters.setLoadAssignment(name, model);
        }),
      );
    }
    init.seal();
  }

  #watchEndpoints(compiled: CompiledCluster, init: InitManager, onAssignment: (model: LoadAssignmentModel) => void): () => void {
    const { model, edsServiceName } = compiled;
    const endpoints = this.#options.endpoints();
    if (endpoints === null) throw new Error(`cluster ${model.name}: no source of endpoints is configured`);
    let refreshTimer: NodeJS.Timeout | null = null;
    const ready = init.add(`endpoints ${edsServiceName}`, compiled.edsInitialFetchTimeoutMs);
    const stop = endpoints.watch({
      serviceName: edsServiceName as string,
      statName: model.statName,
      onAssignment: (assignment, fresh) => {
        onAssignment(assignment);
        if (fresh) ready();
        else refreshTimer = setTimeout(ready, endpointRefreshMs);
      },
    });
    return () => {
      if (refreshTimer !== null) clearTimeout(refreshTimer);
      stop();
    };
  }

  #activate(name: string, model: ClusterModel, assignment: LoadAssignmentModel | null, onWarm: () => void): void {
    const { clusters, resources, stats } = this.#options;
    const warming = this.#warming.get(name) as WarmingResource;
    this.#warming.delete(name);
    this.#active.get(name)?.();
    this.#active.set(name, warming.release);
    const entry = resources.ensure('cluster', name);
    entry.active = warming.version;
    entry.warming = null;
    clusters.update(model);
    if (assignment !== null) clusters.setLoadAssignment(name, assignment);
    stats.setWarming(this.#warming.size);
    stats.setActive(this.#active.size);
    clusters.onWarm(name, onWarm);
  }

  #cancelWarming(name: string): void {
    const warming = this.#warming.get(name);
    if (warming === undefined) return;
    this.#warming.delete(name);
    warming.init.cancel();
    warming.release();
  }

  #remove(name: string): void {
    const { resources, clusters, stats } = this.#options;
    const entry = resources.get('cluster', name);
    if (entry === undefined || entry.isStatic) return;
    this.#cancelWarming(name);
    const release = this.#active.get(name);
    resources.delete('cluster', name);
    if (release !== undefined) {
      this.#active.delete(name);
      clusters.remove(name);
      release();
      stats.countRemoved();
    }
    stats.setWarming(this.#warming.size);
    stats.setActive(this.#active.size);
  }
}

function runAll(actions: readonly (() => void)[]): void {
  for (const action of actions) action();
}
