/**
 * Reads ProtoJSON into a decoded message, with the path of what is wrong. Field names are accepted in the .proto form and in
 * camelCase, as the ProtoJSON specification asks.
 *
 * Source: https://protobuf.dev/programming-guides/json/
 */
import protobuf from 'protobufjs/light.js';
import { findType } from './messages.ts';
import { jsonToStructFields, jsonToValue } from './struct.ts';

/** A JSON document that is not the message it should be. `path` is in .proto names, as `static_resources.clusters[0].name`. */
export class ProtoJsonError extends Error {
  readonly path: string;
  readonly reason: string;
  constructor(path: string, reason: string) {
    super(path === '' ? reason : `${path}: ${reason}`);
    this.path = path;
    this.reason = reason;
  }
}

export interface JsonReaderOptions {
  /** Called for each unknown field; null makes it an error. */
  readonly onUnknownField: ((path: string) => void) | null;
}

type Json = { readonly [key: string]: unknown };

/** Deep enough for every real configuration, and within the stack. */
const maxDepth = 100;

/**
 * @param name Full name of the message.
 * @param json A parsed JSON value.
 * @throws ProtoJsonError
 */
export function readJsonMessage(name: string, json: unknown, options: JsonReaderOptions, path = ''): object {
  const type = findType(name);
  if (type === null) throw new ProtoJsonError(path, `could not find message type ${name}`);
  return readMessage(type, json, path, options, 0);
}

function readMessage(type: protobuf.Type, json: unknown, path: string, options: JsonReaderOptions, depth: number): object {
  if (depth > maxDepth) throw new ProtoJsonError(path, 'is nested too deeply');
  const wellKnown = wellKnownReaders[type.fullName];
  if (wellKnown !== undefined) return wellKnown(type, json, path, options, depth);
  if (!isObject(json)) throw new ProtoJsonError(path, `expected an object for ${type.fullName.slice(1)}`);
  const message = type.create() as { [field: string]: unknown };
  const fields = fieldsByJsonName(type);
  const given = new Set<protobuf.Field>();
  for (const key in json) {
    const value = json[key];
    const field = fields.get(key);
    const fieldPath = path === '' ? key : `${path}.${key}`;
    if (field === undefined) {
      if (options.onUnknownField === null) {
        throw new ProtoJsonError(fieldPath, `no such field: '${key}' in ${type.fullName.slice(1)}`);
      }
      options.onUnknownField(fieldPath);
      continue;
    }
    if (value === null && field.resolvedType?.fullName !== '.google.protobuf.Value') continue;
    if (given.has(field)) throw new ProtoJsonError(fieldPath, 'is given twice');
    given.add(field);
    const others = field.partOf;
    const rival = others?.fieldsArray.find(other => other !== field && given.has(other));
    if (rival !== undefined)
      throw new ProtoJsonError(fieldPath, `oneof field '${others!.name}' is already set by '${rival.name}'`);
    message[field.name] = readField(field, value, fieldPath, options, depth);
  }
  return message;
}

function readField(field: protobuf.Field, value: unknown, path: string, options: JsonReaderOptions, depth: number): unknown {
  if (field instanceof protobuf.MapField) {
    if (!isObject(value)) throw new ProtoJsonError(path, 'expected an object');
    const map: { [key: string]: unknown } = {};
    for (const key in value) {
      const item = readSingular(field, value[key], `${path}["${key}"]`, options, depth);
      Object.defineProperty(map, key, { value: item, enumerable: true, configurable: true, writable: true });
    }
    return map;
  }
  if (field.repeated) {
    if (!Array.isArray(value)) throw new ProtoJsonError(path, 'expected a list');
    return value.map((item, i) => readSingular(field, item, `${path}[${i}]`, options, depth));
  }
  return readSingular(field, value, path, options, depth);
}

function readSingular(field: protobuf.Field, value: unknown, path: string, options: JsonReaderOptions, depth: number): unknown {
  const type = field.resolvedType;
  if (type instanceof protobuf.Type) return readMessage(type, value, path, options, depth + 1);
  if (type instanceof protobuf.Enum) return readEnum(type, value, path);
  return readScalar(field.type, value, path);
}

function readEnum(type: protobuf.Enum, value: unknown, path: string): number {
  if (typeof value === 'number' && Number.isInteger(value)) return value;
  const number = typeof value === 'string' ? type.values[value] : undefined;
  if (number === undefined) {
    throw new ProtoJsonError(path, `invalid value ${JSON.stringify(value)} for enum type ${type.fullName.slice(1)}`);
  }
  return number;
}

const integerRanges: { readonly [type: string]: readonly [number, number] } = {
  int32: [-(2 ** 31), 2 ** 31 - 1],
  sint32: [-(2 ** 31), 2 ** 31 - 1],
  sfixed32: [-(2 ** 31), 2 ** 31 - 1],
  uint32: [0, 2 ** 32 - 1],
  fixed32: [0, 2 ** 32 - 1],
  int64: [-(2 ** 63), 2 ** 63],
  sint64: [-(2 ** 63), 2 ** 63],
  sfixed64: [-(2 ** 63), 2 ** 63],
  uint64: [0, 2 ** 64],
  fixed64: [0, 2 ** 64],
};

