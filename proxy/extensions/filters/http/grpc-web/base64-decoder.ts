/** Base64 that arrives in pieces of any length. */

const groupCharacters = 4;
/** Groups of four, of which the last of a message may be padded; a body may hold several messages. */
const validGroups = /^(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)*$/;

export type Decoded = { readonly kind: 'bytes'; readonly bytes: Buffer } | { readonly kind: 'invalid' | 'incomplete' };

export class Base64Decoder {
  #held = '';

  /** Decodes every whole group; `isLast`: none may be left over. */
  push(data: Buffer, isLast: boolean): Decoded {
    const text = this.#held + data.toString('latin1');
    const end = text.length - (text.length % groupCharacters);
    if (isLast && end < text.length) return { kind: 'incomplete' };
    this.#held = text.slice(end);
    const whole = text.slice(0, end);
    if (!validGroups.test(whole)) return { kind: 'invalid' };
    return { kind: 'bytes', bytes: decodeGroups(whole) };
  }
}

/** Node stops at the first padding: what follows it begins anew. */
function decodeGroups(text: string): Buffer {
  const parts: Buffer[] = [];
  for (let from = 0; from < text.length; ) {
    const padding = text.indexOf('=', from);
    const to = padding === -1 ? text.length : padding - (padding % groupCharacters) + groupCharacters;
    parts.push(Buffer.from(text.slice(from, to), 'base64'));
    from = to;
  }
  return parts.length === 1 ? parts[0] : Buffer.concat(parts);
}
