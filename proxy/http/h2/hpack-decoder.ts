/**
 * Header blocks to fields (RFC 7541). A block may come in fragments: whole fields are decoded as they arrive, and the caller
 * keeps the rest of a fragment for the next one.
 */
import { type FieldName, internFieldName, isFieldValueValid } from './field-name.ts';
import { decodeHuffman } from './huffman-code.ts';
import { DynamicTable, makeField, staticCount, staticFields, type TableField } from './hpack-table.ts';

export interface FieldSink {
  /** `isValueValid`: the value holds no byte that no value may hold. */
  onField(name: FieldName, value: string, isValueValid: boolean): void;
}

/** Longest name or value, before and after decoding; the limit is nghttp2's. */
const maxStringBytes = 65_536;

/** Returned instead of an offset. */
const malformed = -1;
const incomplete = -2;

export class HpackDecoder {
  readonly #table: DynamicTable<TableField>;
  /** What our settings allow, once the peer acknowledged them. */
  #allowedBytes: number;
  /** The peer must shrink its table before it uses it again. */
  #awaitsUpdate = false;
  /** A size update may only begin a block. */
  #fieldSeen = false;
  /** Result of `#readInteger` and `#readString`, whose return value is an offset. */
  #integer = 0;
  #text = '';

  /** `maxTableBytes` is the protocol's default until settings say otherwise. */
  constructor(maxTableBytes: number) {
    this.#table = new DynamicTable<TableField>(maxTableBytes);
    this.#allowedBytes = maxTableBytes;
  }

  /** The peer acknowledged our SETTINGS_HEADER_TABLE_SIZE. */
  allowTableBytes(bytes: number): void {
    this.#allowedBytes = bytes;
    this.#awaitsUpdate = this.#table.maxBytes > bytes;
  }

  /** Call before the first fragment of a block. */
  beginBlock(): void {
    this.#fieldSeen = false;
  }

  /**
   * Decodes the whole fields of `data[from, end)`. Returns the offset behind the last one, or -1 if the block is malformed:
   * then the state of the table is lost, and with it the connection. With `isLast` nothing may be left over.
   */
  decode(data: Buffer, from: number, end: number, sink: FieldSink, isLast: boolean): number {
    let at = from;
    while (at < end) {
      const next = this.#decodeField(data, at, end, sink);
      if (next < 0) return next === incomplete && !isLast ? at : malformed;
      at = next;
    }
    return at;
  }

  #decodeField(data: Buffer, at: number, end: number, sink: FieldSink): number {
    const first = data[at];
    if (first >= 0x80) return this.#decodeIndexed(data, at, end, sink);
    if (first >= 0x40) return this.#decodeLiteral(data, at, end, 6, sink);
    if (first >= 0x20) return this.#updateSize(data, at, end);
    return this.#decodeLiteral(data, at, end, 4, sink);
  }

  #decodeIndexed(data: Buffer, at: number, end: number, sink: FieldSink): number {
    let index = data[at] & 0x7f;
    let next = at + 1;
    if (index === 0x7f) {
      next = this.#readInteger(data, at, end, 7);
      if (next < 0) return next;
      index = this.#integer;
    }
    const field = this.#find(index);
    if (field === null) return malformed;
    sink.onField(field.name, field.value, field.isValid);
    return next;
  }

  /** Null if there is no such field; a size update that is due makes every field unreachable. */
  #find(index: number): TableField | null {
    this.#fieldSeen = true;
    if (this.#awaitsUpdate) return null;
    if (index <= staticCount) return index === 0 ? null : staticFields[index];
    const age = index - staticCount - 1;
    return age < this.#table.count ? this.#table.at(age) : null;
  }

  /** A literal whose name index has `prefixBits`: with 6 it enters the table, with 4 it does not. */
  #decodeLiteral(data: Buffer, at: number, end: number, prefixBits: 4 | 6, sink: FieldSink): number {
    let next = this.#readInteger(data, at, end, prefixBits);
    if (next < 0) return next;
    const nameIndex = this.#integer;
    const nameAt = next;
    if (nameIndex === 0) {
      next = this.#skipString(data, next, end);
      if (next < 0) return next;
    }
    const valueAt = next;
    next = this.#skipString(data, next, end);
    if (next < 0) return next;
    let name: FieldName;
    if (nameIndex === 0) {
      if (!this.#readString(data, nameAt, valueAt)) return malformed;
      name = internFieldName(this.#text);
      this.#fieldSeen = true;
      if (this.#awaitsUpdate) return malformed;
    } else {
      const field = this.#find(nameIndex);
      if (field === null) return malformed;
      name = field.name;
    }
    if (!this.#readString(data, valueAt, next)) return malformed;
    const value = this.#text;
    if (prefixBits === 6) {
      const field = makeField(name, value);
      this.#table.insert(field, null);
      sink.onField(name, value, field.isValid);
    } else {
      sink.onField(name, value, isFieldValueValid(value));
    }
    return next;
  }

  #updateSize(data: Buffer, at: number, end: number): number {
    const next = this.#readInteger(data, at, end, 5);
    if (next < 0) return next;
    if (this.#fieldSeen || this.#integer > this.#allowedBytes) return malformed;
    this.#awaitsUpdate = false;
    this.#table.resize(this.#integer, null);
    return next;
  }

  #readInteger(data: Buffer, at: number, end: number, prefixBits: number): number {
    const mask = (1 << prefixBits) - 1;
    let value = data[at] & mask;
    let next = at + 1;
    if (value === mask) {
      for (let shift = 0; ; shift += 7) {
        // Four more bytes are beyond every table and string.
        if (shift > 21) return malformed;
        if (next >= end) return incomplete;
        const byte = data[next++];
        value += (byte & 0x7f) << shift;
        if (byte < 0x80) break;
      }
    }
    this.#integer = value;
    return next;
  }

  /** The offset behind a string, without decoding it. */
  #skipString(data: Buffer, at: number, end: number): number {
    if (at >= end) return incomplete;
    const next = this.#readInteger(data, at, end, 7);
    if (next < 0) return next;
    if (this.#integer > maxStringBytes) return malformed;
    return next + this.#integer <= end ? next + this.#integer : incomplete;
  }

  #readString(data: Buffer, at: number, end: number): boolean {
    const from = this.#readInteger(data, at, end, 7);
    if (data[at] < 0x80) {
      this.#text = from === end ? '' : data.toString('latin1', from, end);
      return true;
    }
    const text = decodeHuffman(data, from, end);
    if (text === null || text.length > maxStringBytes) return false;
    this.#text = text;
    return true;
  }
}
