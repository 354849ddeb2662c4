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
import type { InitManager } from './init-manager.ts';
import type { ListenerManagerStats } from './manager-stats.ts';
import type { ResourceStore } from './resource-store.ts';
import type { RouteDiscovery } from './route-discovery.ts';
import type { SecretStore } from './secret-store.ts';
import { WarmingDiscovery, type WarmingKind } from './warming-discovery.ts';

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

const kind: WarmingKind = {
  kind: 'listener',
  service: 'lds',
  // A new listener may take over an address.
  removesFirst: true,
  log,
  describeUpdate: (added, removed) => `lds: add/update ${added} listener(s), remove ${removed} listener(s)`,
  describeProblems: problems => `Error adding/updating listener(s) ${problems.join('\n')}\n`,
  describeDuplicate: name => `duplicate listener ${name} found`,
};

export class ListenerDiscovery extends WarmingDiscovery<CompiledListener> {
  readonly #options: ListenerDiscoveryOptions;
  /** Everything but the filter chains of active listeners. */
  readonly #shapes = new Map<string, string>();

  constructor(options: ListenerDiscoveryOptions) {
    super(options, kind);
    this.#options = options;
  }

  /**
   * Compiles a listener of the bootstrap; the returned function puts it into effect.
   * @throws ConfigError
   */
  prepareStatic(bytes: Buffer): (onWarm: () => void) => void {
    return this.prepare(bytes).accept;
  }

  protected override onRejected(): void {
    this.#options.stats.countCreateFailure();
  }

  protected override acquireParts(compiled: CompiledListener, init: InitManager): (() => void)[] {
    return [...this.#watchRoutes(compiled, init), ...this.#watchExtensions(compiled, init)];
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

  /** Envoy binds before it warms: an address that cannot be bound shows here after the ACK if the listener had to wait. */
  protected override serve({ model }: CompiledListener): void {
    const { listeners, stats } = this.#options;
    const { name } = model;
    try {
      listeners.update(model);
    } catch (error) {
      stats.countCreateFailure();
      log.error(`listener '${name}' failed to bind or apply socket options: ${(error as Error).message}`);
      throw error;
    }
    stats.countCreated();
    const shape = describeShape(model);
    const shapeBefore = this.#shapes.get(name);
    if (shapeBefore === shape) stats.countInPlaceUpdated();
    else if (shapeBefore !== undefined) stats.countReplaced();
    this.#shapes.set(name, shape);
  }

  protected override withdraw(name: string): void {
    this.#shapes.delete(name);
    this.#options.listeners.remove(name);
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
