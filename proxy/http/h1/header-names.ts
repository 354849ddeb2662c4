/**
 * Interned header names: the parser hashes a name while it checks its bytes and finds the one lower-case string that the whole
 * process uses, so that comparisons of names are comparisons of pointers.
 */
import { internHeaderName } from '../header-name.ts';
import { inlineRequestHeaders, inlineResponseHeaders } from '../inline-headers.ts';

/** What the parser itself must know of a header. */
export const NameKind = {
  other: 0,
  contentLength: 1,
  transferEncoding: 2,
  connection: 3,
  host: 4,
  upgrade: 5,
  underscore: 6,
} as const;
export type NameKind = (typeof NameKind)[keyof typeof NameKind];

export interface HeaderName {
  readonly text: string;
  readonly kind: NameKind;
  /** Of which messages this is an inline header. */
  readonly isInlineOfRequests: boolean;
  readonly isInlineOfResponses: boolean;
}

/** A token byte's lower-case form; 0 for bytes that no name may hold. */
export const tokenBytes = new Uint8Array(256);
for (const character of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")
  tokenBytes[character.charCodeAt(0)] = character.charCodeAt(0);
for (let upper = 65; upper <= 90; upper++) tokenBytes[upper] = upper + 32;

const slotBits = 11;
const slotCount = 1 << slotBits;
/** The names below are never displaced, names of the traffic displace each other. */
const slots: (HeaderName | null)[] = new Array(slotCount).fill(null);
const pinned = new Uint8Array(slotCount);

const kinds = new Map<string, NameKind>([
  ['content-length', NameKind.contentLength],
  ['transfer-encoding', NameKind.transferEncoding],
  ['connection', NameKind.connection],
  ['host', NameKind.host],
  ['upgrade', NameKind.upgrade],
]);

const otherKnownNames =
  'host content-length accept-language cookie set-cookie x-envoy-peer-metadata x-envoy-peer-metadata-id x-envoy-internal trailer range ' +
  'accept-ranges content-range traceparent tracestate b3 x-b3-traceid x-b3-spanid x-b3-parentspanid x-b3-sampled http2-settings ' +
  'sec-websocket-key sec-websocket-version sec-websocket-accept sec-websocket-protocol sec-websocket-extensions';

/** Of interned text. */
function makeName(text: string): HeaderName {
  return {
    text,
    kind: kinds.get(text) ?? (text.includes('_') ? NameKind.underscore : NameKind.other),
    isInlineOfRequests: inlineRequestHeaders.has(text),
    isInlineOfResponses: inlineResponseHeaders.has(text),
  };
}

/** The hash that the parser computes byte by byte: `hash = (hash * 31 + lowerCaseByte) | 0`. */
export function hashName(text: string): number {
  let hash = 0;
  for (let i = 0; i < text.length; i++) hash = (Math.imul(hash, 31) + text.charCodeAt(i)) | 0;
  return hash;
}

function firstSlot(hash: number): number {
  return hash & (slotCount - 1);
}

/** For names whose first slot a known one holds. */
function secondSlot(hash: number): number {
  return (hash >>> slotBits) & (slotCount - 1);
}

/** Every name that has an object for good, also where two share a slot. */
const known = new Map<string, HeaderName>();
for (const text of [...inlineRequestHeaders, ...inlineResponseHeaders, ...otherKnownNames.split(' ')]) {
  if (known.has(text)) continue;
  const name = makeName(internHeaderName(text));
  known.set(text, name);
  const hash = hashName(text);
  const slot = slots[firstSlot(hash)] === null ? firstSlot(hash) : secondSlot(hash);
  slots[slot] ??= name;
  pinned[slot] = 1;
}

/** The interned name of token bytes `data[start, end)` whose hash is known. */
export function internName(data: Buffer, start: number, end: number, hash: number): HeaderName {
  const first = slots[firstSlot(hash)];
  if (first !== null && isSpelled(first.text, data, start, end)) return first;
  const second = slots[secondSlot(hash)];
  if (second !== null && isSpelled(second.text, data, start, end)) return second;
  const text = internHeaderName(data.toString('latin1', start, end));
  const name = known.get(text) ?? makeName(text);
  if (pinned[firstSlot(hash)] === 0) slots[firstSlot(hash)] = name;
  else if (pinned[secondSlot(hash)] === 0) slots[secondSlot(hash)] = name;
  return name;
}

function isSpelled(text: string, data: Buffer, start: number, end: number): boolean {
  if (text.length !== end - start) return false;
  let i = 0;
  while (i < text.length && tokenBytes[data[start + i]] === text.charCodeAt(i)) i++;
  return i === text.length;
}
