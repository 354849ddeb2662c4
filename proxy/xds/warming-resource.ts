/** A resource that was accepted and waits for what it refers to, and the bookkeeping that clusters and listeners share. */
import type { InitManager } from './init-manager.ts';
import type { Gradual } from './gradual.ts';
import type { ResourceEntry, ResourceKind, ResourceStore, ResourceVersion } from './resource-store.ts';
import type { DiscoveredResource, DiscoveryUpdate, UpdateOutcome } from './subscription.ts';

export interface WarmingResource {
  readonly version: ResourceVersion;
  readonly init: InitManager;
  /** Gives back its secrets, endpoints and routes. */
  readonly release: () => void;
  /** Tells those who wait for the resource: the start of the server. Has to be called also if it never becomes active. */
  readonly onWarm: () => void;
}

/** Calls both: who waited for the version that a newer one replaces waits for the newer one. */
export function joinCallbacks(one: (() => void) | undefined, other: () => void): () => void {
  if (one === undefined) return other;
  return () => {
    one();
    other();
  };
}

/** The last accepted version of a resource: what the next push is compared with. */
export function lastAccepted(entry: ResourceEntry | undefined): ResourceVersion | null {
  return entry?.warming ?? entry?.active ?? null;
}

/**
 * Whether a pushed resource is the one that was accepted last; then its failure, if any, is over, and its version moves on.
 * Nothing else has to be done for it.
 */
export function isUnchanged(entry: ResourceEntry | undefined, resource: DiscoveredResource): boolean {
  const last = lastAccepted(entry);
  if (entry === undefined || last === null || !resource.bytes.equals(last.bytes)) return false;
  entry.failure = null;
  return true;
}

/** Notes why a resource was refused. Its last good version keeps serving. */
export function noteFailure(
  store: ResourceStore,
  kind: ResourceKind,
  resource: DiscoveredResource,
  versionInfo: string,
  details: string,
): void {
  const entry = store.ensure(kind, resource.name);
  entry.failure = { bytes: resource.bytes, versionInfo, lastAttemptMs: Date.now(), details };
}

/**
 * Applies resources one by one: the good ones of a response take effect whatever becomes of the others.
 * @param describe makes the NACK's text from `name: message` entries.
 * @param apply throws for a resource that is refused.
 */
export function* applyEach(
  update: DiscoveryUpdate,
  describe: (problems: readonly string[]) => string,
  apply: (resource: DiscoveredResource) => void,
  onRejected: (resource: DiscoveredResource, details: string) => void,
): Gradual<UpdateOutcome> {
  const rejected = new Set<string>();
  const problems: string[] = [];
  for (const resource of update.resources) {
    try {
      apply(resource);
    } catch (error) {
      const details = (error as Error).message;
      rejected.add(resource.name);
      problems.push(`${resource.name}: ${details}`);
      onRejected(resource, details);
    }
    yield;
  }
  return { rejected, error: problems.length === 0 ? null : describe(problems) };
}
