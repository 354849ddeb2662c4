/**
 * One resource type on a delta stream: what is subscribed, what was accepted, and which requests that leads to.
 *
 * Source: the xDS protocol, and Envoy's DeltaSubscriptionState.
 */
import type { DeltaRequest, ReceivedDeltaResponse } from './discovery-services.ts';
import type { Gradual } from './gradual.ts';
import { type DiscoveredResource, type DiscoveryHandler, rejectAll, type UpdateOutcome } from './subscription.ts';
import { findForeignType, findDuplicate, nack, type TypeState } from './type-state.ts';

export class DeltaState implements TypeState<DeltaRequest, ReceivedDeltaResponse> {
  readonly typeUrl: string;
  readonly handler: DiscoveryHandler;
  readonly #wildcard: boolean;
  readonly #names: Set<string>;
  readonly #added = new Set<string>();
  readonly #removed = new Set<string>();
  /** Version by name of every accepted resource. */
  readonly #versions = new Map<string, string>();
  #firstOnStream = true;

  constructor(typeUrl: string, handler: DiscoveryHandler, names: 'wildcard' | Iterable<string>) {
    this.typeUrl = typeUrl;
    this.handler = handler;
    this.#wildcard = names === 'wildcard';
    this.#names = new Set(names === 'wildcard' ? [] : names);
  }

  updateNames(added: Iterable<string>, removed: Iterable<string>): void {
    for (const name of removed) {
      if (!this.#names.delete(name)) continue;
      this.#versions.delete(name);
      if (!this.#added.delete(name)) this.#removed.add(name);
    }
    for (const name of added) {
      if (this.#names.has(name)) continue;
      this.#names.add(name);
      // A name that leaves and returns between two requests is asked for again: its consumer needs the resource.
      this.#removed.delete(name);
      this.#added.add(name);
    }
  }

  onStreamOpened(): void {
    this.#firstOnStream = true;
    this.#added.clear();
    this.#removed.clear();
  }

  takeRequest(): DeltaRequest | null {
    if (this.#firstOnStream) {
      if (!this.#wildcard && this.#names.size === 0) return null;
      this.#firstOnStream = false;
      this.#added.clear();
      return {
        type_url: this.typeUrl,
        resource_names_subscribe: [...this.#names],
        initial_resource_versions: Object.fromEntries(this.#versions),
      };
    }
    if (this.#added.size === 0 && this.#removed.size === 0) return null;
    const request: DeltaRequest = {
      type_url: this.typeUrl,
      resource_names_subscribe: [...this.#added],
      resource_names_unsubscribe: [...this.#removed],
    };
    this.#added.clear();
    this.#removed.clear();
    return request;
  }

  *onResponse(response: ReceivedDeltaResponse): Gradual<DeltaRequest> {
    const outcome = yield* this.#apply(response);
    return { type_url: this.typeUrl, response_nonce: response.nonce, error_detail: nack(outcome) };
  }

  *#apply(response: ReceivedDeltaResponse): Gradual<UpdateOutcome> {
    const resources: DiscoveredResource[] = [];
    for (const { name, version, resource } of response.resources) {
      // A name without a resource tells that there is none (a heartbeat, or a subscription to nothing).
      if (resource === null) continue;
      if (!this.#wildcard && !this.#names.has(name)) continue;
      resources.push({ name, version, typeUrl: resource.type_url, bytes: Buffer.from(resource.value) });
    }
    const update = { resources, removed: response.removed_resources, versionInfo: response.system_version_info };
    const outcome = this.#validate(update.resources) ?? (yield* this.handler.onUpdate(update));
    for (const { name, version } of resources) {
      const isWanted = this.#wildcard || this.#names.has(name);
      if (isWanted && !outcome.rejected.has(name)) this.#versions.set(name, version);
    }
    for (const name of response.removed_resources) this.#versions.delete(name);
    return outcome;
  }

  #validate(resources: readonly DiscoveredResource[]): UpdateOutcome | null {
    const error = findDuplicate(resources) ?? findForeignType(resources, this.typeUrl);
    return error === null ? null : rejectAll({ resources, removed: [], versionInfo: '' }, error);
  }
}
