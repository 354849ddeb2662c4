/**
 * The whole of discovery: opens the sources that the bootstrap names and brings resources in the order that warming needs:
 * static clusters, CDS with EDS, then static listeners and LDS with RDS.
 */
import type { RequiredCluster } from '../config/compile/route-clusters.ts';
import type { SecretReference } from '../config/compile/scope.ts';
import type { BootstrapModel, ConfigSourceModel, StaticResource } from '../config/model/bootstrap.ts';
import type { ClusterModel, LoadAssignmentModel } from '../config/model/cluster.ts';
import type { RouteConfigModel } from '../config/model/route.ts';
import type { SecretModel } from '../config/model/tls.ts';
import type { StatsStore } from '../telemetry/stats-store.ts';
import { ClusterDiscovery, type ClusterSink, type CompiledCluster } from './cluster-discovery.ts';
import { ConfigSources, type ConfigSourcesOptions } from './config-sources.ts';
import { discoveryServices } from './discovery-services.ts';
import { RouteSubscriptionStats, SubscriptionStats } from './discovery-stats.ts';
import { discoveryTypeUrls } from './discovery-types.ts';
import { EndpointDiscovery } from './endpoint-discovery.ts';
import { ExtensionDiscovery, type ExtensionDiscoveryOptions, type ExtensionSink } from './extension-discovery.ts';
import { watchDirectories } from './file-watch.ts';
import { InitManager } from './init-manager.ts';
import { type CompiledListener, ListenerDiscovery, type ListenerSink } from './listener-discovery.ts';
import { ClusterManagerStats, ListenerManagerStats } from './manager-stats.ts';
import type { ResourceStore } from './resource-store.ts';
import { RouteDiscovery, type RouteSink } from './route-discovery.ts';
import { listSecretDirectories, resolveSecretFiles } from '../config/compile/secret.ts';
import { SecretStore } from './secret-store.ts';
import type { DiscoverySource } from './subscription.ts';

/** Message bytes to models. Each throws ConfigError. */
export interface Compilers {
  cluster(bytes: Uint8Array): CompiledCluster;
  endpoints(bytes: Uint8Array): LoadAssignmentModel;
  listener(bytes: Uint8Array): CompiledListener;
  route(bytes: Uint8Array): { readonly model: RouteConfigModel; readonly requiredClusters: readonly RequiredCluster[] };
  secret(bytes: Uint8Array, key: string): SecretModel;
  extension: ExtensionDiscoveryOptions['compile'];
}

export interface DiscoveryOptions {
  readonly bootstrap: BootstrapModel;
  readonly node: ConfigSourcesOptions['node'];
  readonly stats: StatsStore;
  readonly workerCount: number;
  readonly drainTimeMs: number;
  readonly resources: ResourceStore;
  readonly compilers: Compilers;
  readonly clusters: ClusterSink;
  readonly listeners: ListenerSink;
  readonly routes: RouteSink;
  readonly extensions: ExtensionSink;
  readonly onSecret: (secret: SecretModel) => void;
  readonly decodeFile: ConfigSourcesOptions['decodeFile'];
  /** Everything that the server waits for before it serves is there. */
  readonly onInitialized: () => void;
}

export class Discovery {
  readonly #options: DiscoveryOptions;
  readonly sources: ConfigSources;
  readonly secrets: SecretStore;
  readonly clusters: ClusterDiscovery;
  readonly listeners: ListenerDiscovery;
  readonly #staticModels = new Map<string, ClusterModel>();
  readonly #endpoints = new Map<string, EndpointDiscovery>();
  readonly #routes = new Map<string, RouteDiscovery>();
  readonly #extensions = new Map<string, ExtensionDiscovery>();
  /** Of CDS and LDS. */
  readonly clusterSubscription: SubscriptionStats;
  readonly listenerSubscription: SubscriptionStats;
  #startListeners: readonly ((onWarm: () => void) => void)[] = [];

