/**
 * Records the byte code of the bundled programs, dist/NAME.cache, in a run of the demo: a start of both halves and a little traffic
 * compile what every start and the first requests need. Without the caches the programs start slower, and that is all.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { programs, writeStartFiles } from './start-files.ts';

const root = join(import.meta.dirname, '..');
const output = join(root, 'dist');
const trafficSeconds = 2;
const timeoutMs = 60_000;

writeStartFiles(output, true);
try {
  const demo = [join(root, 'demo', 'main.ts'), '--no-redirect', `--seconds=${trafficSeconds}`];
  const { status, stdout, stderr } = spawnSync(process.execPath, demo, { timeout: timeoutMs, encoding: 'utf8' });
  const missing = Object.keys(programs).filter(name => !existsSync(join(output, `${name}.cache`)));
  if (status !== 0 || missing.length > 0) {
    console.warn(`no byte code was recorded for ${missing.join(', ')}: programs will start slower\n${stdout}${stderr}`);
  }
} finally {
  writeStartFiles(output);
  for (const name of readdirSync(output)) if (/\.cache\..*\./.test(name)) rmSync(join(output, name));
}
