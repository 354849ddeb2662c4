import t from 'tap';
import type { ForwardAction, PerFilterModels, RouteModel } from '../../../../proxy/config/model/route.ts';
import { buildRouteTable } from '../../../../proxy/router/route-table.ts';
import type { RouteTable } from '../../../../proxy/router/route-table.ts';
import {
  forwardTo,
  makeMatch,
  makeRequest,
  makeRoute,
  makeRouteConfig,
  makeStreamInfo,
  makeVirtualHost,
  prefix,
} from './route-models.ts';

function hostOf(table: RouteTable, authority: string): string | null {
  return table.match(makeRequest('GET', authority, '/'), makeStreamInfo())?.virtualHostName ?? null;
}

const any = [makeRoute(makeMatch(prefix('/')), forwardTo('app'))];

t.test('hosts match exactly, then by longest suffix, then by longest prefix, then by the default', async t => {
  const domains: [string, string[]][] = [
    ['exact', ['a.example']],
    ['suffix', ['*.example']],
    ['longer suffix', ['*.b.example']],
    ['prefix', ['a.*']],
    ['longer prefix', ['a.b.*']],
    ['default', ['*']],
  ];
  const table = buildRouteTable(makeRouteConfig(domains.map(([name, names]) => makeVirtualHost(name, names, any))));
  t.equal(hostOf(table, 'a.example'), 'exact');
  t.equal(hostOf(table, 'A.Example'), 'exact');
  t.equal(hostOf(table, 'x.example'), 'suffix');
  t.equal(hostOf(table, 'x.b.example'), 'longer suffix');
  t.equal(hostOf(table, 'a.other'), 'prefix');
  t.equal(hostOf(table, 'a.b.other'), 'longer prefix');
  t.equal(hostOf(table, 'other'), 'default');
  t.equal(hostOf(table, '.example'), 'default', 'the star stands for at least one character');
  t.equal(hostOf(table, 'a.example:80'), 'prefix', 'a port is part of the host unless it is ignored');
  t.equal(hostOf(table, ''), 'default', 'an empty host matches what every host matches');
});

t.test('ports are ignored where the configuration says so, brackets of IPv6 kept', async t => {
  const hosts = [makeVirtualHost('name', ['a.example'], any), makeVirtualHost('v6', ['[::1]'], any)];
  const table = buildRouteTable(makeRouteConfig(hosts, { ignorePortInHostMatching: true }));
  t.equal(hostOf(table, 'a.example:8080'), 'name');
  t.equal(hostOf(table, '[::1]:8080'), 'v6');
  t.equal(hostOf(table, '[::1]'), 'v6');
  t.equal(hostOf(table, 'b.example'), null);
});

t.test('many authorities do not change the outcome', async t => {
  const table = buildRouteTable(makeRouteConfig([makeVirtualHost('suffix', ['*.example'], any)]));
  for (let i = 0; i < 3000; i++) if (hostOf(table, `h${i}.example`) !== 'suffix') t.fail(`h${i}`);
  t.equal(hostOf(table, 'h1.example'), 'suffix');
});

function namesOf(
  routes: readonly RouteModel[],
): (path: string, headers?: Record<string, string>, method?: string) => string | null {
  const table = buildRouteTable(makeRouteConfig([makeVirtualHost('v', ['*'], routes)]));
  return (path, headers = {}, method = 'GET') =>
    table.match(makeRequest(method, 'h', path, headers), makeStreamInfo())?.route.name ?? null;
}

function named(name: string, ...[path, parts]: Parameters<typeof makeMatch>): RouteModel {
  return makeRoute(makeMatch(path, parts), forwardTo('app'), { name });
}

t.test('the first route whose path matches wins; query and fragment do not count', async t => {
  const find = namesOf([
    named('exact', { kind: 'exact', value: '/exact', ignoreCase: false }),
    named('separated', { kind: 'path-separated-prefix', value: '/api', ignoreCase: false }),
    named('regex', { kind: 'regex', value: '/re/[0-9]+' }),
    named('insensitive', { kind: 'prefix', value: '/MiXed', ignoreCase: true }),
    named('connect', { kind: 'connect' }),
    named('prefix', prefix('/')),
  ]);
  t.equal(find('/exact'), 'exact');
  t.equal(find('/exact?a=/x'), 'exact');
  t.equal(find('/exact#f'), 'exact');
  t.equal(find('/exact/'), 'prefix');
  t.equal(find('/api'), 'separated');
  t.equal(find('/api/v1'), 'separated');
  t.equal(find('/apis'), 'prefix');
  t.equal(find('/re/12?x=y'), 'regex');
  t.equal(find('/re/12a'), 'prefix', 'a regex matches the whole path');
  t.equal(find('/mIXEDcase'), 'insensitive');
  t.equal(find('', {}, 'CONNECT'), 'connect');
  t.equal(find('', {}, 'GET'), null);
});

