import t from 'tap';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const skip = process.getuid?.() === 0 ? false : 'needs root for a namespace of processes';
const reaper = join(import.meta.dirname, '../../../../agent/lifecycle/orphan-reaper.ts');

/** Runs as PID 1: inherits an orphan, has a child of its own, and waits until the one is gone and the other's end was seen. */
const script = `
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { OrphanReaper } from '${reaper}';
const states = () => readdirSync('/proc').filter(name => /^[0-9]+$/.test(name)).map(name => {
  try { return readFileSync('/proc/' + name + '/stat', 'utf8').replace(/^.*[)] /s, '')[0]; } catch { return ''; }
});
const until = async condition => { while (!condition()) await new Promise(resolve => setTimeout(resolve, 5)); };
spawnSync('sh', ['-c', '(sleep 0.05 &)']);
await until(() => states().includes('Z'));
const reaper = new OrphanReaper(10);
await until(() => !states().includes('Z'));
const [code] = await once(spawn('sh', ['-c', 'exit 7']), 'exit');
reaper.close();
console.log('pid', process.pid, 'own child', code);
process.exit(0);
`;

t.test('as PID 1 it buries orphans, and leaves its own children to Node', { skip }, async t => {
  const node = [process.execPath, '--input-type=module', '-e', script];
  const command = ['-u', 'NODE_OPTIONS', 'unshare', '--pid', '--fork', '--mount-proc', ...node];
  const { stdout, stderr } = spawnSync('env', command, { encoding: 'utf8', timeout: 60_000, cwd: import.meta.dirname });
  t.equal(stdout.trim(), 'pid 1 own child 7', stderr);
});
