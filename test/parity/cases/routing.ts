/** Finer points of matching, regular expressions, formatted headers, hedges of time and answers by headers. */
import type { ParityCase, UpstreamBehaviour } from '../parity-case.ts';

const get = (path = '/', headers = '') => `GET ${path} HTTP/1.1\r\nHost: a.test\r\n${headers}\r\n`;
const reply = (status: number, headers = '', body = 'ok'): UpstreamBehaviour => ({
  respond: `HTTP/1.1 ${status} X\r\n${headers}content-length: ${body.length}\r\n\r\n${body}`,
});
const answers = (...matches: [match: object, status: number][]) =>
  matches.map(([match, status]) => ({ match, direct_response: { status } }));
const matched = (name: string, send: string, match: object): ParityCase => ({
  name: `match: ${name}`,
  send,
  routes: answers([{ prefix: '/', ...match }, 200], [{ prefix: '/' }, 404]),
});
const byRegex = (name: string, path: string, regex: string): ParityCase => ({
  name: `regex: ${name}`,
  send: get(path),
  routes: answers([{ safe_regex: { regex } }, 200], [{ prefix: '/' }, 404]),
});
const substituted = (name: string, path: string, regex: string, substitution: string): ParityCase => ({
  name: `substitution: ${name}`,
  send: get(path),
  route: { route: { cluster: '$lane', regex_rewrite: { pattern: { regex }, substitution } } },
});
const header = (name: string, headers: string, matcher: object): ParityCase =>
  matched(`header ${name}`, get('/', headers), { headers: [{ name: 'x-h', ...matcher }] });
const query = (name: string, path: string, matcher: object): ParityCase =>
  matched(`query ${name}`, get(path), { query_parameters: [{ name: 'q', ...matcher }] });
const formatted = (name: string, value: string, parts: Partial<ParityCase> = {}): ParityCase => ({
  name: `format: ${name}`,
  send: get('/p/a?q=1', 'x-in: some value\r\n'),
  route: {
    name: 'the-route',
    request_headers_to_add: [{ header: { key: 'x-out', value } }],
    response_headers_to_add: [{ header: { key: 'x-back', value } }],
  },
  ...parts,
});

const several = 'x-h: v\r\nx-h: w\r\n';

const matching: readonly ParityCase[] = [
  byRegex('case by flag', '/ABC', '(?i)/abc'),
  byRegex('lazy', '/aaa', '/a+?'),
  byRegex('alternatives, whole path', '/abc', '/a|/abc'),
  byRegex('quoted', '/a.b', '\\Q/a.b\\E'),
  byRegex('classes', '/a1_', '/[[:alpha:]]\\d\\w'),
  byRegex('unicode class on bytes', '/%C3%A9', '/%\\p{Lu}3%A9'),
  byRegex('named group', '/abc', '/(?P<name>abc)'),
  byRegex('dot and line end', '/abc', '^/ab.$'),
  byRegex('repetition', '/aaaa', '/a{2,3}'),
  byRegex('empty alternative', '/', '/(|a)'),
  substituted('all places', '/a/a/a', '/a', '/b'),
  substituted('whole and groups', '/abc', '/(a)(b)(c)', '/\\3\\2\\1\\0'),
  substituted('group that took no part', '/b', '/(a)?b', '/[\\1]'),
  substituted('nothing found', '/abc', 'x', 'y'),
  substituted('empty matches', '/ab', 'x*', '-'),
  substituted('backslash', '/ab', 'a', '\\\\'),
  header('exact', 'x-h: v\r\n', { string_match: { exact: 'v' } }),
  header('first of several values', several, { string_match: { exact: 'v' } }),
  header('last of several values', several, { string_match: { suffix: 'w' } }),
  header('all of several values', several, { string_match: { exact: 'v,w' } }),
  header('one of several values, inverted', several, { string_match: { exact: 'v' }, invert_match: true }),
  header('none of several values, inverted', several, { string_match: { exact: 'x' }, invert_match: true }),
  header('range of several values', 'x-h: 9\r\nx-h: 5\r\n', { range_match: { start: '4', end: '6' } }),
  header('prefix', 'x-h: value\r\n', { string_match: { prefix: 'val' } }),
  header('contains, any case', 'x-h: VALUE\r\n', { string_match: { contains: 'alu', ignore_case: true } }),
  header('regex of the whole value', 'x-h: value\r\n', { string_match: { safe_regex: { regex: 'val' } } }),
  header('absent, inverted', '', { string_match: { exact: 'v' }, invert_match: true }),
  header('absent, as empty', '', { string_match: { exact: '' }, treat_missing_header_as_empty: true }),
  header('absent, as empty, inverted', '', {
    string_match: { exact: 'v' },
    invert_match: true,
    treat_missing_header_as_empty: true,
  }),
  header('absent', '', { present_match: false }),
  header('range of a number with a sign', 'x-h: -5\r\n', { range_match: { start: '-10', end: '0' } }),
  header('range of no number', 'x-h: 5x\r\n', { range_match: { start: '0', end: '10' } }),
  header('without a matcher', 'x-h: \r\n', {}),
  matched('method', get('/'), { headers: [{ name: ':method', string_match: { exact: 'GET' } }] }),
  matched('authority', get('/'), { headers: [{ name: ':authority', string_match: { exact: 'a.test' } }] }),
  matched('host as a header', get('/'), { headers: [{ name: 'host', string_match: { exact: 'a.test' } }] }),
  matched('scheme', get('/'), { headers: [{ name: ':scheme', string_match: { exact: 'http' } }] }),
  matched('path with its query', get('/a?b=c'), { headers: [{ name: ':path', string_match: { exact: '/a?b=c' } }] }),
  query('exact', '/?q=1', { string_match: { exact: '1' } }),
  query('of the first of two', '/?q=1&q=2', { string_match: { exact: '1' } }),
  query('of the last of two', '/?q=1&q=2', { string_match: { exact: '2' } }),
  query('present without a value', '/?q', { present_match: true }),
  query('without a matcher', '/?q', {}),
  query('escaped', '/?q=%61', { string_match: { exact: 'a' } }),
  query('plus', '/?q=a+b', { string_match: { exact: 'a b' } }),
  query('regex', '/?q=abc', { string_match: { safe_regex: { regex: 'a.c' } } }),
  query('after a fragment', '/?a=1#q=1', { string_match: { exact: '1' } }),
  matched('path separated prefix itself', get('/a'), { prefix: undefined, path_separated_prefix: '/a' }),
  matched('path separated prefix, longer word', get('/ab'), { prefix: undefined, path_separated_prefix: '/a' }),
  matched('path separated prefix with a query', get('/a?b'), { prefix: undefined, path_separated_prefix: '/a' }),
  matched('exact path with a query', get('/a?b'), { prefix: undefined, path: '/a' }),
  matched('exact path, any case', get('/A'), { prefix: undefined, path: '/a', case_sensitive: false }),
  matched('never by a fraction', get('/'), { runtime_fraction: { default_value: { numerator: 0 } } }),
  matched('always by a fraction', get('/'), {
    runtime_fraction: { default_value: { numerator: 1_000_000, denominator: 'MILLION' } },
  }),
  matched('gRPC only', get('/', 'content-type: application/grpc+proto\r\n'), { grpc: {} }),
  matched('gRPC only, of another type', get('/', 'content-type: application/grpcx\r\n'), { grpc: {} }),
];

