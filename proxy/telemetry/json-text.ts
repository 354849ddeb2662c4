/** JSON rendering of byte strings (text whose characters are bytes), as header values and log lines are. */

const nonAscii = /[^\x00-\x7f]/;
const needsEscape = /[\x00-\x1f"\\\x7f-\uffff]/;
const decoder = new TextDecoder('utf-8', { fatal: true });

/** Unicode text as a byte string: its UTF-8 bytes as characters. */
export function toByteText(text: string): string {
  return nonAscii.test(text) ? Buffer.from(text, 'utf8').toString('latin1') : text;
}

/** A byte string as Unicode text; bytes that are no UTF-8 become the escapes `\ooo`. */
function decodeByteText(text: string): string {
  const bytes = Buffer.from(text, 'latin1');
  try {
    return decoder.decode(bytes);
  } catch {
    return text.replace(/[\x80-\xff]/g, character => `\\${character.charCodeAt(0).toString(8)}`);
  }
}

/** A JSON string literal, as a byte string, of a byte string. */
export function quoteByteText(text: string): string {
  if (!needsEscape.test(text)) return `"${text}"`;
  if (!nonAscii.test(text)) return JSON.stringify(text).replaceAll('\x7f', '\\u007f');
  return Buffer.from(JSON.stringify(decodeByteText(text)), 'utf8').toString('latin1');
}

/** Appends the JSON of a value whose strings are byte strings; keys of objects are Unicode and sorted. */
export function appendJsonValue(text: string, value: unknown): string {
  if (typeof value === 'string') return text + quoteByteText(value);
  if (typeof value !== 'object' || value === null) return text + (value === undefined ? 'null' : JSON.stringify(value));
  if (Array.isArray(value)) return `${text}[${value.map(item => appendJsonValue('', item)).join(',')}]`;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `${text}{${entries.map(([key, item]) => `${quoteByteText(toByteText(key))}:${appendJsonValue('', item)}`).join(',')}}`;
}
