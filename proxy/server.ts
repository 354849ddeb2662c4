/**
 * The main thread: puts the parts together, brings them up in order, and carries out what the admin API and signals ask for.
 */
import { availableParallelism } from 'node:os';
import { writeFileSync } from 'node:fs';
import {
  configureLog,
  reopenLogFile,
  currentLogLevels,
  isLogComponent,
  isLogLevel,
  Logger,
  setComponentLogLevel,
  setLogLevels,
} from '../common/log.ts';
import { decodeMessage, encodeMessage, findType, type protos } from '../protos/messages.ts';
import { type AdminServer, startAdmin } from './admin/admin-server.ts';
import { createAdminContext } from './admin-wiring.ts';
import { createCompilers } from './compilers.ts';
import { decodeDiscoveryFile, type LoadedBootstrap } from './config/bootstrap-file.ts';
import { compileBootstrap } from './config/compile/bootstrap.ts';
import type { CompileContext } from './config/compile/scope.ts';
import type { BootstrapModel } from './config/model/bootstrap.ts';
import type { ProxyOptions } from './config/options.ts';
import { createCompileContext } from './extensions/compile-manifest.ts';
import { Lifecycle } from './lifecycle.ts';
import { DeclaredListenerStats } from './listener/declared-stats.ts';
import { ListenerManager } from './listener/listener-manager.ts';
import { addClientFeatures, completeNode } from './node-identity.ts';
import { loadSocketOptions } from './network/socket-options.ts';
import type { SecretLookup } from './network/tls/secret-stats.ts';
import { writeRouteConfig } from './router/route-config-text.ts';
import { RuntimeLayers } from './runtime-layers.ts';
import { type ServerState, ServerStats } from './server-stats.ts';
import { createHistogramBounds, createStatsMatcher } from './telemetry/stats-matcher.ts';
import { StatsMerger } from './telemetry/stats-merger.ts';
import { StatsStore } from './telemetry/stats-store.ts';
import { TagExtractor } from './telemetry/tag-extractor.ts';
import { ClusterRegistry } from './upstream/cluster-registry.ts';
import { allocateClusterCounters, allocateHostCounters } from './upstream/shared-counters.ts';
import type { MainToWorker, WorkerToMain } from './workers/messages.ts';
import { WorkerPool } from './workers/worker-pool.ts';
import { Discovery } from './xds/discovery.ts';
import { ResourceStore } from './xds/resource-store.ts';

const log = new Logger('main');

const bootstrapType = 'envoy.config.bootstrap.v3.Bootstrap';

type Bootstrap = protos.envoy.config.bootstrap.v3.Bootstrap;

/**
 * Loads what every start needs, whatever its configuration.
 * @throws Error for what is missing.
 */
export function preload(): void {
  findType(bootstrapType);
  loadSocketOptions();
}

export class Server {
  readonly options: ProxyOptions;
  /** As loaded, with the node as control planes see it. */
  readonly bootstrap: Bootstrap;
  readonly model: BootstrapModel;
  readonly startTimeMs = Date.now();
  readonly workerCount: number;
  readonly resources = new ResourceStore();
  readonly merger: StatsMerger;
  readonly stats: StatsStore;
  readonly pool: WorkerPool;
  readonly registry: ClusterRegistry;
  readonly listeners: ListenerManager;
  readonly runtime: RuntimeLayers;
  readonly discovery: Discovery;
  readonly #context: CompileContext;
  readonly #listenerStats: DeclaredListenerStats;
  readonly #serverStats: ServerStats;
  readonly #lifecycle: Lifecycle;
  #admin: AdminServer | null = null;
  #state: ServerState = 'PRE_INITIALIZING';
  #healthCheckFailed = false;

