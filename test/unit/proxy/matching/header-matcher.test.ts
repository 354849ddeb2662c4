import t from 'tap';
import type { HeaderMatcher } from '../../../../proxy/config/model/matchers.ts';
import { HeaderMap } from '../../../../proxy/http/header-map.ts';
import { compileHeaderMatcher } from '../../../../proxy/matching/header-matcher.ts';

function matches(parts: Partial<HeaderMatcher>, ...values: string[]): boolean {
  const headers = new HeaderMap();
  for (const value of values) headers.add('x-h', value);
  return compileHeaderMatcher({
    name: 'X-H',
    match: null,
    present: true,
    invert: false,
    treatMissingAsEmpty: false,
    ...parts,
  })(headers);
}

const exact = (value: string) => ({ match: { kind: 'exact', value, ignoreCase: false } }) as const;

t.test('one value of a repeated header is enough, all of them together are none', async t => {
  t.equal(matches(exact('a'), 'a', 'b'), true);
  t.equal(matches(exact('b'), 'a', 'b'), true);
  t.equal(matches(exact('a,b'), 'a', 'b'), false);
  t.equal(matches({ match: { kind: 'range', start: 4, end: 6 } }, '9', '5'), true);
});

t.test('an inverted matcher wants no value that matches', async t => {
  t.equal(matches({ ...exact('a'), invert: true }, 'a', 'b'), false);
  t.equal(matches({ ...exact('c'), invert: true }, 'a', 'b'), true);
});

t.test('a missing header matches only as empty or by its absence', async t => {
  t.equal(matches({ ...exact('a'), invert: true }), false);
  t.equal(matches({ ...exact('a'), invert: true, treatMissingAsEmpty: true }), true);
  t.equal(matches({ ...exact(''), treatMissingAsEmpty: true }), true);
  t.equal(matches({ present: false }), true);
  t.equal(matches({ present: true }), false);
});
