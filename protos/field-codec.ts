/**
 * Decodes and encodes a message by the table of its fields. For each message type and direction protobufjs writes and compiles a
 * function, which is quicker from the hundredth message on and costs more than all messages before: a start sees most types a few
 * times. The results are the same: fields of proto3 without groups, unknown ones kept in `$unknowns`.
 *
 * Source: protobufjs's decoder and encoder; the protobuf wire format.
 */
import protobuf from 'protobufjs/light.js';

/** What protobufjs's typings leave out. */
interface FieldInternals {
  readonly _features: { readonly utf8_validation?: string };
}
interface ReaderInternals {
  readonly discardUnknown?: boolean;
  tag(): number;
  size(): number;
  raw(start: number, end: number): Uint8Array;
  stringVerify(): string;
  skipType(wireType: number, depth?: number, fieldNumber?: number): unknown;
}
type Reader = protobuf.Reader & ReaderInternals & { [method: string]: (list?: unknown) => unknown };
type Writer = protobuf.Writer & { raw(bytes: Uint8Array): unknown } & { [method: string]: (value: unknown) => Writer };
type Message = { [field: string]: unknown };
type MapField = protobuf.Field & { readonly keyType: string };
/** `decode` and `encode` with the arguments that protobufjs's functions take between each other. */
type NestedDecode = (reader: Reader, length: number, endTag: undefined, depth: number, into?: unknown) => unknown;
type NestedEncode = (message: unknown, writer: Writer, depth: number) => Writer;

const { types, util } = protobuf;
const tables = types as unknown as { readonly [table: string]: { readonly [type: string]: number | undefined } };
const internalUtil = util as unknown as {
  readonly recursionLimit: number;
  readonly emptyObject: object;
  boolFromKey(key: string): boolean;
  longFromKey(key: string, isUnsigned: boolean): unknown;
  makeProp(target: object, name: string, isEnumerable?: boolean): void;
};
const lengthDelimited = 2;

const mutableFields = new WeakMap<protobuf.Type, readonly protobuf.Field[]>();
const fieldsInOrder = new WeakMap<protobuf.Type, readonly protobuf.Field[]>();

/** The constructor of a type's messages. */
export function createMessageClass(type: protobuf.Type): () => void {
  return function construct(this: Message, properties?: Message): void {
    for (const field of listMutableFields(type)) this[field.name] = field.map ? {} : [];
    if (properties === undefined) return;
    for (const name of Object.keys(properties)) {
      const value = properties[name];
      if (value !== null && value !== undefined && name !== '__proto__') this[name] = value;
    }
  };
}

function listMutableFields(type: protobuf.Type): readonly protobuf.Field[] {
  let fields = mutableFields.get(type);
  if (fields === undefined) {
    fields = type.fieldsArray.filter(field => field.map || field.repeated);
    mutableFields.set(type, fields);
  }
  return fields;
}

/**
 * Decodes `length` bytes of a reader, or all of it, into a new message or `into`.
 * @throws Error or RangeError if these are no fields
 */
export function decodeFields(
  type: protobuf.Type,
  source: protobuf.Reader | Uint8Array,
  length?: number,
  depth = 0,
  into?: object | null,
): protobuf.Message {
  const reader = (source instanceof protobuf.Reader ? source : protobuf.Reader.create(source)) as Reader;
  if (depth > internalUtil.recursionLimit) throw new Error('max depth exceeded');
  const outerEnd = reader.len;
  const end = length === undefined ? outerEnd : reader.pos + length;
  if (end > outerEnd) throw new RangeError('index out of range');
  reader.len = end;
  const message = (into ?? new type.ctor()) as Message;
  while (reader.pos < end) {
    const start = reader.pos;
    const tag = reader.tag();
    const field = type.fieldsById[tag >>> 3];
    if (field !== undefined && readField(field, message, reader, tag & 7, depth)) continue;
    reader.skipType(tag & 7, depth, tag >>> 3);
    if (!reader.discardUnknown) keepUnknown(message, reader.raw(start, reader.pos));
  }
  if (reader.pos !== end) throw new RangeError('index out of range');
  reader.len = outerEnd;
  return message as unknown as protobuf.Message;
}

