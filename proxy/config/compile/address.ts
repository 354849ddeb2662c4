/** Addresses and CIDR ranges, checked and in canonical text form. */
import { SocketAddress, isIP, isIPv4 } from 'node:net';
import type { protos } from '../../../protos/messages.ts';
import type { Address, CidrRange, SystemAddress } from '../model/address.ts';
import { ConfigError } from './config-error.ts';
import { requireRange, requireText, unwrap } from './scalars.ts';

/** The canonical text of an IP, or null if it is none. */
export function canonicalIp(text: string): string | null {
  // To refuse a name as an IPv6 address takes a regular expression of milliseconds.
  const version = text.includes(':') ? isIP(text) : isIPv4(text) ? 4 : 0;
  if (version === 0 || text.includes('%')) return null;
  return version === 4 ? text : new SocketAddress({ address: text, family: 'ipv6' }).address;
}

/** `host`: where names are resolved later, `address` may be one. */
export function compileSocketAddress(
  message: protos.envoy.config.core.v3.SocketAddress,
  path: string,
  accepts: 'ip' | 'host' = 'ip',
): Extract<Address, { kind: 'socket' }> {
  if (message.protocol !== 0) throw new ConfigError(`${path}.protocol`, 'only TCP is implemented');
  requireText(message.address, `${path}.address`);
  const port = requireRange(message.port_value ?? 0, 0, 65_535, `${path}.port_value`);
  const ip = canonicalIp(message.address);
  if (ip === null && accepts === 'ip') throw new ConfigError(`${path}.address`, `malformed IP address: ${message.address}`);
  return { kind: 'socket', address: ip ?? message.address, port };
}

export function compileAddress(
  message: protos.envoy.config.core.v3.Address | null,
  path: string,
  accepts: 'ip' | 'host' = 'ip',
): Address {
  switch (message?.address) {
    case 'socket_address':
      return compileSocketAddress(message.socket_address!, `${path}.socket_address`, accepts);
    case 'pipe':
      return { kind: 'pipe', path: requireText(message.pipe!.path, `${path}.pipe.path`) };
    case 'envoy_internal_address': {
      const { server_listener_name: name, endpoint_id: endpointId } = message.envoy_internal_address!;
      const listener = requireText(name ?? '', `${path}.envoy_internal_address.server_listener_name`);
      return { kind: 'internal', listener, endpointId };
    }
    default:
      throw new ConfigError(path, 'address is required');
  }
}

/** Where sockets are bound. */
export function compileSystemAddress(message: protos.envoy.config.core.v3.Address | null, path: string): SystemAddress {
  const address = compileAddress(message, path);
  if (address.kind === 'internal') throw new ConfigError(path, 'an internal address cannot be bound');
  return address;
}

/** The range with the host bits cleared, as Envoy prints it. */
export function compileCidrRange(message: protos.envoy.config.core.v3.CidrRange, path: string): CidrRange {
  const ip = canonicalIp(message.address_prefix);
  if (ip === null) throw new ConfigError(`${path}.address_prefix`, `malformed IP address: ${message.address_prefix}`);
  const bits = isIP(ip) === 4 ? 32 : 128;
  const prefixLength = unwrap(message.prefix_len, 0);
  if (prefixLength > 128) throw new ConfigError(`${path}.prefix_len`, 'value must be less than or equal to 128');
  const length = Math.min(prefixLength, bits);
  return { address: maskIp(ip, length), prefixLength: length };
}

export function compileCidrRanges(
  messages: readonly protos.envoy.config.core.v3.CidrRange[],
  path: string,
): readonly CidrRange[] {
  return messages.map((message, i) => compileCidrRange(message, `${path}[${i}]`));
}

function maskIp(ip: string, prefixLength: number): string {
  if (isIP(ip) === 4) {
    const octets = ip.split('.').map((octet, i) => Number(octet) & maskOf(prefixLength - 8 * i, 8));
    return octets.join('.');
  }
  const groups = expandIpv6(ip).map((group, i) => (group & maskOf(prefixLength - 16 * i, 16)).toString(16));
  return canonicalIp(groups.join(':'))!;
}

/** `width` bits of which the first `ones` are set. */
function maskOf(ones: number, width: number): number {
  const clear = width - Math.max(0, Math.min(width, ones));
  return ((2 ** width - 1) >> clear) << clear;
}

function expandIpv6(ip: string): number[] {
  const [head, tail] = ip
    .replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, a, b, c, d) => {
      const high = (Number(a) << 8) | Number(b);
      const low = (Number(c) << 8) | Number(d);
      return `${high.toString(16)}:${low.toString(16)}`;
    })
    .split('::')
    .map(part => (part === '' ? [] : part.split(':').map(group => Number.parseInt(group, 16))));
  if (tail === undefined) return head;
  return [...head, ...new Array<number>(8 - head.length - tail.length).fill(0), ...tail];
}
