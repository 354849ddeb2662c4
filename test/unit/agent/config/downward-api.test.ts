import t from 'tap';
import { parseDownwardFile } from '../../../../agent/config/downward-api.ts';

t.test('unquotes values as Go quoted them', async t => {
  const text = 'a="plain"\nb.c/d="line\\none \\"two\\" \\\\ \\u00fc \\xc3\\xbc \\101"\nskipped\ne=""\n';
  t.same(parseDownwardFile(text), { a: 'plain', 'b.c/d': 'line\none "two" \\ ü ü A', e: '' });
});

t.test('keeps an equals sign inside a value', async t => {
  t.same(parseDownwardFile('a="b=c"'), { a: 'b=c' });
});

t.test('refuses a value without quotes or with an unknown escape', async t => {
  t.throws(() => parseDownwardFile('a=b'), /failed to unquote b/);
  t.throws(() => parseDownwardFile('a="\\q"'), /failed to unquote/);
});
