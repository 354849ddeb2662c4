/** What identifies a host in consistent hashing, its share of the table, and a hash where the request has none. */
import type { BalancedHost } from './balanced-host.ts';

/** A host and its share of all places; the shares sum up to 1 where every locality has hosts. */
export interface WeightedHost<H extends BalancedHost> {
  readonly host: H;
  readonly weight: number;
}

/** Envoy hashes the address, or the host name where the configuration asks for it. */
export function readHashKey(host: BalancedHost, usesHostname: boolean): string {
  return usesHostname && host.hostname !== '' ? host.hostname : host.addressText;
}

export function randomHash(random: () => number): bigint {
  return (BigInt(Math.floor(random() * 0x1_0000_0000)) << 32n) | BigInt(Math.floor(random() * 0x1_0000_0000));
}

/** Shares of `whole` in the order of the hosts. */
export function normalizeWeights<H extends BalancedHost>(hosts: readonly H[], whole: number): WeightedHost<H>[] {
  const sum = hosts.reduce((total, host) => total + host.weight, 0);
  return hosts.map(host => ({ host, weight: (host.weight * whole) / sum }));
}

/**
 * Shares by localities first. A locality without weight has none; what belongs to one without hosts is lost to all alike. Where
 * no locality has a weight, nothing is shared out: like Envoy.
 */
export function normalizeLocalityWeights<H extends BalancedHost>(
  localities: readonly { readonly weight: number; readonly hosts: readonly H[] }[],
): WeightedHost<H>[] {
  const sum = localities.reduce((total, { weight }) => total + weight, 0);
  return localities.flatMap(({ weight, hosts }) => (weight === 0 ? [] : normalizeWeights(hosts, weight / sum)));
}
