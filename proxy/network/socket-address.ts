/** `struct sockaddr_in` and `sockaddr_in6` (Linux layout) to and from addresses. */
import { isIP, SocketAddress as NodeAddress } from 'node:net';
import type { SocketAddress } from '../config/model/address.ts';

const afInet = 2;
const afInet6 = 10;

/** Null for a family that is neither IPv4 nor IPv6. The family is in host byte order; both our platforms are little endian. */
export function parseSocketAddress(bytes: Uint8Array): SocketAddress | null {
  const family = bytes[0] | (bytes[1] << 8);
  const port = (bytes[2] << 8) | bytes[3];
  if (family === afInet) {
    return { kind: 'socket', address: `${bytes[4]}.${bytes[5]}.${bytes[6]}.${bytes[7]}`, port };
  }
  if (family !== afInet6) return null;
  return { kind: 'socket', address: formatIpv6(bytes.subarray(8, 24)), port };
}

/** Writes the structure and returns its length. `address` must hold an IP. */
export function writeSocketAddress(bytes: Uint8Array, address: SocketAddress): number {
  bytes.fill(0);
  bytes[2] = address.port >> 8;
  bytes[3] = address.port & 255;
  if (address.address.includes(':')) {
    bytes[0] = afInet6;
    bytes.set(parseIp(address.address), 8);
    return 28;
  }
  bytes[0] = afInet;
  bytes.set(parseIp(address.address), 4);
  return 16;
}

/** `ip:port`, with IPv6 in brackets; null for any other text. */
export function parseAddressText(text: string): SocketAddress | null {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  if (match === null || Number(match[3]) > 65_535) return null;
  const ip = match[1] ?? match[2];
  const version = isIP(ip);
  if (version !== (match[1] === undefined ? 4 : 6)) return null;
  const address = version === 4 ? ip : new NodeAddress({ address: ip, family: 'ipv6' }).address;
  return { kind: 'socket', address, port: Number(match[3]) };
}

/** 4 or 16 bytes in network order. `ip` must be valid; a zone is ignored. */
export function parseIp(ip: string): Uint8Array {
  if (!ip.includes(':')) return Uint8Array.from(ip.split('.'), Number);
  const bytes = new Uint8Array(16);
  let text = ip.split('%')[0];
  const dotted = text.lastIndexOf(':') + 1;
  if (text.includes('.')) {
    const [a, b, c, d] = text.slice(dotted).split('.').map(Number);
    text = `${text.slice(0, dotted)}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  }
  const [head, tail] = text.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  write(bytes, left, 0);
  write(bytes, right, 16 - right.length * 2);
  return bytes;
}

function write(bytes: Uint8Array, groups: readonly string[], offset: number): void {
  for (const [i, group] of groups.entries()) {
    const value = Number.parseInt(group, 16);
    bytes[offset + i * 2] = value >> 8;
    bytes[offset + i * 2 + 1] = value & 255;
  }
}

/** Canonical text (RFC 5952) of 16 bytes; mapped IPv4 addresses stay in IPv6 form. */
export function formatIpv6(bytes: Uint8Array): string {
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push((bytes[i] << 8) | bytes[i + 1]);
  if (groups.slice(0, 5).every(group => group === 0) && groups[5] === 0xffff) {
    return `::ffff:${bytes[12]}.${bytes[13]}.${bytes[14]}.${bytes[15]}`;
  }
  let best = -1;
  let bestLength = 1;
  for (let i = 0; i < 8; i++) {
    let length = 0;
    while (i + length < 8 && groups[i + length] === 0) length++;
    if (length > bestLength) {
      best = i;
      bestLength = length;
    }
  }
  const hex = groups.map(group => group.toString(16));
  if (best < 0) return hex.join(':');
  return `${hex.slice(0, best).join(':')}::${hex.slice(best + bestLength).join(':')}`;
}
