/**
 * Message heads: from bytes to a first line and a header map. The rules are those of the parser in Envoy 1.40: lines may end
 * with a bare LF, folded lines are joined, lone CRs vanish, control bytes are refused.
 */
import { HeaderMap } from '../header-map.ts';
import { type HeaderName, internName, NameKind, tokenBytes } from './header-names.ts';

const LF = 10;
const CR = 13;
const SP = 32;
const TAB = 9;
const COLON = 58;

/** Class of a byte in a value: 0 plain, 1 LF, 2 CR, 3 refused. */
const valueClass = new Uint8Array(256);
for (let byte = 0; byte < 32; byte++) valueClass[byte] = 3;
valueClass[TAB] = 0;
valueClass[LF] = 1;
valueClass[CR] = 2;
valueClass[127] = 3;

const endOfHead = Buffer.from('\r\n\r\n');

/** Why a head was refused; the codec adds the status. */
export type HeadError =
  | ''
  | 'http1.codec_error'
  | 'http1.invalid_characters'
  | 'http1.too_many_headers'
  | 'http1.unexpected_underscore';

/** Of a head that was released. */
const noHeaders = new HeaderMap();

/** The result of parsing a head; one object per codec, overwritten by each message. */
export class MessageHead {
  headers = noHeaders;
  /** First line, without blanks at its end. */
  firstLine = '';
  /** Whole head as text, from which values are cut. */
  text = '';
  error: HeadError = '';
  /** -1: absent; NaN: unusable. */
  contentLength = -1;
  /** Every value joined, or null. */
  transferEncoding: string | null = null;
  hasConnection = false;
  hasUpgrade = false;
  hasHost = false;

  reset(): void {
    this.headers = new HeaderMap();
    this.firstLine = '';
    this.text = '';
    this.error = '';
    this.contentLength = -1;
    this.transferEncoding = null;
    this.hasConnection = false;
    this.hasUpgrade = false;
    this.hasHost = false;
  }

  /** Forgets what is large: a connection may idle for long after a message. */
  release(): void {
    this.headers = noHeaders;
    this.firstLine = '';
    this.text = '';
  }
}

export interface HeadLimits {
  readonly message: 'request' | 'response';
  readonly maxHeadersCount: number;
  readonly underscores: 'allow' | 'reject' | 'drop';
  /** Names are to be sent on as they were written. */
  readonly preserveCase: boolean;
}

/** Offset behind the empty line that ends a head beginning at `from`, or -1 if it is not there yet. */
export function findHeadEnd(data: Buffer, from: number, searchFrom: number): number {
  const quick = data.indexOf(endOfHead, Math.max(from, searchFrom - 3));
  const limit = quick === -1 ? data.length : quick + 4;
  // A bare LF may end the head earlier.
  for (let at = data.indexOf(LF, searchFrom); at !== -1 && at < limit; at = data.indexOf(LF, at + 1)) {
    if (at + 1 < data.length && data[at + 1] === LF) return at + 2;
    if (at + 2 < data.length && data[at + 1] === CR && data[at + 2] === LF) return at + 3;
  }
  return quick === -1 ? -1 : limit;
}

/** Parses `data[from, end)`, a whole head with its empty line, into `head`. */
export function parseHead(data: Buffer, from: number, end: number, head: MessageHead, limits: HeadLimits): void {
  head.reset();
  head.text = data.toString('latin1', from, end);
  let at = from;
  while (at < end && valueClass[data[at]] !== 1) {
    if (valueClass[data[at]] === 3) head.error = 'http1.invalid_characters';
    at++;
  }
  let lineEnd = at;
  while (lineEnd > from && data[lineEnd - 1] <= SP) lineEnd--;
  head.firstLine = head.text.slice(0, lineEnd - from);
  parseHeaderLines(data, at + 1, end, from, head, limits);
}

/**
 * Parses header lines `data[start, end)` up to the empty line; `textFrom` is the offset at which `head.text` begins. False if
 * a line was refused, with the reason in `head.error`.
 */
