import { once } from 'node:events';
import { existsSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { PreparedProxy, prepareProxy } from '../../../../agent/lifecycle/prepared-proxy.ts';

/** A program that stands where the proxy would, and writes down its arguments and what it reads. */
function makeProgram(t: Test, name = 'sidecar-proxy'): { path: string; link: string; read: () => string } {
  const folder = t.testdir({ bin: {} });
  const [path, link, output] = [join(folder, 'bin', name), join(folder, 'envoy'), join(folder, 'output')];
  writeFileSync(path, `#!/bin/sh\ntext=$(cat)\necho "$* $text" > ${output}.part\nmv ${output}.part ${output}\n`, { mode: 0o755 });
  symlinkSync(path, link);
  return { path, link, read: () => (existsSync(output) ? readFileSync(output, 'utf8').trim() : '') };
}

t.test('a taken process gets the command line on standard input', async t => {
  const { link, read } = makeProgram(t);
  const prepared = prepareProxy(link);
  const child = prepared?.take(link, ['-c', 'a "file"', '--concurrency', '2']);
  if (!child) return t.fail('was not prepared');
  const [code] = await once(child, 'exit');
  t.equal(code, 0);
  t.equal(read(), '--await-arguments ["-c","a \\"file\\"","--concurrency","2"]');
  t.equal(prepared?.take(link, []), null, 'only once');
  prepared?.discard();
});

t.test('another program than the configured one is ended and not used', async t => {
  const { path, read } = makeProgram(t);
  const prepared = new PreparedProxy(path);
  t.equal(prepared.take(join(path, '..', 'other'), []), null);
  t.equal(prepared.take(path, []), null, 'nor is it later');
  await sleep(100);
  t.equal(read(), '', 'it got no end of its input, but a signal');
});

t.test('a process that is over is not used', async t => {
  const folder = t.testdir({ bin: {} });
  const path = join(folder, 'bin', 'sidecar-proxy');
  t.test('it ended', async t => {
    writeFileSync(path, '#!/bin/sh\nexit 3\n', { mode: 0o755 });
    const prepared = new PreparedProxy(path);
    await sleep(200);
    t.equal(prepared.take(path, []), null);
  });
  t.test('it never began', async t => {
    writeFileSync(path, '#!/bin/none\n', { mode: 0o755 });
    const prepared = new PreparedProxy(path);
    await sleep(100);
    t.equal(prepared.take(path, []), null);
  });
});

t.test('only the own proxy is prepared', async t => {
  const { link } = makeProgram(t, 'envoy-1.40');
  t.equal(prepareProxy(link), null);
  t.equal(prepareProxy(join(t.testdir(), 'absent')), null);
});
