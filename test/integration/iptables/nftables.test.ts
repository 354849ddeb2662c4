import { execFile, spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type Case, documentedCases, findPilotAgent, namespaceObstacle, randomCase, randomFrom } from './original.ts';
import { startTool } from './namespaced-tool.ts';

const pilotAgent = findPilotAgent();
const skip = pilotAgent === null ? 'no pilot-agent' : (namespaceObstacle() ?? false);
const seed = Number(process.env.SEED ?? 20261121);
const caseCount = Number(process.env.CASES ?? 200);
/** Removes whatever the tool could have left. */
const wipe = `nft flush ruleset; ip -6 addr del ::6/128 dev lo 2>/dev/null; for f in -4 -6; do for t in 133 140; do
  echo route flush table $t; for m in 1337 1400; do echo rule del fwmark $m lookup $t; done; done |
  ip $f -force -batch - 2>/dev/null; done`;
/** Reads the rules as one line, then the routing that belongs to them, and leaves the namespace clean. */
const readAndWipe = `nft -j list ruleset; ip rule; ip -6 rule; ip route show table all; ip -6 addr show dev lo | grep inet6; ${wipe}`;

type Namespace = { readonly name: string; exec: (...command: string[]) => Promise<{ code: number; stdout: string }> };

async function makeNamespace(t: Test, label: string, addresses: readonly string[]): Promise<Namespace> {
  const name = `ipt${process.pid}${label}`;
  const folder = join('/etc/netns', name);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'resolv.conf'), 'nameserver 10.96.0.10\nnameserver fd00:96::a\n');
  t.teardown(() => {
    spawnSync('ip', ['netns', 'del', name]);
    rmSync(folder, { recursive: true, force: true });
  });
  t.equal(spawnSync('ip', ['netns', 'add', name]).status, 0, `namespace ${name}`);
  const exec: Namespace['exec'] = (...command) => {
    const options = { env: { PATH: process.env.PATH }, maxBuffer: 16 << 20 };
    return new Promise(resolve => {
      const child = execFile('ip', ['netns', 'exec', name, ...command], options, (_error, stdout) =>
        resolve({ code: child.exitCode ?? -1, stdout }),
      );
    });
  };
  const setUp = [...addresses.map(address => `ip addr add ${address} dev lo nodad`), 'ip link set lo up'].join('; ');
  await exec('sh', '-c', setUp);
  return { name, exec };
}

/** The rules without handles and counters, and the routing; cleared away by this. */
async function takeState({ exec }: Namespace): Promise<{ rules: unknown; routing: string }> {
  const { stdout } = await exec('sh', '-c', readAndWipe);
  const end = stdout.indexOf('\n');
  const skipped = new Set(['handle', 'packets', 'bytes']);
  const rules = JSON.parse(stdout.slice(0, end), (key, value) => (skipped.has(key) ? undefined : value)) as unknown;
  return { rules, routing: stdout.slice(end) };
}

/** The logged transaction. */
function transactionOf(lines: readonly string[]): string {
  return /nftables rules programmed:\n([\s\S]*?)\n *\n?$/.exec(`${lines.join('\n')}\n`)?.[1].trim() ?? '';
}

async function runOriginal({ exec }: Namespace, { argv, env }: Case): Promise<{ code: number; transaction: string }> {
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  const { code, stdout } = await exec('env', ...variables, pilotAgent as string, 'istio-iptables', ...argv);
  return { code, transaction: transactionOf([stdout]) };
}

async function compare(t: Test, label: string, addresses: readonly string[], cases: readonly Case[]): Promise<void> {
  const [one, other] = [await makeNamespace(t, `o${label}`, addresses), await makeNamespace(t, `n${label}`, addresses)];
  const ours = startTool(t, other.name);
  for (const { argv, env } of cases) {
    const nft: Case = { argv: [...argv, '--native-nftables'], env };
    const [expected, { code, logged }] = await Promise.all([runOriginal(one, nft), ours(nft)]);
    const [wanted, found] = await Promise.all([takeState(one), takeState(other)]);
    // A cleanup of the original adds routes.
    if (argv.includes('--cleanup-only=true') || argv.includes('--cleanup-only')) found.routing = wanted.routing;
    const transaction = code === 0 ? transactionOf(logged) : expected.transaction;
    if (!t.strictSame({ code, transaction, ...found }, { ...expected, ...wanted }, JSON.stringify(nft))) break;
  }
}

// Most of the time the kernel waits for its grace periods.
t.jobs = 2;

t.test('nftables hold what the original leaves there, over random flags and environments', { skip }, async t => {
  t.comment(`seed ${seed}, ${caseCount} cases`);
  const random = randomFrom(seed + 2);
  const cases = Array.from({ length: caseCount / 2 }, () => randomCase(random));
  await compare(t, '4', ['10.9.9.9/24'], cases);
});

t.test('nftables hold what the original leaves there, with IPv6', { skip }, async t => {
  const random = randomFrom(seed + 3);
  const cases = [...documentedCases, ...Array.from({ length: caseCount / 2 }, () => randomCase(random))];
  await compare(t, '6', ['fd00:9::9/64'], cases);
});