t.test('headers match by value, presence, range and inversion', async t => {
  const base = { present: true, invert: false, treatMissingAsEmpty: false };
  const exact = (value: string) => ({ kind: 'exact', value, ignoreCase: false }) as const;
  const find = namesOf([
    named('method', prefix('/'), { headers: [{ ...base, name: ':method', match: exact('PUT') }] }),
    named('joined', prefix('/'), { headers: [{ ...base, name: 'x-list', match: exact('a,b') }] }),
    named('range', prefix('/'), { headers: [{ ...base, name: 'x-n', match: { kind: 'range', start: -1, end: 10 } }] }),
    named('empty', prefix('/e'), { headers: [{ ...base, name: 'x-e', match: exact(''), treatMissingAsEmpty: true }] }),
    named('not', prefix('/n'), { headers: [{ ...base, name: 'x-no', match: exact('1'), invert: true }] }),
    named('absent', prefix('/a'), { headers: [{ ...base, name: 'x-a', match: null, present: false }] }),
  ]);
  t.equal(find('/', {}, 'PUT'), 'method');
  t.equal(find('/', { 'x-list': 'a,b' }), 'joined');
  t.equal(find('/', { 'x-n': '-1' }), 'range');
  t.equal(find('/', { 'x-n': '10' }), null, 'a range is half open');
  t.equal(find('/', { 'x-n': '5x' }), null);
  t.equal(find('/e'), 'empty');
  t.equal(find('/n', { 'x-no': '2' }), 'not');
  t.equal(find('/n'), null, 'a missing header satisfies no value matcher, inverted or not');
  t.equal(find('/a'), 'absent');
  t.equal(find('/a', { 'x-a': '' }), null);
});

t.test('query parameters, gRPC and metadata are asked for', async t => {
  const find = namesOf([
    named('value', prefix('/q'), {
      queryParameters: [{ name: 'k', match: { kind: 'exact', value: 'a%20b', ignoreCase: false }, present: true }],
    }),
    named('present', prefix('/q'), { queryParameters: [{ name: 'k', match: null, present: true }] }),
    named('grpc', prefix('/g'), { grpc: true }),
  ]);
  t.equal(find('/q?k=a%20b&k=other'), 'value');
  t.equal(find('/q?x=1&k'), 'present');
  t.equal(find('/q?kk=1'), null);
  t.equal(find('/g', { 'content-type': 'application/grpc+proto' }), 'grpc');
  t.equal(find('/g', { 'content-type': 'application/grpc-web' }), null);
  const claims = { namespace: 'jwt', path: ['payload', 'groups'], invert: false };
  const value = { kind: 'list', oneOf: { kind: 'string', match: { kind: 'exact', value: 'admin', ignoreCase: false } } } as const;
  const route = named('claims', prefix('/'), { dynamicMetadata: [{ ...claims, value }] });
  const table = buildRouteTable(makeRouteConfig([makeVirtualHost('v', ['*'], [route])]));
  const info = makeStreamInfo();
  t.equal(table.match(makeRequest('GET', 'h', '/'), info), null);
  info.dynamicMetadata = { jwt: { payload: { groups: ['users', 'admin'] } } };
  t.equal(table.match(makeRequest('GET', 'h', '/'), info)?.route.name, 'claims');
});

t.test('weighted clusters get their share, one stream always the same', async t => {
  const cluster: ForwardAction['cluster'] = {
    kind: 'weighted',
    totalWeight: 100,
    clusters: ['a', 'b', 'never'].map((name, i) => ({
      name,
      weight: [80, 20, 0][i],
      headers: { requestAdd: [], requestRemove: [], responseAdd: [], responseRemove: [] },
      hostRewriteLiteral: '',
      perFilter: (name === 'b' ? { f: { kind: 'k', disabled: false, config: 'weighted' } } : {}) as PerFilterModels,
    })),
  };
  const perFilter = { f: { kind: 'k', disabled: false, config: 'route' } };
  const route = makeRoute(makeMatch(prefix('/')), forwardTo('', { cluster }), { perFilter });
  const table = buildRouteTable(makeRouteConfig([makeVirtualHost('v', ['*'], [route])]));
  const counts: Record<string, number> = {};
  for (let i = 0; i < 100; i++) {
    const info = makeStreamInfo();
    info.routeRandom = i;
    const first = table.match(makeRequest('GET', 'h', '/'), info);
    const action = first?.action;
    if (action?.kind !== 'forward') throw new Error('not forwarded');
    counts[action.clusterName] = (counts[action.clusterName] ?? 0) + 1;
    t.equal(table.match(makeRequest('GET', 'h', '/'), info), first);
    t.equal(first?.perFilterConfig('f')?.config, action.clusterName === 'b' ? 'weighted' : 'route');
  }
  t.same(counts, { a: 80, b: 20 });
});

t.test('a virtual host that requires TLS redirects plain requests', async t => {
  const table = buildRouteTable(makeRouteConfig([makeVirtualHost('v', ['*'], any, { requireTls: 'all' })]));
  const entry = table.match(makeRequest('GET', 'h:80', '/p?q', { 'x-forwarded-proto': 'http' }), makeStreamInfo());
  t.equal(entry?.action.kind, 'direct-response');
  if (entry?.action.kind === 'direct-response') {
    t.equal(entry.action.status, 301);
    t.equal(entry.action.location?.(makeRequest('GET', 'h:80', '/p?q')), 'https://h:80/p?q');
  }
  const secure = table.match(makeRequest('GET', 'h', '/', { 'x-forwarded-proto': 'https' }), makeStreamInfo());
  t.equal(secure?.action.kind, 'forward');
});
