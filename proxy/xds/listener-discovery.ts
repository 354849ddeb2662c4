/**
 * LDS and the static listeners: accepted listeners warm (routes, secrets) before they replace what serves.
 *
 * Source: Envoy's LdsApiImpl and ListenerManagerImpl.
 */
import { Logger } from '../../common/log.ts';
import type { ConfigSourceModel } from '../config/model/bootstrap.ts';
import type { ExtensionReference, SecretReference } from '../config/compile/scope.ts';
import type { HttpConnectionManagerModel } from '../config/model/http-connection-manager.ts';
import type { ListenerModel } from '../config/model/listener.ts';
import type { SecretModel } from '../config/model/tls.ts';
import type { SubscriptionStats } from './discovery-stats.ts';
import type { ExtensionDiscovery } from './extension-discovery.ts';
import { InitManager } from './init-manager.ts';
import type { ListenerManagerStats } from './manager-stats.ts';
import type { ResourceStore, ResourceVersion } from './resource-store.ts';
import type { RouteDiscovery } from './route-discovery.ts';
import type { SecretStore } from './secret-store.ts';
import type { DiscoveredResource, DiscoveryHandler, DiscoveryUpdate, UpdateOutcome } from './subscription.ts';
import { applyEach, isUnchanged, joinCallbacks, noteFailure, type WarmingResource } from './warming-resource.ts';

const log = new Logger('config');

/** The listener manager, as discovery sees it. */
export interface ListenerSink {
  /** @throws if the address cannot be bound. */
  update(model: ListenerModel): void;
  remove(name: string): void;
}

export interface CompiledListener {
  readonly model: ListenerModel;
  readonly routeNames: readonly string[];
  /** By name of the route configuration; absent: the aggregated stream, without a time limit. */
  readonly routeSources?: { readonly [name: string]: ConfigSourceModel };
  /** Absent: none. */
  readonly extensions?: readonly ExtensionReference[];
  readonly secrets: readonly SecretReference[];
  /** Given in the resource itself, under the keys that its model uses. */
  readonly inlineSecrets: readonly SecretModel[];
  /** Absent: none. */
  readonly requiredClusters?: readonly { readonly name: string; readonly problem: string }[];
}

export interface ListenerDiscoveryOptions {
  readonly resources: ResourceStore;
  /** @throws ConfigError */
  readonly compile: (bytes: Uint8Array) => CompiledListener;
  readonly listeners: ListenerSink;
  /** The discovery on a source; null if the aggregated stream is asked for and there is none. */
  readonly routes: (source: ConfigSourceModel | undefined) => RouteDiscovery | null;
  /** The same for configurations of filters. */
  readonly extensions: (source: ConfigSourceModel) => ExtensionDiscovery | null;
  readonly secrets: SecretStore;
  readonly stats: ListenerManagerStats;
  readonly subscriptionStats: SubscriptionStats;
}

export class ListenerDiscovery implements DiscoveryHandler {
  readonly #options: ListenerDiscoveryOptions;
  readonly #warming = new Map<string, WarmingResource>();
  readonly #active = new Map<string, () => void>();
  /** Everything but the filter chains of active listeners. */
  readonly #shapes = new Map<string, string>();
  #firstUpdate: InitManager | null = null;
  #onInitialized: (() => void) | null = null;
  #initialized = false;
  #accepting = false;

  constructor(options: ListenerDiscoveryOptions) {
    this.#options = options;
  }

  get pending(): { readonly name: string; readonly targets: readonly string[] }[] {
    return [...this.#warming].map(([name, { init }]) => ({ name, targets: init.pending }));
  }

  /**
   * Compiles a listener of the bootstrap; the returned function puts it into effect.
   * @throws ConfigError
   */
  prepareStatic(bytes: Buffer): (onWarm: () => void) => void {
    const compiled = this.#options.compile(bytes);
    const { name } = compiled.model;
    if (this.#options.resources.get('listener', name) !== undefined) throw new Error(`duplicate listener ${name} found`);
    this.#options.resources.ensure('listener', name, true);
    return onWarm => this.#accept(name, compiled, { bytes, versionInfo: '', lastUpdatedMs: Date.now() }, onWarm);
  }

  /**
   * Calls back when the first update, whatever became of it, and all listeners it brought are done with.
   * @param timeoutMs for the first update; 0: as long as it takes.
   */
  whenInitialized(timeoutMs: number, callback: () => void): void {
    const fetch = new InitManager(callback);
    this.#onInitialized = fetch.add('lds', timeoutMs, () => this.#options.subscriptionStats.countFetchTimeout());
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
    // Removals come first: a new listener may take over an address.
    for (const name of update.removed) this.#remove(name);
    const outcome = applyEach(
      update,
      problems => `Error adding/updating listener(s) ${problems.join('\n')}\n`,
      resource => this.#apply(resource, update.versionInfo, first),
      (resource, details) => {
        stats.countCreateFailure();
        noteFailure(resources, 'listener', resource, update.versionInfo, details);
      },
    );
    if (outcome.error === null) subscriptionStats.countSuccess(update.versionInfo, performance.now() - startMs);
    else subscriptionStats.countRejected();
    log.info(`lds: add/update ${update.resources.length} listener(s), remove ${update.removed.length} listener(s)`);
    first?.seal();
    return outcome;
  }

  #finishInitialization(): void {
    if (this.#initialized) return;
    this.#initialized = true;
    this.#onInitialized?.();
  }

  #apply(resource: DiscoveredResource, versionInfo: string, first: InitManager | null): void {
    const entry = this.#options.resources.get('listener', resource.name);
    if (entry?.isStatic || isUnchanged(entry, resource)) return;
    const compiled = this.#options.compile(resource.bytes);
    const onWarm = first?.add(`listener ${resource.name}`) ?? (() => {});
    try {
      this.#accept(resource.name, compiled, { bytes: resource.bytes, versionInfo, lastUpdatedMs: Date.now() }, onWarm);
    } catch (error) {
      this.#giveUp(resource.name);
      throw error;
    }
  }

  /** A source that does not exist shows only when it is asked: nobody waits for such a listener. */
  #giveUp(name: string): void {
    const onWarm = this.#cancelWarming(name);
    if (onWarm === undefined) return;
    this.#options.resources.ensure('listener', name).warming = null;
    this.#options.stats.setWarming(this.#warming.size);
    onWarm();
  }

