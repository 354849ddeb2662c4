/**
 * The Huffman code of HPACK (RFC 7541, appendix B). It is canonical, so the lengths of its codes say everything: codes of one
 * length are consecutive numbers in the order of their symbols.
 */

const symbolCount = 257;
/** End of string: its code pads the last byte and must not appear whole. */
const endOfString = 256;

/** Length of each code in bits, of symbols 0 to 255 and of the end of string. */
const lengthText =
  '13 23 28 28 28 28 28 28 28 24 30 28 28 30 28 28 28 28 28 28 28 28 30 28 28 28 28 28 28 28 28 28 ' +
  '6 10 10 12 13 6 8 11 10 10 8 11 8 6 6 6 5 5 5 6 6 6 6 6 6 6 7 8 15 6 12 10 ' +
  '13 6 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 8 7 8 13 19 13 14 6 ' +
  '15 5 6 5 6 5 6 6 6 5 7 7 6 6 6 5 6 7 6 5 5 6 7 7 7 7 7 15 11 14 13 28 ' +
  '20 22 20 20 22 22 22 23 22 23 23 23 23 23 24 23 24 24 22 23 24 23 23 23 23 21 22 23 22 23 23 24 ' +
  '22 21 20 22 22 23 23 21 23 22 22 24 21 22 23 23 21 21 22 21 23 22 23 23 20 22 22 22 23 22 22 23 ' +
  '26 26 20 19 22 23 22 25 26 26 26 27 27 26 24 25 19 21 26 27 27 26 27 24 21 21 26 26 28 27 27 27 ' +
  '20 24 20 21 22 21 21 23 22 22 25 25 24 24 26 23 26 27 26 26 27 27 27 27 27 28 27 27 27 27 27 26 30';

const lengths = Uint8Array.from(lengthText.split(' '), Number);
const codes = new Uint32Array(symbolCount);

function assignCodes(): void {
  let code = 0;
  for (let length = 1; length <= 30; length++) {
    for (let symbol = 0; symbol < symbolCount; symbol++) if (lengths[symbol] === length) codes[symbol] = code++;
    code *= 2;
  }
}

/**
 * The decoder is a state machine over half bytes. A state is an inner node of the code's tree, 0 the root; a step leads to
 * `next | symbol << 8 | emits << 16 | fails << 17`. Four bits complete at most one symbol, since no code is shorter than five.
 */
const steps = new Uint32Array(256 * 16);
const emits = 1 << 16;
const fails = 1 << 17;
/** States in which a string may end: the bits since the last symbol are fewer than eight and all ones. */
const accepting = new Uint8Array(256);

/** Children of each inner node: a node's number, or a symbol as its complement. */
function buildTree(): number[][] {
  const tree: number[][] = [[]];
  for (let symbol = 0; symbol < symbolCount; symbol++) {
    let node = 0;
    for (let bit = lengths[symbol] - 1; bit > 0; bit--) {
      const side = (codes[symbol] >>> bit) & 1;
      tree[node][side] ??= tree.push([]) - 1;
      node = tree[node][side];
    }
    tree[node][codes[symbol] & 1] = ~symbol;
  }
  return tree;
}

function buildSteps(): void {
  const tree = buildTree();
  for (let state = 0; state < 256; state++) {
    for (let nibble = 0; nibble < 16; nibble++) {
      let node = state;
      let step = 0;
      for (let bit = 3; bit >= 0; bit--) {
        node = tree[node][(nibble >> bit) & 1];
        if (node >= 0) continue;
        step |= ~node === endOfString ? fails : (~node << 8) | emits;
        node = 0;
      }
      steps[state * 16 + nibble] = step | node;
    }
  }
  for (let node = 0, depth = 0; depth < 8; depth++, node = tree[node][1]) accepting[node] = 1;
}

let isPrepared = false;

/** At first use: most proxies start long before their first HTTP/2 connection. */
function prepareTables(): void {
  isPrepared = true;
  assignCodes();
  buildSteps();
}

/** Grows to the longest string decoded; one per thread, used within a call. */
let scratch = Buffer.allocUnsafeSlow(4096);

/** The text (latin1) of a coded string `data[from, end)`, or null if the coding is invalid. */
export function decodeHuffman(data: Buffer, from: number, end: number): string | null {
  if (!isPrepared) prepareTables();
  // The shortest code has five bits.
  const most = Math.floor(((end - from) * 8) / 5);
  if (most > scratch.length) scratch = Buffer.allocUnsafeSlow(most * 2);
  const out = scratch;
  let length = 0;
  let state = 0;
  let failed = 0;
  for (let at = from; at < end; at++) {
    const byte = data[at];
    let step = steps[(state << 4) | (byte >> 4)];
    if ((step & emits) !== 0) out[length++] = step >> 8;
    failed |= step;
    step = steps[((step & 255) << 4) | (byte & 15)];
    if ((step & emits) !== 0) out[length++] = step >> 8;
    failed |= step;
    state = step & 255;
  }
  if ((failed & fails) !== 0 || accepting[state] === 0) return null;
  return out.toString('latin1', 0, length);
}

/** Bytes that a latin1 text takes when coded. */
export function huffmanLength(text: string): number {
  let bits = 0;
  for (let i = 0; i < text.length; i++) bits += lengths[text.charCodeAt(i) & 255];
  return (bits + 7) >> 3;
}

/** Writes the coded text to `out` at `offset` and returns the offset behind it. */
export function encodeHuffman(text: string, out: Buffer, offset: number): number {
  if (!isPrepared) prepareTables();
  let at = offset;
  // Bits not written yet, fewer than eight between symbols.
  let pending = 0;
  let pendingBits = 0;
  for (let i = 0; i < text.length; i++) {
    const symbol = text.charCodeAt(i) & 255;
    const code = codes[symbol];
    let left = lengths[symbol];
    while (left > 0) {
      const taken = Math.min(left, 8 - pendingBits);
      left -= taken;
      pending = (pending << taken) | ((code >>> left) & ((1 << taken) - 1));
      pendingBits += taken;
      if (pendingBits === 8) {
        out[at++] = pending;
        pending = 0;
        pendingBits = 0;
      }
    }
  }
  if (pendingBits > 0) out[at++] = (pending << (8 - pendingBits)) | (255 >> pendingBits);
  return at;
}
