/**
 * Secrets by source and name: subscribed while something refers to them, sent to the workers when they change. A rotation keeps
 * the old secret until the new one is validated.
 */
import { randomBytes } from 'node:crypto';
import { Logger } from '../../common/log.ts';
import type { SecretReference } from '../config/compile/scope.ts';
import type { SecretModel } from '../config/model/tls.ts';
import type { KnownSecret } from '../network/tls/secret-stats.ts';
import { discoveryTypeUrls } from './discovery-types.ts';
import type { Gradual } from './gradual.ts';
import type { ResourceStore } from './resource-store.ts';
import {
  type DiscoveredResource,
  type DiscoveryHandler,
  type DiscoverySource,
  type DiscoveryUpdate,
  rejectAll,
  type Subscription,
  type UpdateOutcome,
} from './subscription.ts';
import { applyEach, isUnchanged, noteFailure } from './warming-resource.ts';

const log = new Logger('secret');

/** OpenSSL's ticket keys: name, HMAC key and AES key. */
const ticketKeyBytes = 48;

export interface SecretStoreOptions {
  readonly resources: ResourceStore;
  /** The resource with the contents of the files that it names. @throws ConfigError if one cannot be read. */
  readonly resolve: (bytes: Uint8Array) => Uint8Array;
  /** Calls back when a file that the resource names may have changed; the returned function ends it. Absent: none is watched. */
  readonly watchFiles?: (bytes: Uint8Array, onChange: () => void) => () => void;
  /** @throws ConfigError; also if the key does not fit the certificate. */
  readonly compile: (bytes: Uint8Array, reference: SecretReference) => SecretModel;
  /** The aggregated stream, shared by all secrets that come over it; null if there is none. */
  readonly aggregated: () => DiscoverySource | null;
  /** A source of its own for one secret. */
  readonly openSource: (reference: SecretReference) => DiscoverySource & { stop(): void };
  readonly onSecret: (secret: SecretModel) => void;
}

interface StoredSecret {
  readonly reference: SecretReference;
  readonly waiting: Set<() => void>;
  users: number;
  model: SecretModel | null;
  /** Of the files that its resource names. */
  stopWatching: (() => void) | null;
  readonly stop: () => void;
}

export class SecretStore {
  readonly #options: SecretStoreOptions;
  readonly #secrets = new Map<string, StoredSecret>();
  /** Of the aggregated stream, made with its first secret. */
  #shared: Subscription | null = null;

  constructor(options: SecretStoreOptions) {
    this.#options = options;
  }

  get(key: string): SecretModel | null {
    return this.#secrets.get(key)?.model ?? null;
  }

  /** A secret with its name, for those who show it. */
  describe(key: string): KnownSecret | null {
    const stored = this.#secrets.get(key);
    if (stored === undefined || stored.model === null) return null;
    const { reference, model } = stored;
    return { name: reference.key === reference.name ? null : reference.name, model };
  }

