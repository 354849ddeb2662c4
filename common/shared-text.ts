/**
 * Text in memory that threads share. Sent to all of them it exists once, however many keep it, and lies in none of their heaps:
 * megabytes of it that nobody has read yet cost their garbage collectors nothing.
 */

/** UTF-8. */
export type SharedText = Uint8Array<SharedArrayBuffer>;

/** Copies texts, side by side, into one piece of shared memory: it lives as long as any of them is kept. */
export function shareTexts(texts: readonly string[]): SharedText[] {
  const lengths = texts.map(text => Buffer.byteLength(text));
  const memory = new SharedArrayBuffer(lengths.reduce((sum, length) => sum + length, 0));
  const bytes = Buffer.from(memory);
  let offset = 0;
  return texts.map((text, i) => {
    const shared = new Uint8Array(memory, offset, lengths[i]);
    offset += bytes.write(text, offset);
    return shared;
  });
}

/** Parses JSON. @throws SyntaxError */
export function parseText<T>(text: string | SharedText): T {
  return JSON.parse(typeof text === 'string' ? text : Buffer.from(text.buffer, text.byteOffset, text.length).toString()) as T;
}
