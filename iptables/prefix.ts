/** IP addresses and CIDR prefixes in the forms that Go's net/netip accepts and prints. */
import { isIPv4, isIPv6 } from 'node:net';

/** A parsed prefix. `text` is canonical, with the host bits as they were given. */
export type Prefix = { readonly text: string; readonly isV4: boolean; readonly isLoopback: boolean; readonly bits: number };

/** A comma list of prefixes, by IP version. `isWildcard` means `*`. */
export type NetworkRange = { readonly isWildcard: boolean; readonly cidrs: readonly Prefix[]; readonly hasLoopback: boolean };

/** The canonical text of an IPv6 address (lower case, longest run of zeros compressed); zones are not accepted. */
export function canonicalV6(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  if (mapped) return `::ffff:${mapped[1]}`;
  const canonical = new URL(`http://[${address}]/`).hostname.slice(1, -1);
  const hexMapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(canonical);
  if (!hexMapped) return canonical;
  const [high, low] = [Number.parseInt(hexMapped[1], 16), Number.parseInt(hexMapped[2], 16)];
  return `::ffff:${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
}

function isLoopback(address: string): boolean {
  const v4 = address.startsWith('::ffff:') ? address.slice('::ffff:'.length) : address;
  return v4.startsWith('127.') || address === '::1';
}

/** Parses `address/bits`. Throws an Error worded as netip.ParsePrefix words it. */
export function parsePrefix(text: string): Prefix {
  const reject = (reason: string): never => {
    throw new Error(`netip.ParsePrefix(${JSON.stringify(text)}): ${reason}`);
  };
  const slash = text.lastIndexOf('/');
  if (slash < 0) reject('no ' + "'/'");
  const address = text.slice(0, slash);
  const bitsText = text.slice(slash + 1);
  const isV4 = isIPv4(address);
  if (!isV4 && (!isIPv6(address) || address.includes('%'))) {
    reject(address.includes('%') ? 'IPv6 zones cannot be present in a prefix' : 'unable to parse IP');
  }
  if (!/^(0|[1-9][0-9]*)$/.test(bitsText)) reject(`bad bits after slash: ${JSON.stringify(bitsText)}`);
  const bits = Number(bitsText);
  if (bits > (isV4 ? 32 : 128)) reject('prefix length out of range');
  const canonical = isV4 ? address : canonicalV6(address);
  return { text: `${canonical}/${bits}`, isV4, isLoopback: isLoopback(canonical), bits };
}

/** Splits a comma list and leaves out empty items. */
export function splitList(text: string): string[] {
  return text.split(',').filter(item => item !== '');
}

/** Parses a comma list of prefixes, or `*`, into its IPv4 and IPv6 parts. Throws as parsePrefix does. */
export function parseRanges(list: string): { v4: NetworkRange; v6: NetworkRange } {
  const isWildcard = list === '*';
  const prefixes = isWildcard ? [] : splitList(list).map(parsePrefix);
  const ofVersion = (isV4: boolean): NetworkRange => {
    const cidrs = prefixes.filter(prefix => prefix.isV4 === isV4);
    return { isWildcard, cidrs, hasLoopback: cidrs.some(prefix => prefix.isLoopback) };
  };
  return { v4: ofVersion(true), v6: ofVersion(false) };
}