  /** Every secret that has a value, for /certs. */
  list(): SecretModel[] {
    return [...this.#secrets.values()].flatMap(({ model }) => (model === null ? [] : [model]));
  }

  /** Certificate texts in use, for the days until the first one expires. */
  certificateTexts(): string[] {
    return this.list().flatMap(({ certificate, validation }) =>
      [certificate?.chain, validation?.trustedCa].filter(text => text !== undefined && text !== null),
    );
  }

  /** Takes in a secret that the configuration itself holds; the returned function gives it up. */
  addInline(secret: SecretModel): () => void {
    const reference: SecretReference = { key: secret.key, name: secret.key, source: 'static', kind: 'certificate' };
    const known = this.#secrets.get(secret.key);
    const stored = known ?? { reference, waiting: new Set(), users: 0, model: null, stopWatching: null, stop: () => {} };
    this.#secrets.set(secret.key, stored);
    if (known === undefined) this.#accept(stored, secret);
    return this.#use(stored);
  }

  /**
   * Keeps a secret subscribed.
   * @param onReady called when it has a value: at once, or with the first one. A refused one counts as well, as in Envoy: what
   * needs the secret then refuses connections, and the start goes on.
   * @returns ends it; a secret that nothing uses is unsubscribed and forgotten.
   */
  acquire(reference: SecretReference, onReady: () => void): () => void {
    let stored = this.#secrets.get(reference.key);
    if (stored === undefined) {
      stored = { reference, waiting: new Set(), users: 0, model: null, stopWatching: null, stop: this.#subscribe(reference) };
      this.#secrets.set(reference.key, stored);
    }
    const release = this.#use(stored, onReady);
    if (stored.model !== null) onReady();
    else stored.waiting.add(onReady);
    return release;
  }

  #use(stored: StoredSecret, onReady: () => void = () => {}): () => void {
    stored.users++;
    let released = false;
    return () => {
      if (released) return;
      released = true;
      stored.waiting.delete(onReady);
      if (--stored.users > 0) return;
      stored.stop();
      stored.stopWatching?.();
      const { key, name } = stored.reference;
      this.#secrets.delete(key);
      if (!this.#isNamed(name)) this.#options.resources.delete('secret', name);
    };
  }

  stop(): void {
    for (const { stop, stopWatching } of this.#secrets.values()) {
      stop();
      stopWatching?.();
    }
  }

  #isNamed(name: string): boolean {
    return [...this.#secrets.values()].some(({ reference }) => reference.name === name);
  }

  #subscribe(reference: SecretReference): () => void {
    if (reference.source === 'static') throw new Error(`Unknown static secret: ${reference.name}`);
    const typeUrl = discoveryTypeUrls.secret;
    if (reference.source !== 'ads') {
      const source = this.#options.openSource(reference);
      source.subscribe({ typeUrl, names: [reference.name], handler: this.#handler(() => [reference.key]) });
      return () => source.stop();
    }
    const aggregated = this.#options.aggregated();
    if (aggregated === null) throw new Error(`secret ${reference.name} comes over ADS, which is not configured`);
    this.#shared ??= aggregated.subscribe({ typeUrl, names: [], handler: this.#handler(name => this.#aggregatedKeys(name)) });
    this.#shared.updateNames([reference.name], []);
    return () => this.#shared?.updateNames([], [reference.name]);
  }

  #aggregatedKeys(name: string): string[] {
    const found = [...this.#secrets.values()].filter(({ reference }) => reference.source === 'ads' && reference.name === name);
    return found.map(({ reference }) => reference.key);
  }

  #handler(keysOf: (name: string) => string[]): DiscoveryHandler {
    return {
      onConnectionFailure: () => {},
      onUpdate: update => this.#onUpdate(update, keysOf),
    };
  }

  *#onUpdate(update: DiscoveryUpdate, keysOf: (name: string) => string[]): Gradual<UpdateOutcome> {
    if (update.resources.length === 0) {
      for (const name of update.removed) this.#release(keysOf(name));
      return rejectAll(update, 'Missing SDS resources in onConfigUpdate()');
    }
    return yield* applyEach(
      update,
      problems => `Error adding/updating secret(s) ${problems.join(', ')}`,
      resource => {
        for (const key of keysOf(resource.name)) this.#apply(key, resource, update.versionInfo);
      },
      (resource, details) => {
        const keys = keysOf(resource.name);
        if (keys.length > 0) noteFailure(this.#options.resources, 'secret', resource, update.versionInfo, details);
        this.#release(keys);
      },
    );
  }

  #apply(key: string, resource: DiscoveredResource, versionInfo: string): void {
    const stored = this.#secrets.get(key);
    if (stored === undefined) return;
    const { resources, compile } = this.#options;
    // Two sources may have a secret of the same name, and then share the entry.
    if (isUnchanged(resources.get('secret', resource.name), resource) && stored.model !== null) return;
    const resolvedBytes = this.#options.resolve(resource.bytes);
    const model = compile(resolvedBytes, stored.reference);
    const entry = resources.ensure('secret', resource.name);
    entry.active = { bytes: resource.bytes, resolvedBytes, versionInfo, lastUpdatedMs: Date.now() };
    entry.failure = null;
    stored.stopWatching?.();
    stored.stopWatching = this.#options.watchFiles?.(resource.bytes, () => this.#reload(stored, resource, versionInfo)) ?? null;
    this.#accept(stored, { ...model, key });
  }

  /** The files may have new contents. Those that do not fit together, as in the middle of a rotation, change nothing. */
  #reload(stored: StoredSecret, resource: DiscoveredResource, versionInfo: string): void {
    const entry = this.#options.resources.ensure('secret', resource.name);
    try {
      const resolvedBytes = this.#options.resolve(resource.bytes);
      if (entry.active?.resolvedBytes !== undefined && Buffer.compare(resolvedBytes, entry.active.resolvedBytes) === 0) return;
      const model = this.#options.compile(resolvedBytes, stored.reference);
      entry.active = { bytes: resource.bytes, resolvedBytes, versionInfo, lastUpdatedMs: Date.now() };
      this.#accept(stored, { ...model, key: stored.reference.key });
    } catch (error) {
      log.warn(`the changed files of secret ${resource.name} are not taken: ${(error as Error).message}`);
    }
  }

  #accept(stored: StoredSecret, model: SecretModel): void {
    const renewed = stored.model !== null;
    stored.model = { ...model, ticketKeys: this.#ticketKeys(stored.model, model) };
    log.debug(`secret ${model.key} ${renewed ? 'rotated' : 'received'}`);
    this.#options.onSecret(stored.model);
    this.#release([stored.reference.key]);
  }

  /** Nobody waits for these any more. */
  #release(keys: readonly string[]): void {
    for (const key of keys) {
      const waiting = this.#secrets.get(key)?.waiting;
      for (const onReady of [...(waiting ?? [])]) {
        waiting?.delete(onReady);
        onReady();
      }
    }
  }

  /** Sessions outlive a new certificate, but not another CA: a resumed handshake checks no certificate. */
  #ticketKeys(old: SecretModel | null, model: SecretModel): string {
    if (model.ticketKeys !== '') return model.ticketKeys;
    const sameTrust = old !== null && JSON.stringify(old.validation) === JSON.stringify(model.validation);
    return sameTrust ? old.ticketKeys : randomBytes(ticketKeyBytes).toString('base64');
  }
}
