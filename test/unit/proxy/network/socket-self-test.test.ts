import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { checkDirectReads, provenVersion, tryDirectReads } from '../../../../proxy/network/socket-self-test.ts';

t.test('sockets read into our buffers on the Node of this package', async t => {
  t.ok(await new Promise(tryDirectReads));
  t.ok(await new Promise(checkDirectReads));
});

t.test('the Node that is not tried at start is the one of this package', async t => {
  const file = join(import.meta.dirname, '..', '..', '..', '..', 'package.json');
  const { dependencies } = JSON.parse(readFileSync(file, 'utf8')) as { dependencies: { node: string } };
  t.equal(provenVersion, `v${dependencies.node}`);
});
