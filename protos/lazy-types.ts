/**
 * The reflected types, made for a quick start: a type when something asks for it or for a message that has it, its fields when
 * something looks at them, its encoder and decoder when they are called often. Of 600 messages a proxy uses 100; protobufjs by
 * itself prepares all, five functions each.
 */
import protobuf from 'protobufjs/light.js';
import { createMessageClass, decodeFields, encodeFields } from './field-codec.ts';

type MessageJson = {
  readonly fields?: { readonly [name: string]: protobuf.IField & { readonly keyType?: string } };
  readonly oneofs?: { readonly [name: string]: protobuf.IOneOf };
  readonly values?: { readonly [name: string]: number };
  readonly nested?: { readonly [name: string]: MessageJson };
};

/** What protobufjs keeps of an object beyond its typings. Features are those of proto3, resolved from the root down. */
interface Internals {
  parent: (protobuf.NamespaceBase & Internals) | null;
  _defaultEdition: string;
  _features: object;
  _featuresResolved: boolean;
  _needsRecursiveFeatureResolution: boolean;
  _needsRecursiveResolve: boolean;
  _resolveFeatures(edition: string): void;
}

const edition = 'proto3';
/** A function for one message type is worth its compilation from then on. */
const callsUntilGenerated = 100;
/** The types whose fields nobody has looked at. */
const unread = new WeakMap<protobuf.Type, { readonly json: MessageJson; readonly types: LazyTypes }>();
const fieldTables = new WeakMap<protobuf.Type, { [name: string]: protobuf.Field }>();
const oneofTables = new WeakMap<protobuf.Type, { [name: string]: protobuf.OneOf } | undefined>();

class LazyType extends protobuf.Type {
  /** Lookups walk through every message: that alone reads no fields. */
  override get(name: string): protobuf.ReflectionObject | null {
    const json = unread.get(this)?.json;
    if (json === undefined || hasOwn(json.fields, name) || hasOwn(json.oneofs, name)) return super.get(name);
    return hasOwn(this.nested, name) ? (this.nested?.[name] ?? null) : null;
  }

  #encoded = 0;
  #decoded = 0;

