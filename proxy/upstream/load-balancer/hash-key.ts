/** What identifies a host in consistent hashing, and a hash where the request has none. */
import type { BalancedHost } from './balanced-host.ts';

/** Envoy hashes the address, or the host name where the configuration asks for it. */
export function readHashKey(host: BalancedHost, usesHostname: boolean): string {
  return usesHostname && host.hostname !== '' ? host.hostname : host.addressText;
}

export function randomHash(random: () => number): bigint {
  return (BigInt(Math.floor(random() * 0x1_0000_0000)) << 32n) | BigInt(Math.floor(random() * 0x1_0000_0000));
}

/** Weights as fractions of their sum, in the order of the hosts. */
export function normalizeWeights(hosts: readonly BalancedHost[]): number[] {
  const sum = hosts.reduce((total, host) => total + host.weight, 0);
  return hosts.map(host => host.weight / sum);
}
