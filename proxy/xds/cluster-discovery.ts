/**
 * CDS and the static clusters: accepted clusters warm (endpoints, secrets, names) before they replace what serves.
 *
 * Source: Envoy's CdsApiImpl and ClusterManagerImpl.
 */
import { Logger } from '../../common/log.ts';
import type { ConfigSourceModel } from '../config/model/bootstrap.ts';
import type { SecretReference } from '../config/compile/scope.ts';
import type { ClusterModel, LoadAssignmentModel } from '../config/model/cluster.ts';
import type { SecretModel } from '../config/model/tls.ts';
import type { ClusterManagerStats } from './manager-stats.ts';
import type { SubscriptionStats } from './discovery-stats.ts';
import type { EndpointDiscovery } from './endpoint-discovery.ts';
import { InitManager } from './init-manager.ts';
import type { ResourceStore, ResourceVersion } from './resource-store.ts';
import type { SecretStore } from './secret-store.ts';
import type { DiscoveredResource, DiscoveryHandler, DiscoveryUpdate, UpdateOutcome } from './subscription.ts';
import { applyEach, isUnchanged, joinCallbacks, noteFailure, type WarmingResource } from './warming-resource.ts';

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
  /** The endpoints that it has were sent once more. */
  confirmLoadAssignment(cluster: string): void;
  remove(name: string): void;
  /** Calls back when the cluster's names are resolved; at once if there are none. */
  onWarm(name: string, callback: () => void): void;
}

export interface CompiledCluster {
  readonly model: ClusterModel;
  /** Null unless its endpoints are discovered. */
  readonly edsServiceName: string | null;
  /** Absent or null: the aggregated stream, without a time limit. */
  readonly edsSource?: ConfigSourceModel | null;
  readonly secrets: readonly SecretReference[];
  /** Given in the resource itself, under the keys that its model uses. */
  readonly inlineSecrets: readonly SecretModel[];
}

export interface ClusterDiscoveryOptions {
  readonly resources: ResourceStore;
  /** @throws ConfigError */
  readonly compile: (bytes: Uint8Array) => CompiledCluster;
  readonly clusters: ClusterSink;
  /** The discovery on a source; null if the aggregated stream is asked for and there is none. */
  readonly endpoints: (source: ConfigSourceModel | undefined) => EndpointDiscovery | null;
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

  /**
   * Compiles a cluster of the bootstrap; the returned function puts it into effect.
   * @throws ConfigError
   */
  prepareStatic(bytes: Buffer): { readonly model: ClusterModel; readonly usesEds: boolean; accept(onWarm: () => void): void } {
    const compiled = this.#options.compile(bytes);
    const { name } = compiled.model;
    if (this.#options.resources.get('cluster', name) !== undefined)
      throw new Error(`cluster manager: duplicate cluster '${name}'`);
    this.#options.resources.ensure('cluster', name, true);
    return {
      model: compiled.model,
      usesEds: compiled.edsServiceName !== null,
      accept: onWarm => this.#accept(name, compiled, { bytes, versionInfo: '', lastUpdatedMs: Date.now() }, onWarm),
    };
  }

  /**
   * Calls back when the first update, whatever became of it, and all clusters it brought are done with.
   * @param timeoutMs for the first update; 0: as long as it takes.
   */
  whenInitialized(timeoutMs: number, callback: () => void): void {
    const fetch = new InitManager(callback);
    this.#onInitialized = fetch.add('cds', timeoutMs, () => this.#options.subscriptionStats.countFetchTimeout());
    fetch.seal();
    if (this.#initialized) this.#onInitialized();
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
    try {
      this.#accept(resource.name, compiled, { bytes: resource.bytes, versionInfo, lastUpdatedMs: Date.now() }, onWarm);
    } catch (error) {
      this.#giveUp(resource.name);
      throw error;
    }
  }

  /** A source that does not exist shows only when it is asked: nobody waits for such a cluster. */
  #giveUp(name: string): void {
    const onWarm = this.#cancelWarming(name);
    if (onWarm === undefined) return;
    this.#options.resources.ensure('cluster', name).warming = null;
    this.#options.stats.setWarming(this.#warming.size);
    onWarm();
  }

  #accept(name: string, compiled: CompiledCluster, version: ResourceVersion, whenWarm: () => void): void {
    const { resources, secrets, stats } = this.#options;
    const onWarm = joinCallbacks(this.#cancelWarming(name), whenWarm);
    const entry = resources.ensure('cluster', name);
    entry.warming = version;
    entry.failure = null;
    if (entry.active === null) stats.countAdded();
    else stats.countModified();
    const releases = compiled.inlineSecrets.map(secret => secrets.addInline(secret));
    let assignment: LoadAssignmentModel | null = null;
    const init = new InitManager(() => this.#activate(name, compiled.model, assignment, onWarm));
    this.#warming.set(name, { version, init, release: () => runAll(releases), onWarm });
    stats.setWarming(this.#warming.size);
    for (const reference of compiled.secrets) {
      releases.push(secrets.acquire(reference, init.add(`secret ${reference.name}`, reference.initialFetchTimeoutMs)));
    }
    if (compiled.edsServiceName !== null) {
      releases.push(
        this.#watchEndpoints(compiled, init, model => {
          const repeated = assignment === model;
          assignment = model;
          if (this.#warming.get(name)?.init === init) return;
          if (repeated) this.#options.clusters.confirmLoadAssignment(name);
          else this.#setLoadAssignment(name, model);
        }),
      );
    }
    init.seal();
  }

  #setLoadAssignment(name: string, model: LoadAssignmentModel): void {
    this.#options.stats.countUpdated();
    this.#options.clusters.setLoadAssignment(name, model);
  }

  #watchEndpoints(compiled: CompiledCluster, init: InitManager, onAssignment: (model: LoadAssignmentModel) => void): () => void {
    const { model, edsServiceName } = compiled;
    const endpoints = this.#options.endpoints(compiled.edsSource ?? undefined);
    if (endpoints === null) throw new Error(`cluster ${model.name}: no source of endpoints is configured`);
    let refreshTimer: NodeJS.Timeout | null = null;
    const ready = init.add(`endpoints ${edsServiceName}`, compiled.edsSource?.initialFetchTimeoutMs);
    const stop = endpoints.watch({
      serviceName: edsServiceName as string,
      statName: model.statName,
      onAssignment: (assignment, fresh) => {
        onAssignment(assignment);
        if (fresh) ready();
        else refreshTimer = setTimeout(ready, endpointRefreshMs);
      },
      onNothing: ready,
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
    if (assignment !== null) this.#setLoadAssignment(name, assignment);
    stats.setWarming(this.#warming.size);
    stats.setActive(this.#active.size);
    clusters.onWarm(name, onWarm);
  }

  /** Gives what has to be called for those who wait for the version that is given up. */
  #cancelWarming(name: string): (() => void) | undefined {
    const warming = this.#warming.get(name);
    if (warming === undefined) return undefined;
    this.#warming.delete(name);
    warming.init.cancel();
    warming.release();
    return warming.onWarm;
  }

  #remove(name: string): void {
    const { resources, clusters, stats } = this.#options;
    const entry = resources.get('cluster', name);
    if (entry === undefined || entry.isStatic) return;
    const onWarm = this.#cancelWarming(name);
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
    onWarm?.();
  }
}

function runAll(actions: readonly (() => void)[]): void {
  for (const action of actions) action();
}
