/**
 * Names of header fields with what the codec must know of them. Every name that arrives is looked up once, when it enters the
 * dynamic table, and is from then on the one string that the whole process uses.
 */
import { internHeaderName } from '../header-name.ts';
import { inlineRequestHeaders, inlineResponseHeaders } from '../inline-headers.ts';

export const FieldKind = {
  other: 0,
  /** No token of lower-case letters. */
  invalid: 1,
  method: 2,
  path: 3,
  authority: 4,
  scheme: 5,
  protocol: 6,
  status: 7,
  /** Begins with ':' and is none of the above. */
  unknownPseudo: 8,
  contentLength: 9,
  host: 10,
  cookie: 11,
  te: 12,
  /** Belongs to a connection of HTTP/1. */
  connectionSpecific: 13,
  /** Holds an underscore. */
  underscore: 14,
} as const;
export type FieldKind = (typeof FieldKind)[keyof typeof FieldKind];

export interface FieldName {
  readonly text: string;
  readonly kind: FieldKind;
  /** Of which messages this is an inline header. */
  readonly isInlineOfRequests: boolean;
  readonly isInlineOfResponses: boolean;
}

const kinds = new Map<string, FieldKind>([
  [':method', FieldKind.method],
  [':path', FieldKind.path],
  [':authority', FieldKind.authority],
  [':scheme', FieldKind.scheme],
  [':protocol', FieldKind.protocol],
  [':status', FieldKind.status],
  ['content-length', FieldKind.contentLength],
  ['host', FieldKind.host],
  ['cookie', FieldKind.cookie],
  ['te', FieldKind.te],
  ['connection', FieldKind.connectionSpecific],
  ['keep-alive', FieldKind.connectionSpecific],
  ['proxy-connection', FieldKind.connectionSpecific],
  ['transfer-encoding', FieldKind.connectionSpecific],
  ['upgrade', FieldKind.connectionSpecific],
]);

const lowerCaseToken = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;

function kindOf(text: string): FieldKind {
  const known = kinds.get(text);
  if (known !== undefined) return known;
  if (text.charCodeAt(0) === 58) return FieldKind.unknownPseudo;
  if (!lowerCaseToken.test(text)) return FieldKind.invalid;
  return text.includes('_') ? FieldKind.underscore : FieldKind.other;
}

/** Names of the traffic; beyond this many they are forgotten. */
const maxRemembered = 4096;
const remembered = new Map<string, FieldName>();

/** The one record of a name. */
export function internFieldName(text: string): FieldName {
  let name = remembered.get(text);
  if (name !== undefined) return name;
  if (remembered.size >= maxRemembered) remembered.clear();
  const kind = kindOf(text);
  name = {
    text: kind === FieldKind.invalid ? text : internHeaderName(text),
    kind,
    isInlineOfRequests: inlineRequestHeaders.has(text),
    isInlineOfResponses: inlineResponseHeaders.has(text),
  };
  // A peer could fill the memory with long ones.
  if (text.length <= 64) remembered.set(text, name);
  return name;
}

/** Visible ASCII, blanks and tabs, and all bytes above. */
const invalidValue = /[^\t\x20-\x7e\x80-\xff]/;

export function isFieldValueValid(value: string): boolean {
  return !invalidValue.test(value);
}
