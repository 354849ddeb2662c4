/** DNS messages: reads questions, writes answers. What is forwarded stays bytes. Source: RFC 1035, RFC 6891. */

export const recordTypes = { a: 1, cname: 5, aaaa: 28, opt: 41 } as const;
export const responseCodes = { noError: 0, formatError: 1, serverFailure: 2, notImplemented: 4 } as const;

const headerBytes = 12;
const minUdpBytes = 512;
const internetClass = 1;

export type Question = {
  readonly id: number;
  readonly flags: number;
  /** As asked, with a final dot. */
  readonly name: string;
  readonly type: number;
  /** False for the classes that hold no addresses (CHAOS). */
  readonly isInternet: boolean;
  /** The question section, for the answer. */
  readonly bytes: Buffer;
  /** The largest UDP answer that the client takes. */
  readonly udpBytes: number;
};

export type DnsRecord = { readonly name: string; readonly type: number; readonly ttlSeconds: number; readonly data: Buffer };

/** The bytes are a query, but none that can be answered: why, as a response code. */
export type Refusal = { readonly code: number };

/** The question of a query; null if the bytes are no query at all, which nobody answers. */
export function readQuery(message: Buffer): Question | Refusal | null {
  if (message.length < headerBytes || (message[2] & 0x80) !== 0) return null;
  if ((message[2] & 0x78) !== 0) return { code: responseCodes.notImplemented };
  const question = message.readUInt16BE(4) === 1 ? readQuestion(message) : null;
  return question ?? { code: responseCodes.formatError };
}

function readQuestion(message: Buffer): Question | null {
  const labels: string[] = [];
  let offset = headerBytes;
  for (;;) {
    const length = message[offset];
    if (length === undefined || length > 63) return null;
    offset++;
    if (length === 0) break;
    if (offset + length > message.length) return null;
    labels.push(message.toString('latin1', offset, offset + length));
    offset += length;
  }
  if (offset + 4 > message.length) return null;
  const end = offset + 4;
  return {
    id: message.readUInt16BE(0),
    flags: message.readUInt16BE(2),
    name: `${labels.join('.')}.`,
    type: message.readUInt16BE(offset),
    isInternet: message.readUInt16BE(offset + 2) === internetClass,
    bytes: message.subarray(headerBytes, end),
    udpBytes: readUdpSize(message, end),
  };
}

/** EDNS: an OPT record with a root name right after the question, which is where clients put it. */
function readUdpSize(message: Buffer, offset: number): number {
  if (message.readUInt16BE(10) === 0 || offset + 5 > message.length) return minUdpBytes;
  if (message[offset] !== 0 || message.readUInt16BE(offset + 1) !== recordTypes.opt) return minUdpBytes;
  return Math.max(minUdpBytes, message.readUInt16BE(offset + 3));
}

/** Says no to a query, without its question. */
export function writeRefusal(query: Buffer, code: number): Buffer {
  const header = Buffer.alloc(headerBytes);
  query.copy(header, 0, 0, 2);
  header.writeUInt16BE(0x8000 | (query.readUInt16BE(2) & 0x7900) | code, 2);
  return header;
}

/** An authoritative answer; what exceeds `maxBytes` is cut and marked as such. */
export function writeAnswer(question: Question, records: readonly DnsRecord[], code: number, maxBytes: number): Buffer {
  const parts: Buffer[] = [];
  let length = headerBytes + question.bytes.length;
  // Names are written once, and pointed to from then on: a headless service has many addresses under one name.
  const known = new Map([[question.name.toLowerCase(), headerBytes]]);
  for (const record of records) {
    const encoded = encodeRecord(record, known.get(record.name.toLowerCase()));
    if (length + encoded.length > maxBytes) break;
    if (record.type === recordTypes.cname) known.set(readName(record.data), length + encoded.length - record.data.length);
    parts.push(encoded);
    length += encoded.length;
  }
  const truncated = parts.length < records.length;
  const header = Buffer.alloc(headerBytes);
  header.writeUInt16BE(question.id, 0);
  // Response, authoritative; recursion as desired, checking as disabled by the client. Not "recursion available", as in Istio.
  const authoritative = code === responseCodes.noError ? 0x0400 : 0;
  header.writeUInt16BE(0x8000 | authoritative | (question.flags & 0x7910) | (truncated ? 0x0200 : 0) | code, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(parts.length, 6);
  return Buffer.concat([header, question.bytes, ...parts]);
}

/** A name in wire form. */
export function encodeName(name: string): Buffer {
  const labels = name.split('.').filter(label => label !== '');
  return Buffer.concat([
    ...labels.map(label => Buffer.from(`${String.fromCharCode(label.length)}${label}`, 'latin1')),
    Buffer.alloc(1),
  ]);
}

/** What `encodeName` wrote. */
function readName(data: Buffer): string {
  let name = '';
  for (let offset = 0; data[offset] > 0; offset += data[offset] + 1) {
    name += `${data.toString('latin1', offset + 1, offset + 1 + data[offset])}.`;
  }
  return name;
}

/** `pointer` is where the record's name was written before. */
function encodeRecord({ name, type, ttlSeconds, data }: DnsRecord, pointer: number | undefined): Buffer {
  const fixed = Buffer.alloc(10);
  fixed.writeUInt16BE(type, 0);
  fixed.writeUInt16BE(internetClass, 2);
  fixed.writeUInt32BE(ttlSeconds, 4);
  fixed.writeUInt16BE(data.length, 8);
  const owner = pointer === undefined ? encodeName(name) : Buffer.from([0xc0 | (pointer >> 8), pointer & 0xff]);
  return Buffer.concat([owner, fixed, data]);
}
