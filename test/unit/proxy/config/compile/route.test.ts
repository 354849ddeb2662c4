import t from 'tap';
import type { ForwardAction } from '../../../../../proxy/config/model/route.ts';
import { any, compile, refuses, type RouteMessage, routeOf } from './fixture.ts';

const at = 'virtual_hosts[0].routes[0]';
const seconds = (count: number) => ({ seconds: count, nanos: 0 });

function forwardOf(action: Parameters<typeof routeOf>[0]): ForwardAction {
  return compile.route(routeOf(action)).model.virtualHosts[0].routes[0].action as ForwardAction;
}

type Route = NonNullable<NonNullable<RouteMessage['virtual_hosts']>[0]['routes']>[0];

function oneRoute(route: Route, changes: RouteMessage = {}): RouteMessage {
  return {
    name: 'r',
    virtual_hosts: [{ name: 'v', domains: ['*'], routes: [{ match: { prefix: '/' }, ...route }] }],
    ...changes,
  };
}

t.test("a forwarding route has Envoy's defaults", async t => {
  t.match(forwardOf({}), {
    kind: 'forward',
    cluster: { kind: 'name', name: 'c' },
    clusterNotFoundStatus: 503,
    timeoutMs: 15_000,
    idleTimeoutMs: null,
    maxGrpcTimeoutMs: null,
    retryPolicy: null,
    hostRewrite: null,
    priority: 'default',
  });
});

t.test('a timeout of zero disables, an unset one is 15 seconds', async t => {
  t.equal(forwardOf({ timeout: seconds(0) }).timeoutMs, 0);
  refuses(t, () => forwardOf({ timeout: seconds(-1) }), `${at}.route.timeout`, 'Expected positive duration');
});

t.test("a retry policy has Envoy's defaults and keeps what it is told", async t => {
  t.match(forwardOf({ retry_policy: {} }).retryPolicy, {
    retryOn: [],
    numRetries: 1,
    baseIntervalMs: 25,
    maxIntervalMs: 250,
    hostSelectionMaxAttempts: 1,
    previousHosts: false,
  });
  const predicate = {
    name: 'envoy.retry_host_predicates.previous_hosts',
    typed_config: any('envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate', {}),
  };
  const retry_policy = {
    retry_on: 'connect-failure, 5xx',
    num_retries: { value: 0 },
    retriable_status_codes: [503],
    retry_host_predicate: [predicate],
    retry_back_off: { base_interval: seconds(1) },
  };
  t.match(forwardOf({ retry_policy }).retryPolicy, {
    retryOn: ['connect-failure', '5xx'],
    numRetries: 0,
    statusCodes: [503],
    previousHosts: true,
    baseIntervalMs: 1000,
    maxIntervalMs: 10_000,
  });
  const retry_back_off = { base_interval: seconds(2), max_interval: seconds(1) };
  refuses(
    t,
    () => forwardOf({ retry_policy: { retry_back_off } }),
    `${at}.route.retry_policy.retry_back_off.max_interval`,
    'greater than or equal',
  );
});

t.test('weights must add up to something', async t => {
  const weighted = (weights: number[]) =>
    oneRoute({ route: { weighted_clusters: { clusters: weights.map((value, i) => ({ name: `c${i}`, weight: { value } })) } } });
  const action = compile.route(weighted([1, 3])).model.virtualHosts[0].routes[0].action as ForwardAction;
  t.match(action.cluster, { kind: 'weighted', totalWeight: 4 });
  refuses(t, () => compile.route(weighted([0, 0])), `${at}.route.weighted_clusters`, 'must be greater than 0');
  refuses(t, () => compile.route(weighted([4e9, 4e9])), `${at}.route.weighted_clusters`, 'exceeds');
});

t.test('a route without action, match or cluster is refused', async t => {
  refuses(t, () => compile.route(oneRoute({})), at, 'action is required');
  refuses(t, () => compile.route(oneRoute({ match: {}, route: { cluster: 'c' } })), `${at}.match`, 'path_specifier is required');
  refuses(t, () => compile.route(oneRoute({ route: {} })), `${at}.route`, 'cluster_specifier is required');
  refuses(t, () => compile.route(oneRoute({ non_forwarding_action: {} })), `${at}.non_forwarding_action`, 'not implemented');
});

t.test('domains are lower case and unique over all virtual hosts', async t => {
  const hosts = (...domains: string[][]) => ({ virtual_hosts: domains.map((each, i) => ({ name: `v${i}`, domains: each })) });
  t.strictSame(compile.route(hosts(['A.b'])).model.virtualHosts[0].domains, ['a.b']);
  refuses(t, () => compile.route(hosts(['a.b'], ['A.B'])), 'virtual_hosts[1].domains[0]', 'Duplicate entry of domain a.b');
  refuses(t, () => compile.route(hosts(['*'], ['*'])), 'virtual_hosts[1].domains[0]', 'Only a single wildcard domain');
  refuses(t, () => compile.route(hosts([])), 'virtual_hosts[0].domains', 'at least 1');
});

