import t from 'tap';
import { type FlagTable, parseFlags } from '../../../../agent/commands/flags.ts';

const table = {
  name: { kind: 'string', default: 'd' },
  count: { kind: 'int', default: 3 },
  on: { kind: 'bool', default: false, short: 'o' },
  many: { kind: 'strings', default: ['x'] },
} as const satisfies FlagTable;

t.test('takes values inline or from the next argument', async t => {
  const { flags, positional } = parseFlags(table, ['a', '--name=n', '--count', '5', '-o', 'b', '--many=1', '--many', '2']);
  t.same(flags, { name: 'n', count: 5, on: true, many: ['1', '2'] });
  t.same(positional, ['a', 'b']);
});

t.test('skips unknown flags with their values', async t => {
  t.same(parseFlags(table, ['--nope', 'x', '--other=y', '-z', 'a', 'b']).positional, ['b']);
  t.same(parseFlags(table, ['--nope', '--on', 'a']), {
    flags: { name: 'd', count: 3, on: true, many: ['x'] },
    positional: ['a'],
    help: false,
  });
});

t.test('refuses values that do not fit, in the words of pflag', async t => {
  t.throws(() => parseFlags(table, ['--count', 'x']), /invalid argument "x" for "--count" flag: strconv.ParseInt/);
  t.throws(() => parseFlags(table, ['--on=maybe']), /strconv.ParseBool/);
  t.throws(() => parseFlags(table, ['--name']), /flag needs an argument: --name/);
});

t.test('leaves what follows a double dash alone', async t => {
  t.same(parseFlags(table, ['--', '--name', 'x']).positional, ['--name', 'x']);
});
