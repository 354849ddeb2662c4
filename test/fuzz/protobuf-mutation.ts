/** Mutations of encoded messages: of the bytes, and of decoded fields (which keep the message well formed). */
import protobuf from 'protobufjs/light.js';
import { findType } from '../../protos/messages.ts';
import type { Random } from '../support/random.ts';

/** Flips, cuts, repeats and inserts bytes. */
export function mutateBytes(bytes: Uint8Array, random: Random): Uint8Array {
  let result = Buffer.from(bytes);
  for (let edits = 1 + random.below(4); edits > 0 && result.length > 0; edits--) {
    const at = random.below(result.length);
    const to = Math.min(result.length, at + 1 + random.below(16));
    switch (random.below(4)) {
      case 0:
        result[at] ^= 1 << random.below(8);
        break;
      case 1:
        result = Buffer.concat([result.subarray(0, at), result.subarray(to)]);
        break;
      case 2:
        result = Buffer.concat([result.subarray(0, to), result.subarray(at)]);
        break;
      default:
        result = Buffer.concat([
          result.subarray(0, at),
          Buffer.from([random.below(256), random.below(256)]),
          result.subarray(at),
        ]);
    }
  }
  return result;
}

const texts = [
  '',
  '*',
  '%',
  '%REQ(X)%',
  '[',
  '(',
  'a\0b',
  '\r\n',
  '::',
  '999.1.1.1',
  'é',
  '__proto__',
  'x'.repeat(5000),
  '(a{1000}){1000}',
];
const numbers = [0, 1, -1, 2 ** 31 - 1, 2 ** 32 - 1, 65_536, 101, 0.5];

/** Sets, clears, repeats and replaces fields at any depth, also inside an Any. */
export function mutateMessage(typeName: string, bytes: Uint8Array, random: Random): Uint8Array {
  const type = findType(typeName)!;
  const message = type.decode(bytes) as unknown as { [field: string]: unknown };
  for (let edits = 1 + random.below(3); edits > 0; edits--) mutateField(type, message, random, 0);
  return type.encode(message).finish();
}

/** An earlier edit may have left a value that is none of its type any more. */
function mutateEncoded(typeName: string, bytes: Uint8Array, random: Random): Uint8Array {
  try {
    return mutateMessage(typeName, bytes, random);
  } catch {
    return mutateBytes(bytes, random);
  }
}

function mutateField(type: protobuf.Type, message: { [field: string]: unknown }, random: Random, depth: number): void {
  if (type.fullName === '.google.protobuf.Any' && typeof message.type_url === 'string' && random.chance(0.9)) {
    const name = message.type_url.slice(message.type_url.lastIndexOf('/') + 1);
    if (findType(name) !== null && depth < 12) message.value = mutateEncoded(name, message.value as Uint8Array, random);
    return;
  }
  if (type.fieldsArray.length === 0) return;
  const set = type.fieldsArray.filter(field => Object.hasOwn(message, field.name));
  const field = (set.length > 0 && random.chance(0.8) ? random.pick(set) : random.pick(type.fieldsArray)).resolve();
  const value = message[field.name];
  if (field.map) {
    const keys = Object.keys((value ?? {}) as object);
    if (keys.length > 0)
      (message[field.name] as object) = { ...(value as object), [random.pick(texts)]: (value as never)[random.pick(keys)] };
    return;
  }
  if (field.repeated) {
    const items = [...((value ?? []) as unknown[])];
    const at = random.below(items.length + 1);
    const edit = random.below(3);
    if (edit === 0) items.splice(at, 1);
    else if (edit === 1 && items.length > 0) items.push(items[Math.min(at, items.length - 1)]);
    else items.splice(at, at < items.length ? 1 : 0, mutateValue(field, items[at], random, depth));
    message[field.name] = items;
    return;
  }
  if (random.chance(0.2)) delete message[field.name];
  else message[field.name] = mutateValue(field, value, random, depth);
}

function mutateValue(field: protobuf.Field, value: unknown, random: Random, depth: number): unknown {
  const type = field.resolvedType;
  if (type instanceof protobuf.Type) {
    const inner = (value ?? type.create()) as { [name: string]: unknown };
    if (depth < 30) mutateField(type, inner, random, depth + 1);
    return inner;
  }
  if (type instanceof protobuf.Enum) return random.chance(0.8) ? random.below(8) : random.pick([-1, 99, 2 ** 31 - 1]);
  if (field.type === 'string') return random.pick(texts);
  if (field.type === 'bool') return random.chance(0.5);
  if (field.type === 'bytes') return Buffer.from(random.pick(texts));
  const number = random.pick(numbers);
  return field.type === 'double' || field.type === 'float' ? random.pick([number, Number.NaN, Infinity]) : Math.trunc(number);
}
