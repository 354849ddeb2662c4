/** RDS: route configurations by name, each watched by the listeners that use it. */
import type { RouteConfigModel } from '../config/model/route.ts';
import type { RouteSubscriptionStats } from './discovery-stats.ts';
import { discoveryTypeUrls } from './discovery-types.ts';
import type { Gradual } from './gradual.ts';
import type { ResourceStore } from './resource-store.ts';
import type {
  DiscoveredResource,
  DiscoveryHandler,
  DiscoverySource,
  DiscoveryUpdate,
  Subscription,
  UpdateOutcome,
} from './subscription.ts';
import { applyEach, isUnchanged, noteFailure } from './warming-resource.ts';

/** Where accepted route configurations go: the workers. */
export interface RouteSink {
  update(model: RouteConfigModel): void;
  remove(name: string): void;
}

export interface RouteDiscoveryOptions {
  readonly resources: ResourceStore;
  readonly source: DiscoverySource;
  /** @throws ConfigError */
  readonly compile: (bytes: Uint8Array) => RouteConfigModel;
  readonly routes: RouteSink;
  readonly makeStats: (scope: string) => RouteSubscriptionStats;
}

interface WatchedRoute {
  readonly waiting: Set<() => void>;
  readonly stats: RouteSubscriptionStats;
  watchers: number;
  known: boolean;
}

export class RouteDiscovery implements DiscoveryHandler {
  readonly #options: RouteDiscoveryOptions;
  readonly #watched = new Map<string, WatchedRoute>();
  readonly #subscription: Subscription;

  constructor(options: RouteDiscoveryOptions) {
    this.#options = options;
    this.#subscription = options.source.subscribe({ typeUrl: discoveryTypeUrls.route, names: [], handler: this });
  }

  /**
   * Keeps a route configuration subscribed. Its statistics are below the connection manager that was the first to ask, as in Envoy.
   * @param onReady called when it is known: at once, or with its first version. A refused version counts as well, as in Envoy:
   * the listener then serves without routes, and the start goes on.
   * @returns ends it; an unwatched name is unsubscribed and forgotten.
   */
  watch(name: string, statPrefix: string, onReady: () => void): () => void {
    let watched = this.#watched.get(name);
    if (watched === undefined) {
      const stats = this.#options.makeStats(`http.${statPrefix}.rds.${name}.`);
      watched = { waiting: new Set(), stats, watchers: 0, known: false };
      this.#watched.set(name, watched);
      this.#subscription.updateNames([name], []);
    }
    const own = watched;
    own.watchers++;
    if (own.known) onReady();
    else own.waiting.add(onReady);
    let released = false;
    return () => {
      if (released) return;
      released = true;
      own.waiting.delete(onReady);
      if (--own.watchers === 0) this.#forget(name);
    };
  }

  #forget(name: string): void {
    this.#watched.get(name)?.stats.release();
    this.#watched.delete(name);
    this.#subscription.updateNames([], [name]);
    this.#options.resources.delete('route', name);
    this.#options.routes.remove(name);
  }

  *onUpdate(update: DiscoveryUpdate): Gradual<UpdateOutcome> {
    // A removal is not acted upon, as in Envoy: the listeners that use the routes say when they are done with.
    return yield* applyEach(
      update,
      problems => `Error adding/updating route configuration(s) ${problems.join(', ')}`,
      resource => this.#apply(resource, update.versionInfo),
      (resource, details) => {
        noteFailure(this.#options.resources, 'route', resource, update.versionInfo, details);
        this.#watched.get(resource.name)?.stats.countRejected();
        this.#release(resource.name);
      },
    );
  }

  onConnectionFailure(): void {
    for (const { stats } of this.#watched.values()) stats.countFailure();
  }

  #apply(resource: DiscoveredResource, versionInfo: string): void {
    const watched = this.#watched.get(resource.name);
    if (watched === undefined) return;
    const { resources, routes, compile } = this.#options;
    const startMs = performance.now();
    if (!isUnchanged(resources.get('route', resource.name), resource)) {
      const model = compile(resource.bytes);
      const entry = resources.ensure('route', resource.name);
      entry.active = { bytes: resource.bytes, versionInfo, lastUpdatedMs: Date.now() };
      entry.failure = null;
      routes.update(model);
      watched.stats.countReload();
    }
    watched.stats.countSuccess(versionInfo, performance.now() - startMs);
    watched.known = true;
    this.#release(resource.name);
  }

  /** Nobody waits for the name any more. */
  #release(name: string): void {
    const waiting = this.#watched.get(name)?.waiting;
    for (const onReady of [...(waiting ?? [])]) {
      waiting?.delete(onReady);
      onReady();
    }
  }
}
