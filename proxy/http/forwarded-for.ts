/** x-forwarded-for: the trusted address of the client, and which addresses are internal. */
import { BlockList, isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { Address } from '../config/model/address.ts';
import type { HttpConnectionManagerModel } from '../config/model/http-connection-manager.ts';

/** The address `hops` from the right, and whether it was the only one. */
export function lastAddressOf(forwardedFor: string, hops: number): { address: string; isSingle: boolean } | null {
  const parts = forwardedFor.split(',');
  const index = parts.length - 1 - hops;
  if (index < 0) return null;
  const address = parts[index].trim();
  return isIP(address) === 0 ? null : { address, isSingle: parts.length === 1 };
}

export function isLoopback(address: Address): boolean {
  return address.kind === 'socket' && (address.address.startsWith('127.') || address.address === '::1');
}

let ownAddress: string | null = null;

/** This host's address, which stands for clients on the loopback interface. */
export function readOwnAddress(): string {
  if (ownAddress === null) {
    const candidates = Object.values(networkInterfaces()).flatMap(list => list ?? []);
    ownAddress = candidates.find(({ internal, family }) => !internal && family === 'IPv4')?.address ?? '127.0.0.1';
  }
  return ownAddress;
}

/** Compiles `internal_address_config`; nothing is internal by default. */
export function compileInternalAddresses(config: HttpConnectionManagerModel['internalAddresses']): (address: string) => boolean {
  if (config.cidrRanges.length === 0) return () => false;
  const list = new BlockList();
  for (const { address, prefixLength } of config.cidrRanges) {
    list.addSubnet(address, prefixLength, address.includes(':') ? 'ipv6' : 'ipv4');
  }
  return address => list.check(address, address.includes(':') ? 'ipv6' : 'ipv4');
}
