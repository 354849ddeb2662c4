import t from 'tap';
import { parseGoDuration, parseProtoDuration, renderGoDuration, renderProtoDuration } from '../../../../agent/config/duration.ts';

t.test('reads durations as Go writes them', async t => {
  t.equal(parseGoDuration('1h2m3.5s'), 3_723_500);
  t.equal(parseGoDuration('100ms'), 100);
  t.equal(parseGoDuration('-1.5h'), -5_400_000);
  t.equal(parseGoDuration('0'), 0);
  for (const text of ['', '5', 's', '5 s', '1d', '.s', '1..5s']) t.equal(parseGoDuration(text), null, text);
});

t.test('reads and writes durations of ProtoJSON', async t => {
  t.equal(parseProtoDuration('1.5s'), 1500);
  t.equal(parseProtoDuration('0.000000001s'), 1e-6);
  for (const text of ['1m', '5', '1.0000000001s', 's']) t.equal(parseProtoDuration(text), null, text);
  t.equal(renderProtoDuration(45_000), '45s');
  t.equal(renderProtoDuration(1500), '1.500s');
  t.equal(renderProtoDuration(0.5), '0.000500s');
  t.equal(renderProtoDuration(-250), '-0.250s');
});

t.test('writes durations as Go does', async t => {
  t.equal(renderGoDuration(5000), '5s');
  t.equal(renderGoDuration(90_000), '1m30s');
  t.equal(renderGoDuration(3_600_000), '1h0m0s');
  t.equal(renderGoDuration(150), '150ms');
});
