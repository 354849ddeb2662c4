/** `google.protobuf.Struct` and `Value` to plain JSON and back. */

/** A decoded `google.protobuf.Value`. */
export interface ValueMessage {
  readonly nullValue?: number | null;
  readonly numberValue?: number | null;
  readonly stringValue?: string | null;
  readonly boolValue?: boolean | null;
  readonly structValue?: StructMessage | null;
  readonly listValue?: { readonly values: readonly ValueMessage[] } | null;
}

/** A decoded `google.protobuf.Struct`. */
export interface StructMessage {
  readonly fields: { readonly [key: string]: ValueMessage };
}

/** Plain JSON of a Struct; null and undefined give an empty object. */
export function structToJson(struct: StructMessage | null | undefined): { [key: string]: unknown } {
  const json: { [key: string]: unknown } = {};
  for (const [key, value] of Object.entries(struct?.fields ?? {})) defineOwn(json, key, valueToJson(value));
  return json;
}

/** Plain JSON of a Value; a value of no kind is null. */
export function valueToJson(value: ValueMessage): unknown {
  if (isGiven(value, 'stringValue')) return value.stringValue;
  if (isGiven(value, 'numberValue')) return value.numberValue;
  if (isGiven(value, 'boolValue')) return value.boolValue;
  if (isGiven(value, 'structValue')) return structToJson(value.structValue);
  if (isGiven(value, 'listValue')) return value.listValue!.values.map(valueToJson);
  return null;
}

function isGiven(value: ValueMessage, field: keyof ValueMessage): boolean {
  return Object.hasOwn(value, field) && value[field] !== null && value[field] !== undefined;
}

/** The fields of a Struct message. */
export function jsonToStructFields(json: { readonly [key: string]: unknown }): { [key: string]: ValueMessage } {
  const fields: { [key: string]: ValueMessage } = {};
  for (const [key, value] of Object.entries(json)) defineOwn(fields, key, jsonToValue(value));
  return fields;
}

/** A Value message. */
export function jsonToValue(json: unknown): ValueMessage {
  if (typeof json === 'string') return { stringValue: json };
  if (typeof json === 'number') return { numberValue: json };
  if (typeof json === 'boolean') return { boolValue: json };
  if (json === null || json === undefined) return { nullValue: 0 };
  if (Array.isArray(json)) return { listValue: { values: json.map(jsonToValue) } };
  return { structValue: { fields: jsonToStructFields(json as { [key: string]: unknown }) } };
}

/** Sets a key that may be `__proto__`. */
function defineOwn(target: object, key: string, value: unknown): void {
  Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
}
