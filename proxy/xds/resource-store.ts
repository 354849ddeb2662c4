/**
 * Every resource as it was received, by type and name: what config_dump shows, and what the next push is compared with. Bytes
 * are kept raw and decoded on demand.
 */

/** One version of a resource. */
export interface ResourceVersion {
  /** The resource message, without the Any around it. Owned: never a view of a response. */
  readonly bytes: Uint8Array;
  /** The same with the contents of the files that it names, which config_dump shows instead; absent if it names none. */
  readonly resolvedBytes?: Uint8Array;
  readonly versionInfo: string;
  readonly lastUpdatedMs: number;
}

/** A rejected version and why. */
export interface ResourceFailure {
  /** Null if the resource could not even be decoded. */
  readonly bytes: Uint8Array | null;
  readonly versionInfo: string;
  readonly lastAttemptMs: number;
  readonly details: string;
}

export interface ResourceEntry {
  readonly name: string;
  /** From the bootstrap file. */
  readonly isStatic: boolean;
  active: ResourceVersion | null;
  /** Accepted, and waiting for what it refers to. */
  warming: ResourceVersion | null;
  draining: ResourceVersion | null;
  failure: ResourceFailure | null;
}

/** The kinds that config_dump knows. */
export type ResourceKind = 'cluster' | 'endpoints' | 'listener' | 'route' | 'secret' | 'extension';

export class ResourceStore {
  readonly #entries: { readonly [K in ResourceKind]: Map<string, ResourceEntry> } = {
    cluster: new Map(),
    endpoints: new Map(),
    listener: new Map(),
    route: new Map(),
    secret: new Map(),
    extension: new Map(),
  };

  /** The entry of a name, made if it does not exist. */
  ensure(kind: ResourceKind, name: string, isStatic = false): ResourceEntry {
    let entry = this.#entries[kind].get(name);
    if (entry === undefined) {
      entry = { name, isStatic, active: null, warming: null, draining: null, failure: null };
      this.#entries[kind].set(name, entry);
    }
    return entry;
  }

  get(kind: ResourceKind, name: string): ResourceEntry | undefined {
    return this.#entries[kind].get(name);
  }

  delete(kind: ResourceKind, name: string): void {
    this.#entries[kind].delete(name);
  }

  /** In order of first appearance. */
  list(kind: ResourceKind): Iterable<ResourceEntry> {
    return this.#entries[kind].values();
  }
}
