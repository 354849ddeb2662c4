/** DNS messages: reads questions, writes answers. What is forwarded stays bytes. Source: RFC 1035, RFC 6891. */

export const recordTypes = { a: 1, cname: 5, aaaa: 28, opt: 41 } as const;
export const responseCodes = { noError: 0, serverFailure: 2 } as const;

const headerBytes = 12;
const minUdpBytes = 512;
const internetClass = 1;

export type Question = {
  readonly id: number;
  readonly flags: number;
  /** As asked, with a final dot. */
  readonly name: string;
  readonly type: number;
  /** The question section, for the answer. */
  readonly bytes: Buffer;
  /** The largest UDP answer that the client takes. */
  readonly udpBytes: number;
};

export type DnsRecord = { readonly name: string; readonly type: number; readonly ttlSeconds: number; readonly data: Buffer };

/** The first question of a query; null if the bytes are no query for one internet name. */
export function readQuestion(message: Buffer): Question | null {
  if (message.length < headerBytes || message.readUInt16BE(4) !== 1 || (message[2] & 0x80) !== 0) return null;
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
  if (offset + 4 > message.length || message.readUInt16BE(offset + 2) !== internetClass) return null;
  const end = offset + 4;
  return {
    id: message.readUInt16BE(0),
    flags: message.readUInt16BE(2),
    name: `${labels.join('.')}.`,
    type: message.readUInt16BE(offset),
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

/** An authoritative answer; what exceeds `maxBytes` is cut and marked as such. */
export function writeAnswer(question: Question, records: readonly DnsRecord[], code: number, maxBytes: number): Buffer {
  const encoded = records.map(encodeRecord);
  let length = headerBytes + question.bytes.length;
  let count = 0;
  while (count < encoded.length && length + encoded[count].length <= maxBytes) length += encoded[count++].length;
  const truncated = count < encoded.length;
  const header = Buffer.alloc(headerBytes);
  header.writeUInt16BE(question.id, 0);
  // Response, authoritative, recursion as desired and available.
  header.writeUInt16BE(0x8480 | (question.flags & 0x7900) | (truncated ? 0x0200 : 0) | code, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(count, 6);
  return Buffer.concat([header, question.bytes, ...encoded.slice(0, count)]);
}

/** A name in wire form. */
export function encodeName(name: string): Buffer {
  const labels = name.split('.').filter(label => label !== '');
  return Buffer.concat([
    ...labels.map(label => Buffer.from(`${String.fromCharCode(label.length)}${label}`, 'latin1')),
    Buffer.alloc(1),
  ]);
}

function encodeRecord({ name, type, ttlSeconds, data }: DnsRecord): Buffer {
  const fixed = Buffer.alloc(10);
  fixed.writeUInt16BE(type, 0);
  fixed.writeUInt16BE(internetClass, 2);
  fixed.writeUInt32BE(ttlSeconds, 4);
  fixed.writeUInt16BE(data.length, 8);
  return Buffer.concat([encodeName(name), fixed, data]);
}
