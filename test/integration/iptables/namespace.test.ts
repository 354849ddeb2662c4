import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { findPilotAgent, namespaceObstacle } from './original.ts';

const pilotAgent = findPilotAgent();
const obstacle = namespaceObstacle();
const skip = pilotAgent === null ? 'no pilot-agent' : (obstacle ?? false);
const entry = join(import.meta.dirname, '../../../iptables/main.ts');
const template = '-p 15001 -z 15006 -u 1337 -m REDIRECT -i * -x  -b * -d 15090,15021,15020 --log_output_level=default:info'.split(
  ' ',
);

type Tool = (argv: string[], env?: { [name: string]: string }) => number;

/** A fresh namespace with an address of each wanted version. */
function makeNamespace(t: Test, addresses: string[]): { name: string; save: () => string; exec: (...args: string[]) => string } {
  const name = `ipt${process.pid}-${Math.trunc(performance.now() * 1000)}`;
  const succeed = (...args: string[]): void => void t.equal(spawnSync(args[0], args.slice(1)).status, 0, args.join(' '));
  succeed('ip', 'netns', 'add', name);
  t.teardown(() => spawnSync('ip', ['netns', 'del', name]));
  succeed('ip', '-n', name, 'link', 'set', 'lo', 'up');
  for (const address of addresses) succeed('ip', '-n', name, 'addr', 'add', address, 'dev', 'lo');
  const exec = (...args: string[]): string => spawnSync('ip', ['netns', 'exec', name, ...args], { encoding: 'utf8' }).stdout;
  const save = (): string =>
    ['iptables-save', 'ip6tables-save', 'iptables-legacy-save']
      .map(
        tool =>
          `${tool}\n${exec(tool)
            .replace(/^#.*\n/gm, '')
            .replace(/\[\d+:\d+\]/g, '[0:0]')}`,
      )
      .concat(exec('ip', 'rule'), exec('ip', '-6', 'addr', 'show', 'dev', 'lo').replace(/\n.*valid_lft.*/g, ''))
      .join('\n');
  return { name, save, exec };
}

function toolIn(namespace: string, ...command: string[]): Tool {
  return (argv, env = {}) =>
    spawnSync('ip', ['netns', 'exec', namespace, ...command, ...argv], {
      env: { PATH: process.env.PATH, ...env },
    }).status as number;
}

const original = (namespace: string): Tool => toolIn(namespace, pilotAgent as string, 'istio-iptables');
const ours = (namespace: string): Tool => toolIn(namespace, process.execPath, entry);

/** As the validation container runs: with the proxy's uid and without a capability. */
const asProxy = (namespace: string): Tool =>
  toolIn(namespace, 'setpriv', '--reuid=1337', '--regid=1337', '--clear-groups', '--bounding-set=-all', process.execPath, entry);

const cases: readonly { name: string; argv: string[]; addresses: string[]; env?: { [name: string]: string } }[] = [
  { name: 'the template', argv: template, addresses: ['10.9.9.9/24'] },
  { name: 'the template on IPv6', argv: template, addresses: ['fd00:9::9/64'] },
  { name: 'the template on both', argv: template, addresses: ['10.9.9.9/24', 'fd00:9::9/64'], env: { ISTIO_DUAL_STACK: 'true' } },
  {
    name: 'DNS capture',
    argv: template,
    addresses: ['10.9.9.9/24'],
    env: { ISTIO_META_DNS_CAPTURE: 'true', INVALID_DROP: 'true' },
  },
  { name: 'TPROXY', argv: template.map(arg => (arg === 'REDIRECT' ? 'TPROXY' : arg)), addresses: ['10.9.9.9/24'] },
  { name: 'the legacy variant', argv: [...template, '--force-iptables-binary', 'legacy'], addresses: ['10.9.9.9/24'] },
  {
    name: 'lists of everything',
    argv: '-u 1337,5 -g 7 -b 80,443 -i 10.0.0.0/8,127.0.0.0/8 -x 10.96.0.0/12 -q 9000 -o 3306 -c eth1 -k virt0'.split(' '),
    addresses: ['10.9.9.9/24'],
    env: { ISTIO_OUTBOUND_OWNER_GROUPS: '1,2' },
  },
];

for (const { name, argv, addresses, env } of cases) {
  t.test(`the kernel holds the same rules after this tool as after the original: ${name}`, { skip }, async t => {
    const [one, other] = [makeNamespace(t, addresses), makeNamespace(t, addresses)];
    t.equal(ours(other.name)(argv, env), original(one.name)(argv, env), 'exit code');
    t.equal(other.save(), one.save());
  });
}

t.test('what the original leaves is recognized, and the other way round', { skip }, async t => {
  const { name, save } = makeNamespace(t, ['10.9.9.9/24']);
  t.equal(original(name)(template), 0);
  const before = save();
  t.equal(ours(name)(template), 0, 'a second run');
  t.equal(save(), before, 'changed nothing');
  t.equal(ours(name)([...template, '--cleanup-only']), 0);
  t.notMatch(save(), /ISTIO_/, 'nothing is left');
  t.equal(ours(name)(template), 0);
  t.equal(original(name)([...template, '--force-iptables-binary', 'nft']), 0);
  t.equal(save(), before);
});

t.test(
  'rules of an older configuration are treated as the original treats them, and --reconcile replaces them',
  { skip },
  async t => {
    const [one, other] = [makeNamespace(t, ['10.9.9.9/24']), makeNamespace(t, ['10.9.9.9/24'])];
    // The variant is forced, because the original takes another one from its second run on (see the detection).
    const forced = ['--force-iptables-binary', 'nft'];
    const older = ['-b', '80', '-i', '10.0.0.0/8'];
    for (const base of [
      older,
      template,
      [...template, '--reconcile'],
      [...template, '--force-apply'],
      [...template, '--cleanup-only'],
    ]) {
      const argv = [...base, ...forced];
      t.equal(ours(other.name)(argv), original(one.name)(argv), `exit code of ${argv.join(' ')}`);
      t.equal(other.save(), one.save(), argv.join(' '));
    }
  },
);

t.test('the validation passes with rules, and ends with 126 without', { skip: obstacle ?? false }, async t => {
  const bare = makeNamespace(t, ['10.9.9.9/24']);
  const validation = ['--skip-rule-apply', '--run-validation', '--probe-timeout', '1s'];
  t.equal(asProxy(bare.name)(validation), 126);
  t.equal(ours(bare.name)(template), 0);
  t.equal(asProxy(bare.name)(validation), 0);
  const v6 = makeNamespace(t, ['fd00:9::9/64']);
  t.equal(ours(v6.name)(template), 0);
  t.equal(asProxy(v6.name)(validation), 0, 'IPv6');
});

t.test('a machine without IPv4 or IPv6 address ends with 1', { skip: obstacle ?? false }, async t => {
  const { name } = makeNamespace(t, []);
  t.equal(ours(name)(template), 1);
});
