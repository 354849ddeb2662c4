/**
 * What a discovery service says to one consumer, whatever the transport: delta or state of the world, aggregated, on a stream of
 * its own, or from a file.
 */

import type { Gradual } from './gradual.ts';

/** One resource of a response. */
export interface DiscoveredResource {
  readonly name: string;
  /** Of the resource; empty if the server gives none. */
  readonly version: string;
  readonly typeUrl: string;
  /** The message in the Any. Owned: no view of the response. */
  readonly bytes: Buffer;
}

export interface DiscoveryUpdate {
  readonly resources: readonly DiscoveredResource[];
  /** Names that exist no more. */
  readonly removed: readonly string[];
  /** `system_version_info` or `version_info`. */
  readonly versionInfo: string;
}

/** What became of an update. The resources that are not in `rejected` are applied. */
export interface UpdateOutcome {
  readonly rejected: ReadonlySet<string>;
  /** Text of the NACK, or null for an ACK. */
  readonly error: string | null;
}

export const accepted: UpdateOutcome = { rejected: new Set(), error: null };

/** The consumer's side. */
export interface DiscoveryHandler {
  /** Validates and applies, resource by resource; what it returns decides between ACK and NACK. */
  onUpdate(update: DiscoveryUpdate): Gradual<UpdateOutcome>;
  /** The connection was lost or refused. */
  onConnectionFailure(): void;
}

/** The provider's side. Names of a wildcard subscription are all names. */
export interface Subscription {
  /** Adds and removes names; the request goes out at the end of the current turn. */
  updateNames(added: Iterable<string>, removed: Iterable<string>): void;
  close(): void;
}

export interface SubscriptionRequest {
  readonly typeUrl: string;
  /** `wildcard`, or the first names. */
  readonly names: 'wildcard' | Iterable<string>;
  readonly handler: DiscoveryHandler;
}

/** Something that can be subscribed to. */
export interface DiscoverySource {
  subscribe(request: SubscriptionRequest): Subscription;
}

/** The text of a NACK for a whole response. */
export function rejectAll(update: DiscoveryUpdate, error: string): UpdateOutcome {
  return { rejected: new Set(update.resources.map(resource => resource.name)), error };
}
