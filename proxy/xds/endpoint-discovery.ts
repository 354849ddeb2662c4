/** EDS: the endpoints of clusters, by service name, each watched by the clusters that use it. */
import type { LoadAssignmentModel } from '../config/model/cluster.ts';
import type { SubscriptionStats } from './discovery-stats.ts';
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

export interface EndpointDiscoveryOptions {
  readonly resources: ResourceStore;
  readonly source: DiscoverySource;
  /** @throws ConfigError */
  readonly compile: (bytes: Uint8Array) => LoadAssignmentModel;
  /** Statistics of one cluster's subscription, `cluster.<statName>.`. */
  readonly makeStats: (statName: string) => SubscriptionStats;
}

export interface EndpointWatch {
  readonly serviceName: string;
  /** Stat name of the cluster. */
  readonly statName: string;
  /** Called with the known endpoints at once if there are any, and with every version that is received. */
  readonly onAssignment: (model: LoadAssignmentModel, fresh: boolean) => void;
  /** Called when the answer was refused, or was that there is nothing: whoever waits goes on without it, as in Envoy. */
  readonly onNothing: () => void;
}

interface Service {
  readonly watches: Map<EndpointWatch, SubscriptionStats>;
  latest: LoadAssignmentModel | null;
}

export class EndpointDiscovery implements DiscoveryHandler {
  readonly #options: EndpointDiscoveryOptions;
  readonly #services = new Map<string, Service>();
  readonly #subscription: Subscription;

  constructor(options: EndpointDiscoveryOptions) {
    this.#options = options;
    this.#subscription = options.source.subscribe({ typeUrl: discoveryTypeUrls.endpoints, names: [], handler: this });
  }

  /** Begins to watch; the returned function ends it, and with the last watch of a name its subscription. */
  watch(watch: EndpointWatch): () => void {
    let service = this.#services.get(watch.serviceName);
    if (service === undefined) {
      service = { watches: new Map(), latest: null };
      this.#services.set(watch.serviceName, service);
      this.#subscription.updateNames([watch.serviceName], []);
    }
    service.watches.set(watch, this.#options.makeStats(watch.statName));
    if (service.latest !== null) watch.onAssignment(service.latest, false);
    return () => this.#unwatch(watch);
  }

  #unwatch(watch: EndpointWatch): void {
    const service = this.#services.get(watch.serviceName);
    service?.watches.get(watch)?.release();
    if (service === undefined || !service.watches.delete(watch) || service.watches.size > 0) return;
    this.#services.delete(watch.serviceName);
    this.#options.resources.delete('endpoints', watch.serviceName);
    this.#subscription.updateNames([], [watch.serviceName]);
  }

  *onUpdate(update: DiscoveryUpdate): Gradual<UpdateOutcome> {
    for (const name of update.removed) this.#tellNothing(name);
    return yield* applyEach(
      update,
      problems => `Error adding/updating endpoints ${problems.join(', ')}`,
      resource => this.#apply(resource, update.versionInfo),
      (resource, details) => {
        noteFailure(this.#options.resources, 'endpoints', resource, update.versionInfo, details);
        this.#eachStats(resource.name, stats => stats.countRejected());
        this.#tellNothing(resource.name);
      },
    );
  }

  onConnectionFailure(): void {
    for (const name of this.#services.keys()) this.#eachStats(name, stats => stats.countFailure());
  }

  #apply(resource: DiscoveredResource, versionInfo: string): void {
    const service = this.#services.get(resource.name);
    if (service === undefined) return;
    const startMs = performance.now();
    const { resources, compile } = this.#options;
    const unchanged = isUnchanged(resources.get('endpoints', resource.name), resource);
    const model = unchanged && service.latest !== null ? service.latest : compile(resource.bytes);
    service.latest = model;
    const entry = resources.ensure('endpoints', resource.name);
    if (!unchanged) entry.active = { bytes: resource.bytes, versionInfo, lastUpdatedMs: Date.now() };
    entry.failure = null;
    // An unchanged assignment still ends the wait of a changed cluster.
    for (const watch of [...service.watches.keys()]) watch.onAssignment(model, true);
    this.#eachStats(resource.name, stats => stats.countSuccess(versionInfo, performance.now() - startMs));
  }

  #tellNothing(name: string): void {
    for (const watch of [...(this.#services.get(name)?.watches.keys() ?? [])]) watch.onNothing();
  }

  #eachStats(name: string, count: (stats: SubscriptionStats) => void): void {
    for (const stats of this.#services.get(name)?.watches.values() ?? []) count(stats);
  }
}
