/**
 * The names of the mesh, as istiod sends them, with the short forms under which this pod may ask for them.
 *
 * Source: istio.io/istio pkg/dns/client.
 */
import { isIP } from 'node:net';
import { type DnsRecord, encodeName, recordTypes } from './dns-message.ts';

const ttlSeconds = 30;

/** The fields of istiod's NameInfo. */
export type NameInfo = {
  readonly ips: readonly string[];
  readonly registry: string;
  readonly shortname: string;
  readonly namespace: string;
  readonly alt_hosts: readonly string[];
};

export type NameTableScope = {
  readonly namespace: string;
  /** The cluster's domain without the namespace, `svc.cluster.local`. */
  readonly domain: string;
  /** The first search domain of resolv.conf; empty if there is none. */
  readonly searchDomain: string;
};

type Addresses = { readonly v4: readonly Buffer[]; readonly v6: readonly Buffer[] };

export class NameTable {
  readonly #addresses = new Map<string, Addresses>();
  /** A name with the search domain appended, to the name that was meant. */
  readonly #aliases = new Map<string, string>();

  constructor(table: Readonly<Record<string, NameInfo>>, scope: NameTableScope) {
    for (const [host, info] of Object.entries(table)) {
      const addresses = encodeAddresses(info.ips);
      if (addresses.v4.length === 0 && addresses.v6.length === 0) continue;
      const names = new Set(listNames(host, info, scope));
      for (const spelled of names) {
        const name = spelled.toLowerCase();
        this.#addresses.set(name, addresses);
        if (scope.searchDomain === '' || name.endsWith(`${scope.searchDomain}.`)) continue;
        const expanded = `${name}${scope.searchDomain.toLowerCase()}.`;
        if (!names.has(expanded)) this.#aliases.set(expanded, name);
      }
    }
  }

  /** Records that answer a question; empty for a known name without such an address, null for an unknown one. */
  lookUp(asked: string, type: number): readonly DnsRecord[] | null {
    if (type !== recordTypes.a && type !== recordTypes.aaaa) return null;
    const found = this.#find(asked.toLowerCase());
    if (found === null) return null;
    const target = this.#aliases.get(found);
    const addresses = this.#addresses.get(target ?? found);
    const values = (type === recordTypes.a ? addresses?.v4 : addresses?.v6) ?? [];
    if (values.length === 0) return [];
    // In lower case, as Istio answers.
    const owner = target ?? asked.toLowerCase();
    const records = shuffle(values).map(data => ({ name: owner, type, ttlSeconds, data }));
    if (target === undefined) return records;
    return [{ name: asked.toLowerCase(), type: recordTypes.cname, ttlSeconds, data: encodeName(target) }, ...records];
  }

  #find(name: string): string | null {
    if (this.#knows(name)) return name;
    const labels = name.split('.');
    for (let i = 1; i < labels.length - 1; i++) {
      const wildcard = `*.${labels.slice(i).join('.')}`;
      if (this.#knows(wildcard)) return wildcard;
    }
    return null;
  }

  #knows(name: string): boolean {
    return this.#addresses.has(name) || this.#aliases.has(name);
  }
}

/** Every name under which a pod of this scope may ask for a host of the table, with a final dot. */
export function listNames(host: string, info: NameInfo, { namespace, domain }: NameTableScope): readonly string[] {
  if (info.registry !== 'Kubernetes') return [host.endsWith('.') ? host : `${host}.`];
  if (host.endsWith('.')) return [];
  // Short names of other clusters would be ambiguous.
  if (domain === '' || !host.endsWith(domain)) return [`${host}.`];
  const { shortname } = info;
  return [
    `${host}.`,
    `${shortname}.${info.namespace}.`,
    ...(namespace === info.namespace ? [`${shortname}.`] : []),
    `${shortname}.${info.namespace}.${domain.split('.')[0]}.`,
    ...info.alt_hosts.map(name => `${name}.`),
  ];
}

function encodeAddresses(addresses: readonly string[]): Addresses {
  const v4 = addresses.filter(address => isIP(address) === 4).map(address => Buffer.from(address.split('.').map(Number)));
  const v6 = addresses.filter(address => isIP(address) === 6).map(encodeV6);
  return { v4, v6 };
}

function encodeV6(address: string): Buffer {
  const mapped = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address);
  const hex = (high: string, low: string): string => ((Number(high) << 8) | Number(low)).toString(16);
  const text = mapped === null ? address : `${mapped[1]}${hex(mapped[2], mapped[3])}:${hex(mapped[4], mapped[5])}`;
  const [head, tail = ''] = text.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === '' ? [] : tail.split(':');
  const groups = [...left, ...Array.from({ length: 8 - left.length - right.length }, () => '0'), ...right];
  const bytes = Buffer.alloc(16);
  for (const [i, group] of groups.entries()) bytes.writeUInt16BE(Number.parseInt(group, 16), i * 2);
  return bytes;
}

function shuffle<T>(values: readonly T[]): T[] {
  const copy = [...values];
  for (let i = copy.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [copy[i], copy[j]] = [copy[j], copy[i]];
  }
  return copy;
}
