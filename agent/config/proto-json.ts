/**
 * Reads ProtoJSON by a field table and gives it back in canonical form: lowerCamelCase names, enum names, durations as text,
 * scalars without presence left out when they have their default value.
 *
 * Istio's mesh configuration is YAML or JSON for the agent and JSON for istiod: it is never encoded, so no descriptor is needed.
 */
import { parseProtoDuration, renderProtoDuration } from './duration.ts';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type JsonObject = { readonly [key: string]: Json };

/** A field's type; the ones with a `Value` suffix are wrappers, which keep default values. */
export type FieldType =
  | 'string'
  | 'bool'
  | 'int32'
  | 'uint32'
  | 'double'
  | 'duration'
  | 'boolValue'
  | 'int32Value'
  | 'int64Value'
  | 'bytes'
  | { readonly enumeration: Readonly<Record<string, number>> }
  | { readonly message: () => MessageTable }
  | { readonly list: FieldType }
  | { readonly map: FieldType }
  /** A scalar member of a oneof: has presence. */
  | { readonly member: FieldType };

/** lowerCamelCase field name to type. */
export type MessageTable = Readonly<Record<string, FieldType>>;

export type ProtoJsonReport = { readonly onUnknownField: (path: string) => void };

/**
 * Reads one message over the fields of another: what is present replaces, as Go's jsonpb does.
 * @throws if a value does not fit its field.
 */
export function readMessage(
  table: MessageTable,
  base: JsonObject,
  json: Json,
  path: string,
  report: ProtoJsonReport,
): JsonObject {
  if (json === null || typeof json !== 'object' || Array.isArray(json)) throw new Error(`${path || 'value'}: expected an object`);
  const message: Record<string, Json> = { ...base };
  for (const [key, value] of Object.entries(json as JsonObject)) {
    const name = table[key] === undefined ? toCamelCase(key) : key;
    const type = table[name];
    const fieldPath = path === '' ? key : `${path}.${key}`;
    if (type === undefined) {
      report.onUnknownField(fieldPath);
      continue;
    }
    if (value === null) continue;
    const read = readValue(type, value, fieldPath, report);
    if (read === undefined) delete message[name];
    else message[name] = read;
  }
  return message;
}

/** Undefined stands for a default value without presence. */
function readValue(type: FieldType, value: Json, path: string, report: ProtoJsonReport): Json | undefined {
  if (typeof type === 'string') return readScalar(type, value, path);
  if ('message' in type) return readMessage(type.message(), {}, value, path, report);
  if ('enumeration' in type) return readEnum(type.enumeration, value, path);
  if ('member' in type) return readValue(type.member, value, path, report) ?? defaultOf(type.member);
  if ('list' in type) {
    if (!Array.isArray(value)) throw new Error(`${path}: expected a list`);
    const elements = value.map((element, i) => readValue(type.list, element, `${path}[${i}]`, report) ?? defaultOf(type.list));
    return elements.length === 0 ? undefined : elements;
  }
  if (value === null || typeof value !== 'object' || Array.isArray(value)) throw new Error(`${path}: expected an object`);
  const entries = Object.entries(value as JsonObject).map(
    ([key, entry]) => [key, readValue(type.map, entry, `${path}.${key}`, report) ?? defaultOf(type.map)] as const,
  );
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}

function readScalar(type: FieldType & string, value: Json, path: string): Json | undefined {
  switch (type) {
    case 'string':
    case 'bytes':
      if (typeof value !== 'string') throw new Error(`${path}: expected a string`);
      return value === '' ? undefined : value;
    case 'bool':
    case 'boolValue':
      if (typeof value !== 'boolean') throw new Error(`${path}: expected true or false`);
      return value || type === 'boolValue' ? value : undefined;
    case 'duration': {
      const ms = typeof value === 'string' ? parseProtoDuration(value) : null;
      if (ms === null) throw new Error(`${path}: bad Duration ${JSON.stringify(value)}`);
      return renderProtoDuration(ms);
    }
    case 'double':
      return readNumber(value, path) || undefined;
    case 'int64Value':
      return String(readInteger(value, path, -(2 ** 63), 2 ** 63));
    case 'uint32':
      return readInteger(value, path, 0, 2 ** 32 - 1) || undefined;
    case 'int32':
      return readInteger(value, path, -(2 ** 31), 2 ** 31 - 1) || undefined;
    case 'int32Value':
      return readInteger(value, path, -(2 ** 31), 2 ** 31 - 1);
  }
}

function readNumber(value: Json, path: string): number {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  if (typeof number !== 'number' || Number.isNaN(number)) throw new Error(`${path}: expected a number`);
  return number;
}

function readInteger(value: Json, path: string, min: number, max: number): number {
  const number = readNumber(value, path);
  if (!Number.isInteger(number) || number < min || number > max) throw new Error(`${path}: ${number} is out of range`);
  return number;
}

function readEnum(enumeration: Readonly<Record<string, number>>, value: Json, path: string): Json | undefined {
  const number = typeof value === 'number' ? value : typeof value === 'string' ? enumeration[value] : undefined;
  if (number === undefined) throw new Error(`${path}: unknown value ${JSON.stringify(value)}`);
  if (number === 0) return undefined;
  return Object.keys(enumeration).find(name => enumeration[name] === number) ?? number;
}

function defaultOf(type: FieldType): Json {
  if (type === 'string' || type === 'bytes') return '';
  if (type === 'bool') return false;
  if (typeof type === 'object' && 'enumeration' in type) {
    return Object.keys(type.enumeration).find(name => type.enumeration[name] === 0) as string;
  }
  return 0;
}

function toCamelCase(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}
