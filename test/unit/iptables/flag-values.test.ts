import t from 'tap';
import { parseBool, parseDuration, parsePort } from '../../../iptables/flag-values.ts';

t.test('durations', async t => {
  t.equal(parseDuration('5s'), 5000);
  t.equal(parseDuration('1m30.5s'), 90_500);
  t.equal(parseDuration('-.5s'), -500);
  t.equal(parseDuration('+0'), 0);
  t.equal(parseDuration('2µs'), 0.002);
  t.throws(() => parseDuration('5'), new Error('time: missing unit in duration "5"'));
  t.throws(() => parseDuration('1h2'), new Error('time: missing unit in duration "1h2"'));
  t.throws(() => parseDuration('5q'), new Error('time: unknown unit "q" in duration "5q"'));
  for (const text of ['', '.', 'x', '-', '99999999999h']) {
    t.throws(() => parseDuration(text), new Error(`time: invalid duration "${text}"`));
  }
});

t.test('ports in every base', async t => {
  for (const [text, port] of Object.entries({
    '0': 0,
    '15002': 15_002,
    '0x1F': 31,
    '0b11': 3,
    '0o17': 15,
    '017': 15,
    '1_0': 10,
  })) {
    t.equal(parsePort(text), port, text);
  }
  for (const text of ['', '-1', '+5', ' 5', 'abc', '1__0', '08']) {
    t.throws(() => parsePort(text), new Error(`strconv.ParseUint: parsing "${text}": invalid syntax`));
  }
  t.throws(() => parsePort('65536'), new Error('strconv.ParseUint: parsing "65536": value out of range'));
});

t.test('true and false', async t => {
  t.equal(parseBool('T'), true);
  t.equal(parseBool('0'), false);
  t.throws(() => parseBool('yes'), new Error('strconv.ParseBool: parsing "yes": invalid syntax'));
});
