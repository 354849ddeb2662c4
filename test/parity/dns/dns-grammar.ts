/** Random name tables as istiod's, and random queries for them. */
import { encodeName } from '../../../agent/dns/dns-message.ts';
import type { Random } from '../../support/random.ts';

export const searchDomains = ['n.svc.cluster.local', 'svc.cluster.local', 'cluster.local'] as const;

type Entry = { ips: string[]; registry: string; shortname: string; namespace: string; alt_hosts: string[] };

const labels = ['web', 'api', 'DB', 'x-1', '_sip', 'a', 'www'] as const;
const namespaces = ['n', 'other', 'n-2'] as const;
const domains = ['example.com', 'Example.ORG', 'wild.com', 'b.wild.com', 'internal', 'svc.cluster.local.example.com'] as const;

function makeAddresses(random: Random): string[] {
  const many = random.chance(0.15);
  const v4 = random.chance(0.85)
    ? Array.from({ length: many ? 20 + random.below(60) : 1 + random.below(3) }, (_, i) => `10.0.${random.below(200)}.${i}`)
    : [];
  const v6 = random.chance(0.4)
    ? Array.from({ length: many ? 30 : 1 + random.below(2) }, (_, i) => `fd00::${random.below(9999)}:${i + 1}`)
    : [];
  const odd = random.chance(0.1) ? [random.pick(['', 'none', '10.0.0', '1.2.3.4.5', '010.1.1.1', '::ffff:10.1.2.3', '::'])] : [];
  return [...v4, ...v6, ...odd];
}

/** Names of services, of other clusters' services, of hosts outside, and wildcards. */
export function makeTable(random: Random): Record<string, Entry> {
  const table: Record<string, Entry> = {};
  for (let i = 0; i < 14; i++) {
    const [shortname, namespace] = [random.pick(labels), random.pick(namespaces)];
    const domain = random.chance(0.8) ? 'svc.cluster.local' : 'svc.other.local';
    const alt_hosts = random.chance(0.2) ? [`pod-${i}.${shortname}.${namespace}.${domain}`] : [];
    const name = `${shortname}.${namespace}.${domain}`;
    table[name] = { ips: makeAddresses(random), registry: 'Kubernetes', shortname, namespace, alt_hosts };
  }
  for (let i = 0; i < 10; i++) {
    const prefix = random.chance(0.4) ? '*.' : random.chance(0.5) ? `${random.pick(labels)}.` : '';
    const name = `${prefix}${random.pick(domains)}`;
    const spelled = random.chance(0.1) ? `${name}.` : name;
    // Of two spellings of one name chance takes one.
    if (Object.keys(table).some(known => known.replace(/\.$/, '') === name)) continue;
    table[spelled] = {
      ips: makeAddresses(random),
      registry: 'External',
      shortname: '',
      namespace: random.pick(namespaces),
      alt_hosts: [],
    };
  }
  return table;
}

const types = [1, 1, 1, 28, 28, 5, 2, 6, 12, 15, 16, 33, 65, 255, 0] as const;

function makeName(random: Random, hosts: readonly string[]): string {
  const base = random.chance(0.75)
    ? random.pick(hosts).replace('*', random.pick(['*', 'sub', 'two.subs']))
    : `${random.pick(['many', 'unknown', 'alias', 'refused', 'silent', 'broken', 'web', 'foreign'])}.${random.pick(['outside.org', 'n', 'n.svc'])}`;
  const cut = random.chance(0.3)
    ? base
        .split('.')
        .slice(0, 1 + random.below(4))
        .join('.')
    : base;
  const searched = random.chance(0.35) ? `${cut}.${random.pick(searchDomains)}` : cut;
  return random.chance(0.3) ? [...searched].map(c => (random.chance(0.5) ? c.toUpperCase() : c)).join('') : searched;
}

function makeOption(random: Random): Buffer {
  const record = Buffer.alloc(11);
  record.writeUInt16BE(41, 1);
  record.writeUInt16BE(random.pick([0, 100, 512, 700, 1232, 4096, 65_535]), 3);
  if (random.chance(0.3)) record.writeUInt16BE(0x8000, 7);
  return record;
}

/** A whole query, mostly an ordinary one. */
export function makeQuery(random: Random, hosts: readonly string[]): Buffer {
  const header = Buffer.alloc(12);
  header.writeUInt16BE(1 + random.below(65_535), 0);
  const opcode = random.chance(0.04) ? random.pick([1, 2, 4, 5]) : 0;
  header.writeUInt16BE((opcode << 11) | random.pick([0x0100, 0x0100, 0, 0x0110, 0x0120, 0x0500]), 2);
  const question = Buffer.alloc(4);
  question.writeUInt16BE(random.pick(types), 0);
  question.writeUInt16BE(random.chance(0.04) ? random.pick([3, 255, 254]) : 1, 2);
  const options = random.chance(0.4) ? [makeOption(random)] : [];
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(options.length, 10);
  return Buffer.concat([header, encodeName(makeName(random, hosts)), question, ...options]);
}

/** The same, damaged: cut, with a byte changed, with other counts, or with bytes behind its end. */
export function damage(random: Random, query: Buffer): Buffer {
  const damaged = Buffer.from(query);
  switch (random.below(4)) {
    case 0:
      return damaged.subarray(0, random.below(damaged.length));
    case 1:
      damaged[2 + random.below(damaged.length - 2)] = random.below(256);
      return damaged;
    case 2:
      damaged.writeUInt16BE(random.below(3), random.pick([4, 6, 8, 10]));
      return damaged;
    default:
      return Buffer.concat([damaged, Buffer.alloc(1 + random.below(8), random.below(256))]);
  }
}
