import t from 'tap';
import { normalizeRequestPath, stripHostPort, stripTrailingHostDot } from '../../../../proxy/http/path-normalization.ts';

const base = { normalizePath: true, mergeSlashes: false, escapedSlashes: 'keep' } as const;

t.test('paths are normalized as Envoy normalizes them', async t => {
  const cases = [
    ['/a/./b/../c', '/a/c'],
    ['/../../x', '/x'],
    ['/a/%2e%2E/c', '/c'],
    ['/a%2Fb%5cc', '/a%2Fb%5cc'],
    ['/%61%7e%20%zz?%61', '/a~%20%zz?%61'],
    ['/a\\b\\..\\c', '/a/c'],
    ['/"<>[]{}|^`', '/%22%3C%3E[]%7B%7D%7C%5E%60'],
    ['//a//b/?c//d', '//a//b/?c//d'],
    ['/a/../b?x=/../y', '/b?x=/../y'],
    ['/a/b/..', '/a/'],
    ['/a/b/.', '/a/b/'],
    ['/a.b/..c/.d', '/a.b/..c/.d'],
    ['/', '/'],
  ];
  for (const [path, expected] of cases) t.same(normalizeRequestPath(path, base), { path: expected, action: 'forward' }, path);
});

t.test('escaped slashes are treated as configured', async t => {
  t.equal(normalizeRequestPath('/a%2Fb', { ...base, escapedSlashes: 'reject' }).action, 'reject');
  t.same(normalizeRequestPath('/a%2Fb%5Cc?x=%2f', { ...base, escapedSlashes: 'unescape-and-redirect' }), {
    path: '/a/b/c?x=%2f',
    action: 'redirect',
  });
  t.same(normalizeRequestPath('/a%2F..%5Cc', { ...base, escapedSlashes: 'unescape-and-forward' }), {
    path: '/c',
    action: 'forward',
  });
});

t.test('fragments and encoded NULs are refused, also without normalization for the former', async t => {
  t.equal(normalizeRequestPath('/a#b', { ...base, normalizePath: false }).action, 'reject');
  t.equal(normalizeRequestPath('/a%00b', base).action, 'reject');
});

t.test('slashes merge when asked for', async t => {
  t.equal(normalizeRequestPath('//a//b/?c//d', { ...base, mergeSlashes: true }).path, '/a/b/?c//d');
});

t.test('ports and dots of hosts are stripped', async t => {
  t.equal(stripHostPort('a.test:80', null), 'a.test');
  t.equal(stripHostPort('a.test:80', 81), 'a.test:80');
  t.equal(stripHostPort('[::1]:80', 80), '[::1]');
  t.equal(stripHostPort('[::1]', null), '[::1]');
  t.equal(stripTrailingHostDot('a.test.:80'), 'a.test:80');
});