  constructor(options: DiscoveryOptions) {
    this.#options = options;
    const { resources, compilers, stats } = options;
    this.clusterSubscription = new SubscriptionStats(stats, 'cluster_manager.cds.');
    this.listenerSubscription = new SubscriptionStats(stats, 'listener_manager.lds.');
    this.sources = new ConfigSources({
      node: options.node,
      stats,
      findCluster: name => this.#staticModels.get(name) ?? null,
      findSecret: key => this.secrets.get(key),
      decodeFile: options.decodeFile,
    });
    this.secrets = new SecretStore({
      resources,
      resolve: resolveSecretFiles,
      watchFiles: (bytes, onChange) =>
        watchDirectories(
          listSecretDirectories(bytes).map(path => ({ path, entry: null })),
          onChange,
        ),
      compile: (bytes, { key }) => compilers.secret(bytes, key),
      aggregated: () => this.sources.aggregated,
      openSource: reference => this.#openSecretSource(reference),
      onSecret: options.onSecret,
    });
    this.clusters = new ClusterDiscovery({
      resources,
      compile: bytes => compilers.cluster(bytes),
      clusters: options.clusters,
      endpoints: source => this.#endpointsOn(source),
      secrets: this.secrets,
      stats: new ClusterManagerStats(stats),
      subscriptionStats: this.clusterSubscription,
    });
    this.listeners = new ListenerDiscovery({
      resources,
      compile: bytes => this.#requireClusters(compilers.listener(bytes)),
      listeners: options.listeners,
      routes: source => this.#routesOn(source),
      extensions: source => this.#extensionsOn(source),
      secrets: this.secrets,
      stats: new ListenerManagerStats(stats, options.workerCount, options.drainTimeMs),
      subscriptionStats: this.listenerSubscription,
    });
  }

