/**
 * Fields to header blocks (RFC 7541). What repeats is indexed; what changes with every message is written as it is, so that it
 * does not push the rest out of the table.
 */
import { type FieldName, internFieldName } from './field-name.ts';
import { DynamicTable, staticCount, staticFields, fieldBytes } from './hpack-table.ts';
import { encodeHuffman, huffmanLength } from './huffman-code.ts';

/** Names whose values hardly repeat: never put into the table. The list is nghttp2's, and what proxies add. */
const changingNames = new Set(
  (
    ':path age content-length etag if-modified-since if-none-match location set-cookie x-request-id traceparent x-b3-traceid ' +
    'x-b3-spanid x-b3-parentspanid b3 x-envoy-upstream-service-time grpc-timeout'
  ).split(' '),
);

/** Shorter cookies could be guessed byte by byte from the size of blocks. */
const shortCookieBytes = 20;
/** A name whose values enter the table again and again without being used is not indexed any more. */
const maxWastedInsertions = 8;

/** A value that is put into the table for the sake of its name is at most this long. */
const maxNameOnlyValueLength = 64;

/** What the encoder knows of one name; its values in the dynamic table, oldest first, with the number of each. */
class NameRecord {
  readonly name: FieldName;
  /** Index of the first static field with this name, 0 if there is none. */
  readonly staticIndex: number;
  readonly staticValues: readonly string[];
  readonly isChanging: boolean;
  readonly values: string[] = [];
  readonly numbers: number[] = [];
  /** Insertions less uses. */
  wasted = 0;

  constructor(text: string) {
    this.name = internFieldName(text);
    this.staticIndex = Math.max(
      0,
      staticFields.findIndex(field => field.name === this.name),
    );
    this.staticValues =
      this.staticIndex === 0 ? [] : staticFields.filter(field => field.name === this.name).map(({ value }) => value);
    this.isChanging = changingNames.has(text);
  }
}

interface EncodedField {
  readonly name: FieldName;
  readonly value: string;
  readonly record: NameRecord;
}

/** Records of names per connection; beyond this many, names outside the table are forgotten. */
const maxRecords = 512;

const forget = (field: EncodedField): void => {
  field.record.values.shift();
  field.record.numbers.shift();
};

export class HpackEncoder {
  readonly #table: DynamicTable<EncodedField>;
  readonly #records = new Map<string, NameRecord>();
  readonly #ownLimitBytes: number;
  /** Smallest size since the last block, to be announced; -1: none. */
  #announcedMinimum = -1;

  /** `ownLimitBytes` bounds the table whatever the peer allows. */
  constructor(ownLimitBytes: number) {
    this.#ownLimitBytes = ownLimitBytes;
    const size = Math.min(ownLimitBytes, 4096);
    this.#table = new DynamicTable<EncodedField>(size);
    if (size < 4096) this.#announcedMinimum = size;
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE. */
  setPeerLimit(bytes: number): void {
    const size = Math.min(bytes, this.#ownLimitBytes);
    if (size === this.#table.maxBytes) return;
    this.#announcedMinimum = this.#announcedMinimum === -1 ? size : Math.min(size, this.#announcedMinimum);
    this.#table.resize(size, forget);
  }

  /** Most bytes that one field can take. */
  static maxFieldBytes(name: string, value: string): number {
    return name.length + value.length + 16;
  }

  /** Begins a block with what the peer must know of the table's size; takes up to 16 bytes. */
  beginBlock(out: Buffer, offset: number): number {
    if (this.#announcedMinimum === -1) return offset;
    let at = offset;
    if (this.#announcedMinimum < this.#table.maxBytes) at = writeInteger(out, at, 0x20, 5, this.#announcedMinimum);
    this.#announcedMinimum = -1;
    return writeInteger(out, at, 0x20, 5, this.#table.maxBytes);
  }

  /** Writes one field at `offset` and returns the offset behind it. Characters of the value are bytes. */
  encode(name: string, value: string, out: Buffer, offset: number): number {
    const record = this.#records.get(name) ?? this.#addRecord(name);
    const { staticValues, values } = record;
    for (let i = 0; i < staticValues.length; i++) {
      if (staticValues[i] === value) return writeInteger(out, offset, 0x80, 7, record.staticIndex + i);
    }
    // The newest is the likeliest.
    for (let i = values.length - 1; i >= 0; i--) {
      if (values[i] !== value) continue;
      record.wasted--;
      return writeInteger(out, offset, 0x80, 7, this.#indexOf(record.numbers[i]));
    }
    return this.#encodeLiteral(record, value, out, offset);
  }

  #indexOf(number: number): number {
    return staticCount + this.#table.inserted - number;
  }

  #encodeLiteral(record: NameRecord, value: string, out: Buffer, offset: number): number {
    const { name, values, numbers } = record;
    let nameIndex = record.staticIndex;
    if (nameIndex === 0 && numbers.length > 0) nameIndex = this.#indexOf(numbers[numbers.length - 1]);
    let pattern = 0x40;
    let prefixBits = 6;
    if (!this.#isIndexed(record, value)) {
      pattern = name.text === 'authorization' || name.text === 'cookie' ? 0x10 : 0;
      prefixBits = 4;
    }
    let at = writeInteger(out, offset, pattern, prefixBits, nameIndex);
    if (nameIndex === 0) at = writeString(out, at, name.text, true);
    at = writeString(out, at, value, pattern === 0x40);
    if (pattern === 0x40 && this.#table.insert({ name, value, record }, forget)) {
      values.push(value);
      numbers.push(this.#table.inserted - 1);
      record.wasted++;
    }
    return at;
  }

  #isIndexed(record: NameRecord, value: string): boolean {
    const { text } = record.name;
    if (text === 'authorization') return false;
    if (record.isChanging || record.wasted > maxWastedInsertions) {
      // Once, so that the name needs not be spelled out again.
      return record.staticIndex === 0 && record.values.length === 0 && value.length <= maxNameOnlyValueLength;
    }
    if (text === 'cookie' && value.length < shortCookieBytes) return false;
    return fieldBytes(text, value) <= this.#table.maxBytes * 0.75;
  }

  #addRecord(name: string): NameRecord {
    if (this.#records.size >= maxRecords) this.#forgetUnused();
    const record = new NameRecord(name);
    this.#records.set(name, record);
    return record;
  }

  #forgetUnused(): void {
    for (const [name, { values }] of this.#records) if (values.length === 0) this.#records.delete(name);
  }
}

/** An integer behind the bits of `pattern`. */
export function writeInteger(out: Buffer, offset: number, pattern: number, prefixBits: number, value: number): number {
  const mask = (1 << prefixBits) - 1;
  let at = offset;
  if (value < mask) {
    out[at++] = pattern | value;
    return at;
  }
  out[at++] = pattern | mask;
  let rest = value - mask;
  for (; rest >= 0x80; rest >>>= 7) out[at++] = (rest & 0x7f) | 0x80;
  out[at++] = rest;
  return at;
}

/** Texts up to this length are written byte by byte, which is cheaper than a call out of JavaScript. */
const shortTextLength = 24;

function writeString(out: Buffer, offset: number, text: string, compress: boolean): number {
  if (compress) {
    const length = huffmanLength(text);
    if (length < text.length) return encodeHuffman(text, out, writeInteger(out, offset, 0x80, 7, length));
  }
  const at = writeInteger(out, offset, 0, 7, text.length);
  if (text.length > shortTextLength) out.write(text, at, 'latin1');
  else for (let i = 0; i < text.length; i++) out[at + i] = text.charCodeAt(i);
  return at + text.length;
}
