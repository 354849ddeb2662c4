/** What the two protocol variants have in common: one object per resource type of a stream. */
import type { Gradual } from './gradual.ts';
import type { DiscoveredResource, DiscoveryHandler, UpdateOutcome } from './subscription.ts';

export interface TypeState<Request, Response> {
  readonly typeUrl: string;
  readonly handler: DiscoveryHandler;
  updateNames(added: Iterable<string>, removed: Iterable<string>): void;
  /** A new stream: the server knows nothing. */
  onStreamOpened(): void;
  /** The request that tells the server of changed names, or null if it knows them all. */
  takeRequest(): Request | null;
  /** Applies a response; returns the ACK or NACK. */
  onResponse(response: Response): Gradual<Request>;
}

/** google.rpc.Code INTERNAL, which Envoy gives in every NACK. */
const internalStatus = 13;

/** `error_detail` of the answer to a response. */
export function nack(outcome: UpdateOutcome): { code: number; message: string } | undefined {
  return outcome.error === null ? undefined : { code: internalStatus, message: outcome.error };
}

/** Why a response cannot be used as a whole: a name that is given twice. */
export function findDuplicate(resources: readonly DiscoveredResource[]): string | null {
  const seen = new Set<string>();
  for (const { name } of resources) {
    if (seen.has(name)) return `duplicate name ${name} found among added/updated resources`;
    seen.add(name);
  }
  return null;
}

/** Why a response cannot be used as a whole: a resource of another type. */
export function findForeignType(resources: readonly DiscoveredResource[], typeUrl: string): string | null {
  const other = resources.find(resource => resource.typeUrl !== typeUrl);
  return other === undefined
    ? null
    : `type URL ${other.typeUrl} embedded in an individual Any does not match the message-wide type URL ${typeUrl}`;
}
