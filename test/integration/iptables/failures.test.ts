/** What cannot be done is told in one line, ends with the original's exit code, and changes nothing. */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { readNamespaceState } from './namespace-state.ts';
import { findPilotAgent, namespaceObstacle } from './original.ts';

const obstacle = namespaceObstacle();
const skip = obstacle ?? false;
const pilotAgent = findPilotAgent();
const entry = join(import.meta.dirname, '../../../iptables/main.ts');
const folder = mkdtempSync(join(tmpdir(), 'failures-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));

const template = '-p 15001 -z 15006 -u 1337 -b * -i *'.split(' ');
const native = [...template, '--native-nftables'];
const noCapability = 'setpriv --reuid=1337 --regid=1337 --clear-groups --bounding-set=-all'.split(' ');

interface Failure {
  readonly name: string;
  readonly argv: readonly string[];
  /** What the command is run by. */
  readonly wrapper?: readonly string[];
  /** Folder of commands that comes before $PATH; null: nothing else is in it. */
  readonly path?: string;
  /** What the line says. */
  readonly line: RegExp;
  /** The original has no such failure, or does not notice. */
  readonly ownOnly?: boolean;
}

/** A folder with all commands of $PATH that the tool calls but these, which fail. */
function pathWithBroken(name: string, ...broken: string[]): string {
  const path = join(folder, name);
  mkdirSync(path);
  for (const command of broken) {
    writeFileSync(join(path, command), '#!/bin/sh\necho "broken on purpose" >&2\nexit 1\n');
    chmodSync(join(path, command), 0o755);
  }
  return `${path}:${process.env.PATH}`;
}

/** A folder with these commands only. */
function pathWithOnly(name: string, ...commands: string[]): string {
  const path = join(folder, name);
  mkdirSync(path);
  for (const command of commands) {
    const found = (process.env.PATH ?? '')
      .split(':')
      .map(part => join(part, command))
      .find(existsSync);
    if (found !== undefined) symlinkSync(found, join(path, command));
  }
  return path;
}

const failures: readonly Failure[] = [
  {
    name: 'a bad CIDR',
    argv: [...template, '-i', '10.0.0.0/33'],
    line: /netip\.ParsePrefix\("10\.0\.0\.0\/33"\): prefix length out of range \(-i, --istio-service-cidr\)/,
  },
  {
    name: 'an exclusion of everything',
    argv: [...native, '-x', '*'],
    line: /invalid value for OUTBOUND_IP_RANGES_EXCLUDE \(-x, --istio-service-exclude-cidr\)/,
  },
  {
    name: 'a bad port, after one table was committed',
    argv: [...template, '--drop-invalid', '-o', 'notaport'],
    line: /"-A ISTIO_OUTPUT -p tcp --dport notaport -j RETURN".*\(from -o, --istio-local-outbound-ports-exclude\)/,
  },
  {
    name: 'a bad port in nftables',
    argv: [...native, '-d', '70000', '-m', 'TPROXY'],
    line: /nft refused "add rule inet istio-proxy-mangle .*dport 70000.*\(from -d, --istio-local-exclude-ports\)/,
  },
  {
    name: 'an unknown user',
    argv: [...template, '-u', 'nosuchuser', '-g', '1'],
    line: /Bad value for "--uid-owner" option: "nosuchuser" \(from -u, --proxy-uid\)/,
  },
  {
    name: 'a routing table that is no number',
    argv: [...template, '-m', 'TPROXY', '-r', 'abc'],
    line: /"abc" is not an integer \(from -r, --istio-inbound-tproxy-route-table\)/,
  },
  {
    name: 'no capability',
    argv: template,
    wrapper: noCapability,
    line: /capability NET_ADMIN is missing/,
  },
  {
    name: 'no capability for nftables',
    argv: native,
    wrapper: noCapability,
    line: /nft: capability NET_ADMIN is missing/,
  },
  {
    name: 'no iptables',
    argv: template,
    path: pathWithOnly('no-iptables', 'ip', 'nft'),
    line: /exec: "iptables-save": executable file not found in \$PATH/,
  },
  {
    name: 'no nft',
    argv: native,
    path: pathWithOnly('no-nft', 'ip'),
    line: /nativeNftables is enabled: .*exec: "nft": executable file not found in \$PATH/,
  },
  {
    name: 'the forced binary is not there',
    argv: [...template, '--force-iptables-binary', 'legacy'],
    path: pathWithOnly('no-legacy', 'ip', 'iptables-nft', 'iptables-nft-save', 'iptables-nft-restore'),
    line: /exec: "iptables-legacy-save": executable file not found in \$PATH \(from --force-iptables-binary\)/,
  },
  {
    name: 'IPv6 rules fail after those of IPv4 were committed',
    argv: [...template, '--dual-stack', '--force-iptables-binary', 'nft'],
    path: pathWithBroken('broken-v6', 'ip6tables-nft-restore'),
    line: /ip6tables-nft-restore: xtables other problem: broken on purpose/,
  },
  {
    name: 'routes fail',
    argv: [...native, '-m', 'TPROXY'],
    path: pathWithBroken('broken-ip', 'ip'),
    line: /failed to configure routes: failed to add .*: broken on purpose/,
    ownOnly: true,
  },
];

/** A namespace with an address of each version, and a way to run commands in it. */
function makeNamespace(t: Test, label: string): (options: object, ...command: string[]) => { status: number; stdout: string } {
  const name = `ipt${process.pid}${label}`;
  t.teardown(() => spawnSync('ip', ['netns', 'del', name]));
  t.equal(spawnSync('ip', ['netns', 'add', name]).status, 0, `namespace ${name}`);
  const run = (options: object, ...command: string[]): { status: number; stdout: string } => {
    const { status, stdout } = spawnSync('ip', ['netns', 'exec', name, ...command], { ...options, encoding: 'utf8' });
    return { status: status as number, stdout };
  };
  run({}, 'sh', '-c', 'ip link set lo up; ip addr add 10.9.9.9/24 dev lo; ip addr add fd00:9::9/64 dev lo nodad');
  return run;
}

t.test('failures', { skip }, async t => {
  const [ours, original] = [makeNamespace(t, 'n'), makeNamespace(t, 'o')];
  const read = (): string => readNamespaceState((...command) => ours({}, ...command).stdout);
  // Rules that are there before stay there.
  ours({}, ...'iptables-nft -t nat -A OUTPUT -p tcp --dport 1 -j RETURN'.split(' '));
  const before = read();
  for (const { name, argv, wrapper = [], path, line, ownOnly } of failures) {
    await t.test(name, async t => {
      // `env` sets the path behind `ip netns exec`, which has to be found itself.
      const prefix = ['/usr/bin/env', ...(path === undefined ? [] : [`PATH=${path}`])];
      const quiet = '--log_output_level=default:warn';
      const wrapped = wrapper.length === 0 ? [] : wrapper;
      const { status, stdout } = ours({}, ...prefix, ...wrapped, process.execPath, entry, ...argv, quiet);
      const lines = stdout
        .trim()
        .split('\n')
        .filter(text => /\terror\t/.test(text));
      t.equal(lines.length, 1, 'one line', { stdout });
      t.match(lines[0], line);
      t.equal(read(), before, 'nothing changed');
      if (pilotAgent === null || ownOnly) return;
      t.equal(status, original({}, ...prefix, ...wrapped, pilotAgent, 'istio-iptables', ...argv, quiet).status, 'exit code');
    });
  }
});

t.test(
  'rules in both variants of iptables: the legacy ones decide, as in the original, and a line says so',
  { skip },
  async t => {
    const ours = makeNamespace(t, 'b');
    for (const variant of ['legacy', 'nft'])
      ours({}, `iptables-${variant}`, ...'-t nat -A OUTPUT -p tcp --dport 1 -j RETURN'.split(' '));
    const { status, stdout } = ours({}, process.execPath, entry, ...template);
    t.equal(status, 0);
    t.match(stdout, /\twarn\tboth iptables-legacy and iptables-nft hold rules: using legacy; --force-iptables-binary chooses/);
    t.match(ours({}, 'iptables-legacy-save').stdout, /ISTIO_OUTPUT/);
  },
);

const validation = ['--run-validation', '--skip-rule-apply', '--probe-timeout', '1500ms'];
const proxyUser = ['setpriv', '--reuid=1337', '--regid=1337', '--clear-groups', '--bounding-set=-all'];

for (const { name, argv, code } of [
  { name: 'no rules', argv: null, code: 126 },
  { name: 'redirection', argv: template, code: 0 },
  { name: 'TPROXY', argv: [...template, '-m', 'TPROXY'], code: 0 },
  { name: 'nftables', argv: native, code: 0 },
  { name: 'TPROXY by nftables', argv: [...native, '-m', 'TPROXY'], code: 0 },
]) {
  t.test(`the validation as user 1337 without capabilities: ${name}`, { skip }, async t => {
    const run = makeNamespace(t, 'v');
    if (argv !== null) t.equal(run({}, process.execPath, entry, ...argv).status, 0);
    t.equal(run({}, ...proxyUser, process.execPath, entry, ...validation).status, code);
    if (pilotAgent === null) return;
    t.equal(run({}, ...proxyUser, pilotAgent, 'istio-iptables', ...validation).status, code, 'as the original');
  });
}
