/** The proxy that loads first and is told its command line later, as the agent starts it. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';

const proxy = join(import.meta.dirname, '..', '..', 'bin', 'sidecar-proxy');

function start(input: string): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(proxy, ['--await-arguments'], { input, encoding: 'utf8', timeout: 30_000 });
}

t.test('the command line from standard input is carried out', async t => {
  const { status, stdout, stderr } = start('["--version"]');
  t.equal(status, 0);
  t.match(stdout, /envoy {2}version: /);
  t.equal(stderr, '');
  const config = '{"admin":{"address":{"socket_address":{"address":"127.0.0.1","port_value":0}}}}';
  t.match(start(JSON.stringify(['--mode', 'validate', '--config-yaml', config])).stdout, /OK/, 'a run needs what was loaded');
});

t.test('no command line: the agent is gone, and so is the proxy', async t => {
  t.match(start(''), { status: 0, stdout: '', stderr: '' });
});

t.test('what is wrong with it is said', async t => {
  const { status, stderr } = start('["--nope"]');
  t.equal(status, 1);
  t.match(stderr, /--nope/);
  for (const input of ['-c file', '{"length":1}', '[1]']) {
    const { status, stderr } = start(input);
    t.equal(status, 1, input);
    t.match(stderr, /^--await-arguments: standard input is no JSON array of strings/);
  }
});
