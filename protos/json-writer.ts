/**
 * Writes decoded messages as ProtoJSON with .proto field names, in the order of field numbers, as Envoy's admin API prints
 * them. Messages inside `Any` are expanded.
 *
 * Source: https://protobuf.dev/programming-guides/json/
 */
import protobuf from 'protobufjs/light.js';
import { findType } from './messages.ts';
import type { StructMessage, ValueMessage } from './struct.ts';
import { structToJson, valueToJson } from './struct.ts';

export interface JsonWriterOptions {
  /** Replace private keys, passwords and other secrets by `[redacted]`. */
  readonly redact: boolean;
}

export type JsonObject = { [key: string]: unknown };

type Decoded = { readonly [field: string]: unknown };

const redactedText = '[redacted]';
const redactedBytes = Buffer.from(redactedText).toString('base64');

/** Fields marked sensitive in Envoy's API. A message below such a field is redacted with everything in it. */
const sensitiveFields: { readonly [message: string]: readonly string[] } = {
  '.envoy.extensions.transport_sockets.tls.v3.TlsCertificate': ['private_key', 'pkcs12', 'password'],
  '.envoy.extensions.transport_sockets.tls.v3.TlsSessionTicketKeys': ['keys'],
  '.envoy.extensions.transport_sockets.tls.v3.PrivateKeyProvider': ['typed_config'],
  '.envoy.extensions.transport_sockets.tls.v3.GenericSecret': ['secret', 'secrets'],
  '.envoy.config.core.v3.GrpcService.GoogleGrpc.SslCredentials': ['private_key'],
};

interface PlannedField {
  readonly name: string;
  readonly field: protobuf.Field;
  readonly sensitive: boolean;
  readonly write: (value: unknown, redacting: boolean) => unknown;
}

/** JSON of an encoded message. @throws if the bytes are no message of that type, or the type is unknown. */
export function bytesToJson(name: string, bytes: Uint8Array, options: JsonWriterOptions): JsonObject {
  const type = findType(name);
  if (type === null) throw new Error(`unknown protobuf message ${name}`);
  return messageToJson(type, type.decode(bytes) as unknown as Decoded, options) as JsonObject;
}

/** The same as the content of an `Any`: `@type` first. An unknown type shows its bytes in base64. */
export function anyToJson(name: string, bytes: Uint8Array, options: JsonWriterOptions): JsonObject {
  return new MessageWriter(options).writeAny(`type.googleapis.com/${name}`, bytes, false);
}

/** JSON of a decoded message; well-known types have their own forms. */
export function messageToJson(type: protobuf.Type, message: object, options: JsonWriterOptions): unknown {
  return new MessageWriter(options).write(type, message as Decoded, false);
}

class MessageWriter {
  readonly #options: JsonWriterOptions;
  readonly #plans: Map<protobuf.Type, readonly PlannedField[]>;

  constructor(options: JsonWriterOptions) {
    this.#options = options;
    this.#plans = new Map();
  }

  write(type: protobuf.Type, message: Decoded, redacting: boolean): unknown {
    const wellKnown = wellKnownWriters[type.fullName];
    if (wellKnown !== undefined) return wellKnown(message, redacting);
    if (type.fullName === '.google.protobuf.Any') {
      return this.writeAny(String(message.type_url ?? ''), (message.value as Uint8Array) ?? new Uint8Array(), redacting);
    }
    return this.#writeFields(type, message, redacting, {});
  }

  writeAny(typeUrl: string, bytes: Uint8Array, redacting: boolean): JsonObject {
    const json: JsonObject = { '@type': typeUrl };
    const type = findType(typeUrl.slice(typeUrl.lastIndexOf('/') + 1));
    if (type === null) return { ...json, value: redacting ? redactedBytes : Buffer.from(bytes).toString('base64') };
    let message: Decoded;
    try {
      message = type.decode(bytes) as unknown as Decoded;
    } catch {
      return { ...json, value: redacting ? redactedBytes : Buffer.from(bytes).toString('base64') };
    }
    if (wellKnownWriters[type.fullName] !== undefined || type.fullName === '.google.protobuf.Any') {
      return { ...json, value: this.write(type, message, redacting) };
    }
    return this.#writeFields(type, message, redacting, json);
  }

  #writeFields(type: protobuf.Type, message: Decoded, redacting: boolean, json: JsonObject): JsonObject {
    for (const { name, field, sensitive, write } of this.#plan(type)) {
      if (!Object.hasOwn(message, name)) continue;
      const value = message[name];
      if (value === null || value === undefined) continue;
      const redact = redacting || sensitive;
      if (field.repeated) {
        const items = value as readonly unknown[];
        if (items.length > 0) json[name] = items.map(item => write(item, redact));
      } else if (field.map) {
        const entries = Object.entries(value as JsonObject);
        if (entries.length > 0) json[name] = writeMap(entries, item => write(item, redact));
      } else if (field.hasPresence || !isDefault(field, value)) {
        json[name] = write(value, redact);
      }
    }
    return json;
  }

  #plan(type: protobuf.Type): readonly PlannedField[] {
    let plan = this.#plans.get(type);
    if (plan === undefined) {
      const sensitive = this.#options.redact ? (sensitiveFields[type.fullName] ?? []) : [];
      plan = type.fieldsArray
        .map(field => field.resolve())
        .sort((a, b) => a.id - b.id)
        .map(field => ({
          name: field.name,
          field,
          sensitive: sensitive.includes(field.name),
          write: this.#valueWriter(field),
        }));
      this.#plans.set(type, plan);
    }
    return plan;
  }

  #valueWriter(field: protobuf.Field): PlannedField['write'] {
    const { resolvedType } = field;
    if (resolvedType instanceof protobuf.Enum) {
      const { valuesById } = resolvedType;
      return value => valuesById[value as number] ?? value;
    }
    if (resolvedType instanceof protobuf.Type) {
      return (value, redacting) => this.write(resolvedType, value as Decoded, redacting);
    }
    return scalarWriter(field.type);
  }
}

