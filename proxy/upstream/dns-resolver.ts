/**
 * Names to addresses for DNS clusters: hosts file, then DNS with its TTL, then the system's resolver for names that need the
 * search list.
 */
import dns from 'node:dns';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import type { ClusterModel } from '../config/model/cluster.ts';

export type DnsFamily = Extract<ClusterModel['discovery'], { kind: 'strict-dns' | 'logical-dns' }>['family'];

export interface ResolvedAddress {
  readonly address: string;
  /** Milliseconds; Infinity where none is known. */
  readonly ttlMs: number;
}

/** @throws if the name does not resolve for reasons other than that it has no address. */
export type NameResolver = (name: string, family: DnsFamily) => Promise<readonly ResolvedAddress[]>;

const notFoundCodes = new Set(['ENOTFOUND', 'ENODATA', 'EAI_NONAME', 'EAI_NODATA']);

/** Made at first use: few proxies have DNS clusters. */
let madeResolver: dns.promises.Resolver | undefined;

function resolver(): dns.promises.Resolver {
  madeResolver ??= new dns.promises.Resolver();
  return madeResolver;
}

function readHosts(): string {
  try {
    return readFileSync('/etc/hosts', 'utf8');
  } catch {
    return '';
  }
}

function findInHosts(name: string): string[] {
  const wanted = name.toLowerCase();
  return readHosts()
    .split('\n')
    .map(line => line.replace(/#.*/, '').trim().split(/\s+/))
    .filter(([address, ...names]) => isIP(address) !== 0 && names.some(known => known.toLowerCase() === wanted))
    .map(([address]) => address);
}

async function queryFamily(name: string, version: 4 | 6): Promise<ResolvedAddress[]> {
  try {
    const records = await (version === 4 ? resolver().resolve4(name, { ttl: true }) : resolver().resolve6(name, { ttl: true }));
    return records.map(({ address, ttl }) => ({ address, ttlMs: ttl * 1000 }));
  } catch (error) {
    if (!notFoundCodes.has((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
  if (name.endsWith('.')) return [];
  try {
    const records = await dns.promises.lookup(name, { all: true, family: version });
    return records.map(({ address }) => ({ address, ttlMs: Number.POSITIVE_INFINITY }));
  } catch (error) {
    if (notFoundCodes.has((error as NodeJS.ErrnoException).code ?? '')) return [];
    throw error;
  }
}

/** The addresses a family setting asks for, out of one query per version. */
async function resolveBy(
  family: DnsFamily,
  query: (version: 4 | 6) => Promise<readonly ResolvedAddress[]>,
): Promise<readonly ResolvedAddress[]> {
  if (family === 'v4-only') return query(4);
  if (family === 'v6-only') return query(6);
  if (family === 'all') return (await Promise.all([query(4), query(6)])).flat();
  const [first, second] = family === 'v4-preferred' ? ([4, 6] as const) : ([6, 4] as const);
  const preferred = await query(first);
  return preferred.length > 0 ? preferred : query(second);
}

/** Resolves with the system's configuration. */
export const resolveName: NameResolver = async (name, family) => {
  if (isIP(name) !== 0) return [{ address: name, ttlMs: Number.POSITIVE_INFINITY }];
  const known = findInHosts(name);
  if (known.length > 0) {
    return resolveBy(family, version =>
      Promise.resolve(
        known.filter(address => isIP(address) === version).map(address => ({ address, ttlMs: Number.POSITIVE_INFINITY })),
      ),
    );
  }
  return resolveBy(family, version => queryFamily(name, version));
};
