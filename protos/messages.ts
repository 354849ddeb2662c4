/**
 * Encodes and decodes protobuf messages by full name, as bytes and as ProtoJSON.
 *
 * One reflected descriptor serves everything: a bootstrap file is JSON, so the descriptor is needed at start in any case, and a
 * static module beside it would cost 14 MB more (measured).
 */
import { readFileSync } from 'node:fs';
import protobuf from 'protobufjs/light.js';
import { LazyTypes } from './lazy-types.ts';
import type { MessageTypes } from './generated/types.d.ts';

export type { MessageTypes, protos } from './generated/types.d.ts';

/** The full name of a root message. */
export type MessageName = keyof MessageTypes;

/** What precedes a message's full name in an Any's type URL. */
export const typeUrlPrefix = 'type.googleapis.com/';

// 64-bit integers become numbers: no field that is read here needs more than 53 bits.
protobuf.util.Long = undefined as never;
protobuf.configure();

let loadedTypes: LazyTypes | undefined;

function loadTypes(): LazyTypes {
  if (loadedTypes === undefined) {
    const path = new URL('./generated/descriptor.json', import.meta.url);
    loadedTypes = new LazyTypes(JSON.parse(readFileSync(path, 'utf8')));
  }
  return loadedTypes;
}

/** The reflected root with all types. */
export function reflectedRoot(): protobuf.Root {
  return loadTypes().makeAll();
}

const types = new Map<string, protobuf.Type | null>();

/** The reflected type of a full name, or null if the descriptor does not know it. */
export function findType(name: string): protobuf.Type | null {
  let type = types.get(name);
  if (type === undefined) {
    type = loadTypes().find(name);
    types.set(name, type);
  }
  return type;
}

function requireType(name: string): protobuf.Type {
  const type = findType(name);
  if (type === null) throw new Error(`unknown protobuf message ${name}`);
  return type;
}

/**
 * Decodes a message. `bytes` fields are views of the input: copy the ones that are kept.
 * @throws if the bytes are not a valid message of that type.
 */
export function decodeMessage<N extends MessageName>(name: N, bytes: Uint8Array): MessageTypes[N] {
  return requireType(name).decode(bytes) as unknown as MessageTypes[N];
}

/** A message to encode: absent fields may be left out at any depth. */
export type Partially<T> = T extends Uint8Array
  ? Uint8Array
  : T extends readonly (infer E)[]
    ? readonly Partially<E>[]
    : T extends object
      ? { readonly [K in keyof T]?: Partially<T[K]> }
      : T;

/** Encodes a message given as a plain object with .proto field names. */
export function encodeMessage<N extends MessageName>(name: N, message: Partially<MessageTypes[N]>): Buffer {
  return Buffer.from(
    requireType(name)
      .encode(message as { [key: string]: unknown })
      .finish(),
  );
}