function readScalar(type: string, value: unknown, path: string): unknown {
  const invalid = (): ProtoJsonError => new ProtoJsonError(path, `invalid value ${JSON.stringify(value)} for type ${type}`);
  switch (type) {
    case 'string':
      if (typeof value !== 'string') throw invalid();
      return value;
    case 'bool':
      if (value === 'true' || value === 'false') return value === 'true';
      if (typeof value !== 'boolean') throw invalid();
      return value;
    case 'bytes':
      if (typeof value !== 'string' || !/^[A-Za-z0-9+/_-]*={0,2}$/.test(value)) throw invalid();
      return Buffer.from(value, 'base64');
    case 'double':
    case 'float': {
      const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
      if (typeof number !== 'number' || (Number.isNaN(number) && value !== 'NaN')) throw invalid();
      return number;
    }
    default: {
      const [min, max] = integerRanges[type];
      const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
      if (typeof number !== 'number' || !Number.isInteger(number) || number < min || number > max) throw invalid();
      return number;
    }
  }
}

type WellKnownReader = (type: protobuf.Type, json: unknown, path: string, options: JsonReaderOptions, depth: number) => object;

function readWrapper(type: protobuf.Type, json: unknown, path: string): object {
  return type.create({ value: readScalar(type.fields.value.type, json, path) });
}

function readDuration(type: protobuf.Type, json: unknown, path: string): object {
  const match = typeof json === 'string' ? /^(-?)(\d{1,15})(?:\.(\d{1,9}))?s$/.exec(json) : null;
  if (match === null) throw new ProtoJsonError(path, `invalid duration ${JSON.stringify(json)}: expected seconds as in "1.5s"`);
  const sign = match[1] === '-' ? -1 : 1;
  const seconds = Number(match[2]);
  if (seconds > 315_576_000_000) throw new ProtoJsonError(path, `duration ${match[0]} is out of range`);
  return type.create({ seconds: sign * seconds || 0, nanos: sign * Number((match[3] ?? '').padEnd(9, '0')) || 0 });
}

function readTimestamp(type: protobuf.Type, json: unknown, path: string): object {
  const ms = typeof json === 'string' ? Date.parse(json) : Number.NaN;
  if (Number.isNaN(ms)) throw new ProtoJsonError(path, `invalid timestamp ${JSON.stringify(json)}`);
  return type.create({ seconds: Math.floor(ms / 1000), nanos: (((ms % 1000) + 1000) % 1000) * 1_000_000 });
}

function readStruct(type: protobuf.Type, json: unknown, path: string): object {
  if (!isObject(json)) throw new ProtoJsonError(path, 'expected an object');
  return type.create({ fields: jsonToStructFields(json) });
}

function readList(type: protobuf.Type, json: unknown, path: string): object {
  if (!Array.isArray(json)) throw new ProtoJsonError(path, 'expected a list');
  return type.create({ values: json.map(item => jsonToValue(item)) });
}

function readAny(type: protobuf.Type, json: unknown, path: string, options: JsonReaderOptions, depth: number): object {
  if (!isObject(json)) throw new ProtoJsonError(path, 'expected an object');
  const { '@type': url, ...body } = json;
  if (url === undefined && Object.keys(body).length === 0) return type.create();
  if (typeof url !== 'string') throw new ProtoJsonError(path, "missing or invalid '@type'");
  const inner = findType(url.slice(url.lastIndexOf('/') + 1));
  if (inner === null) throw new ProtoJsonError(path, `could not find @type '${url}'`);
  const isWellKnown = wellKnownReaders[inner.fullName] !== undefined;
  const message = readMessage(inner, isWellKnown ? body.value : body, path, options, depth + 1);
  return type.create({ type_url: url, value: inner.encode(message).finish() });
}

const wellKnownReaders: { readonly [fullName: string]: WellKnownReader } = {
  '.google.protobuf.DoubleValue': readWrapper,
  '.google.protobuf.FloatValue': readWrapper,
  '.google.protobuf.Int64Value': readWrapper,
  '.google.protobuf.UInt64Value': readWrapper,
  '.google.protobuf.Int32Value': readWrapper,
  '.google.protobuf.UInt32Value': readWrapper,
  '.google.protobuf.BoolValue': readWrapper,
  '.google.protobuf.StringValue': readWrapper,
  '.google.protobuf.BytesValue': readWrapper,
  '.google.protobuf.Duration': readDuration,
  '.google.protobuf.Timestamp': readTimestamp,
  '.google.protobuf.Struct': readStruct,
  '.google.protobuf.Value': (type, json) => type.create(jsonToValue(json)),
  '.google.protobuf.ListValue': readList,
  '.google.protobuf.Any': readAny,
};

const jsonNames = new WeakMap<protobuf.Type, ReadonlyMap<string, protobuf.Field>>();

function fieldsByJsonName(type: protobuf.Type): ReadonlyMap<string, protobuf.Field> {
  let names = jsonNames.get(type);
  if (names === undefined) {
    const map = new Map<string, protobuf.Field>();
    for (const field of type.fieldsArray) {
      field.resolve();
      map.set(field.name, field);
      map.set(
        field.name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase()),
        field,
      );
    }
    jsonNames.set(type, (names = map));
  }
  return names;
}

function isObject(json: unknown): json is Json {
  return typeof json === 'object' && json !== null && !Array.isArray(json);
}
