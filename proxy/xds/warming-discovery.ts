/**
 * What CDS and LDS have in common: what is accepted warms, that is waits for what it refers to, before it replaces the version
 * that serves; and the start of the server waits for the first update and everything that it brought.
 */
import type { Logger } from '../../common/log.ts';
import type { SecretReference } from '../config/compile/scope.ts';
import type { SecretModel } from '../config/model/tls.ts';
import type { SubscriptionStats } from './discovery-stats.ts';
import type { Gradual } from './gradual.ts';
import { InitManager } from './init-manager.ts';
import type { ResourceStore, ResourceVersion } from './resource-store.ts';
import type { SecretStore } from './secret-store.ts';
import type { DiscoveredResource, DiscoveryHandler, DiscoveryUpdate, UpdateOutcome } from './subscription.ts';
import { applyEach, isUnchanged, joinCallbacks, noteFailure, type WarmingResource } from './warming-resource.ts';

export interface CompiledResource {
  readonly model: { readonly name: string };
  readonly secrets: readonly SecretReference[];
  /** Given in the resource itself, under the keys that its model uses. */
  readonly inlineSecrets: readonly SecretModel[];
}

/** The counters that both managers have. */
export interface WarmingStats {
  countAdded(): void;
  countModified(): void;
  countRemoved(): void;
  setWarming(count: number): void;
  setActive(count: number): void;
}

export interface WarmingDiscoveryOptions<C> {
  readonly resources: ResourceStore;
  /** @throws ConfigError */
  readonly compile: (bytes: Uint8Array) => C;
  readonly secrets: SecretStore;
  readonly stats: WarmingStats;
  readonly subscriptionStats: SubscriptionStats;
}

/** How the two differ in words and order. */
export interface WarmingKind {
  readonly kind: 'cluster' | 'listener';
  readonly service: 'cds' | 'lds';
  /** What is removed goes before what is new comes. */
  readonly removesFirst: boolean;
  readonly log: Logger;
  describeUpdate(added: number, removed: number): string;
  describeProblems(problems: readonly string[]): string;
  describeDuplicate(name: string): string;
}

export abstract class WarmingDiscovery<C extends CompiledResource> implements DiscoveryHandler {
  readonly #options: WarmingDiscoveryOptions<C>;
  readonly #kind: WarmingKind;
  readonly #warming = new Map<string, WarmingResource>();
  /** Gives back what the active version of a resource uses. */
  readonly #active = new Map<string, () => void>();
  #firstUpdate: InitManager | null = null;
  #onInitialized: (() => void) | null = null;
  #initialized = false;
  #isAnswering = false;

  protected constructor(options: WarmingDiscoveryOptions<C>, kind: WarmingKind) {
    this.#options = options;
    this.#kind = kind;
  }

  /** Begins to wait for what the resource refers to, besides its secrets. Each function that is returned ends the use of one. */
  protected abstract acquireParts(compiled: C, init: InitManager): (() => void)[];

  /** Puts a warm resource into effect. What it throws is the resource's failure. */
  protected abstract serve(compiled: C): void;

  /** Ends it. */
  protected abstract withdraw(name: string): void;

  /** Calls back when what is served is ready; at once unless it takes its time. */
  protected whenServing(_name: string, onReady: () => void): void {
    onReady();
  }

  /** A resource of an update was refused. */
  protected onRejected(): void {}

