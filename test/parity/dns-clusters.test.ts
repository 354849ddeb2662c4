/** Names that change, fail, vanish and come back: STRICT_DNS and LOGICAL_DNS clusters follow them as Envoy's do. */
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { namespaceObstacle } from '../integration/iptables/original.ts';
import { findEnvoy } from '../support/envoy-binary.ts';
import { ownCommand } from '../support/proxy-process.ts';
import { buildDnsBootstrap, clusterNames } from './dns-clusters/clusters.ts';

const adminPort = 15_000;

async function resolvePhases(t: Test, name: string, command: readonly string[]): Promise<object[]> {
  const namespace = `dnsclusters-${name}-${process.pid}`;
  const folder = mkdtempSync(join(tmpdir(), 'dns-clusters-'));
  // What `ip netns exec` puts in the place of the system's resolver.
  const resolver = `/etc/netns/${namespace}`;
  mkdirSync(resolver, { recursive: true });
  writeFileSync(join(resolver, 'resolv.conf'), 'nameserver 127.0.0.1\n');
  writeFileSync(join(resolver, 'hosts'), '127.0.0.1 localhost\n');
  execFileSync('ip', ['netns', 'add', namespace]);
  t.teardown(() => {
    execFileSync('ip', ['netns', 'del', namespace]);
    rmSync(resolver, { recursive: true, force: true });
    rmSync(folder, { recursive: true, force: true });
  });
  execFileSync('ip', ['netns', 'exec', namespace, 'ip', 'link', 'set', 'lo', 'up']);
  const file = join(folder, 'bootstrap.json');
  writeFileSync(file, JSON.stringify(buildDnsBootstrap(adminPort)));
  const script = join(import.meta.dirname, 'dns-clusters', 'phases.ts');
  const args = ['-c', file, '--concurrency', '1', '--disable-hot-restart', '-l', 'error'];
  const run = ['netns', 'exec', namespace, process.execPath, script, String(adminPort), ...command, ...args];
  const child = spawn('ip', run, { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', chunk => {
    output += chunk;
  });
  await new Promise(resolve => child.once('exit', resolve));
  return JSON.parse(output) as object[];
}

const envoy = findEnvoy();
const skip = namespaceObstacle() ?? (envoy === null && 'no Envoy binary (npm run mesh -- tools)');

t.test('clusters of names', { skip, timeout: 120_000 }, async t => {
  const own = ownCommand();
  const [expected, actual] = await Promise.all([
    resolvePhases(t, 'envoy', [envoy as string]),
    resolvePhases(t, 'own', [own.command, ...own.args]),
  ]);
  t.equal(clusterNames.length > 0 && expected.length > 0, true);
  for (const [index, phase] of expected.entries()) t.same(actual[index], phase, (phase as { phase: string }).phase);
});
