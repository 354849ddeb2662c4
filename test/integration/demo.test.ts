import { spawn } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';

const main = join(import.meta.dirname, '..', '..', 'demo', 'main.ts');

async function run(args: readonly string[], interruptWhen: RegExp | null): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  const collect = (chunk: Buffer): void => {
    output += chunk;
    if (interruptWhen?.test(output)) child.kill('SIGINT');
  };
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  const code = await new Promise<number | null>(resolve => child.once('close', resolve));
  return { code, output };
}

const modes = process.getuid?.() === 0 ? ['--redirect', '--no-redirect'] : ['--no-redirect'];
for (const mode of modes) {
  t.test(`with ${mode} every endpoint is called under the caller's identity, until Ctrl-C`, { timeout: 120_000 }, async t => {
    const { code, output } = await run([mode], /price +v1 +[1-9]\d* /);
    t.equal(code, 0, output);
    for (const endpoint of [/catalog +v1 +[1-9]/, /catalog +v2 +[1-9]/, /price +v1 +[1-9]/]) t.match(output, endpoint);
    t.match(output, /spiffe:\/\/cluster\.local\/ns\/demo\/sa\/storefront/);
    t.notMatch(output, /failed \d+ times/);
  });
}

t.test('the demo explains itself', async t => {
  const { code, output } = await run(['--help'], null);
  t.equal(code, 0);
  t.match(output, /Ctrl-C/);
});

t.test('the demo refuses a rate that is no number', async t => {
  const { code, output } = await run(['--rate', 'fast'], null);
  t.equal(code, 1);
  t.match(output, /--rate/);
});
