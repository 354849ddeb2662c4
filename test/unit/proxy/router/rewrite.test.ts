import t from 'tap';
import type { RedirectAction } from '../../../../proxy/config/model/route.ts';
import { HeaderEdits, LeveledHeaderEdits } from '../../../../proxy/router/header-edits.ts';
import { compileHostRewrite, compilePathRewrite, compileRedirect, rewriteHost } from '../../../../proxy/router/rewrite.ts';
import { makeRequest, makeStreamInfo, prefix } from './route-models.ts';

t.test('a prefix rewrite replaces what matched and keeps the query', async t => {
  t.equal(compilePathRewrite(prefix('/old/'), '/new/', null)?.('/old/a?q=/old/'), '/new/a?q=/old/');
  t.equal(compilePathRewrite({ kind: 'exact', value: '/x', ignoreCase: false }, '/y', null)?.('/x?q'), '/y?q');
  t.equal(compilePathRewrite({ kind: 'regex', value: '/.*' }, '/y', null)?.('/abc/d?q'), '/y?q');
  t.equal(compilePathRewrite(prefix('/'), '', null), null);
});

t.test('a regex rewrite sees the path only and knows groups', async t => {
  const rewrite = compilePathRewrite(prefix('/'), '', { pattern: '^/service/([^/]+)(/.*)$', substitution: '\\2/instance/\\1' });
  t.equal(rewrite?.('/service/foo/v1/api?service=x'), '/v1/api/instance/foo?service=x');
  t.equal(rewrite?.('/other'), '/other');
});

t.test('hosts are rewritten from a literal, a header or the path, and the old one is kept where asked', async t => {
  const request = makeRequest('GET', 'old.example', '/tenant/x?q', { 'x-host': 'from.header' });
  t.equal(compileHostRewrite({ kind: 'literal', value: 'new.example' })?.(request), 'new.example');
  t.equal(compileHostRewrite({ kind: 'header', value: 'X-Host' })?.(request), 'from.header');
  t.equal(compileHostRewrite({ kind: 'header', value: 'x-absent' })?.(request), '');
  t.equal(
    compileHostRewrite({ kind: 'path-regex', pattern: '^/tenant/(.+)$', substitution: '\\1.example' })?.(request),
    'x.example',
  );
  rewriteHost(request, 'new.example', true, true);
  t.equal(request.authority, 'new.example');
  t.equal(request.get('x-forwarded-host'), 'old.example');
  t.equal(request.get('x-envoy-original-host'), 'old.example');
  rewriteHost(request, '', true, true);
  t.equal(request.authority, 'new.example');
});

function redirect(parts: Partial<RedirectAction>): RedirectAction {
  const base = { scheme: null, host: '', port: 0, path: '', prefixRewrite: '', regexRewrite: null, stripQuery: false } as const;
  return { kind: 'redirect', status: 301, ...base, ...parts };
}

t.test('redirects build their location as Envoy does', async t => {
  const cases: [Partial<RedirectAction>, string, string, string][] = [
    [{ scheme: 'https' }, 'h:80', '/a?b', 'https://h/a?b'],
    [{ scheme: 'https' }, 'h:8080', '/a', 'https://h:8080/a'],
    [{ scheme: 'https', port: 8443 }, 'h:8080', '/a', 'https://h:8443/a'],
    [{ host: 'n.example', path: '/new' }, 'h', '/a?b=c', 'http://n.example/new?b=c'],
    [{ path: '/new?x=y' }, 'h', '/a?b=c', 'http://h/new?x=y'],
    [{ stripQuery: true }, 'h', '/a?b=c', 'http://h/a'],
    [{ prefixRewrite: '/v2' }, 'h', '/v1/x', 'http://h/v2/x'],
    [{ port: 81 }, '[::1]:80', '/', 'http://[::1]:81/'],
  ];
  for (const [parts, authority, path, location] of cases) {
    const action = redirect(parts);
    const headers = makeRequest('GET', authority, path);
    const rewrite = compilePathRewrite(prefix('/v1'), action.prefixRewrite, action.regexRewrite);
    if (rewrite !== null) headers.path = rewrite(path);
    t.equal(compileRedirect(action)(headers), location);
  }
});

t.test('header edits remove, replace, then add; levels apply in order', async t => {
  const value = (
    name: string,
    text: string,
    action: 'append' | 'add-if-absent' | 'overwrite-or-add' | 'overwrite-if-exists',
  ) => ({
    name,
    value: text,
    action,
    keepEmpty: false,
  });
  const route = new HeaderEdits(
    [
      value('X-Multi', 'route-%REQ(x-user)%', 'append'),
      value('x-set', 'new', 'overwrite-or-add'),
      value('x-default', 'd', 'add-if-absent'),
      value('x-user', 'no', 'add-if-absent'),
      value('x-only', 'o', 'overwrite-if-exists'),
      value('x-user-only', 'o', 'overwrite-if-exists'),
      value('x-none', '%REQ(x-absent)%', 'append'),
    ],
    ['x-gone'],
  );
  const host = new HeaderEdits([value('x-multi', 'host', 'append')], ['x-default']);
  const headers = makeRequest('GET', 'h', '/', { 'x-gone': '1', 'x-set': 'old', 'x-user': 'u', 'x-user-only': 'x' });
  new LeveledHeaderEdits([route, host]).apply(headers, makeStreamInfo(), headers, null);
  t.equal(headers.has('x-gone'), false);
  t.same(headers.getAll('x-multi'), ['route-u', 'host']);
  t.equal(headers.get('x-set'), 'new');
  t.equal(headers.get('x-user'), 'u');
  t.equal(headers.get('x-user-only'), 'o');
  t.equal(headers.has('x-only'), false);
  t.equal(headers.has('x-none'), false, 'an empty value is not added');
  t.equal(headers.has('x-default'), false, 'the next level removed it');
});
