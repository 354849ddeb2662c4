/**
 * The PROXY protocol header: the addresses of a connection, said by the one who connects before anything else.
 *
 * Source: haproxy's proxy-protocol.txt, and Envoy's choices where it leaves some.
 */
import { isIPv6 } from 'node:net';
import type { Address } from '../config/model/address.ts';
import { parseIp } from './socket-address.ts';

export type ProxyProtocolVersion = 'v1' | 'v2';

/** Whom the connection is made for: who connected, and to what. */
export interface AnnouncedAddresses {
  readonly source: Address;
  readonly destination: Address;
}

/** How the binary form begins. */
export const proxySignature = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');
const commandLocal = 0x20;
const commandProxy = 0x21;
const familyTcp4 = 0x11;
const familyTcp6 = 0x21;

/** Null addresses: the connection is made for nobody but ourselves. */
export function encodeProxyHeader(version: ProxyProtocolVersion, addresses: AnnouncedAddresses | null): Buffer {
  return version === 'v1' ? encodeText(addresses) : encodeBinary(addresses);
}

function encodeText(addresses: AnnouncedAddresses | null): Buffer {
  if (addresses === null) return Buffer.from('PROXY UNKNOWN\r\n');
  const { source, destination } = addresses;
  if (source.kind !== 'socket' || destination.kind !== 'socket') return Buffer.from('PROXY UNKNOWN\r\n');
  const family = isIPv6(source.address) ? 'TCP6' : 'TCP4';
  return Buffer.from(`PROXY ${family} ${source.address} ${destination.address} ${source.port} ${destination.port}\r\n`);
}

function encodeBinary(addresses: AnnouncedAddresses | null): Buffer {
  const header = (command: number, family: number, parts: readonly Uint8Array[]): Buffer => {
    const body = Buffer.concat(parts);
    return Buffer.concat([proxySignature, Buffer.from([command, family, body.length >> 8, body.length & 255]), body]);
  };
  if (addresses === null) return header(commandLocal, 0, []);
  const { source, destination } = addresses;
  if (source.kind !== 'socket' || destination.kind !== 'socket') return header(commandLocal, 0, []);
  const ips = [parseIp(source.address), parseIp(destination.address)];
  if (ips[0].length !== ips[1].length) return header(commandLocal, 0, []);
  const ports = new Uint8Array([source.port >> 8, source.port & 255, destination.port >> 8, destination.port & 255]);
  return header(commandProxy, ips[0].length === 4 ? familyTcp4 : familyTcp6, [...ips, ports]);
}