function keepUnknown(message: Message, bytes: Uint8Array): void {
  internalUtil.makeProp(message, '$unknowns', false);
  message.$unknowns ??= [];
  (message.$unknowns as Uint8Array[]).push(bytes);
}

function scalarType(field: protobuf.Field): string {
  return field.resolvedType instanceof protobuf.Enum ? 'int32' : field.type;
}

/** False if the field has another wire type: then it counts as unknown. */
function readField(field: protobuf.Field, message: Message, reader: Reader, wireType: number, depth: number): boolean {
  const { name } = field;
  if (field.map) {
    if (wireType !== lengthDelimited) return false;
    if (message[name] === internalUtil.emptyObject) message[name] = {};
    readMapEntry(field as unknown as MapField, message[name] as Message, reader, depth);
  } else if (field.repeated) {
    if (!readItems(field, message, reader, wireType, depth)) return false;
  } else {
    if (wireType !== (tables.basic[scalarType(field)] ?? lengthDelimited)) return false;
    const value = readValue(field, reader, depth, message[name]);
    if (field.hasPresence || !isImplicitDefault(field, value)) message[name] = value;
    else delete message[name];
  }
  if (field.partOf !== null) message[field.partOf.name] = name;
  return true;
}

/** A message, or a scalar; `into` is the message that there is already. */
function readValue(field: protobuf.Field, reader: Reader, depth: number, into?: unknown): unknown {
  const type = field.resolvedType;
  if (type instanceof protobuf.Type) {
    return (type.decode as unknown as NestedDecode).call(type, reader, reader.size(), undefined, depth + 1, into);
  }
  if (field.type === 'string' && (field as unknown as FieldInternals)._features.utf8_validation === 'VERIFY') {
    return reader.stringVerify();
  }
  return reader[scalarType(field)]();
}

function readItems(field: protobuf.Field, message: Message, reader: Reader, wireType: number, depth: number): boolean {
  const type = scalarType(field);
  const isPacked = wireType === lengthDelimited && tables.packed[type] !== undefined;
  if (!isPacked && wireType !== (tables.basic[type] ?? lengthDelimited)) return false;
  let items = message[field.name] as unknown[] | undefined;
  // The empty list of the prototype is not this message's own.
  if (!items?.length) {
    items = [];
    message[field.name] = items;
  }
  if (isPacked) reader[`${type}s`](items);
  else items.push(readValue(field, reader, depth));
  return true;
}

function readMapEntry(field: MapField, map: Message, reader: Reader, depth: number): void {
  const outerEnd = reader.len;
  const end = reader.size() + reader.pos;
  if (end > outerEnd) throw new RangeError('index out of range');
  reader.len = end;
  const valueType = field.resolvedType;
  let key = types.defaults[field.keyType as keyof typeof types.defaults] as unknown;
  let value: unknown = types.defaults[scalarType(field) as keyof typeof types.defaults] ?? null;
  while (reader.pos < end) {
    const tag = reader.tag();
    const wireType = tag & 7;
    if (tag >>> 3 === 1 && wireType === tables.mapKey[field.keyType]) {
      const verifies = field.keyType === 'string' && (field as unknown as FieldInternals)._features.utf8_validation === 'VERIFY';
      key = verifies ? reader.stringVerify() : reader[field.keyType]();
    } else if (tag >>> 3 === 2 && wireType === (tables.basic[scalarType(field)] ?? lengthDelimited)) {
      value = readValue(field, reader, depth, value);
    } else reader.skipType(wireType, depth, tag >>> 3);
  }
  if (reader.pos !== end) throw new RangeError('index out of range');
  reader.len = outerEnd;
  if (key === '__proto__') internalUtil.makeProp(map, key as string);
  map[key as string] = value ?? (valueType instanceof protobuf.Type ? new valueType.ctor() : value);
}

