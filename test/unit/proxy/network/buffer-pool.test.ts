import { mock } from 'node:test';
import t from 'tap';
import {
  largeBufferBytes,
  mediumBufferBytes,
  returnBuffer,
  smallBufferBytes,
  takeBuffer,
} from '../../../../proxy/network/buffer-pool.ts';

mock.timers.enable({ apis: ['setTimeout'] });
t.teardown(() => mock.timers.reset());

t.test('a buffer is of the smallest size that is enough, or of the largest there is', async t => {
  const sizes = [1, smallBufferBytes, smallBufferBytes + 1, mediumBufferBytes, mediumBufferBytes + 1, 1e7].map(
    bytes => takeBuffer(bytes).length,
  );
  const [small, medium, large] = [smallBufferBytes, mediumBufferBytes, largeBufferBytes];
  t.same(sizes, [small, small, medium, medium, large, large]);
});

t.test('what was returned is taken again, and nothing is given twice', async t => {
  const first = takeBuffer(largeBufferBytes);
  returnBuffer(first);
  t.equal(takeBuffer(largeBufferBytes), first);
  t.not(takeBuffer(largeBufferBytes), first);
});

t.test('a burst of megabytes is kept while it lasts, and not more', async t => {
  const burst = Array.from({ length: 256 }, () => takeBuffer(largeBufferBytes));
  for (const buffer of burst) returnBuffer(buffer);
  const again = new Set(Array.from({ length: 256 }, () => takeBuffer(largeBufferBytes)));
  t.equal(burst.filter(buffer => again.has(buffer)).length, 128, '16 MiB');
});

t.test('what nobody needs any more is given up after a while', async t => {
  const burst = Array.from({ length: 100 }, () => takeBuffer(largeBufferBytes));
  for (const buffer of burst) returnBuffer(buffer);
  // The first look sees that they were needed since the last one.
  mock.timers.tick(1000);
  mock.timers.tick(1000);
  const again = new Set(Array.from({ length: 100 }, () => takeBuffer(largeBufferBytes)));
  t.equal(burst.filter(buffer => again.has(buffer)).length, 16);
});
