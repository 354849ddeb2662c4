/**
 * ECDS: configurations of filters by name, each watched by the listeners that have such a filter.
 *
 * Source: Envoy's FilterConfigSubscription.
 */
import type { ExtensionReference } from '../config/compile/scope.ts';
import type { FilterModel } from '../config/model/listener.ts';
import type { Counter, StatsStore } from '../telemetry/stats-store.ts';
import { SubscriptionStats } from './discovery-stats.ts';
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

type Category = ExtensionReference['category'];

/** Where accepted configurations go: the workers. */
export interface ExtensionSink {
  /** Null: the filter has nothing to do. */
  update(category: Category, name: string, model: FilterModel | null): void;
  remove(category: Category, name: string): void;
}

export interface ExtensionDiscoveryOptions {
  readonly resources: ResourceStore;
  readonly source: DiscoverySource;
  /** @throws ConfigError */
  readonly compile: (bytes: Uint8Array, category: Category) => { readonly model: FilterModel | null; readonly typeName: string };
  readonly extensions: ExtensionSink;
  readonly stats: StatsStore;
}

/** One name: a filter of HTTP and one of the network may share it. */
interface WatchedName {
  readonly references: Map<ExtensionReference, () => void>;
}

/** `extension_config_discovery.<category>.<name>.*` */
class ExtensionStats extends SubscriptionStats {
  readonly reload: Counter;
  readonly fail: Counter;

  constructor(parent: StatsStore, { category, name }: ExtensionReference) {
    const scope = `extension_config_discovery.${category}.${name}.`;
    super(parent, scope);
    this.reload = this.stats.counter(`${scope}config_reload`);
    this.fail = this.stats.counter(`${scope}config_fail`);
    this.stats.counter(`${scope}config_conflict`);
  }
}

export class ExtensionDiscovery implements DiscoveryHandler {
  readonly #options: ExtensionDiscoveryOptions;
  readonly #watched = new Map<string, WatchedName>();
  readonly #stats = new Map<string, ExtensionStats>();
  readonly #subscription: Subscription;

  constructor(options: ExtensionDiscoveryOptions) {
    this.#options = options;
    this.#subscription = options.source.subscribe({ typeUrl: discoveryTypeUrls.extension, names: [], handler: this });
  }

  /**
   * Keeps a configuration subscribed.
   * @param onReady called when it is known: at once, or with the first answer. A refused one counts as well, as in Envoy.
   * @returns ends it; an unwatched name is unsubscribed and forgotten.
   */
  watch(reference: ExtensionReference, onReady: () => void): () => void {
    const { name } = reference;
    let watched = this.#watched.get(name);
    if (watched === undefined) {
      watched = { references: new Map() };
      this.#watched.set(name, watched);
      this.#subscription.updateNames([name], []);
    }
    const { references } = watched;
    references.set(reference, onReady);
    this.#statsOf(reference);
    const known = this.#options.resources.get('extension', name)?.active ?? null;
    if (known !== null) this.#applyKnown(reference, known.bytes);
    return () => {
      if (references.delete(reference)) this.#forget(reference, references.size === 0);
    };
  }

  /** A listener that comes later has the version that the others have, if it may. */
  #applyKnown(reference: ExtensionReference, bytes: Uint8Array): void {
    const { compile, extensions } = this.#options;
    try {
      extensions.update(reference.category, reference.name, compileFor(reference, bytes, compile));
    } catch {
      this.#statsOf(reference).fail.inc();
    }
    this.#release(reference);
  }

  #forget(reference: ExtensionReference, isLast: boolean): void {
    const { extensions, resources } = this.#options;
    const { name, category } = reference;
    const others = [...(this.#watched.get(name)?.references.keys() ?? [])];
    if (!others.some(other => other.category === category)) {
      extensions.remove(category, name);
      this.#statsOf(reference).release();
      this.#stats.delete(statsKey(reference));
    }
    if (!isLast) return;
    this.#watched.delete(name);
    this.#subscription.updateNames([], [name]);
    resources.delete('extension', name);
  }

  *onUpdate(update: DiscoveryUpdate): Gradual<UpdateOutcome> {
    for (const name of update.removed) this.#remove(name);
    return yield* applyEach(
      update,
      problems => `Error adding/updating extension config(s) ${problems.join(', ')}`,
      resource => this.#apply(resource, update.versionInfo),
      (resource, details) => {
        noteFailure(this.#options.resources, 'extension', resource, update.versionInfo, details);
        for (const reference of this.#referencesOf(resource.name)) {
          this.#statsOf(reference).countRejected();
          this.#statsOf(reference).fail.inc();
          this.#release(reference);
        }
      },
    );
  }

  onConnectionFailure(): void {
    for (const name of this.#watched.keys()) {
      for (const reference of this.#referencesOf(name)) this.#statsOf(reference).countFailure();
    }
  }

  #apply(resource: DiscoveredResource, versionInfo: string): void {
    const { resources, extensions, compile } = this.#options;
    const references = this.#referencesOf(resource.name);
    if (references.length === 0) return;
    const startMs = performance.now();
    if (!isUnchanged(resources.get('extension', resource.name), resource)) {
      const compiled = references.map(reference => compileFor(reference, resource.bytes, compile));
      for (const [index, reference] of references.entries()) {
        extensions.update(reference.category, resource.name, compiled[index]);
        this.#statsOf(reference).reload.inc();
      }
      const entry = resources.ensure('extension', resource.name);
      entry.active = { bytes: resource.bytes, versionInfo, lastUpdatedMs: Date.now() };
      entry.failure = null;
    }
    for (const reference of references) {
      this.#statsOf(reference).countSuccess(versionInfo, performance.now() - startMs);
      this.#release(reference);
    }
  }

  #remove(name: string): void {
    this.#options.resources.delete('extension', name);
    for (const reference of this.#referencesOf(name)) {
      this.#options.extensions.remove(reference.category, name);
      this.#release(reference);
    }
  }

  #referencesOf(name: string): ExtensionReference[] {
    return [...(this.#watched.get(name)?.references.keys() ?? [])];
  }

  #release(reference: ExtensionReference): void {
    this.#watched.get(reference.name)?.references.get(reference)?.();
  }

  #statsOf(reference: ExtensionReference): ExtensionStats {
    const key = statsKey(reference);
    let stats = this.#stats.get(key);
    if (stats === undefined) {
      stats = new ExtensionStats(this.#options.stats, reference);
      this.#stats.set(key, stats);
    }
    return stats;
  }
}

const statsKey = ({ category, name }: ExtensionReference): string => `${category}/${name}`;

/** @throws for a configuration of a type that the listener does not take. */
function compileFor(
  { category, typeNames }: ExtensionReference,
  bytes: Uint8Array,
  compile: ExtensionDiscoveryOptions['compile'],
): FilterModel | null {
  const { model, typeName } = compile(bytes, category);
  if (!typeNames.includes(typeName)) {
    throw new Error(`Error: filter config has type URL ${typeName} but expect ${typeNames.join(', ')}.`);
  }
  return model;
}