t.test('a regex must be RE2 and small', async t => {
  const regex = (text: string) => oneRoute({ match: { safe_regex: { regex: text } }, route: { cluster: 'c' } });
  t.match(compile.route(regex('/a/.*')).model.virtualHosts[0].routes[0].match.path, { kind: 'regex', value: '/a/.*' });
  refuses(t, () => compile.route(regex('(?=a)')), `${at}.match.safe_regex.regex`, 'invalid');
  refuses(t, () => compile.route(regex('')), `${at}.match.safe_regex.regex`, 'at least 1');
  refuses(
    t,
    () => compile.route(regex('((a{100}){10}){9}'.repeat(5))),
    `${at}.match.safe_regex.regex`,
    /program size of \d+ > max program size of 32768|invalid/,
  );
});

t.test('header matchers without a kind ask for presence, and say so when it is absence', async t => {
  const headersOf = (header: object) =>
    compile.route(oneRoute({ match: { prefix: '/', headers: [header] }, route: { cluster: 'c' } })).model.virtualHosts[0]
      .routes[0].match.headers[0];
  t.match(headersOf({ name: 'X-A' }), { name: 'x-a', match: null, present: true, invert: false });
  t.match(headersOf({ name: 'x', present_match: false }), { match: null, present: false });
  t.match(headersOf({ name: 'x', string_match: { exact: '' } }), { match: { kind: 'exact', value: '' } });
  refuses(
    t,
    () => headersOf({ name: 'x', string_match: {} }),
    `${at}.match.headers[0].string_match`,
    'match_pattern is required',
  );
  const custom = { name: 'x', string_match: { custom: { name: 'y' } } };
  refuses(t, () => headersOf(custom), `${at}.match.headers[0].string_match.custom`, 'not implemented');
});

t.test('a direct response is bounded by the limit of its route configuration', async t => {
  const direct = (length: number, changes: RouteMessage = {}) =>
    oneRoute({ direct_response: { status: 502, body: { inline_string: 'x'.repeat(length) } } }, changes);
  t.match(compile.route(direct(4096)).model.virtualHosts[0].routes[0].action, { kind: 'direct-response', status: 502 });
  refuses(t, () => compile.route(direct(4097)), `${at}.direct_response.body`, 'is 4097 bytes; maximum is 4096');
  t.doesNotThrow(() => compile.route(direct(4097, { max_direct_response_body_size_bytes: { value: 5000 } })));
});

t.test('redirects map their code and scheme', async t => {
  const redirect = (message: object) => oneRoute({ redirect: message });
  t.match(compile.route(redirect({ https_redirect: true, response_code: 4 })).model.virtualHosts[0].routes[0].action, {
    kind: 'redirect',
    scheme: 'https',
    status: 308,
  });
  t.match(compile.route(redirect({ scheme_redirect: 'ftp' })).model.virtualHosts[0].routes[0].action, {
    scheme: 'ftp',
    status: 301,
  });
});

t.test('header edits may not touch the head of the message, and their values are format strings', async t => {
  const add = (key: string, value = 'x') =>
    oneRoute({ route: { cluster: 'c' }, request_headers_to_add: [{ header: { key, value }, append_action: 2 }] });
  t.strictSame(compile.route(add('X-A', '%PROTOCOL%')).model.virtualHosts[0].routes[0].headers.requestAdd, [
    { name: 'x-a', value: '%PROTOCOL%', action: 'overwrite-or-add', keepEmpty: false },
  ]);
  refuses(t, () => compile.route(add(':path')), `${at}.request_headers_to_add[0].header.key`, 'may not be modified');
  refuses(t, () => compile.route(add('x', '%NOPE%')), `${at}.request_headers_to_add[0].header.value`, /./);
  refuses(t, () => compile.route(add('x', 'a\r\nb')), `${at}.request_headers_to_add[0].header.value`, 'regex pattern');
});

t.test('mirrors and filter configuration of a level go down to routes that have none', async t => {
  const { model } = compile.route({ ...routeOf({}), request_mirror_policies: [{ cluster: 'm' }] });
  t.match((model.virtualHosts[0].routes[0].action as ForwardAction).mirrors, [{ cluster: 'm' }]);
});

t.test('per-route configuration of an unknown filter is refused unless it is optional', async t => {
  const config = { type_url: 'type.googleapis.com/foo.Bar', value: new Uint8Array() };
  const wrapped = (is_optional: boolean) => any('envoy.config.route.v3.FilterConfig', { config, is_optional });
  const route = (typed: object) => oneRoute({ route: { cluster: 'c' }, typed_per_filter_config: { x: typed as never } });
  refuses(t, () => compile.route(route(config)), `${at}.typed_per_filter_config["x"]`, 'foo.Bar');
  refuses(t, () => compile.route(route(wrapped(false))), `${at}.typed_per_filter_config["x"].config`, 'foo.Bar');
  t.match(compile.route(route(wrapped(true))).warnings, [/optional per-route configuration/]);
});

t.test('a filter can be switched off on a route', async t => {
  const typed_per_filter_config = { x: any('envoy.config.route.v3.FilterConfig', { disabled: true }) };
  const { model } = compile.route(oneRoute({ route: { cluster: 'c' }, typed_per_filter_config }));
  t.match(model.virtualHosts[0].routes[0].perFilter, { x: { disabled: true } });
});
