import t from 'tap';
import { compileCel } from '../../../../../proxy/telemetry/cel/cel.ts';

const attributes = {
  request: { path: '/a', headers: { x: 'val', 'x-y': '1' }, size: 7 },
  list: ['a', 'b'],
  ok: true,
};

t.test('expressions evaluate as the language defines', async t => {
  const cases: [string, unknown][] = [
    ['\'a\\n\\x41\' + "b"', 'a\nAb'],
    ["r'\\d'", '\\d'],
    ['1 + 2 * 3 == 7 && !(2 in [1])', true],
    ['-7 / 2', -3],
    ['7 % 3 + 0x10', 17],
    ["request.headers['x-y']", '1'],
    ['request.headers.x', 'val'],
    ["'x' in request.headers", true],
    ['list[1]', 'b'],
    ['has(request.path) && !has(request.nope)', true],
    ["request.path.startsWith('/') ? 'yes' : 'no'", 'yes'],
    ["request.path.matches('^/[a-z]$')", true],
    ["size('é') + size(list)", 3],
    ["string(request.size) + 'b'", '7b'],
    ["int('12') + 1", 13],
    ['{"k": 1}.k', 1],
    ["'a' < 'b' && 2 >= 2 && [1] == [1]", true],
  ];
  for (const [text, expected] of cases) t.same(compileCel(text)(attributes), expected, text);
});

t.test('a failure is undefined, and is absorbed where the other side decides', async t => {
  for (const text of ['request.nope', 'nope', 'list[5]', "1 + 'a'", '1 / 0', "'a' && true", 'constructor', 'request.toString']) {
    t.equal(compileCel(text)(attributes), undefined, text);
  }
  t.equal(compileCel('request.nope == 1 || ok')(attributes), true);
  t.equal(compileCel('ok || request.nope == 1')(attributes), true);
  t.equal(compileCel('request.nope == 1 && false')(attributes), false);
});

t.test('what is not understood is a syntax error', async t => {
  for (const text of [
    '',
    '1 +',
    'foo(1)',
    'list.exists(x, x)',
    "'a",
    'a.(b)',
    'has(1)',
    '(((',
    `${'('.repeat(500)}1${')'.repeat(500)}`,
  ]) {
    t.throws(() => compileCel(text), text.slice(0, 20));
  }
});
