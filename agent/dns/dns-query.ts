/** Reads DNS messages: what a query asks, and where the records of an answer end. Source: RFC 1035, RFC 6891, as miekg/dns reads them. */
import { type Question, recordTypes, responseCodes } from './dns-message.ts';

const headerBytes = 12;
const minUdpBytes = 512;
const maxNameBytes = 255;
const maxPointers = 126;

const opcodes = { query: 0, notify: 4 } as const;

/** The bytes are a query, but none that can be answered: the whole refusal. */
export type Refusal = { readonly refusal: Buffer };

/** The question of a query; null if the bytes are no query at all, which nobody answers. */
export function readQuery(message: Buffer): Question | Refusal | null {
  if (message.length < headerBytes || (message[2] & 0x80) !== 0) return null;
  const opcode = (message[2] >> 3) & 15;
  if (opcode !== opcodes.query && opcode !== opcodes.notify) {
    return refuse(message, (opcode << 11) | (message.readUInt16BE(2) & keptFlags) | responseCodes.notImplemented);
  }
  const [questions, answers, authorities, additionals] = [4, 6, 8, 10].map(offset => message.readUInt16BE(offset));
  const isExpected = questions === 1 && answers <= 1 && authorities <= 1 && additionals <= 2;
  // A header alone is well-formed, and asks nothing.
  if (isExpected && message.length === headerBytes) return refuse(message, repliedFlags(message) | responseCodes.refused);
  const read = isExpected ? readQuestion(message) : null;
  if (read !== null && walkRecords(message, read.end) !== null) return read.question;
  return refuse(message, (message.readUInt16BE(2) & keptFlags) | responseCodes.formatError, read?.question.bytes);
}

/** All but opcode, authority and code. */
const keptFlags = 0x03b0;

/** Of an answer: the opcode, and for a plain query whether recursion is desired and checking disabled. */
function repliedFlags(message: Buffer): number {
  const flags = message.readUInt16BE(2);
  const opcode = flags & 0x7800;
  return opcode | (opcode === 0 ? flags & 0x0110 : 0);
}

function refuse(query: Buffer, flags: number, question?: Buffer): Refusal {
  const header = Buffer.alloc(headerBytes);
  query.copy(header, 0, 0, 2);
  header.writeUInt16BE(0x8000 | flags, 2);
  if (question === undefined) return { refusal: header };
  header.writeUInt16BE(1, 4);
  return { refusal: Buffer.concat([header, question]) };
}

function readQuestion(message: Buffer): { readonly question: Question; readonly end: number } | null {
  const name = readName(message, headerBytes);
  if (name === null) return null;
  // What is cut off exactly between two fields counts as zeros.
  const fields = Buffer.alloc(4);
  const read = message.copy(fields, 0, name.next, name.next + 4);
  if (read % 2 !== 0) return null;
  const end = name.next + read;
  const question = {
    id: message.readUInt16BE(0),
    flags: repliedFlags(message),
    name: name.text,
    type: fields.readUInt16BE(0),
    bytes: Buffer.concat([...name.labels, Buffer.alloc(1), fields]),
    udpBytes: Math.max(minUdpBytes, walkRecords(message, end)?.udpBytes ?? 0),
  };
  return { question, end };
}

type Name = {
  /** With a final dot; dots and backslashes inside of a label are escaped. */
  readonly text: string;
  /** Each with its length before it. */
  readonly labels: readonly Buffer[];
  /** Where the message goes on. */
  readonly next: number;
};

function readName(message: Buffer, start: number): Name | null {
  const labels: Buffer[] = [];
  let next: number | null = null;
  let length = 1;
  for (let offset = start, pointers = 0; ; ) {
    const size = message[offset];
    if (size === undefined) return null;
    if (size === 0) return { text: renderName(labels), labels, next: next ?? offset + 1 };
    if (size >= 0xc0) {
      if (offset + 1 >= message.length || ++pointers > maxPointers) return null;
      next ??= offset + 2;
      offset = message.readUInt16BE(offset) & 0x3fff;
      continue;
    }
    const end = offset + 1 + size;
    length += 1 + size;
    if (size > 63 || end > message.length || length > maxNameBytes) return null;
    labels.push(message.subarray(offset, end));
    offset = end;
  }
}

function renderName(labels: readonly Buffer[]): string {
  const texts = labels.map(label => label.toString('latin1', 1).replaceAll(/[.\\]/g, '\\$&'));
  return `${texts.join('.')}.`;
}

type Records = {
  /** Where each record of the answer, authority and additional section ends. */
  readonly ends: readonly number[];
  /** What EDNS announces; 0 without it. */
  readonly udpBytes: number;
};

/** Null if a record is cut off. Fewer than the header counts are well-formed, where the message ends with a whole one. */
function walkRecords(message: Buffer, start: number): Records | null {
  const ends: number[] = [];
  let udpBytes = 0;
  const count = message.readUInt16BE(6) + message.readUInt16BE(8) + message.readUInt16BE(10);
  for (let offset = start; ends.length < count && offset < message.length; ) {
    const name = readName(message, offset);
    if (name === null || name.next + 10 > message.length) return null;
    offset = name.next + 10 + message.readUInt16BE(name.next + 8);
    if (offset > message.length) return null;
    if (message.readUInt16BE(name.next) === recordTypes.opt) udpBytes = message.readUInt16BE(name.next + 2);
    ends.push(offset);
  }
  return { ends, udpBytes };
}

/** Where the questions of an answer end, and its records; null if it is malformed. */
function walkAnswer(answer: Buffer): (Records & { readonly questionsEnd: number }) | null {
  if (answer.length < headerBytes) return null;
  let offset = headerBytes;
  for (let i = 0; i < answer.readUInt16BE(4); i++) {
    const name = readName(answer, offset);
    if (name === null || name.next + 4 > answer.length) return null;
    offset = name.next + 4;
  }
  const records = walkRecords(answer, offset);
  return records && { ...records, questionsEnd: offset };
}

/** Whether an answer can be read to its end. */
export function isWellFormed(answer: Buffer): boolean {
  return walkAnswer(answer) !== null;
}

/** A well-formed answer, cut to a size after a whole record and marked as such. */
export function fitAnswer(answer: Buffer, maxBytes: number): Buffer {
  const records = answer.length <= maxBytes ? null : walkAnswer(answer);
  if (records === null) return answer;
  const ends = records.ends.filter(end => end <= maxBytes);
  const cut = Buffer.from(answer.subarray(0, ends.at(-1) ?? records.questionsEnd));
  cut.writeUInt16BE(cut.readUInt16BE(2) | 0x0200, 2);
  for (let at = 6, left = ends.length; at <= 10; at += 2) {
    const kept = Math.min(left, cut.readUInt16BE(at));
    cut.writeUInt16BE(kept, at);
    left -= kept;
  }
  return cut;
}
