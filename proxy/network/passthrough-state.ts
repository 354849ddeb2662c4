/**
 * What one end of an internal connection tells the other besides bytes: metadata of the host and cluster that were chosen, and
 * filter state that its owner shares.
 *
 * Source: Envoy's internal upstream transport socket.
 */
import type { Metadata } from '../config/model/matchers.ts';

export interface SharedObject {
  readonly value: unknown;
  /** Shared again by whoever it was shared with. */
  readonly isTransitive: boolean;
}

/** By key of the filter state. */
export type SharedObjects = ReadonlyMap<string, SharedObject>;

export interface PassthroughState {
  readonly metadata: Metadata;
  /** Null: nothing is shared. */
  readonly filterState: SharedObjects | null;
}
