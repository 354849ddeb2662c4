/** Where the original tool is, and a source of random command lines. */
import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** The path of a real pilot-agent, or null. */
export function findPilotAgent(): string | null {
  const folders = [
    ...(process.env.MESH_CACHE ? [join(process.env.MESH_CACHE, 'bin')] : []),
    join(homedir(), '.cache/node-sidecar-mesh/bin'),
    join(homedir(), '.cache/meshlab/bin'),
  ];
  for (const folder of folders) {
    try {
      accessSync(join(folder, 'pilot-agent'), constants.X_OK);
      return join(folder, 'pilot-agent');
    } catch {
      // Not there: the next.
    }
  }
  return null;
}

/** The reason why namespaces cannot be used here, or null. */
export function namespaceObstacle(): string | null {
  if (process.getuid?.() !== 0) return 'needs root for network namespaces';
  return spawnSync('ip', ['netns', 'list']).status === 0 ? null : 'needs iproute2';
}

/** Deterministic numbers in [0, 1) from a seed (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

export type Case = { readonly argv: string[]; readonly env: { [name: string]: string } };

/** What Istio's documentation and its annotations let a user ask for, one thing at a time. */
export const documentedCases: readonly Case[] = [
  '',
  '-i *',
  '-i 10.0.0.0/8',
  '-i 127.1.2.3/32 --redirect-dns -u 3,4 -g 1,2',
  '-i 9.9.0.0/16 -x 1.1.0.0/16 --redirect-dns -u 3,4 -g 1,2',
  '-i 2001:db8::/32 -x 2001:db8::/32 -b 4000,5000 -d 6000,7000, -k eth0,eth1',
  '-i * -k eth1,eth2',
  '-i 10.0.0.0/8 -k eth1,eth2',
  '-b *',
  '-b * -d 15090,15021,15020',
  '-b 32000,31000',
  '-b * -m TPROXY',
  '-b 32000,31000 -m TPROXY',
  '-b * -m TPROXY -i 9.9.0.0/16 -x 1.1.0.0/16 -u 1337 -g 1337 -c not-istio-nic --redirect-dns',
  '-b * -m TPROXY -t 1400 -r 140 --drop-invalid --redirect-dns --capture-all-dns',
  '-q 32000,31000',
  '-o 3306,5432',
  '-c not-istio-nic',
  '--redirect-dns',
  '--redirect-dns --capture-all-dns -u 3,4 -g 1,2',
  '--drop-invalid',
  '--dual-stack -i * -b *',
  '--cleanup-only',
]
  .map((line): Case => ({ argv: line.split(' ').filter(word => word !== ''), env: {} }))
  .concat([
    { argv: [], env: { ISTIO_OUTBOUND_OWNER_GROUPS: 'daemon,202' } },
    { argv: [], env: { ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE: '888,daemon' } },
    { argv: ['--redirect-dns'], env: { ISTIO_OUTBOUND_OWNER_GROUPS: 'daemon,202' } },
    { argv: [], env: { ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR: '127.0.0.1/8' } },
    { argv: ['-i', '*'], env: { ISTIO_META_DNS_CAPTURE: 'true', INVALID_DROP: 'true' } },
  ]);

const choices: readonly (readonly [flag: string, values: readonly string[]])[] = [
  ['-p', ['15001', '16001']],
  ['-z', ['15006', '16006']],
  ['-e', ['15008', '16008']],
  ['-u', ['1337', '3,4', '0', '1337,']],
  ['-g', ['1337', '1,2', '']],
  ['-m', ['REDIRECT', 'TPROXY', 'NONE']],
  ['-b', ['*', '', '80', '80,443,,8080', '*,80']],
  ['-d', ['15090,15021,15020', '', '22', '22,23']],
  ['-c', ['eth1', 'eth1,eth2', '']],
  ['-i', ['*', '', '10.0.0.0/8', '10.0.0.5/8,fd00::/64', '127.1.2.3/32', '::1/128,2001:DB8:0:0::/32', '*,1.1.1.1/32', '1.2.3.4']],
  ['-x', ['', '10.96.0.0/12', 'fd01::/64,10.1.0.0/16', '*', '::ffff:10.0.0.1/100', '10.0.0.0/33', '10.0.0.0/08']],
  ['-q', ['', '9000', '9000,9001']],
  ['-o', ['', '3306', '3306,5432']],
  ['-k', ['', 'virt0', 'virt0,virt1']],
  ['-t', ['1337', '1400']],
  ['-r', ['133', '140']],
  ['--redirect-dns', ['true', 'false']],
  ['--capture-all-dns', ['true', 'false']],
  ['--drop-invalid', ['true', '0']],
  ['--dual-stack', ['true', 'false']],
  ['--reconcile', ['true', 'false']],
  ['--cleanup-only', ['true', 'false']],
  ['--force-apply', ['true', 'false']],
  ['--force-iptables-binary', ['', 'legacy', 'nft', 'other']],
];
const variables: readonly (readonly [name: string, values: readonly string[]])[] = [
  ['ISTIO_OUTBOUND_OWNER_GROUPS', ['*', '', '1,2', 'java,202', Array.from({ length: 65 }, (_, id) => id).join(',')]],
  ['ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE', ['', '888,ftp']],
  ['ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR', ['127.0.0.1/32', '127.0.0.1/8', '127.0.0.1/7', '10.0.0.1/8', 'x']],
  ['ISTIO_META_DNS_CAPTURE', ['true', 'false', 'maybe']],
  ['ISTIO_DUAL_STACK', ['true', 'false']],
  ['INVALID_DROP', ['true', 'false']],
  ['ISTIO_INBOUND_PORTS', ['*', '80']],
  ['PROXY_UID', ['5', '6,7']],
  ['DROP_INVALID', ['true', 'x']],
];
/** How often a flag or variable that usually makes the whole run fail is taken. */
const rare = new Set(['--force-iptables-binary', 'ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR', '--cleanup-only', '-x']);

/** One random command line and environment. */
export function randomCase(random: () => number): Case {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)];
  const argv: string[] = [];
  for (const [flag, values] of choices) {
    if (random() >= (rare.has(flag) ? 0.1 : 0.5)) continue;
    const value = pick(values);
    if (flag.startsWith('--')) argv.push(`${flag}=${value}`);
    else argv.push(flag, value);
  }
  const env: { [name: string]: string } = {};
  for (const [name, values] of variables) if (random() < (rare.has(name) ? 0.05 : 0.2)) env[name] = pick(values);
  return { argv, env };
}