  override encode(message: object, writer?: protobuf.Writer, depth?: number): protobuf.Writer {
    if (++this.#encoded < callsUntilGenerated) return encodeFields(this, message, writer, depth);
    const generate = protobuf.encoder(this) as unknown as (context: object) => protobuf.Type['encode'];
    this.encode = generate({ Writer: protobuf.Writer, types: listFieldTypes(this), util: protobuf.util });
    return (this.encode as LazyType['encode'])(message, writer, depth);
  }

  /** protobufjs's functions take arguments of their own between each other: end of a group, depth, and the message so far. */
  override decode(
    source: protobuf.Reader | Uint8Array,
    length?: number,
    group?: number,
    depth?: number,
    into?: object | null,
  ): protobuf.Message {
    if (++this.#decoded < callsUntilGenerated) return decodeFields(this, source, length, depth, into);
    const generate = protobuf.decoder(this) as unknown as (context: object) => protobuf.Type['decode'];
    const context = { Reader: protobuf.Reader, types: listFieldTypes(this), util: protobuf.util, C: this.ctor };
    this.decode = generate(context);
    return (this.decode as LazyType['decode'])(source, length, group, depth, into);
  }
}

Object.defineProperty(LazyType.prototype, 'constructor', { value: protobuf.Type });

// Accessors, where the base class has properties that its constructor sets.
const classProperty = Object.getOwnPropertyDescriptor(protobuf.Type.prototype, 'ctor') as PropertyDescriptor;
Object.defineProperties(LazyType.prototype, {
  ctor: {
    get(this: protobuf.Type & { _ctor?: unknown }) {
      if (!this._ctor) classProperty.set?.call(this, createMessageClass(this));
      return this._ctor;
    },
    set: classProperty.set,
  },
  fields: {
    get(this: protobuf.Type) {
      readFields(this);
      return fieldTables.get(this);
    },
    set(this: protobuf.Type, table: { [name: string]: protobuf.Field }) {
      fieldTables.set(this, table);
    },
  },
  oneofs: {
    get(this: protobuf.Type) {
      readFields(this);
      return oneofTables.get(this);
    },
    set(this: protobuf.Type, table: { [name: string]: protobuf.OneOf } | undefined) {
      oneofTables.set(this, table);
    },
  },
});

function listFieldTypes(type: protobuf.Type): readonly (protobuf.ReflectionObject | null)[] {
  return type.fieldsArray.map(field => field.resolvedType);
}

function readFields(type: protobuf.Type): void {
  const source = unread.get(type);
  if (source === undefined) return;
  const { json, types } = source;
  unread.delete(type);
  const table = type.fields;
  for (const [name, given] of Object.entries(json.fields ?? {})) {
    const description = { ...given, type: types.makeFieldType(type, given.type) };
    const isMap = description.keyType !== undefined;
    const field = isMap
      ? protobuf.MapField.fromJSON(name, description as protobuf.IMapField)
      : protobuf.Field.fromJSON(name, description);
    // As `type.add` does, which looks through all fields for each.
    table[name] = field as protobuf.Field;
    field.message = type;
    field.parent = type;
  }
  for (const [name, oneof] of Object.entries(json.oneofs ?? {})) type.add(protobuf.OneOf.fromJSON(name, oneof));
  resolveFeatures(type);
  for (const oneof of type.oneofsArray) resolveFeatures(oneof);
  for (const field of type.fieldsArray) {
    resolveFieldFeatures(field, type);
    field.resolve();
    if (field.resolvedType !== null) resolveFeatures(field.resolvedType);
  }
}

/** Most fields have their message's features. */
function resolveFieldFeatures(field: protobuf.Field, type: protobuf.Type): void {
  if (field.options !== undefined) {
    resolveFeatures(field);
    return;
  }
  const internals = field as unknown as Internals;
  internals._features = (type as unknown as Internals)._features;
  internals._featuresResolved = true;
}

function hasOwn(table: object | undefined, name: string): boolean {
  return table !== undefined && Object.hasOwn(table, name);
}

function resolveFeatures(object: protobuf.ReflectionObject): void {
  const internals = object as unknown as Internals;
  if (internals._featuresResolved) return;
  if (internals.parent !== null) resolveFeatures(internals.parent as unknown as protobuf.ReflectionObject);
  internals._resolveFeatures(edition);
}

/** The messages and enumerations of a descriptor in protobufjs's JSON form, by full name. */
export class LazyTypes {
  readonly #root = new protobuf.Root();
  readonly #descriptors = new Map<string, MessageJson>();
  readonly #made = new Map<string, protobuf.NamespaceBase | protobuf.Enum>([['', this.#root]]);

  constructor(descriptor: MessageJson) {
    this.#collect(descriptor, '');
  }

  /** The message of a full name, or null. */
  find(name: string): protobuf.Type | null {
    const made = this.#descriptors.has(name) ? this.#make(name) : null;
    return made instanceof protobuf.Type ? made : null;
  }

  /** The root with every type in it. */
  makeAll(): protobuf.Root {
    for (const name of this.#descriptors.keys()) this.#make(name);
    return this.#root;
  }

  /** The absolute name of a field's type: of the candidates the one in the innermost scope. Those of scalars stay. */
  makeFieldType(type: protobuf.Type, name: string): string {
    if (name in protobuf.types.basic) return name;
    if (name.startsWith('.')) return this.#make(name.slice(1)).fullName;
    for (let scope: string = type.fullName; ; scope = scope.slice(0, scope.lastIndexOf('.'))) {
      const candidate = `${scope}.${name}`.slice(1);
      if (this.#descriptors.has(candidate)) return this.#make(candidate).fullName;
      if (scope === '') throw new Error(`${type.fullName} has a field of the unknown type ${name}`);
    }
  }

  #collect(json: MessageJson, scope: string): void {
    for (const [name, nested] of Object.entries(json.nested ?? {})) {
      const fullName = scope === '' ? name : `${scope}.${name}`;
      if (nested.fields !== undefined || nested.values !== undefined) this.#descriptors.set(fullName, nested);
      this.#collect(nested, fullName);
    }
  }

  /** A message, an enumeration, or the package of one. */
  #make(fullName: string): protobuf.NamespaceBase | protobuf.Enum {
    const made = this.#made.get(fullName);
    if (made !== undefined) return made;
    const split = fullName.lastIndexOf('.');
    const parent = this.#make(fullName.slice(0, Math.max(0, split))) as protobuf.NamespaceBase;
    const name = fullName.slice(split + 1);
    const json = this.#descriptors.get(fullName);
    const object = json?.values !== undefined ? protobuf.Enum.fromJSON(name, json as protobuf.IEnum) : makeNamespace(name, json);
    this.#made.set(fullName, object);
    parent.add(object);
    for (let above = parent as unknown as Internals | null; above !== null; above = above.parent) {
      above._needsRecursiveFeatureResolution = false;
      above._needsRecursiveResolve = false;
    }
    if (json !== undefined && object instanceof protobuf.Type) unread.set(object, { json, types: this });
    return object;
  }
}

function makeNamespace(name: string, json: MessageJson | undefined): protobuf.NamespaceBase {
  const object = json === undefined ? new protobuf.Namespace(name) : new LazyType(name);
  (object as unknown as Internals)._defaultEdition = edition;
  return object;
}
