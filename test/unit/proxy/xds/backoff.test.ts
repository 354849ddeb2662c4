import t from 'tap';
import { JitteredBackoff } from '../../../../proxy/xds/backoff.ts';

t.test('the bound doubles from 500 ms to 30 s, and a working connection resets it', async t => {
  const backoff = new JitteredBackoff(500, 30_000, () => 0.999_999);
  const delays = Array.from({ length: 8 }, () => backoff.next());
  t.strictSame(delays, [499, 999, 1999, 3999, 7999, 15_999, 29_999, 29_999]);
  backoff.reset();
  t.equal(backoff.next(), 499);
});

t.test('a delay may be nothing at all', async t => {
  t.equal(new JitteredBackoff(500, 30_000, () => 0).next(), 0);
});
