/**
 * xxHash64, which Envoy uses for consistent hashing: equal hashes are what makes two proxies choose the same host.
 *
 * Source: the xxHash specification (XXH64).
 */
const prime1 = 0x9e3779b185ebca87n;
const prime2 = 0xc2b2ae3d27d4eb4fn;
const prime3 = 0x165667b19e3779f9n;
const prime4 = 0x85ebca77c2b2ae63n;
const prime5 = 0x27d4eb2f165667c5n;
const mask = 0xffff_ffff_ffff_ffffn;

function rotate(value: bigint, bits: bigint): bigint {
  return ((value << bits) | (value >> (64n - bits))) & mask;
}

function round(accumulator: bigint, lane: bigint): bigint {
  return (rotate((accumulator + lane * prime2) & mask, 31n) * prime1) & mask;
}

function merge(hash: bigint, accumulator: bigint): bigint {
  return ((hash ^ round(0n, accumulator)) * prime1 + prime4) & mask;
}

/** Hash of bytes. */
export function hashBytes(bytes: Buffer, seed = 0n): bigint {
  const { length } = bytes;
  let position = 0;
  let hash: bigint;
  if (length >= 32) {
    let a = (seed + prime1 + prime2) & mask;
    let b = (seed + prime2) & mask;
    let c = seed;
    let d = (seed - prime1) & mask;
    for (; position <= length - 32; position += 32) {
      a = round(a, bytes.readBigUInt64LE(position));
      b = round(b, bytes.readBigUInt64LE(position + 8));
      c = round(c, bytes.readBigUInt64LE(position + 16));
      d = round(d, bytes.readBigUInt64LE(position + 24));
    }
    hash = (rotate(a, 1n) + rotate(b, 7n) + rotate(c, 12n) + rotate(d, 18n)) & mask;
    hash = merge(merge(merge(merge(hash, a), b), c), d);
  } else {
    hash = (seed + prime5) & mask;
  }
  return finish((hash + BigInt(length)) & mask, bytes, position);
}

function finish(start: bigint, bytes: Buffer, from: number): bigint {
  let hash = start;
  let position = from;
  for (; position + 8 <= bytes.length; position += 8) {
    hash = (rotate(hash ^ round(0n, bytes.readBigUInt64LE(position)), 27n) * prime1 + prime4) & mask;
  }
  if (position + 4 <= bytes.length) {
    hash = (rotate(hash ^ ((BigInt(bytes.readUInt32LE(position)) * prime1) & mask), 23n) * prime2 + prime3) & mask;
    position += 4;
  }
  for (; position < bytes.length; position++) {
    hash = (rotate(hash ^ ((BigInt(bytes[position]) * prime5) & mask), 11n) * prime1) & mask;
  }
  hash = ((hash ^ (hash >> 33n)) * prime2) & mask;
  hash = ((hash ^ (hash >> 29n)) * prime3) & mask;
  return hash ^ (hash >> 32n);
}

/** Hash of header text (latin1). */
export function hashText(text: string, seed = 0n): bigint {
  return hashBytes(Buffer.from(text, 'latin1'), seed);
}