function scalarWriter(type: string): PlannedField['write'] {
  switch (type) {
    case 'string':
      return (value, redacting) => (redacting ? redactedText : value);
    case 'bytes':
      return (value, redacting) => (redacting ? redactedBytes : Buffer.from(value as Uint8Array).toString('base64'));
    case 'int64':
    case 'uint64':
    case 'sint64':
    case 'fixed64':
    case 'sfixed64':
      return value => String(value);
    case 'float':
      return value => writeNumber(shortestFloat(value as number));
    case 'double':
      return value => writeNumber(value as number);
    default:
      return value => value;
  }
}

function writeMap(entries: readonly [string, unknown][], write: (item: unknown) => unknown): JsonObject {
  const json: JsonObject = {};
  for (const [key, item] of entries) {
    Object.defineProperty(json, key, { value: write(item), enumerable: true, configurable: true, writable: true });
  }
  return json;
}

function isDefault(field: protobuf.Field, value: unknown): boolean {
  return value instanceof Uint8Array ? value.length === 0 : value === field.typeDefault;
}

function writeNumber(value: number): number | string {
  return Number.isFinite(value) ? value : Number.isNaN(value) ? 'NaN' : value > 0 ? 'Infinity' : '-Infinity';
}

/** The shortest decimal that is the same 32-bit float. */
function shortestFloat(value: number): number {
  for (let digits = 6; digits < 9; digits++) {
    const rounded = Number(value.toPrecision(digits));
    if (Math.fround(rounded) === Math.fround(value)) return rounded;
  }
  return value;
}

function fractionOf(nanos: number): string {
  if (nanos === 0) return '';
  const digits = String(nanos).padStart(9, '0');
  return `.${digits.endsWith('000000') ? digits.slice(0, 3) : digits.endsWith('000') ? digits.slice(0, 6) : digits}`;
}

/** `1.500s`. */
export function durationToJson(seconds: number, nanos: number): string {
  const sign = seconds < 0 || nanos < 0 ? '-' : '';
  return `${sign}${Math.abs(seconds)}${fractionOf(Math.abs(nanos))}s`;
}

/** RFC 3339 with 0, 3, 6 or 9 digits. */
export function timestampToJson(seconds: number, nanos: number): string {
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}${fractionOf(nanos)}Z`;
}

function writeWrapper(
  name: string,
  type: string,
  fallback: unknown,
): [string, (message: Decoded, redacting: boolean) => unknown] {
  const write = scalarWriter(type);
  return [`.google.protobuf.${name}`, (message, redacting) => write(message.value ?? fallback, redacting)];
}

const wellKnownWriters: { readonly [name: string]: (message: Decoded, redacting: boolean) => unknown } = {
  ...Object.fromEntries([
    writeWrapper('DoubleValue', 'double', 0),
    writeWrapper('FloatValue', 'float', 0),
    writeWrapper('Int64Value', 'int64', 0),
    writeWrapper('UInt64Value', 'uint64', 0),
    writeWrapper('Int32Value', 'int32', 0),
    writeWrapper('UInt32Value', 'uint32', 0),
    writeWrapper('BoolValue', 'bool', false),
    writeWrapper('StringValue', 'string', ''),
    writeWrapper('BytesValue', 'bytes', new Uint8Array()),
  ]),
  '.google.protobuf.Duration': message => durationToJson(Number(message.seconds ?? 0), Number(message.nanos ?? 0)),
  '.google.protobuf.Timestamp': message => timestampToJson(Number(message.seconds ?? 0), Number(message.nanos ?? 0)),
  '.google.protobuf.Struct': message => structToJson(message as unknown as StructMessage),
  '.google.protobuf.Value': message => valueToJson(message as unknown as ValueMessage),
  '.google.protobuf.ListValue': message => ((message.values as readonly ValueMessage[]) ?? []).map(valueToJson),
  '.google.protobuf.FieldMask': message => ((message.paths as readonly string[]) ?? []).join(','),
};

/**
 * Pretty-printed as Envoy prints: one space per level, `<` and `>` escaped.
 * @param depth Levels that the text is nested in: every line but the first is indented by as many spaces.
 */
export function stringifyJson(json: unknown, depth = 0): string {
  const text = JSON.stringify(json, null, 1).replace(/[<>\u2028\u2029]/g, character => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
  return depth === 0 ? text : text.replaceAll('\n', `\n${' '.repeat(depth)}`);
}
