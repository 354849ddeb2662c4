/**
 * Interned header names: the parser hashes a name while it checks its bytes and finds the one lower-case string that the whole
 * process uses, so that comparisons of names are comparisons of pointers.
 */

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
}

/** A token byte's lower-case form; 0 for bytes that no name may hold. */
export const tokenBytes = new Uint8Array(256);
for (const character of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")
  tokenBytes[character.charCodeAt(0)] = character.charCodeAt(0);
for (let upper = 65; upper <= 90; upper++) tokenBytes[upper] = upper + 32;

const slotCount = 2048;
/** Direct mapped; the names below are never displaced, names of the traffic displace each other. */
const slots: (HeaderName | null)[] = new Array(slotCount).fill(null);
const pinned = new Uint8Array(slotCount);

const kinds = new Map<string, NameKind>([
  ['content-length', NameKind.contentLength],
  ['transfer-encoding', NameKind.transferEncoding],
  ['connection', NameKind.connection],
  ['host', NameKind.host],
  ['upgrade', NameKind.upgrade],
]);

const knownNames =
  'host connection content-length transfer-encoding upgrade user-agent accept accept-encoding accept-language content-type ' +
  'content-encoding cache-control cookie set-cookie date server x-request-id x-forwarded-for x-forwarded-proto x-forwarded-host ' +
  'x-forwarded-client-cert x-envoy-attempt-count x-envoy-upstream-service-time x-envoy-decorator-operation x-envoy-peer-metadata ' +
  'x-envoy-peer-metadata-id x-envoy-expected-rq-timeout-ms x-envoy-internal x-envoy-external-address keep-alive te trailer expect ' +
  'authorization origin referer location etag last-modified if-none-match if-modified-since vary via range accept-ranges ' +
  'content-range age expires traceparent tracestate b3 x-b3-traceid x-b3-spanid x-b3-parentspanid x-b3-sampled grpc-status ' +
  'grpc-message grpc-timeout proxy-connection x-forwarded-port http2-settings sec-websocket-key sec-websocket-version ' +
  'sec-websocket-accept sec-websocket-protocol sec-websocket-extensions';

function makeName(text: string): HeaderName {
  return { text, kind: kinds.get(text) ?? (text.includes('_') ? NameKind.underscore : NameKind.other) };
}

/** The hash that the parser computes byte by byte: `hash = (hash * 31 + lowerCaseByte) | 0`. */
export function hashName(text: string): number {
  let hash = 0;
  for (let i = 0; i < text.length; i++) hash = (Math.imul(hash, 31) + text.charCodeAt(i)) | 0;
  return hash;
}

for (const text of knownNames.split(' ')) {
  const slot = hashName(text) & (slotCount - 1);
  if (pinned[slot] === 1) continue;
  slots[slot] = makeName(text);
  pinned[slot] = 1;
}

/** The interned name of token bytes `data[start, end)` whose hash is known. */
export function internName(data: Buffer, start: number, end: number, hash: number): HeaderName {
  const slot = hash & (slotCount - 1);
  const candidate = slots[slot];
  if (candidate !== null && candidate.text.length === end - start) {
    const text = candidate.text;
    let i = 0;
    while (i < text.length && tokenBytes[data[start + i]] === text.charCodeAt(i)) i++;
    if (i === text.length) return candidate;
  }
  const name = makeName(data.toString('latin1', start, end).toLowerCase());
  if (pinned[slot] === 0) slots[slot] = name;
  return name;
}