export function parseHeaderLines(
  data: Buffer,
  start: number,
  end: number,
  textFrom: number,
  head: MessageHead,
  limits: HeadLimits,
): boolean {
  const { headers } = head;
  let at = start;
  let count = 0;
  let last: HeaderName | null = null;
  while (at < end) {
    const first = data[at];
    if (first === LF || (first === CR && data[at + 1] === LF)) break;
    if (first === SP || first === TAB) {
      if (last === null) return fail(head, 'http1.codec_error');
      at = foldLine(data, at, end, head, last, limits);
      continue;
    }
    const nameStart = at;
    let hash = 0;
    for (let lower = tokenBytes[first]; lower !== 0; lower = tokenBytes[data[++at]]) hash = (Math.imul(hash, 31) + lower) | 0;
    if (data[at] !== COLON || at === nameStart) return failLine(data, at, end, head);
    const name = internName(data, nameStart, at, hash);
    if (limits.preserveCase) keepCase(head, name.text, head.text.slice(nameStart - textFrom, at - textFrom));
    at++;
    while (data[at] === SP || data[at] === TAB) at++;
    const valueStart = at;
    let hasLoneCr = false;
    for (let kind = valueClass[data[at]]; at < end && kind !== 1; kind = valueClass[data[++at]]) {
      if (kind === 3) return fail(head, 'http1.invalid_characters');
      if (kind === 2 && data[at + 1] !== LF) hasLoneCr = true;
    }
    let valueEnd = at;
    while (valueEnd > valueStart && data[valueEnd - 1] <= SP) valueEnd--;
    let value = head.text.slice(valueStart - textFrom, valueEnd - textFrom);
    if (hasLoneCr) value = value.replaceAll('\r', '');
    at++;
    if (++count > limits.maxHeadersCount) return fail(head, 'http1.too_many_headers');
    last = name;
    if (name.kind !== NameKind.other) {
      if (!takeSpecialHeader(head, name.text, name.kind, value, limits)) return false;
    } else if (isInline(name, limits)) headers.append(name.text, value);
    else headers.entries.push(name.text, value);
  }
  return true;
}

function isInline(name: HeaderName, limits: HeadLimits): boolean {
  return limits.message === 'request' ? name.isInlineOfRequests : name.isInlineOfResponses;
}

/** The first spelling of a name is the one that is sent on. */
function keepCase(head: MessageHead, name: string, written: string): void {
  const { headers } = head;
  headers.originalNames ??= new Map();
  if (!headers.originalNames.has(name)) headers.originalNames.set(name, written);
}

function fail(head: MessageHead, error: HeadError): false {
  if (head.error === '') head.error = error;
  return false;
}

/** A line without a proper name and colon; control bytes anywhere behind it take precedence, as they are looked for first. */
function failLine(data: Buffer, from: number, end: number, head: MessageHead): false {
  for (let at = from; at < end; at++) {
    if (valueClass[data[at]] === 3) return fail(head, 'http1.invalid_characters');
  }
  return fail(head, 'http1.codec_error');
}

/**
 * Joins a folded line to the header before it and returns the offset of the next line.
 *
 * Differs from Envoy: a folded length, transfer coding or host is refused, where Envoy joins the lines before it judges them.
 */
function foldLine(data: Buffer, from: number, end: number, head: MessageHead, last: HeaderName, limits: HeadLimits): number {
  let at = from;
  while (at < end && data[at] !== LF) {
    if (valueClass[data[at]] === 3) head.error = 'http1.invalid_characters';
    at++;
  }
  const more = data.toString('latin1', from, at).replaceAll('\r', '').trim();
  const { entries } = head.headers;
  if (last.kind === NameKind.other || last.kind === NameKind.connection || last.kind === NameKind.upgrade) {
    // A joined header stands where it was met first.
    let name = entries.length - 2;
    if (isInline(last, limits)) while (name > 0 && entries[name] !== last.text) name -= 2;
    if (name >= 0) entries[name + 1] = `${entries[name + 1]} ${more}`.trim();
  } else if (more !== '') {
    // Framing and host must not depend on folding.
    fail(head, 'http1.codec_error');
  }
  return at + 1;
}

function takeSpecialHeader(head: MessageHead, name: string, kind: NameKind, value: string, limits: HeadLimits): boolean {
  const headers = head.headers;
  switch (kind) {
    case NameKind.contentLength:
      head.contentLength = head.contentLength === -1 ? parseContentLength(value) : Number.NaN;
      headers.entries.push(name, value);
      return true;
    case NameKind.transferEncoding:
      head.transferEncoding = head.transferEncoding === null ? value : `${head.transferEncoding},${value}`;
      return true;
    case NameKind.host:
      // Means nothing in a response, and is passed on.
      if (limits.message === 'response') headers.entries.push(name, value);
      else headers.authority = head.hasHost ? `${headers.authority},${value}` : value;
      head.hasHost = true;
      return true;
    case NameKind.underscore:
      if (limits.underscores === 'reject') fail(head, 'http1.unexpected_underscore');
      else if (limits.underscores === 'allow') headers.entries.push(name, value);
      return limits.underscores !== 'reject';
    default:
      if (kind === NameKind.connection) head.hasConnection = true;
      else head.hasUpgrade = true;
      headers.append(name, value);
      return true;
  }
}

/** Digits only; NaN for anything else and for what a file cannot be long. */
function parseContentLength(value: string): number {
  if (value === '' || value.length > 20) return Number.NaN;
  for (let i = 0; i < value.length; i++) {
    const digit = value.charCodeAt(i) - 48;
    if (digit < 0 || digit > 9) return Number.NaN;
  }
  const length = Number(value);
  return length < 2 ** 64 ? length : Number.NaN;
}
