/**
 * Encodes and decodes google.protobuf.Struct and Any: all of protobuf that the request path needs, without the library.
 * Encoding is deterministic: keys are sorted.
 */

/** Plain JSON of a Struct. */
export type PlainStruct = { readonly [key: string]: PlainValue };
export type PlainValue = null | number | string | boolean | PlainStruct | readonly PlainValue[];

export class WireError extends Error {}

const maxDepth = 64;

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 127) {
    bytes.push((rest & 127) | 128);
    rest = Math.floor(rest / 128);
  }
  bytes.push(rest);
  return Buffer.from(bytes);
}

/** A length-delimited field. */
function encodeField(id: number, content: Uint8Array): Buffer {
  return Buffer.concat([varint((id << 3) | 2), varint(content.length), content]);
}

/** Bytes of a google.protobuf.Struct. */
export function encodeStruct(struct: PlainStruct): Buffer {
  const entries = Object.keys(struct)
    .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    .map(key => encodeField(1, Buffer.concat([encodeField(1, Buffer.from(key)), encodeField(2, encodeValue(struct[key]))])));
  return Buffer.concat(entries);
}

function encodeValue(value: PlainValue): Buffer {
  if (value === null) return Buffer.from([0x08, 0]);
  switch (typeof value) {
    case 'number': {
      const bytes = Buffer.alloc(9);
      bytes[0] = 0x11;
      bytes.writeDoubleLE(value, 1);
      return bytes;
    }
    case 'string':
      return encodeField(3, Buffer.from(value));
    case 'boolean':
      return Buffer.from([0x20, value ? 1 : 0]);
    default:
      if (Array.isArray(value)) {
        return encodeField(6, Buffer.concat(value.map(item => encodeField(1, encodeValue(item)))));
      }
      return encodeField(5, encodeStruct(value as PlainStruct));
  }
}

/** Bytes of a google.protobuf.Any. */
export function encodeAny(typeUrl: string, value: Uint8Array): Buffer {
  return Buffer.concat([encodeField(1, Buffer.from(typeUrl)), encodeField(2, value)]);
}

/** Reads fields of one message. */
class WireReader {
  readonly #bytes: Buffer;
  #position = 0;
  id = 0;
  wireType = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** Moves to the next field; false at the end. */
  next(): boolean {
    if (this.#position >= this.#bytes.length) return false;
    const tag = this.readVarint();
    this.id = Math.floor(tag / 8);
    this.wireType = tag % 8;
    if (this.id === 0) throw new WireError('field number 0');
    return true;
  }

  readVarint(): number {
    let value = 0;
    for (let factor = 1, count = 0; count < 10; factor *= 128, count++) {
      if (this.#position >= this.#bytes.length) throw new WireError('truncated');
      const byte = this.#bytes[this.#position++];
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
    throw new WireError('varint too long');
  }

  readBytes(): Buffer {
    if (this.wireType !== 2) throw new WireError('wrong wire type');
    return this.#take(this.readVarint());
  }

  readDouble(): number {
    if (this.wireType !== 1) throw new WireError('wrong wire type');
    return this.#take(8).readDoubleLE(0);
  }

  skip(): void {
    switch (this.wireType) {
      case 0:
        this.readVarint();
        return;
      case 1:
        this.#take(8);
        return;
      case 2:
        this.#take(this.readVarint());
        return;
      case 5:
        this.#take(4);
        return;
      default:
        throw new WireError(`wire type ${this.wireType}`);
    }
  }

  #take(length: number): Buffer {
    const end = this.#position + length;
    if (end > this.#bytes.length) throw new WireError('truncated');
    const bytes = this.#bytes.subarray(this.#position, end);
    this.#position = end;
    return bytes;
  }
}

/** @throws WireError */
export function decodeStruct(bytes: Buffer, depth = 0): PlainStruct {
  if (depth > maxDepth) throw new WireError('nested too deeply');
  const struct: { [key: string]: PlainValue } = Object.create(null);
  const reader = new WireReader(bytes);
  while (reader.next()) {
    if (reader.id !== 1) {
      reader.skip();
      continue;
    }
    const entry = new WireReader(reader.readBytes());
    let key = '';
    let value: PlainValue = null;
    while (entry.next()) {
      if (entry.id === 1) key = entry.readBytes().toString('utf8');
      else if (entry.id === 2) value = decodeValue(entry.readBytes(), depth + 1);
      else entry.skip();
    }
    struct[key] = value;
  }
  return struct;
}

function decodeValue(bytes: Buffer, depth: number): PlainValue {
  const reader = new WireReader(bytes);
  let value: PlainValue = null;
  while (reader.next()) {
    switch (reader.id) {
      case 2:
        value = reader.readDouble();
        break;
      case 3:
        value = reader.readBytes().toString('utf8');
        break;
      case 4:
        if (reader.wireType !== 0) throw new WireError('wrong wire type');
        value = reader.readVarint() !== 0;
        break;
      case 5:
        value = decodeStruct(reader.readBytes(), depth);
        break;
      case 6:
        value = decodeList(reader.readBytes(), depth);
        break;
      default:
        reader.skip();
    }
  }
  return value;
}

function decodeList(bytes: Buffer, depth: number): PlainValue[] {
  if (depth > maxDepth) throw new WireError('nested too deeply');
  const items: PlainValue[] = [];
  const reader = new WireReader(bytes);
  while (reader.next()) {
    if (reader.id === 1) items.push(decodeValue(reader.readBytes(), depth + 1));
    else reader.skip();
  }
  return items;
}

/** @throws WireError */
export function decodeAny(bytes: Buffer): { readonly typeUrl: string; readonly value: Buffer } {
  const reader = new WireReader(bytes);
  let typeUrl = '';
  let value = Buffer.alloc(0);
  while (reader.next()) {
    if (reader.id === 1) typeUrl = reader.readBytes().toString('utf8');
    else if (reader.id === 2) value = reader.readBytes() as typeof value;
    else reader.skip();
  }
  return { typeUrl, value };
}
