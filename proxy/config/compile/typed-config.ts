/** Opens `typed_config`: an Any that holds a message, or a TypedStruct that names one. */
import protobuf from 'protobufjs/light.js';
import { findType, typeUrlPrefix, type protos } from '../../../protos/messages.ts';
import { ProtoJsonError, readJsonMessage } from '../../../protos/json-reader.ts';
import { type StructMessage, structToJson } from '../../../protos/struct.ts';
import { ConfigError } from './config-error.ts';
import type { ExtensionDefinition } from './extension.ts';
import type { CompileScope } from './scope.ts';

const typedStructs = new Set(['udpa.type.v1.TypedStruct', 'xds.type.v3.TypedStruct']);

/** A message as named by a typed config. `message` null: the descriptors do not know the type. */
export interface OpenedConfig {
  readonly typeName: string;
  readonly message: object | null;
}

/**
 * Decodes a message and checks its fields against the table.
 * @throws ConfigError if the bytes are no such message or a field is refused.
 */
export function decodeChecked(typeName: string, bytes: Uint8Array, path: string, scope: CompileScope, unchecked = false): object {
  const type = findType(typeName);
  if (type === null) throw new ConfigError(path, `unknown message type ${typeName}`);
  const reader = protobuf.Reader.create(bytes);
  reader.discardUnknown = false;
  let message: object;
  try {
    message = type.decode(reader);
  } catch (error) {
    throw new ConfigError(path, `cannot be decoded as ${typeName}: ${(error as Error).message}`);
  }
  if (!unchecked) checkFields(type, message, path, scope);
  return message;
}

function checkFields(type: protobuf.Type, message: object, path: string, scope: CompileScope): void {
  scope.context.fields.check(type, message, path, {
    onIgnored: (fieldPath, reason) => scope.noteIgnored(fieldPath, reason),
    onUnknown: (fieldPath, count) => scope.noteUnknown(fieldPath, count),
  });
}

/** The full name of the message in an Any, looking into a TypedStruct. */
export function typeNameOf(any: protos.google.protobuf.Any, path: string): string {
  const name = any.type_url.slice(any.type_url.lastIndexOf('/') + 1);
  if (!typedStructs.has(name)) return name;
  const url = decodeTypedStruct(name, any.value, path).type_url;
  return url.slice(url.lastIndexOf('/') + 1);
}

function decodeTypedStruct(name: string, bytes: Uint8Array, path: string): { type_url: string; value: StructMessage | null } {
  try {
    return findType(name)!.decode(bytes) as unknown as { type_url: string; value: StructMessage | null };
  } catch (error) {
    throw new ConfigError(path, `cannot be decoded as ${name}: ${(error as Error).message}`);
  }
}

/** The checked message in an Any of a known type. */
function openMessage(any: protos.google.protobuf.Any, path: string, scope: CompileScope, unchecked = false): object {
  const name = any.type_url.slice(any.type_url.lastIndexOf('/') + 1);
  if (!typedStructs.has(name)) return decodeChecked(name, any.value, path, scope, unchecked);
  const struct = decodeTypedStruct(name, any.value, path);
  const typeName = struct.type_url.slice(struct.type_url.lastIndexOf('/') + 1);
  try {
    const onUnknownField = (fieldPath: string): void => scope.noteUnknown(fieldPath, 1);
    const message = readJsonMessage(typeName, structToJson(struct.value), { onUnknownField }, path);
    if (!unchecked) checkFields(findType(typeName)!, message, path, scope);
    return message;
  } catch (error) {
    if (error instanceof ProtoJsonError) throw new ConfigError(error.path, error.reason);
    throw error;
  }
}

/** An extension's definition and what it compiled to. */
export interface CompiledExtension<D extends ExtensionDefinition<unknown>> {
  readonly definition: D;
  readonly config: ReturnType<D['compile']>;
}

/**
 * Finds the definition for a typed config and compiles with it.
 * @param path of the field that holds the Any.
 * @returns null if no definition takes the type, or there is none: the caller decides whether that is an error.
 */
export function compileTypedConfig<D extends ExtensionDefinition<unknown>>(
  definitions: readonly D[],
  any: protos.google.protobuf.Any | null,
  path: string,
  scope: CompileScope,
): CompiledExtension<D> | null {
  if (any === null) return null;
  const typeName = typeNameOf(any, path);
  const definition = definitions.find(each => each.message === typeName);
  if (definition === undefined) return null;
  const message = openMessage(any, path, scope, definition.unchecked);
  return { definition, config: definition.compile(message as never, path, scope) as ReturnType<D['compile']> };
}

/** The error for a typed config that no definition takes. */
export function unknownExtension(what: string, name: string, any: protos.google.protobuf.Any | null, path: string): ConfigError {
  if (any === null || any.type_url === '') {
    return new ConfigError(path, `Didn't find a registered implementation for '${name}' with type URL: ''`);
  }
  const url = `${typeUrlPrefix}${typeNameOf(any, path)}`;
  const reason = findType(typeNameOf(any, path)) === null ? 'is unknown' : 'is not implemented';
  return new ConfigError(
    path,
    `Didn't find a registered implementation for '${name}' with type URL: '${url}' (${what} ${reason})`,
  );
}

/** Opens an Any whose message type the caller knows; another type is an error. */
export function openExpected(any: protos.google.protobuf.Any, expected: string, path: string, scope: CompileScope): object {
  const typeName = typeNameOf(any, path);
  if (typeName !== expected) throw new ConfigError(path, `expected ${typeUrlPrefix}${expected}, got ${typeUrlPrefix}${typeName}`);
  return openMessage(any, path, scope);
}