  #accept(name: string, compiled: CompiledListener, version: ResourceVersion, whenWarm: () => void): void {
    const { resources, secrets, stats } = this.#options;
    const onWarm = joinCallbacks(this.#cancelWarming(name), whenWarm);
    const entry = resources.ensure('listener', name);
    entry.warming = version;
    entry.failure = null;
    if (entry.active === null) stats.countAdded();
    else stats.countModified();
    const releases = compiled.inlineSecrets.map(secret => secrets.addInline(secret));
    const init = new InitManager(() => this.#activate(name, compiled.model, onWarm));
    this.#warming.set(name, { version, init, release: () => runAll(releases), onWarm });
    stats.setWarming(this.#warming.size);
    for (const reference of compiled.secrets) {
      releases.push(secrets.acquire(reference, init.add(`secret ${reference.name}`, reference.initialFetchTimeoutMs)));
    }
    if (compiled.routeNames.length > 0) releases.push(...this.#watchRoutes(compiled, init));
    releases.push(...this.#watchExtensions(compiled, init));
    this.#accepting = true;
    try {
      init.seal();
    } finally {
      this.#accepting = false;
    }
  }

  #watchRoutes(compiled: CompiledListener, init: InitManager): (() => void)[] {
    return compiled.routeNames.map(name => {
      const source = compiled.routeSources?.[name];
      const routes = this.#options.routes(source);
      if (routes === null) throw new Error(`listener ${compiled.model.name}: no source of routes is configured`);
      return routes.watch(name, statPrefixOf(compiled.model, name), init.add(`routes ${name}`, source?.initialFetchTimeoutMs));
    });
  }

  #watchExtensions({ model, extensions = [] }: CompiledListener, init: InitManager): (() => void)[] {
    return extensions.map(reference => {
      const discovery = this.#options.extensions(reference.source);
      if (discovery === null) throw new Error(`listener ${model.name}: no source of filter configurations is configured`);
      const { name, source, isAwaited } = reference;
      return discovery.watch(reference, isAwaited ? init.add(`extension ${name}`, source.initialFetchTimeoutMs) : () => {});
    });
  }

  #activate(name: string, model: ListenerModel, onWarm: () => void): void {
    const { listeners, resources, stats } = this.#options;
    const warming = this.#warming.get(name) as WarmingResource;
    this.#warming.delete(name);
    stats.setWarming(this.#warming.size);
    const entry = resources.ensure('listener', name);
    entry.warming = null;
    try {
      listeners.update(model);
    } catch (error) {
      this.#onBindFailure(name, warming, error as Error);
      onWarm();
      // While the update is being answered the failure is a NACK, as in Envoy, which binds before it warms.
      if (this.#accepting) throw error;
      return;
    }
    stats.countCreated();
    const shape = describeShape(model);
    const shapeBefore = this.#shapes.get(name);
    if (shapeBefore === shape) stats.countInPlaceUpdated();
    else if (shapeBefore !== undefined) stats.countReplaced();
    this.#shapes.set(name, shape);
    entry.active = warming.version;
    this.#active.get(name)?.();
    this.#active.set(name, warming.release);
    stats.setActive(this.#active.size);
    onWarm();
  }

  /** An address that cannot be bound shows after the ACK: the failure is kept beside the version that still serves. */
  #onBindFailure(name: string, warming: WarmingResource, error: Error): void {
    warming.release();
    const { resources, stats } = this.#options;
    const { bytes, versionInfo } = warming.version;
    resources.ensure('listener', name).failure = { bytes, versionInfo, lastAttemptMs: Date.now(), details: error.message };
    stats.countCreateFailure();
    log.error(`listener '${name}' failed to bind or apply socket options: ${error.message}`);
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
    const { resources, listeners, stats } = this.#options;
    const entry = resources.get('listener', name);
    if (entry === undefined || entry.isStatic) return;
    const onWarm = this.#cancelWarming(name);
    const release = this.#active.get(name);
    resources.delete('listener', name);
    if (release !== undefined) {
      this.#active.delete(name);
      this.#shapes.delete(name);
      listeners.remove(name);
      release();
      stats.countRemoved();
    }
    stats.setWarming(this.#warming.size);
    stats.setActive(this.#active.size);
    onWarm?.();
  }
}

function describeShape(model: ListenerModel): string {
  return JSON.stringify({ ...model, hash: '', filterChains: [], defaultFilterChain: null });
}

/** Of the first connection manager that uses the routes. */
function statPrefixOf({ filterChains, defaultFilterChain }: ListenerModel, routes: string): string {
  const chains = defaultFilterChain === null ? filterChains : [...filterChains, defaultFilterChain];
  for (const { kind, config } of chains.flatMap(({ filters }) => filters)) {
    if (kind !== 'envoy.filters.network.http_connection_manager') continue;
    const { route: own, statPrefix } = config as HttpConnectionManagerModel;
    if (own.kind === 'rds' && own.name === routes) return statPrefix;
  }
  return '';
}

function runAll(actions: readonly (() => void)[]): void {
  for (const action of actions) action();
}
