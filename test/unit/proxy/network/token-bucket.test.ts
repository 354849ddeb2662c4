import t from 'tap';
import { makeOwnCell, TokenBucket } from '../../../../proxy/network/token-bucket.ts';

const clock = { seconds: 1_000_000 };
const bucketOf = (maxTokens: number, tokensPerFill: number, fillIntervalMs: number) =>
  new TokenBucket({ maxTokens, tokensPerFill, fillIntervalMs }, makeOwnCell(), () => clock.seconds);

t.test('a bucket starts full and fills at its rate, never beyond its size', async t => {
  const bucket = bucketOf(2, 1, 1000);
  t.strictSame([bucket.consume(), bucket.consume(), bucket.consume()], [true, true, false]);
  t.equal(bucket.secondsToNext, 1);
  clock.seconds += 0.5;
  t.equal(bucket.remaining, 0.5);
  t.notOk(bucket.consume(), 'half a token is none');
  clock.seconds += 0.5;
  t.ok(bucket.consume());
  clock.seconds += 3600;
  t.equal(bucket.remaining, 2);
  t.equal(bucket.secondsToNext, 0);
});

t.test('a bucket that fills with several tokens at a time does so evenly', async t => {
  const bucket = bucketOf(100, 10, 1000);
  for (let i = 0; i < 100; i++) t.ok(bucket.consume());
  clock.seconds += 0.25;
  t.strictSame([bucket.consume(), bucket.consume(), bucket.consume()], [true, true, false]);
});

t.test('who has the cell has the bucket', async t => {
  const cell = makeOwnCell();
  const model = { maxTokens: 3, tokensPerFill: 1, fillIntervalMs: 60_000 };
  const [one, other] = [1, 2].map(() => new TokenBucket(model, cell, () => clock.seconds));
  t.strictSame([one.consume(), other.consume(), one.consume(), other.consume()], [true, true, true, false]);
});