  /**
   * Compiles everything static, and nothing else: what `--mode validate` asks for.
   * @throws ConfigError or Error
   */
  compileStatic(): { startClusters: (init: InitManager) => void } {
    const { bootstrap, compilers } = this.#options;
    for (const resource of bootstrap.staticSecrets) {
      named('secret', resource, bytes => this.secrets.addInline(compilers.secret(bytes, `static/${resource.name}`)));
    }
    const prepared = bootstrap.staticClusters.map(resource =>
      named('cluster', resource, bytes => this.clusters.prepareStatic(bytes)),
    );
    for (const { model } of prepared) this.#staticModels.set(model.name, model);
    this.#startListeners = bootstrap.staticListeners.map(resource =>
      named('listener', resource, bytes => this.listeners.prepareStatic(bytes)),
    );
    const startClusters = (init: InitManager): void => {
      // Clusters with discovered endpoints may depend on the others for their source.
      for (const usesEds of [false, true]) {
        for (const cluster of prepared) {
          if (cluster.usesEds === usesEds) cluster.accept(init.add(`cluster ${cluster.model.name}`));
        }
      }
    };
    return { startClusters };
  }

  /** @throws ConfigError or Error for what is wrong with the bootstrap. */
  start(): void {
    const { bootstrap } = this.#options;
    const { startClusters } = this.compileStatic();
    if (bootstrap.ads !== null) this.sources.openAggregated(bootstrap.ads);
    const primary = new InitManager(() => this.#startClusterDiscovery());
    startClusters(primary);
    primary.seal();
  }

  stop(): void {
    this.sources.stop();
  }

  /** What is waited for, by the name of the waiting resource. */
  get pending(): { readonly name: string; readonly targets: readonly string[] }[] {
    return [...this.clusters.pending, ...this.listeners.pending];
  }

  /** @throws Error if routes that are to be validated name a cluster that does not exist. */
  #requireClusters<T extends { readonly requiredClusters?: readonly RequiredCluster[] }>(compiled: T): T {
    for (const { name, problem } of compiled.requiredClusters ?? []) {
      const exists = this.#staticModels.has(name) || this.#options.resources.get('cluster', name) !== undefined;
      if (!exists) throw new Error(problem);
    }
    return compiled;
  }

  #startClusterDiscovery(): void {
    const { cds } = this.#options.bootstrap;
    if (cds === null) {
      this.#startListenerDiscovery();
      return;
    }
    const source = this.sources.open(cds.source, 'cluster');
    source.subscribe({ typeUrl: discoveryTypeUrls.cluster, names: 'wildcard', handler: this.clusters });
    this.clusters.whenInitialized(cds.initialFetchTimeoutMs, () => this.#startListenerDiscovery());
  }

  #startListenerDiscovery(): void {
    const { lds } = this.#options.bootstrap;
    const init = new InitManager(() => this.#options.onInitialized());
    for (const [index, start] of this.#startListeners.entries()) start(init.add(`static listener ${index}`));
    if (lds !== null) {
      const source = this.sources.open(lds.source, 'listener');
      source.subscribe({ typeUrl: discoveryTypeUrls.listener, names: 'wildcard', handler: this.listeners });
      this.listeners.whenInitialized(lds.initialFetchTimeoutMs, init.add('lds'));
    }
    init.seal();
  }

  #endpointsOn(source: ConfigSourceModel | undefined): EndpointDiscovery | null {
    const { resources, compilers, stats } = this.#options;
    return this.#shared(
      this.#endpoints,
      source,
      opened => {
        const makeStats = (statName: string): SubscriptionStats => new SubscriptionStats(stats, `cluster.${statName}.`);
        return new EndpointDiscovery({ resources, source: opened, compile: bytes => compilers.endpoints(bytes), makeStats });
      },
      'endpoints',
    );
  }

  #routesOn(source: ConfigSourceModel | undefined): RouteDiscovery | null {
    const { resources, compilers, routes, stats } = this.#options;
    return this.#shared(
      this.#routes,
      source,
      opened => {
        const makeStats = (scope: string): RouteSubscriptionStats => new RouteSubscriptionStats(stats, scope);
        return new RouteDiscovery({
          resources,
          source: opened,
          compile: bytes => this.#requireClusters(compilers.route(bytes)).model,
          routes,
          makeStats,
        });
      },
      'route',
    );
  }

  #extensionsOn(source: ConfigSourceModel): ExtensionDiscovery | null {
    const { resources, compilers, extensions, stats } = this.#options;
    const make = (opened: DiscoverySource): ExtensionDiscovery =>
      new ExtensionDiscovery({ resources, source: opened, compile: compilers.extension, extensions, stats });
    return this.#shared(this.#extensions, source, make, 'extension');
  }

  /** One discovery per source, made when it is first needed. */
  #shared<T>(
    made: Map<string, T>,
    model: ConfigSourceModel | undefined,
    make: (source: DiscoverySource) => T,
    kind: 'endpoints' | 'route' | 'extension',
  ): T | null {
    const source = model?.source ?? { kind: 'ads' };
    const key = JSON.stringify(source);
    let discovery = made.get(key);
    if (discovery === undefined) {
      if (source.kind === 'ads' && this.sources.aggregated === null) return null;
      discovery = make(this.sources.open(source, kind));
      made.set(key, discovery);
    }
    return discovery;
  }

  #openSecretSource({ source, protocol }: SecretReference): DiscoverySource & { stop(): void } {
    if (typeof source === 'string') throw new Error(`a secret of source ${source} has no stream of its own`);
    if ('path' in source) return this.sources.openFile(source.path, source.watchedDirectory);
    // Like Envoy: one stream per secret.
    const service = { protocol: protocol ?? 'sotw', cluster: source.cluster, nodeOnFirstMessageOnly: false, initialMetadata: [] };
    return this.sources.openGrpc(service, discoveryServices.secret, null);
  }
}

/** Names the resource in an error. */
function named<T>(kind: string, { name, bytes }: StaticResource, compile: (bytes: Buffer) => T): T {
  try {
    return compile(Buffer.from(bytes));
  } catch (error) {
    throw new Error(`error adding ${kind} '${name}': ${(error as Error).message}`, { cause: error });
  }
}
