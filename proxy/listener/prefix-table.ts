/** Longest-prefix match of IP addresses: one map per family and prefix length, longest first. */
import type { CidrRange } from '../config/model/address.ts';
import { parseIp } from '../network/socket-address.ts';

interface Level<T> {
  readonly length: number;
  readonly entries: Map<string, T>;
}

export class PrefixTable<T> {
  readonly #v4: Level<T>[] = [];
  readonly #v6: Level<T>[] = [];
  /** Value of entries that name no prefix: any address, and peers without one. */
  #any: T | undefined;

  /** The value of a range, made if it does not exist; null is "any address". */
  ensure(range: CidrRange | null, create: () => T): T {
    if (range === null) {
      this.#any ??= create();
      return this.#any;
    }
    const levels = range.address.includes(':') ? this.#v6 : this.#v4;
    let level = levels.find(candidate => candidate.length === range.prefixLength);
    if (level === undefined) {
      level = { length: range.prefixLength, entries: new Map() };
      levels.push(level);
      levels.sort((a, b) => b.length - a.length);
    }
    const key = maskedKey(parseIp(range.address), range.prefixLength);
    let value = level.entries.get(key);
    if (value === undefined) {
      value = create();
      level.entries.set(key, value);
    }
    return value;
  }

  /** The value of the longest range that holds the address; null is an address that is no IP. */
  find(ip: string | null): T | undefined {
    if (ip === null) return this.#any;
    const levels = ip.includes(':') ? this.#v6 : this.#v4;
    if (levels.length > 0) {
      const bytes = parseIp(ip);
      for (const level of levels) {
        const value = level.entries.get(maskedKey(bytes, level.length));
        if (value !== undefined) return value;
      }
    }
    return this.#any;
  }
}

function maskedKey(bytes: Uint8Array, length: number): string {
  let key = '';
  for (let i = 0; i * 8 < length; i++) {
    const bits = Math.min(8, length - i * 8);
    key += String.fromCharCode(bytes[i] & (0xff << (8 - bits)));
  }
  return key;
}

/** True if the range holds the address. */
export function containsAddress(range: CidrRange, ip: string): boolean {
  if (range.address.includes(':') !== ip.includes(':')) return false;
  return maskedKey(parseIp(range.address), range.prefixLength) === maskedKey(parseIp(ip), range.prefixLength);
}
