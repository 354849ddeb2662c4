import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { type Host, thisHost } from '../../../iptables/config.ts';
import { configureLog } from '../../../iptables/log.ts';
import { run } from '../../../iptables/main.ts';
import { documentedCases, findPilotAgent, namespaceObstacle, randomCase, randomFrom } from './original.ts';

type Outcome = { code: number; recorded: string; logged: string };

const pilotAgent = findPilotAgent();
const seed = Number(process.env.SEED ?? 20261121);
const caseCount = Number(process.env.CASES ?? 150);
const folder = join(tmpdir(), `dry-run-${process.pid}`);
/** Lines about the invocation itself, not about rules; and texts of Go's parser. */
const noise = /^Error: |netip\.ParsePrefix|this message, please consider reporting|automemlimit|Assuming clean state/;
/** Ours says which flag an error is about. */
const flagOfError = / \(-[a-z], --[a-z-]+\)$/;

function readRecord(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  } finally {
    rmSync(path, { force: true });
  }
}

function withoutTimes(text: string): string {
  return text
    .split('\n')
    .map(line => line.replace(/^\d{4}-\d\d-\d\dT[\d:.]+Z\t/, '').replace(flagOfError, ''))
    .filter(line => !noise.test(line))
    .join('\n')
    .trim();
}

function runOriginal(argv: string[], env: { [name: string]: string }, namespace: string | null): Outcome {
  const path = `${folder}-original`;
  const command = [pilotAgent as string, 'istio-iptables', '--dry-run', ...argv];
  const full = namespace === null ? command : ['ip', 'netns', 'exec', namespace, ...command];
  const result = spawnSync(full[0], full.slice(1), {
    env: { PATH: process.env.PATH, DRY_RUN_FILE_PATH: path, ...env },
    encoding: 'utf8',
  });
  return { code: result.status as number, recorded: readRecord(path), logged: withoutTimes(result.stdout) };
}

async function runOurs(argv: string[], env: { [name: string]: string }, host: Host): Promise<Outcome> {
  const path = `${folder}-ours`;
  const lines: string[] = [];
  configureLog({ outputLevel: 'default:info', json: false, targets: [] }, line => lines.push(line));
  const code = await run(['--dry-run', ...argv], { DRY_RUN_FILE_PATH: path, ...env }, host);
  return { code, recorded: readRecord(path), logged: withoutTimes(lines.join('\n')) };
}

const template = '-p 15001 -z 15006 -u 1337 -m REDIRECT -i * -x  -b * -d 15090,15021,15020 --log_output_level=default:info'.split(
  ' ',
);

t.test(
  'dry runs equal the original over random flags, environments and seeds',
  { skip: pilotAgent ? false : 'no pilot-agent' },
  async t => {
    t.comment(`seed ${seed}, ${caseCount} cases`);
    const random = randomFrom(seed);
    const cases = [
      { argv: template, env: {} },
      ...documentedCases,
      ...Array.from({ length: caseCount }, () => randomCase(random)),
    ];
    for (const { argv, env } of cases) {
      const label = JSON.stringify({ argv, env });
      const original = runOriginal(argv, env, null);
      const ours = await runOurs(argv, env, thisHost);
      if (!t.same(ours, original, label)) break;
    }
  },
);

t.test(
  'dry runs equal the original in a namespace with IPv6',
  { skip: pilotAgent ? (namespaceObstacle() ?? false) : 'no pilot-agent' },
  async t => {
    const namespace = `dry${process.pid}`;
    const ip = (...args: string[]): void => void t.equal(spawnSync('ip', args).status, 0, args.join(' '));
    ip('netns', 'add', namespace);
    t.teardown(() => spawnSync('ip', ['netns', 'del', namespace]));
    ip('-n', namespace, 'addr', 'add', 'fd00:1::5/64', 'dev', 'lo', 'nodad');
    ip('-n', namespace, 'link', 'set', 'lo', 'up');
    const host: Host = { ...thisHost, addresses: () => ['127.0.0.1', '::1', 'fd00:1::5', 'fe80::1'] };
    const random = randomFrom(seed + 1);
    const cases = [...documentedCases, ...Array.from({ length: caseCount / 2 }, () => randomCase(random))];
    for (const { argv, env } of cases) {
      const original = runOriginal(argv, env, namespace);
      const ours = await runOurs(argv, env, host);
      if (!t.same(ours, original, JSON.stringify({ argv, env }))) break;
    }
  },
);

/** The flags that the original lists in its help, with their kinds. */
function readFlags(): { name: string; kind: string }[] {
  const { stdout } = spawnSync(pilotAgent as string, ['istio-iptables', '--help'], { encoding: 'utf8' });
  const own = stdout.slice(stdout.indexOf('\nFlags:'), stdout.indexOf('\nGlobal Flags:'));
  return [...own.matchAll(/--([a-z-]+) (string|uint16|duration)?/g)]
    .map(([, name, kind = 'bool']) => ({ name, kind }))
    .filter(({ name }) => !['help', 'dry-run', 'skip-rule-apply', 'native-nftables', 'run-validation'].includes(name));
}

const samples: Readonly<Record<string, readonly [string, string]>> = {
  bool: ['true', 'false'],
  uint16: ['1', '2'],
  duration: ['1ms', '2ms'],
  string: ['7,8', '9'],
  'istio-service-cidr': ['10.0.0.0/8', '*'],
  'istio-service-exclude-cidr': ['10.0.0.0/8', '10.1.0.0/16'],
  'force-iptables-binary': ['legacy', 'nft'],
};

t.test('every flag has its variable, below the command line', { skip: pilotAgent ? false : 'no pilot-agent' }, async t => {
  const flags = readFlags();
  t.ok(flags.length > 25, `${flags.length} flags`);
  for (const { name, kind } of flags) {
    const [value, other] = samples[name] ?? samples[kind];
    const variable = name.toUpperCase().replaceAll('-', '_');
    for (const { argv, env } of [
      { argv: [], env: { [variable]: value } },
      { argv: [`--${name}=${other}`], env: { [variable]: value } },
      { argv: [], env: { [variable]: kind === 'string' ? '' : 'nonsense' } },
    ]) {
      t.same(await runOurs(argv, env, thisHost), runOriginal(argv, env, null), JSON.stringify({ argv, env }));
    }
  }
});

t.test("wrong use ends with the original's code and words", { skip: pilotAgent ? false : 'no pilot-agent' }, async t => {
  for (const argv of [
    ['--no-such-flag'],
    ['-p'],
    ['-y'],
    ['--dual-stack=maybe'],
    ['--probe-timeout', '5'],
    ['--iptables-probe-port', '70000'],
    ['--log_output_level=default:loud'],
    ['--log_as_json=maybe'],
  ]) {
    const [original, ours] = [
      [pilotAgent as string, 'istio-iptables'],
      [process.execPath, join(import.meta.dirname, '../../../iptables/main.ts')],
    ].map(([command, argument]) => spawnSync(command, [argument, '-n', ...argv], { encoding: 'utf8' }));
    const message = ({ stderr }: typeof ours): string | undefined => /^Error: .*$/m.exec(stderr)?.[0];
    t.equal(ours.status, original.status, argv.join(' '));
    t.equal(message(ours), message(original));
  }
});
