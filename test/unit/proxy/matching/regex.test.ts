import { RE2JS } from 're2js';
import t from 'tap';
import { compileRegex, compileRegexSearch, compileReplacement } from '../../../../proxy/matching/regex.ts';

const patterns = [
  'vhost\\..*\\.route\\..*', 'a?b', 'ab?c', 'ab*', 'ab{0,1}c', 'ab+', 'a|b', '(a|b)c', '(?i)abc', 'a\\.b', '.*', '.+', 'a.*', '.*a', '.*a.*',
  'a.*b', 'a.*b.*', '.*a.*b', 'a.*a', 'ab.*ba', '.*.*', 'a\\.*b', 'a.*b.+', '.*b.*a.+', 'x.*b.*c',
  '/api/v[0-9]+/.*', 'a\\-b?', '', '\\d+', 'x{2}', 'a.+', '[ab]c', 'a\\/b.*',
]; // biome-ignore format: a table
const texts = [
  '', 'a', 'b', 'ab', 'abc', 'ac', 'abb', 'c', 'bc', 'ABC', 'a.b', 'axb', 'a-b', 'a-', '/api/v12/x', '/api/v/', 'vhost.a.route.b',
  'vhost.a.rout.b', 'cluster.vhost.a.route.b', '42', 'xx', 'x', 'a/b/c', 'aba', 'abba', 'abab', 'a..b', 'aa', 'xbc', 'xcb', 'xbcb', 'a\nb', 'aa\n',
]; // biome-ignore format: a table

t.test('shortcuts agree with the engine', async t => {
  for (const pattern of patterns) {
    const predicate = compileRegex(pattern);
    const engine = RE2JS.compile(pattern);
    for (const text of texts) {
      if (predicate(text) !== engine.matches(text)) t.fail(`${pattern} on ${JSON.stringify(text)}: ${predicate(text)}`);
    }
  }
});

t.test('a pattern that is no RE2 is refused', async t => {
  t.throws(() => compileRegex('a(?=b)'));
  t.throws(() => compileRegex('(\\w)\\1'));
});

t.test('substitutions name groups by backslash', async t => {
  t.equal(compileReplacement('^/a/([^/]+)/(.*)$', '/\\2/\\1?$')('/a/b/c'), '/c/b?$');
});

t.test('searches agree with the engine', async t => {
  const searches = [
    'a',
    '^a',
    'a$',
    '^(a|b)\\.(b|c)$',
    '^(v|c).*x',
    'b|',
    '()',
    '(a|^b)c',
    'a\\.b',
    '^$',
    'x+',
    '^(cluster|vhost\\.a)',
  ];
  for (const pattern of [...searches, ...patterns]) {
    const predicate = compileRegexSearch(pattern);
    const engine = RE2JS.compile(pattern);
    for (const text of [...texts, 'a.c', 'b.b', 'b.bc']) {
      t.equal(predicate(text), engine.matcher(text).find(), `${pattern} in ${JSON.stringify(text)}`);
    }
  }
  t.throws(() => compileRegexSearch('(a'), /missing closing/);
  t.throws(() => compileRegexSearch('a)'), /unexpected/);
});
