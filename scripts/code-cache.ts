/**
 * Records the byte code of the bundled programs, dist/NAME.cache. A run of the demo, a start of both halves and a little traffic,
 * compiles what every start and the first requests need; then come the short commands. Without the caches the programs start slower,
 * and that is all.
 */
import { spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { programs, writeStartFiles } from './start-files.ts';

const root = join(import.meta.dirname, '..');
const output = join(root, 'dist');
const demoFlags = ['--no-redirect', '--seconds=2'];
const timeoutMs = 60_000;

function run(command: string, ...args: readonly string[]): SpawnSyncReturns<string> {
  return spawnSync(command, args, { timeout: timeoutMs, encoding: 'utf8' });
}

writeStartFiles(output, true);
try {
  const { status, stdout, stderr } = run(process.execPath, join(root, 'demo', 'main.ts'), ...demoFlags);
  // By its launcher: byte code is for the flags that it was made with.
  const agent = join(root, 'bin', 'pilot-agent');
  // Nobody answers where the build runs: what they do until then is most of it.
  run(agent, 'wait', '--timeoutSeconds=1', '--periodMillis=100');
  run(agent, 'request', 'GET', 'stats');
  run(agent, 'istio-iptables', '--dry-run');
  const missing = Object.keys(programs).filter(name => !existsSync(join(output, `${name}.cache`)));
  if (status !== 0 || missing.length > 0) {
    console.warn(`no byte code was recorded for ${missing.join(', ')}: programs will start slower\n${stdout}${stderr}`);
  }
} finally {
  writeStartFiles(output);
  for (const name of readdirSync(output)) if (/\.cache\..*\./.test(name)) rmSync(join(output, name));
}
