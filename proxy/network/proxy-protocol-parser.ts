/**
 * Reads a PROXY protocol header, as strictly as Envoy does.
 *
 * Source: haproxy's proxy-protocol.txt; Envoy's proxy_protocol listener filter.
 */
import { isIPv4, isIPv6, SocketAddress } from 'node:net';
import { type AnnouncedAddresses, type ProxyProtocolVersion, proxySignature } from './proxy-protocol.ts';

export type ProxyHeader =
  | { readonly kind: 'incomplete' }
  /** The bytes begin something else. */
  | { readonly kind: 'absent' }
  | { readonly kind: 'malformed'; readonly version: ProxyProtocolVersion }
  /** `addresses` null: the connection was made by the peer for itself. */
  | {
      readonly kind: 'found';
      readonly version: ProxyProtocolVersion;
      readonly length: number;
      readonly addresses: AnnouncedAddresses | null;
    };

const textSignature = 'PROXY ';
/** With its end of line; more is no header. */
const maxTextBytes = 107;
const binaryHeadBytes = 16;
const incomplete: ProxyHeader = { kind: 'incomplete' };
const malformedText: ProxyHeader = { kind: 'malformed', version: 'v1' };
const malformedBinary: ProxyHeader = { kind: 'malformed', version: 'v2' };

/** What the bytes received so far begin. */
export function parseProxyHeader(bytes: Buffer): ProxyHeader {
  const start = bytes.toString('latin1', 0, textSignature.length);
  if (start === textSignature) return parseText(bytes);
  if (textSignature.startsWith(start)) return incomplete;
  const known = Math.min(bytes.length, proxySignature.length);
  if (bytes.compare(proxySignature, 0, known, 0, known) !== 0) return { kind: 'absent' };
  return bytes.length < binaryHeadBytes ? incomplete : parseBinary(bytes);
}

function parseText(bytes: Buffer): ProxyHeader {
  const end = bytes.subarray(0, maxTextBytes).indexOf('\r\n');
  if (end === -1) return bytes.length < maxTextBytes && !bytes.includes(10) ? incomplete : malformedText;
  const words = bytes.toString('latin1', 0, end).split(' ');
  const length = end + 2;
  if (words[1] === 'UNKNOWN') return { kind: 'found', version: 'v1', length, addresses: null };
  const [, family, source, destination, sourcePort, destinationPort] = words;
  const isIp = family === 'TCP4' ? isIPv4 : family === 'TCP6' ? isIPv6 : () => false;
  if (words.length !== 6 || !isIp(source) || !isIp(destination)) return malformedText;
  const ports = [parsePort(sourcePort), parsePort(destinationPort)];
  if (ports.includes(-1)) return malformedText;
  const addresses = { source: makeAddress(source, ports[0]), destination: makeAddress(destination, ports[1]) };
  return { kind: 'found', version: 'v1', length, addresses };
}

/** -1 if it is none. */
function parsePort(text: string): number {
  const port = /^\d+$/.test(text) ? Number(text) : -1;
  return port > 65_535 ? -1 : port;
}

function makeAddress(ip: string, port: number): AnnouncedAddresses['source'] {
  const address = isIPv4(ip) ? ip : new SocketAddress({ address: ip, family: 'ipv6' }).address;
  return { kind: 'socket', address, port };
}

function parseBinary(bytes: Buffer): ProxyHeader {
  const command = bytes[12];
  const bodyBytes = bytes.readUInt16BE(14);
  const length = binaryHeadBytes + bodyBytes;
  if (command !== 0x20 && command !== 0x21) return malformedBinary;
  if (bytes.length < length) return incomplete;
  if (command === 0x20) return { kind: 'found', version: 'v2', length, addresses: null };
  const family = bytes[13] >> 4;
  const transport = bytes[13] & 15;
  const ipBytes = family === 1 ? 4 : family === 2 ? 16 : 0;
  const addressBytes = 2 * ipBytes + 4;
  if (ipBytes === 0 || transport < 1 || transport > 2 || bodyBytes < addressBytes) return malformedBinary;
  const body = bytes.subarray(binaryHeadBytes, length);
  if (!areFields(body.subarray(addressBytes))) return malformedBinary;
  const ip = (at: number): string => formatIp(body.subarray(at, at + ipBytes));
  const source = makeAddress(ip(0), body.readUInt16BE(2 * ipBytes));
  const destination = makeAddress(ip(ipBytes), body.readUInt16BE(2 * ipBytes + 2));
  return { kind: 'found', version: 'v2', length, addresses: { source, destination } };
}

function formatIp(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join('.');
  return Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i).toString(16)).join(':');
}

/** Type, length and value, up to the end. */
function areFields(bytes: Buffer): boolean {
  let at = 0;
  while (at < bytes.length) {
    if (at + 3 > bytes.length) return false;
    at += 3 + bytes.readUInt16BE(at + 1);
  }
  return at === bytes.length;
}
