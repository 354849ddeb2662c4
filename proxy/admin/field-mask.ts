/** `google.protobuf.FieldMask` over ProtoJSON with .proto names. */
import { findType } from '../../protos/messages.ts';
import type { JsonObject } from '../../protos/json-writer.ts';

export type FieldMask = readonly (readonly string[])[];

/** `a.b,c`. */
export function parseMask(text: string): FieldMask {
  return text
    .split(',')
    .filter(path => path !== '')
    .map(path => path.split('.'));
}

/** Whether the first name of each path is a field of the message. */
export function isMaskOf(mask: FieldMask, message: string): boolean {
  const type = findType(message);
  return type !== null && mask.every(([name]) => type.fields[name] !== undefined);
}

/** What the mask leaves of a message; `@type` stays. */
export function applyMask(json: JsonObject, mask: FieldMask): JsonObject {
  const result: JsonObject = '@type' in json ? { '@type': json['@type'] } : {};
  for (const [key, value] of Object.entries(json)) {
    const rests = mask.filter(path => path[0] === key).map(path => path.slice(1));
    if (rests.length === 0) continue;
    const isWhole = rests.some(rest => rest.length === 0);
    result[key] = isWhole || typeof value !== 'object' || value === null ? value : applyToValue(value, rests);
  }
  return result;
}

function applyToValue(value: object, mask: FieldMask): unknown {
  if (Array.isArray(value))
    return value.map(item => (typeof item === 'object' && item !== null ? applyToValue(item, mask) : item));
  return applyMask(value as JsonObject, mask);
}
