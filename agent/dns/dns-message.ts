/** Questions and answers of DNS, and how answers are written. What is forwarded stays bytes. Source: RFC 1035. */

export const recordTypes = { a: 1, cname: 5, aaaa: 28, opt: 41 } as const;
export const responseCodes = { noError: 0, formatError: 1, serverFailure: 2, notImplemented: 4, refused: 5 } as const;

const headerBytes = 12;
const internetClass = 1;

export type Question = {
  readonly id: number;
  /** What an answer repeats of the query's flags. */
  readonly flags: number;
  /** As asked, with a final dot; dots inside of a label are escaped. */
  readonly name: string;
  /** Every class is answered alike, as in Istio. */
  readonly type: number;
  /** The question section, for the answer. */
  readonly bytes: Buffer;
  /** The largest UDP answer that the client takes. */
  readonly udpBytes: number;
};

export type DnsRecord = { readonly name: string; readonly type: number; readonly ttlSeconds: number; readonly data: Buffer };

/** An authoritative answer; what exceeds `maxBytes` is cut and marked as such. */
export function writeAnswer(question: Question, records: readonly DnsRecord[], code: number, maxBytes: number): Buffer {
  const parts: Buffer[] = [];
  let length = headerBytes + question.bytes.length;
  const known: KnownNames = new Map();
  // The question is written as it came; only its place counts.
  compressName(question.name, headerBytes, known);
  for (const record of records) {
    const encoded = encodeRecord(record, length, known);
    if (length + encoded.length > maxBytes) break;
    parts.push(encoded);
    length += encoded.length;
  }
  const truncated = parts.length < records.length;
  const header = Buffer.alloc(headerBytes);
  header.writeUInt16BE(question.id, 0);
  // Not "recursion available", as in Istio.
  const authoritative = code === responseCodes.noError ? 0x0400 : 0;
  header.writeUInt16BE(0x8000 | authoritative | question.flags | (truncated ? 0x0200 : 0) | code, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(parts.length, 6);
  return Buffer.concat([header, question.bytes, ...parts]);
}

/** A name in wire form. */
export function encodeName(name: string): Buffer {
  const labels = name.split('.').filter(label => label !== '');
  return Buffer.concat([...labels.map(encodeLabel), Buffer.alloc(1)]);
}

function encodeLabel(label: string): Buffer {
  return Buffer.from(`${String.fromCharCode(label.length)}${label}`, 'latin1');
}

/** What `encodeName` wrote. */
function readName(data: Buffer): string {
  let name = '';
  for (let offset = 0; data[offset] > 0; offset += data[offset] + 1) {
    name += `${data.toString('latin1', offset + 1, offset + 1 + data[offset])}.`;
  }
  return name;
}

/** Names that are in the message, and what they end with, to their places. Istio answers in lower case, however it is asked. */
type KnownNames = Map<string, number>;

const maxPointer = 0x3fff;

/** A name at a place of the message: its labels up to where it goes on like one before. */
function compressName(name: string, at: number, known: KnownNames): Buffer {
  const labels = name.split('.').filter(label => label !== '');
  const parts: Buffer[] = [];
  let offset = at;
  for (let i = 0; i < labels.length; i++) {
    const rest = labels.slice(i).join('.');
    const pointer = known.get(rest);
    if (pointer !== undefined) return Buffer.concat([...parts, Buffer.from([0xc0 | (pointer >> 8), pointer & 0xff])]);
    if (offset <= maxPointer) known.set(rest, offset);
    const label = encodeLabel(labels[i]);
    parts.push(label);
    offset += label.length;
  }
  return Buffer.concat([...parts, Buffer.alloc(1)]);
}

function encodeRecord({ name, type, ttlSeconds, data }: DnsRecord, at: number, known: KnownNames): Buffer {
  const owner = compressName(name, at, known);
  const fixed = Buffer.alloc(10);
  const value = type === recordTypes.cname ? compressName(readName(data), at + owner.length + fixed.length, known) : data;
  fixed.writeUInt16BE(type, 0);
  fixed.writeUInt16BE(internetClass, 2);
  fixed.writeUInt32BE(ttlSeconds, 4);
  fixed.writeUInt16BE(value.length, 8);
  return Buffer.concat([owner, fixed, value]);
}
