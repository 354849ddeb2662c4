import t from 'tap';
import { PrematureResets } from '../../../../proxy/http/premature-resets.ts';

/** Number of the stream at which the connection is given up, of those that `next` makes; 0: it is not. */
function findEnd(streams: number, next: (index: number) => [status: number, lifetimeMs: number]): number {
  const resets = new PrematureResets();
  for (let index = 1; index <= streams; index++) if (resets.count(...next(index))) return index;
  return 0;
}

t.test('half of the first 500 streams reset at once is too many, whatever the others do', async t => {
  t.equal(
    findEnd(600, () => [0, 10]),
    250,
  );
  t.equal(
    findEnd(600, index => [index <= 249 ? 0 : 200, 10]),
    0,
  );
});

t.test('later, half of all streams is too many', async t => {
  t.equal(
    findEnd(2000, index => [index <= 600 ? 200 : 0, 10]),
    1200,
  );
});

t.test('a stream that was answered, or lived for long, is not premature', async t => {
  t.equal(
    findEnd(2000, () => [200, 10]),
    0,
  );
  t.equal(
    findEnd(2000, () => [0, 2500]),
    0,
  );
});
