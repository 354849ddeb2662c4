/**
 * One resource type on a state-of-the-world stream.
 *
 * Source: the xDS protocol, and Envoy's GrpcMuxImpl.
 */
import { decodeMessage } from '../../protos/messages.ts';
import type { ReceivedSotwResponse, SotwRequest } from './discovery-services.ts';
import { readResourceName, resourceTypeUrl } from './discovery-types.ts';
import type { Gradual } from './gradual.ts';
import { type DiscoveredResource, type DiscoveryHandler, rejectAll, type UpdateOutcome } from './subscription.ts';
import { findForeignType, findDuplicate, nack, type TypeState } from './type-state.ts';

export class SotwState implements TypeState<SotwRequest, ReceivedSotwResponse> {
  readonly typeUrl: string;
  readonly handler: DiscoveryHandler;
  readonly #wildcard: boolean;
  readonly #names: Set<string>;
  /** Of a wildcard type: the names of the last response. */
  #present = new Set<string>();
  #changed = false;
  #firstOnStream = true;
  /** Of the last accepted response. */
  #version = '';
  #nonce = '';

  constructor(typeUrl: string, handler: DiscoveryHandler, names: 'wildcard' | Iterable<string>) {
    this.typeUrl = typeUrl;
    this.handler = handler;
    this.#wildcard = names === 'wildcard';
    this.#names = new Set(names === 'wildcard' ? [] : names);
  }

  updateNames(added: Iterable<string>, removed: Iterable<string>): void {
    for (const name of removed) if (this.#names.delete(name)) this.#changed = true;
    for (const name of added) {
      if (this.#names.has(name)) continue;
      this.#names.add(name);
      this.#changed = true;
    }
  }

  onStreamOpened(): void {
    this.#firstOnStream = true;
    this.#changed = false;
    this.#nonce = '';
  }

  takeRequest(): SotwRequest | null {
    if (this.#firstOnStream ? !this.#wildcard && this.#names.size === 0 : !this.#changed) return null;
    this.#firstOnStream = false;
    this.#changed = false;
    return this.#request();
  }

  *onResponse(response: ReceivedSotwResponse): Gradual<SotwRequest> {
    const outcome = yield* this.#apply(response);
    this.#nonce = response.nonce;
    if (outcome.error === null) this.#version = response.version_info;
    this.#changed = false;
    return { ...this.#request(), error_detail: nack(outcome) };
  }

  #request(): SotwRequest {
    return {
      type_url: this.typeUrl,
      version_info: this.#version,
      resource_names: [...this.#names],
      response_nonce: this.#nonce,
    };
  }

  *#apply(response: ReceivedSotwResponse): Gradual<UpdateOutcome> {
    const resources: DiscoveredResource[] = [];
    try {
      for (const any of response.resources) {
        const resource = unwrapResource(any);
        if (this.#wildcard || this.#names.has(resource.name)) resources.push(resource);
      }
    } catch (error) {
      return rejectAll({ resources, removed: [], versionInfo: '' }, `malformed resource: ${(error as Error).message}`);
    }
    const problem = findDuplicate(resources) ?? findForeignType(resources, this.typeUrl);
    if (problem !== null) return rejectAll({ resources, removed: [], versionInfo: '' }, problem);
    const present = new Set(resources.map(resource => resource.name));
    // Only the absence from a list that claims to be complete is a removal.
    const removed = this.#wildcard ? [...this.#present].filter(name => !present.has(name)) : [];
    this.#present = present;
    return yield* this.handler.onUpdate({ resources, removed, versionInfo: response.version_info });
  }
}

function unwrapResource(any: { readonly type_url: string; readonly value: Uint8Array }): DiscoveredResource {
  if (any.type_url !== resourceTypeUrl) {
    return { name: readResourceName(any.value), version: '', typeUrl: any.type_url, bytes: Buffer.from(any.value) };
  }
  const wrapper = decodeMessage('envoy.service.discovery.v3.Resource' as never, any.value) as WrappedResource;
  const inner = wrapper.resource ?? { type_url: '', value: new Uint8Array() };
  const name = wrapper.name !== '' ? wrapper.name : readResourceName(inner.value);
  return { name, version: wrapper.version, typeUrl: inner.type_url, bytes: Buffer.from(inner.value) };
}

interface WrappedResource {
  readonly name: string;
  readonly version: string;
  readonly resource: { readonly type_url: string; readonly value: Uint8Array } | null;
}
