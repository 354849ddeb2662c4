/**
 * What becomes of every field of every message that is compiled: it works, it has no effect here (with the reason), or a
 * resource that sets it is refused. Compiling walks each decoded message against the table before anything reads it, so no
 * field can be overlooked; a unit test walks the descriptors and fails on a field in no class.
 */
import type protobuf from 'protobufjs';
import { ConfigError } from './config-error.ts';

/** Classes of one message's fields. */
export interface MessageFields {
  readonly implemented: readonly string[];
  /** Accepted without effect; the value says why that is right. */
  readonly ignored: { readonly [field: string]: string };
  /** Refused when set. */
  readonly rejected: readonly string[];
}

/** Full message name to its fields. */
export type FieldTable = { readonly [message: string]: MessageFields };

/** Writes one message's line: names separated by spaces. */
export function classify(classes: {
  implemented?: string;
  ignored?: { readonly [field: string]: string };
  rejected?: string;
}): MessageFields {
  const split = (names: string | undefined): string[] => names?.trim().split(/\s+/).filter(Boolean) ?? [];
  return { implemented: split(classes.implemented), ignored: classes.ignored ?? {}, rejected: split(classes.rejected) };
}

/** What the walk found besides errors. */
export interface FieldFindings {
  /** A field without effect is set. */
  onIgnored(path: string, reason: string): void;
  /** Fields that the descriptors do not know. */
  onUnknown(path: string, count: number): void;
}

interface PlannedField {
  readonly name: string;
  readonly rejected: boolean;
  readonly ignored: string | undefined;
  readonly repeated: boolean;
  readonly map: boolean;
  /** Null for scalars and for messages that are not walked (well-known types). */
  readonly type: protobuf.Type | null;
  readonly enumValues: { readonly [id: number]: string } | null;
  readonly presence: boolean;
  readonly defaultValue: unknown;
}

type DecodedMessage = { readonly [field: string]: unknown };

/** Walks decoded messages against a table. */
export class FieldChecker {
  readonly #table: FieldTable;
  readonly #plans = new Map<protobuf.Type, readonly PlannedField[]>();

  constructor(table: FieldTable) {
    this.#table = table;
  }

  /**
   * @param path of `message` in its resource.
   * @throws ConfigError for a set field of the class `rejected`, and for an enum value that does not exist.
   */
  check(type: protobuf.Type, message: object, path: string, findings: FieldFindings): void {
    const unknowns = (message as { $unknowns?: readonly unknown[] }).$unknowns;
    if (unknowns !== undefined) findings.onUnknown(path, unknowns.length);
    for (const field of this.#plan(type)) {
      if (!Object.hasOwn(message, field.name)) continue;
      const value = (message as DecodedMessage)[field.name];
      if (!isSet(field, value)) continue;
      const fieldPath = joinPath(path, field.name);
      if (field.rejected) throw new ConfigError(fieldPath, 'is not implemented');
      if (field.ignored !== undefined) findings.onIgnored(fieldPath, field.ignored);
      else if (field.type !== null || field.enumValues !== null) this.#checkValues(field, value, fieldPath, findings);
    }
  }

  #checkValues(field: PlannedField, value: unknown, path: string, findings: FieldFindings): void {
    if (field.repeated) {
      const items = value as readonly unknown[];
      for (let i = 0; i < items.length; i++) this.#checkValue(field, items[i], `${path}[${i}]`, findings);
    } else if (field.map) {
      for (const [key, item] of Object.entries(value as DecodedMessage)) {
        this.#checkValue(field, item, `${path}["${key}"]`, findings);
      }
    } else {
      this.#checkValue(field, value, path, findings);
    }
  }

  #checkValue(field: PlannedField, value: unknown, path: string, findings: FieldFindings): void {
    if (field.type !== null) {
      this.check(field.type, value as object, path, findings);
    } else if (field.enumValues![value as number] === undefined) {
      throw new ConfigError(path, `value must be one of the defined enum values, not ${value}`);
    }
  }

  #plan(type: protobuf.Type): readonly PlannedField[] {
    let plan = this.#plans.get(type);
    if (plan !== undefined) return plan;
    const name = type.fullName.slice(1);
    const classes = this.#table[name];
    if (classes === undefined) throw new Error(`the field table has no line for ${name}`);
    const rejected = new Set(classes.rejected);
    const implemented = new Set(classes.implemented);
    plan = type.fieldsArray
      .map(field => {
        field.resolve();
        return {
          name: field.name,
          // A field in no class is refused like one that is not implemented; the unit test keeps this from happening.
          rejected: rejected.has(field.name) || !(implemented.has(field.name) || Object.hasOwn(classes.ignored, field.name)),
          ignored: classes.ignored[field.name],
          repeated: field.repeated,
          map: field.map,
          type: walkedType(field),
          enumValues: enumValuesOf(field),
          presence: field.hasPresence,
          defaultValue: field.typeDefault,
        };
      })
      .filter(field => field.rejected || field.ignored !== undefined || field.type !== null || field.enumValues !== null);
    this.#plans.set(type, plan);
    return plan;
  }
}

/** Whether the walk goes into messages of this type: not for the well-known ones, whose fields need no class. */
export function isWalked(type: protobuf.Type): boolean {
  return !type.fullName.startsWith('.google.protobuf.');
}

function walkedType(field: protobuf.Field): protobuf.Type | null {
  const type = field.resolvedType as protobuf.Type | null;
  return type !== null && 'fieldsArray' in type && isWalked(type) ? type : null;
}

function enumValuesOf(field: protobuf.Field): { readonly [id: number]: string } | null {
  const type = field.resolvedType as protobuf.Enum | null;
  return type !== null && 'valuesById' in type ? type.valuesById : null;
}

function isSet(field: PlannedField, value: unknown): boolean {
  if (value === null || value === undefined) return false;
  if (field.repeated) return (value as readonly unknown[]).length > 0;
  if (field.map) return Object.keys(value as object).length > 0;
  if (field.presence) return true;
  if (value instanceof Uint8Array) return value.length > 0;
  return value !== field.defaultValue;
}

/** Appends a field to a path; an empty path is the resource itself. */
export function joinPath(path: string, field: string): string {
  return path === '' ? field : `${path}.${field}`;
}
