import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { watchDirectories } from '../../../../proxy/xds/file-watch.ts';

t.test('a file that is moved into place is told, another entry is not', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'watch-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const seen: string[] = [];
  // Watchers do not keep the process alive.
  const alive = setInterval(() => {}, 1000);
  const ends = [
    watchDirectories([{ path: folder, entry: 'wanted' }], () => seen.push('wanted')),
    watchDirectories([{ path: folder, entry: null }], () => seen.push('any')),
    watchDirectories([{ path: join(folder, 'absent'), entry: null }], () => seen.push('absent')),
  ];
  t.teardown(() => {
    clearInterval(alive);
    for (const end of ends) end();
  });
  const put = (name: string): void => {
    writeFileSync(join(folder, 'new'), name);
    renameSync(join(folder, 'new'), join(folder, name));
  };
  const waitFor = async (what: string): Promise<void> => {
    while (!seen.includes(what)) await new Promise(resume => setTimeout(resume, 5));
  };
  put('other');
  await waitFor('any');
  t.notOk(seen.includes('wanted'));
  put('wanted');
  await waitFor('wanted');
  t.notOk(seen.includes('absent'));
});