const formats: readonly ParityCase[] = [
  formatted('of the request', '%REQ(:METHOD)% %REQ(:PATH)% %REQ(:AUTHORITY)% %REQ(X-IN)%'),
  formatted('alternatives and lengths', '%REQ(absent?x-in)% %REQ(x-in):4% %REQ(absent):2%'),
  formatted('of the route', '%ROUTE_NAME% %VIRTUAL_CLUSTER_NAME% %PROTOCOL%'),
  formatted('of addresses', '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%'),
  formatted('of the upstream', '%UPSTREAM_CLUSTER% %UPSTREAM_REMOTE_ADDRESS%'),
  formatted('of the answer', '%RESPONSE_CODE% %RESP(content-length)% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%'),
  formatted('of sizes', '%BYTES_RECEIVED% %BYTES_SENT%'),
  formatted('of the path', '%PATH(NQ:ORIG)% %PATH(WQ)%'),
  formatted('of metadata', '%METADATA(ROUTE:ns:key)% %DYNAMIC_METADATA(ns:key)%'),
  formatted('percent signs', '100%% %%REQ%%'),
  formatted('of the certificate', '%DOWNSTREAM_PEER_SUBJECT% %DOWNSTREAM_TLS_VERSION%'),
  formatted('metadata of the route', '%METADATA(ROUTE:ns:key)%', {
    route: {
      metadata: { filter_metadata: { ns: { key: 'value', n: 1.5, list: [1, 'a'] } } },
      request_headers_to_add: [
        { header: { key: 'x-a', value: '%METADATA(ROUTE:ns:key)%' } },
        { header: { key: 'x-b', value: '%METADATA(ROUTE:ns:n)%' } },
        { header: { key: 'x-c', value: '%METADATA(ROUTE:ns:list)%' } },
        { header: { key: 'x-d', value: '%METADATA(ROUTE:ns)%' } },
      ],
    },
  }),
];

const upstreamLimits = (common_http_protocol_options: object) => ({
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
      common_http_protocol_options,
      explicit_http_config: { http_protocol_options: {} },
    },
  },
});
const smallHeaders = upstreamLimits({ max_response_headers_kb: 1 });
const fewHeaders = upstreamLimits({ max_headers_count: 3 });