  /** @throws ConfigError or Error for what is wrong with the bootstrap. */
  constructor(options: ProxyOptions, loaded: LoadedBootstrap) {
    this.options = options;
    for (const path of loaded.unknownFields) log.warn(`unknown field in the bootstrap: ${path}`);
    const node = completeNode(loaded.message.node as never, { id: options.serviceNode, cluster: options.serviceCluster });
    // Through the wire form once: a spread message has lost the defaults of its unset fields.
    this.bootstrap = decodeMessage(bootstrapType, encodeMessage(bootstrapType, { ...loaded.message, node } as never));
    this.#context = createCompileContext({ rejectUnknownFields: options.rejectUnknownDynamicFields });
    const compiled = compileBootstrap(this.bootstrap, this.#context);
    for (const warning of compiled.warnings) log.warn(warning);
    this.model = compiled.model;
    configureLog('main', this.model.jsonLog);
    this.workerCount = Math.max(1, options.concurrency ?? availableParallelism());
    this.merger = this.#createMerger();
    this.stats = new StatsStore({
      isIncluded: createStatsMatcher(this.model.stats.matcher),
      sink: this.merger.createSink(),
    });
    this.runtime = new RuntimeLayers(this.model.runtimeLayers, values => this.pool.broadcast({ type: 'runtime', values }));
    this.runtime.publishStats(this.stats);
    const hostCounters = allocateHostCounters(this.workerCount);
    const clusterCounters = allocateClusterCounters(this.workerCount);
    this.pool = this.#createPool(hostCounters, clusterCounters);
    const broadcast = (message: MainToWorker): void => this.pool.broadcast(message);
    const findSecret: SecretLookup = key => this.discovery.secrets.describe(key);
    this.#listenerStats = new DeclaredListenerStats(this.stats, this.workerCount, options.drainTimeMs, findSecret);
    this.registry = new ClusterRegistry({
      broadcast,
      hostCounters,
      clusterCounters,
      stats: this.stats,
      deferredStats: this.model.stats.deferredCreation,
      findSecret,
    });
    this.listeners = new ListenerManager({
      workerCount: this.workerCount,
      post: (worker, message) => this.pool.post(worker, message),
      broadcast,
      drainTimeMs: options.drainTimeMs,
      stats: this.#listenerStats,
    });
    this.discovery = this.#createDiscovery();
    this.#serverStats = new ServerStats(this.stats, {
      workerCount: this.workerCount,
      certificateTexts: () => this.discovery.secrets.certificateTexts(),
      connections: () => this.pool.connectionCounts.reduce((sum, count) => sum + count, 0),
    });
    this.merger.onSnapshot(() => {
      this.#serverStats.refresh();
      this.registry.refreshStats();
      this.#serverStats.setInflatedClusters(this.registry.size);
    });
    const { flushIntervalMs } = this.model.stats;
    if (flushIntervalMs > 0) setInterval(() => this.merger.flushIntervals(), flushIntervalMs).unref();
    this.#lifecycle = new Lifecycle({
      reopenLogs: () => this.reopenLogs(),
      flush: () => this.#flush(),
      stop: () => this.discovery.stop(),
    });
  }

  get state(): ServerState {
    return this.#healthCheckFailed ? 'DRAINING' : this.#state;
  }

  /**
   * Compiles everything that the bootstrap holds, and starts nothing.
   * @throws ConfigError or Error
   */
  validate(): void {
    this.discovery.compileStatic();
  }

  /** Resolves when the admin API answers; the rest comes up behind it. */
  async start(): Promise<void> {
    this.#lifecycle.install();
    const workers = this.pool.start();
    this.#setState('INITIALIZING');
    // First of all, since a control plane takes its time to answer: the rest is loaded meanwhile.
    this.discovery.start();
    // Refuses to start without them; the workers load them later.
    loadSocketOptions();
    this.#admin = await this.#startAdmin();
    await workers;
  }

  quit(): void {
    this.#lifecycle.exit('shutting down server instance');
  }

  setHealthCheckFailed(failed: boolean): void {
    this.#healthCheckFailed = failed;
    this.#serverStats.setState(this.state);
  }

  drainListeners(options: { readonly graceful: boolean; readonly skipExit: boolean; readonly inboundOnly: boolean }): void {
    const { graceful, inboundOnly, skipExit } = options;
    if (graceful && skipExit)
      this.pool.broadcast({ type: 'drain', inboundOnly, graceful, drainTimeMs: this.options.drainTimeMs });
    else this.listeners.drain({ inboundOnly, graceful });
  }

  /** Sets all loggers (null: keeps them), then single ones, on every thread. */
  setLogLevels(level: string | null, components: { readonly [component: string]: string }): void {
    if (level !== null && isLogLevel(level)) setLogLevels(level);
    for (const [component, own] of Object.entries(components)) {
      if (isLogComponent(component) && isLogLevel(own)) setComponentLogLevel(component, own);
    }
    const levels = currentLogLevels();
    this.pool.broadcast({ type: 'log-level', level: this.options.logLevel, components: Object.fromEntries(levels) });
  }

  reopenLogs(): void {
    reopenLogFile();
    this.pool.broadcast({ type: 'reopen-logs' });
  }

  #setState(state: ServerState): void {
    this.#state = state;
    this.#serverStats.setState(this.state);
  }

  #createMerger(): StatsMerger {
    const { stats } = this.model;
    return new StatsMerger({
      tagExtractor: new TagExtractor(stats),
      isIncluded: createStatsMatcher(stats.matcher),
      histogramBounds: createHistogramBounds(stats.histogramBuckets),
      flushOnSnapshot: stats.flushIntervalMs === 0,
    });
  }

  #createPool(hostCounters: SharedArrayBuffer, clusterCounters: SharedArrayBuffer): WorkerPool {
    const { options, model } = this;
    return new WorkerPool({
      workerCount: this.workerCount,
      start: {
        node: model.node,
        localCluster: model.localCluster ?? '',
        statsMatcher: model.stats.matcher,
        hostCounters,
        clusterCounters,
        runtime: this.runtime.values,
        logLevel: options.logLevel,
        componentLogLevels: options.componentLogLevels,
        logPath: options.logPath,
        fileFlushIntervalMs: options.fileFlushIntervalMs,
        fileFlushMinBytes: options.fileFlushMinBytes,
        globalConnectionLimit: model.globalConnectionLimit,
        drainTimeMs: options.drainTimeMs,
      },
      createSink: () => this.merger.createSink(),
      onMessage: (worker, message) => this.#onWorkerMessage(worker, message),
    });
  }

  #onWorkerMessage(worker: number, message: WorkerToMain): void {
    if (message.type === 'host-result') this.registry.onHostResult(message.cluster, message.slot, message.result);
    else if (message.type === 'host-health') this.registry.onHostHealth(message.cluster, message.slot, message.flags);
    else if (message.type === 'hosts-checked') this.registry.onHostsChecked(message.cluster);
    else if (message.type === 'dynamic-hosts') this.registry.onDynamicHosts(worker, message.cluster, message.addresses);
  }

  #createDiscovery(): Discovery {
    const { pool } = this;
    return new Discovery({
      bootstrap: this.model,
      node: addClientFeatures(this.bootstrap.node as never) as never,
      stats: this.stats,
      workerCount: this.workerCount,
      drainTimeMs: this.options.drainTimeMs,
      resources: this.resources,
      compilers: createCompilers(this.#context, count => this.#serverStats.countUnknownFields(count)),
      clusters: this.registry,
      listeners: this.listeners,
      routes: {
        update: model => pool.broadcast({ type: 'route-config', name: model.name, model: writeRouteConfig(model) }),
        remove: name => pool.broadcast({ type: 'route-config-removed', name }),
      },
      extensions: {
        update: (category, name, model) =>
          pool.broadcast({ type: 'extension-config', category, name, model: JSON.stringify(model) }),
        remove: (category, name) => pool.broadcast({ type: 'extension-config', category, name }),
      },
      onSecret: secret => {
        pool.broadcast({ type: 'secret', secret });
        this.registry.onSecret(secret.key);
        this.#listenerStats.onSecret(secret.key);
      },
      decodeFile: decodeDiscoveryFile,
      onInitialized: () => this.#startWorkers(),
    });
  }

  #startWorkers(): void {
    log.info('all dependencies initialized. starting workers');
    this.listeners.startWorkers();
    // Ready means that connections are accepted, on every worker.
    this.pool.barrier().then(() => {
      this.stats.gauge('listener_manager.workers_started').set(1);
      this.#setState('LIVE');
      this.#serverStats.recordInitializationMs(Date.now() - this.startTimeMs);
    });
  }

  async #startAdmin(): Promise<AdminServer | null> {
    const { admin } = this.model;
    if (admin === null) return null;
    const server = await startAdmin(createAdminContext(this, admin));
    const { address } = admin;
    if (this.options.adminAddressPath !== '') {
      writeFileSync(this.options.adminAddressPath, address.kind === 'pipe' ? address.path : `${address.address}:${server.port}`);
    }
    return server;
  }

  async #flush(): Promise<void> {
    this.#setState('DRAINING');
    this.listeners.shutdown();
    await this.pool.stop();
    await this.#admin?.close();
  }
}