  /** Names of what waits, and for what. */
  get pending(): { readonly name: string; readonly targets: readonly string[] }[] {
    return [...this.#warming].map(([name, { init }]) => ({ name, targets: init.pending }));
  }

  /** Whether this is what the resource of the name waits with. */
  protected isWarming(name: string, init: InitManager): boolean {
    return this.#warming.get(name)?.init === init;
  }

  /**
   * Compiles a resource of the bootstrap; `accept` puts it into effect.
   * @throws ConfigError
   */
  protected prepare(bytes: Buffer): { readonly compiled: C; accept(onWarm: () => void): void } {
    const { resources, compile } = this.#options;
    const { kind, describeDuplicate } = this.#kind;
    const compiled = compile(bytes);
    const { name } = compiled.model;
    if (resources.get(kind, name) !== undefined) throw new Error(describeDuplicate(name));
    resources.ensure(kind, name, true);
    return {
      compiled,
      accept: onWarm => this.#accept(name, compiled, { bytes, versionInfo: '', lastUpdatedMs: Date.now() }, onWarm),
    };
  }

  /**
   * Calls back when the first update, whatever became of it, and all that it brought are done with.
   * @param timeoutMs for the first update; 0: as long as it takes.
   */
  whenInitialized(timeoutMs: number, callback: () => void): void {
    const fetch = new InitManager(callback);
    const { subscriptionStats } = this.#options;
    this.#onInitialized = fetch.add(this.#kind.service, timeoutMs, () => subscriptionStats.countFetchTimeout());
    fetch.seal();
    if (this.#initialized) this.#onInitialized();
  }

  onConnectionFailure(): void {
    this.#options.subscriptionStats.countFailure();
  }

  *onUpdate(update: DiscoveryUpdate): Gradual<UpdateOutcome> {
    const startMs = performance.now();
    const { resources, subscriptionStats } = this.#options;
    const { kind, removesFirst, describeProblems, describeUpdate, log } = this.#kind;
    const first = this.#initialized || this.#firstUpdate !== null ? null : new InitManager(() => this.#finishInitialization());
    this.#firstUpdate ??= first;
    if (removesFirst) for (const name of update.removed) this.#remove(name);
    const outcome = yield* applyEach(
      update,
      describeProblems,
      resource => this.#apply(resource, update.versionInfo, first),
      (resource, details) => {
        this.onRejected();
        noteFailure(resources, kind, resource, update.versionInfo, details);
      },
    );
    if (!removesFirst) for (const name of update.removed) this.#remove(name);
    if (outcome.error === null) subscriptionStats.countSuccess(update.versionInfo, performance.now() - startMs);
    else subscriptionStats.countRejected();
    log.info(describeUpdate(update.resources.length, update.removed.length));
    first?.seal();
    return outcome;
  }

  #finishInitialization(): void {
    if (this.#initialized) return;
    this.#initialized = true;
    this.#onInitialized?.();
  }

  #apply(resource: DiscoveredResource, versionInfo: string, first: InitManager | null): void {
    const entry = this.#options.resources.get(this.#kind.kind, resource.name);
    // A static resource wins over a discovered one of the same name, silently, as in Envoy.
    if (entry?.isStatic || isUnchanged(entry, resource)) return;
    const compiled = this.#options.compile(resource.bytes);
    const onWarm = first?.add(`${this.#kind.kind} ${resource.name}`) ?? (() => {});
    try {
      this.#accept(resource.name, compiled, { bytes: resource.bytes, versionInfo, lastUpdatedMs: Date.now() }, onWarm);
    } catch (error) {
      this.#giveUp(resource.name);
      throw error;
    }
  }

  /** A source that does not exist shows only when it is asked: nobody waits for such a resource. */
  #giveUp(name: string): void {
    const onWarm = this.#cancelWarming(name);
    if (onWarm === undefined) return;
    this.#options.resources.ensure(this.#kind.kind, name).warming = null;
    this.#options.stats.setWarming(this.#warming.size);
    onWarm();
  }

  #accept(name: string, compiled: C, version: ResourceVersion, whenWarm: () => void): void {
    const { resources, secrets, stats } = this.#options;
    const onWarm = joinCallbacks(this.#cancelWarming(name), whenWarm);
    const entry = resources.ensure(this.#kind.kind, name);
    entry.warming = version;
    entry.failure = null;
    if (entry.active === null) stats.countAdded();
    else stats.countModified();
    const releases = compiled.inlineSecrets.map(secret => secrets.addInline(secret));
    const init = new InitManager(() => this.#activate(name, compiled, onWarm));
    this.#warming.set(name, { version, init, release: () => runAll(releases), onWarm });
    stats.setWarming(this.#warming.size);
    for (const reference of compiled.secrets) {
      releases.push(secrets.acquire(reference, init.add(`secret ${reference.name}`, reference.initialFetchTimeoutMs)));
    }
    releases.push(...this.acquireParts(compiled, init));
    this.#isAnswering = true;
    try {
      init.seal();
    } finally {
      this.#isAnswering = false;
    }
  }

  #activate(name: string, compiled: C, onWarm: () => void): void {
    const { resources, stats } = this.#options;
    const warming = this.#warming.get(name) as WarmingResource;
    this.#warming.delete(name);
    stats.setWarming(this.#warming.size);
    const entry = resources.ensure(this.#kind.kind, name);
    entry.warming = null;
    try {
      this.serve(compiled);
    } catch (error) {
      warming.release();
      const { bytes, versionInfo } = warming.version;
      entry.failure = { bytes, versionInfo, lastAttemptMs: Date.now(), details: (error as Error).message };
      onWarm();
      // While the update is being answered the failure is a NACK; after the ACK it is only shown.
      if (this.#isAnswering) throw error;
      return;
    }
    entry.active = warming.version;
    this.#active.get(name)?.();
    this.#active.set(name, warming.release);
    stats.setActive(this.#active.size);
    this.whenServing(name, onWarm);
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
    const { resources, stats } = this.#options;
    const entry = resources.get(this.#kind.kind, name);
    if (entry === undefined || entry.isStatic) return;
    const onWarm = this.#cancelWarming(name);
    const release = this.#active.get(name);
    resources.delete(this.#kind.kind, name);
    if (release !== undefined) {
      this.#active.delete(name);
      this.withdraw(name);
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