/** Whether a scalar without presence has the value of absence. */
function isImplicitDefault(field: protobuf.Field, value: unknown): boolean {
  if (field.resolvedType instanceof protobuf.Enum) return value === field.typeDefault;
  switch (field.type) {
    case 'string':
    case 'bytes':
      return (value as string).length === 0;
    case 'double':
    case 'float':
      return Object.is(value, 0);
    case 'bool':
      return value === false;
    default:
      return value === 0;
  }
}

/** Appends the fields of a message, or of a plain object with the same names, in the order of their numbers. */
export function encodeFields(type: protobuf.Type, message: object, given?: protobuf.Writer, depth = 0): protobuf.Writer {
  const writer = (given ?? protobuf.Writer.create()) as Writer;
  if (depth > internalUtil.recursionLimit) throw new Error('max depth exceeded');
  const fields = message as Message;
  for (const field of listInOrder(type)) {
    const value = fields[field.name];
    if (value === null || value === undefined) continue;
    if (field.repeated) writeItems(field, value as readonly unknown[], writer, depth);
    else if (!Object.hasOwn(fields, field.name)) continue;
    else if (field.map) writeMap(field as unknown as MapField, value as Message, writer, depth);
    else if (field.hasPresence || field.resolvedType instanceof protobuf.Type || !isImplicitDefault(field, value)) {
      writeField(field, field.id, value, writer, depth);
    }
  }
  if (Object.hasOwn(fields, '$unknowns')) {
    for (const bytes of (fields.$unknowns ?? []) as readonly Uint8Array[]) writer.raw(bytes);
  }
  return writer;
}

function listInOrder(type: protobuf.Type): readonly protobuf.Field[] {
  let fields = fieldsInOrder.get(type);
  if (fields === undefined) {
    fields = type.fieldsArray.toSorted((one, other) => one.id - other.id);
    fieldsInOrder.set(type, fields);
  }
  return fields;
}

function writeField(field: protobuf.Field, id: number, value: unknown, writer: Writer, depth: number): void {
  const type = field.resolvedType;
  if (type instanceof protobuf.Type) {
    const nested = writer.uint32(((id << 3) | lengthDelimited) >>> 0).fork() as Writer;
    (type.encode as unknown as NestedEncode).call(type, value, nested, depth + 1).ldelim();
    return;
  }
  const name = scalarType(field);
  (writer.uint32(((id << 3) | (tables.basic[name] as number)) >>> 0) as Writer)[name](value);
}

function writeItems(field: protobuf.Field, items: readonly unknown[], writer: Writer, depth: number): void {
  if (items.length === 0) return;
  const type = scalarType(field);
  if (field.packed && tables.packed[type] !== undefined) {
    (writer.uint32(((field.id << 3) | lengthDelimited) >>> 0) as Writer)[`${type}s`](items);
    return;
  }
  for (const item of items) writeField(field, field.id, item, writer, depth);
}

function writeMap(field: MapField, map: Message, writer: Writer, depth: number): void {
  const { keyType } = field;
  for (const text of Object.keys(map)) {
    const entry = writer.uint32(((field.id << 3) | lengthDelimited) >>> 0).fork() as Writer;
    let key: unknown = text;
    if (keyType === 'bool') key = internalUtil.boolFromKey(text);
    else if (tables.long[keyType] !== undefined) key = internalUtil.longFromKey(text, /^(uint|fixed)64$/.test(keyType));
    (entry.uint32(8 | (tables.mapKey[keyType] as number)) as Writer)[keyType](key);
    writeField(field, 2, map[text], entry, depth);
    entry.ldelim();
  }
}
