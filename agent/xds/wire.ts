/** Reads single fields of discovery messages, so that what is only passed on need not be decoded. */

/**
 * The last value of a string field; empty if it is absent.
 * @throws if the bytes are no protobuf message.
 */
export function readStringField(message: Uint8Array, wanted: number): string {
  return readStringFields(message, wanted).at(-1) ?? '';
}

/**
 * All values of a string field.
 * @throws if the bytes are no protobuf message.
 */
export function readStringFields(message: Uint8Array, wanted: number): readonly string[] {
  const values: string[] = [];
  let offset = 0;
  while (offset < message.length) {
    const tag = readVarint(message, offset);
    offset = tag.next;
    const field = Math.floor(tag.value / 8);
    const wireType = tag.value & 7;
    if (wireType === 2) {
      const length = readVarint(message, offset);
      const end = length.next + length.value;
      if (end > message.length) throw new Error('truncated discovery message');
      if (field === wanted) values.push(Buffer.from(message.buffer, message.byteOffset + length.next, length.value).toString());
      offset = end;
    } else if (wireType === 0) offset = readVarint(message, offset).next;
    else if (wireType === 1) offset += 8;
    else if (wireType === 5) offset += 4;
    else throw new Error(`invalid wire type ${wireType} in a discovery message`);
  }
  return values;
}

function readVarint(bytes: Uint8Array, start: number): { readonly value: number; readonly next: number } {
  let value = 0;
  let factor = 1;
  for (let offset = start; offset < bytes.length && offset < start + 10; offset++) {
    value += (bytes[offset] & 0x7f) * factor;
    if (bytes[offset] < 0x80) return { value, next: offset + 1 };
    factor *= 128;
  }
  throw new Error('truncated discovery message');
}