const others: readonly ParityCase[] = [
  {
    name: 'weighted clusters: one that a header names',
    send: get('/', 'x-cluster: $lane\r\n'),
    routes: [
      { match: { prefix: '/' }, route: { weighted_clusters: { clusters: [{ cluster_header: 'x-cluster', weight: 1 }] } } },
    ],
  },
  {
    name: 'weighted clusters: one that an absent header names',
    send: get(),
    routes: [
      { match: { prefix: '/' }, route: { weighted_clusters: { clusters: [{ cluster_header: 'x-cluster', weight: 1 }] } } },
    ],
  },
  {
    name: 'retry: at the time that the answer gives',
    send: get(),
    upstream: [reply(429, 'retry-after: 1\r\n'), reply(200)],
    routes: [
      {
        match: { prefix: '/' },
        route: {
          cluster: '$lane',
          retry_policy: {
            retry_on: 'retriable-status-codes',
            retriable_status_codes: [429],
            rate_limited_retry_back_off: { reset_headers: [{ name: 'Retry-After', format: 'SECONDS' }], max_interval: '3s' },
          },
        },
      },
    ],
    until: /./,
  },
  {
    name: 'retry: by more conditions of the request',
    send: get('/', 'x-envoy-retry-on: retriable-headers\r\nx-envoy-retriable-header-names: x-again\r\n'),
    upstream: [reply(200, 'x-again: 1\r\n'), reply(200)],
  },
  {
    name: 'retry: status codes of the request',
    send: get('/', 'x-envoy-retry-on: retriable-status-codes\r\nx-envoy-retriable-status-codes: 418,419\r\n'),
    upstream: [reply(419), reply(418)],
  },
  {
    name: 'retry: envoy-ratelimited by the request',
    send: get('/', 'x-envoy-retry-on: 5xx,envoy-ratelimited\r\n'),
    upstream: [reply(503, 'x-envoy-ratelimited: true\r\n'), reply(200)],
  },
  {
    name: 'retry: http3-post-connect-failure and unknown conditions do nothing',
    send: get(),
    upstream: [reply(500), reply(200)],
    routes: [
      { match: { prefix: '/' }, route: { cluster: '$lane', retry_policy: { retry_on: 'http3-post-connect-failure,nonsense' } } },
    ],
  },
  {
    name: 'retry: none allowed',
    send: get(),
    upstream: [reply(500), reply(200)],
    routes: [{ match: { prefix: '/' }, route: { cluster: '$lane', retry_policy: { retry_on: '5xx', num_retries: 0 } } }],
  },
  {
    name: 'timeout: per try, asked for by the request',
    send: get('/', 'x-envoy-upstream-rq-per-try-timeout-ms: 400\r\n'),
    upstream: { hang: true },
  },
  {
    name: 'timeout: asked for by the request, no number',
    send: get('/', 'x-envoy-upstream-rq-timeout-ms: 4x\r\n'),
  },
  {
    name: 'timeout: none, and a header that says what is expected',
    send: get(),
    routes: [{ match: { prefix: '/' }, route: { cluster: '$lane', timeout: '0s' } }],
  },
  {
    name: 'mirror: of none by its fraction, of a header that is absent',
    send: get(),
    routes: [
      {
        match: { prefix: '/' },
        route: {
          cluster: '$lane',
          request_mirror_policies: [
            { cluster: '$lane-b', runtime_fraction: { default_value: { numerator: 0 } } },
            { cluster_header: 'x-mirror' },
          ],
        },
      },
    ],
    secondUpstream: reply(200),
  },
  {
    name: 'mirror: of the virtual host, unless the route has its own',
    send: [get('/a'), get('/b')],
    virtualHost: { request_mirror_policies: [{ cluster: '$lane-b' }] },
    routes: [
      { match: { prefix: '/a' }, route: { cluster: '$lane' } },
      {
        match: { prefix: '/b' },
        route: {
          cluster: '$lane',
          request_mirror_policies: [{ cluster: '$lane-b', runtime_fraction: { default_value: { numerator: 0 } } }],
        },
      },
    ],
    secondUpstream: reply(200),
  },
  {
    name: 'limits: as many headers as a response may have',
    send: get(),
    cluster: fewHeaders,
    upstream: reply(200, 'x-a: 1\r\nx-b: 2\r\n'),
  },
  {
    name: 'limits: more headers than a response may have',
    send: get(),
    cluster: fewHeaders,
    upstream: reply(200, 'x-a: 1\r\nx-b: 2\r\nx-c: 3\r\n'),
  },
  {
    name: 'limits: larger headers than a response may have',
    send: get(),
    cluster: smallHeaders,
    upstream: reply(200, `x-a: ${'a'.repeat(1100)}\r\n`),
  },
  {
    name: 'limits: headers as large as a response may have',
    send: get(),
    cluster: smallHeaders,
    upstream: reply(200, `x-a: ${'a'.repeat(700)}\r\n`),
  },
  {
    name: 'hash policy: a cookie is made, and not made again',
    send: [get('/1'), get('/2', 'cookie: a=b; session="kept"\r\n')],
    routes: [
      {
        match: { prefix: '/' },
        route: { cluster: '$lane', hash_policy: [{ cookie: { name: 'session', ttl: '0s', path: '/p' } }] },
        response_headers_to_remove: ['set-cookie'],
      },
    ],
    cluster: { lb_policy: 'RING_HASH' },
  },
];

export const routing: readonly ParityCase[] = [...matching, ...formats, ...others];
