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
import type { Gradual } from './gradual.ts';
import type { InitManager } from './init-manager.ts';
import type { ResourceStore } from './resource-store.ts';
import type { SecretStore } from './secret-store.ts';
import type { DiscoveryUpdate, UpdateOutcome } from './subscription.ts';
import { WarmingDiscovery, type WarmingKind } from './warming-discovery.ts';

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

const kind: WarmingKind = {
  kind: 'cluster',
  service: 'cds',
  removesFirst: false,
  log,
  describeUpdate: (added, removed) => `cds: add ${added} cluster(s), remove ${removed} cluster(s)`,
  describeProblems: problems => `Error adding/updating cluster(s) ${problems.join(', ')}`,
  describeDuplicate: name => `cluster manager: duplicate cluster '${name}'`,
};

export class ClusterDiscovery extends WarmingDiscovery<CompiledCluster> {
  readonly #options: ClusterDiscoveryOptions;
  /** The endpoints that came while a cluster was warming, and since. */
  readonly #assignments = new WeakMap<CompiledCluster, LoadAssignmentModel>();

  constructor(options: ClusterDiscoveryOptions) {
    super(options, kind);
    this.#options = options;
  }

  /**
   * Compiles a cluster of the bootstrap; the returned function puts it into effect.
   * @throws ConfigError
   */
  prepareStatic(bytes: Buffer): { readonly model: ClusterModel; readonly usesEds: boolean; accept(onWarm: () => void): void } {
    const { compiled, accept } = this.prepare(bytes);
    return { model: compiled.model, usesEds: compiled.edsServiceName !== null, accept };
  }

  override *onUpdate(update: DiscoveryUpdate): Gradual<UpdateOutcome> {
    const outcome = yield* super.onUpdate(update);
    if (outcome.error === null) this.#options.stats.countReload();
    return outcome;
  }

  protected override acquireParts(compiled: CompiledCluster, init: InitManager): (() => void)[] {
    if (compiled.edsServiceName === null) return [];
    const { name } = compiled.model;
    const stop = this.#watchEndpoints(compiled, init, assignment => {
      const isRepeated = this.#assignments.get(compiled) === assignment;
      this.#assignments.set(compiled, assignment);
      if (this.isWarming(name, init)) return;
      if (isRepeated) this.#options.clusters.confirmLoadAssignment(name);
      else this.#setLoadAssignment(name, assignment);
    });
    return [stop];
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

  protected override serve(compiled: CompiledCluster): void {
    const { model } = compiled;
    this.#options.clusters.update(model);
    const assignment = this.#assignments.get(compiled);
    if (assignment !== undefined) this.#setLoadAssignment(model.name, assignment);
  }

  protected override whenServing(name: string, onReady: () => void): void {
    this.#options.clusters.onWarm(name, onReady);
  }

  protected override withdraw(name: string): void {
    this.#options.clusters.remove(name);
  }
}
