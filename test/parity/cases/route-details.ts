/** What routes say more rarely: parameters of paths, weights by a header, buffers, edited mirrors, formatted paths, client certificates. */
import type { ParityCase, UpstreamBehaviour } from '../parity-case.ts';

const get = (path = '/', headers = '') => `GET ${path} HTTP/1.1\r\nHost: a.test\r\n${headers}\r\n`;
const post = (body: string) => `POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
const reply = (status: number): UpstreamBehaviour => ({ respond: `HTTP/1.1 ${status} X\r\ncontent-length: 0\r\n\r\n` });
const add = (key: string, value: string, append_action = 'APPEND_IF_EXISTS_OR_ADD') => ({
  header: { key, value },
  append_action,
});
const all = { prefix: '/' };
const shown = { response_headers_to_add: [add('x-path', '%REQ(:path)% %REQ(x-envoy-original-path)%')] };
const regex = (pattern: string, substitution: string) => ({ pattern: { regex: pattern }, substitution });

const parameters = (name: string, path: string, match: object, route: object = {}): ParityCase => ({
  name: `path parameters: ${name}`,
  send: get(path),
  routeConfig: { ignore_path_parameters_in_path_matching: true },
  routes: [
    { match, route: { cluster: '$lane', ...route } },
    { match: all, direct_response: { status: 404 } },
  ],
});

const redirected = (name: string, redirect: object, path = '/old/x?q=1', match: object = { prefix: '/old' }): ParityCase => ({
  name: `redirect seen by header edits: ${name}`,
  send: get(path),
  routes: [{ match, redirect, ...shown }],
});

const weighted = (name: string, header: string): ParityCase => ({
  name: `weights by a header: ${name}`,
  send: get('/', `x-choice: ${header}\r\n`),
  routes: [
    {
      match: all,
      route: {
        weighted_clusters: {
          header_name: 'X-Choice',
          clusters: [
            { name: '$lane', weight: 10 },
            { name: '$lane-b', weight: 90 },
          ],
        },
      },
    },
  ],
  secondUpstream: reply(201),
});

const mirrored = (name: string, policy: object): ParityCase => ({
  name: `mirror: ${name}`,
  send: get('/x', 'x-a: 1\r\nx-b: 1\r\n'),
  routes: [{ match: all, route: { cluster: '$lane', request_mirror_policies: [{ cluster: '$lane-b', ...policy }] } }],
  secondUpstream: reply(200),
});

const formatted = (name: string, path_rewrite: string, send = get('/old/x?q=1', 'x-to: there\r\n')): ParityCase => ({
  name: `path format: ${name}`,
  send,
  routes: [{ match: all, route: { cluster: '$lane', path_rewrite }, ...shown }],
});

const retry_policy = { retry_on: '5xx', retry_back_off: { base_interval: '0.001s' } };
/** A body of 120 bytes that must be kept for the retry. */
const buffered = (name: string, route: object, virtualHost: object = {}, limit = 1000): ParityCase => ({
  name: `request buffer: ${name}`,
  send: post('x'.repeat(120)),
  stats: /retry/,
  listener: { per_connection_buffer_limit_bytes: limit },
  upstream: [reply(500), reply(200)],
  virtualHost,
  routes: [{ match: all, route: { cluster: '$lane', retry_policy }, ...route }],
});

const certified = (name: string, tls_context: object): ParityCase => ({
  name: `client certificate on a plain connection: ${name}`,
  send: get(),
  routes: [
    { match: { ...all, tls_context }, direct_response: { status: 201 } },
    { match: all, direct_response: { status: 202 } },
  ],
});

/** What the router answers by itself has the route's headers too. */
const answered = (name: string, parts: Partial<ParityCase>, route: object = {}): ParityCase => ({
  name: `header edits of a local reply: ${name}`,
  send: get('/x'),
  routeConfig: { validate_clusters: false },
  virtualHost: {
    include_attempt_count_in_response: true,
    response_headers_to_add: [add('x-host', '%RESPONSE_CODE% %RESPONSE_FLAGS%')],
  },
  ...parts,
  routes: [
    {
      match: all,
      route: { cluster: '$lane', prefix_rewrite: '/y', timeout: '0.5s', ...route },
      response_headers_to_add: [add('x-route', '%REQ(:path)% %UPSTREAM_REQUEST_ATTEMPT_COUNT%')],
      response_headers_to_remove: ['content-type'],
    },
  ],
});

const direct = (status: number): ParityCase => ({
  name: `direct response ${status} has a location`,
  send: get('/x?y'),
  routes: [{ match: all, direct_response: { status } }],
});

export const routeDetails: readonly ParityCase[] = [
  {
    name: 'host of the endpoint, with a retry',
    send: get(),
    upstream: [reply(500), reply(200)],
    routes: [{ match: all, route: { cluster: '$lane', retry_policy, auto_host_rewrite: true, append_x_forwarded_host: true } }],
    cluster: {
      load_assignment: {
        cluster_name: '$lane',
        endpoints: [
          {
            lb_endpoints: [
              { endpoint: { hostname: 'ep.test', address: { socket_address: { address: '127.0.0.1', port_value: '$port' } } } },
            ],
          },
        ],
      },
    },
  },
  ...[
    ['a fragment in the path', 'GET /a#b HTTP/1.1\r\nHost: a.test\r\n\r\n'],
    ['no host', 'GET / HTTP/1.1\r\n\r\n'],
    ['a path that is none', 'GET * HTTP/1.1\r\nHost: a.test\r\n\r\n'],
    ['an escaped slash', 'GET /a%2fb HTTP/1.1\r\nHost: a.test\r\n\r\n'],
    ['an escaped slash in a path of its own route', 'GET /other%2fb HTTP/1.1\r\nHost: a.test\r\n\r\n'],
    ['an upgrade that nobody takes', 'GET /a HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n'],
  ].map(
    ([name, send]): ParityCase => ({
      name: `route of a request that is refused: ${name}`,
      send,
      manager: {
        path_with_escaped_slashes_action: 'REJECT_REQUEST',
        local_reply_config: {
          body_format: { text_format_source: { inline_string: '%ROUTE_NAME% %UPSTREAM_CLUSTER% %RESPONSE_CODE_DETAILS%' } },
        },
      },
      routes: [
        { name: 'other', match: { prefix: '/other' }, route: { cluster: '$lane' } },
        { name: 'all', match: all, route: { cluster: '$lane' } },
      ],
    }),
  ),
  answered('no connection', { upstream: { absent: true } }),
  answered('no connection, for gRPC', { upstream: { absent: true }, send: get('/x', 'content-type: application/grpc\r\n') }),
  answered('a reset', { upstream: { resetAfterHead: true } }),
  answered('a timeout', { upstream: { hang: true } }),
  answered('no host', { cluster: { load_assignment: { cluster_name: '$lane' } } }),
  answered('no cluster', {}, { cluster: 'nowhere' }),
  answered('no place', { cluster: { circuit_breakers: { thresholds: [{ max_pending_requests: 0 }] } } }),
  ...[200, 201, 300, 304, 399, 400].map(direct),
  {
    name: 'local reply of 400 ends the connection',
    send: [get('/one'), get('/two')],
    filters: [
      {
        name: 'envoy.filters.http.fault',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault',
          abort: { http_status: 400, percentage: { numerator: 100 } },
        },
      },
    ],
  },
  parameters('in every segment', '/a;x/b;p=1;q/c;?q;r', { path: '/a/b/c' }),
  parameters('of an exact path', '/a;p=1', { path: '/a' }),
  parameters('of an exact path that goes on', '/a;p=1/b', { path: '/a' }),
  parameters('of a prefix', '/a/b;p/c?q', { prefix: '/a/b' }),
  parameters('within a prefix', '/a;p/b', { prefix: '/a/b' }),
  parameters('of a separated prefix', '/a;p', { path_separated_prefix: '/a' }),
  parameters('of a regex', '/a;p?q', { safe_regex: { regex: '/a' } }),
  parameters('in the query', '/a?q;p', { path: '/a' }),
  parameters('of an exact path that is rewritten', '/a;p=1?q', { path: '/a' }, { prefix_rewrite: '/b' }),
  parameters('of a prefix that is rewritten', '/a/x;p?q', { prefix: '/a' }, { prefix_rewrite: '/b' }),
  parameters('of a regex that is rewritten', '/a;p?q', { safe_regex: { regex: '/a' } }, { prefix_rewrite: '/b' }),
  parameters('rewritten by a regex', '/a;p?q', { path: '/a' }, { regex_rewrite: regex('/(.*)', '/b/\\1') }),
  redirected('prefix', { prefix_rewrite: '/new' }),
  redirected('regex', { regex_rewrite: regex('^/old/(.*)$', '/\\1/new') }),
  redirected('path', { path_redirect: '/new' }),
  redirected('host', { host_redirect: 'b.test' }),
  redirected('prefix of an exact path', { prefix_rewrite: '/new' }, '/old?q=1', { path: '/old' }),
  redirected('prefix, without the query', { prefix_rewrite: '/new', strip_query: true }),
  weighted('first', '9'),
  weighted('second', '10'),
  weighted('beyond the sum', '1005'),
  weighted('large', '18446744073709551609'),
  mirrored('edited', {
    request_headers_mutations: [
      { append: add('x-copy', '%REQ(x-a)%') },
      { remove: 'x-b' },
      { append: add('x-a', '2') },
      { append: add('x-a', '3', 'OVERWRITE_IF_EXISTS_OR_ADD') },
    ],
  }),
  mirrored('with a host of its own', { host_rewrite_literal: 'mirror.test' }),
  mirrored('with a host of its own and a suffix', {
    host_rewrite_literal: 'mirror.test',
    disable_shadow_host_suffix_append: false,
  }),
  formatted('constant', '/new'),
  formatted('of a header', '/new/%REQ(x-to)%'),
  formatted('of an absent header', '/new%REQ(x-none)%'),
  formatted('with a query', '/new?%REQ(x-to)%'),
  formatted('empty', '%REQ(x-none)%'),
  formatted('for a path without a query', '/new', get('/old')),
  buffered('of the route', { per_request_buffer_limit_bytes: 100 }),
  buffered('of the route, large', { per_request_buffer_limit_bytes: 200 }),
  buffered('of the route beyond the connection', { per_request_buffer_limit_bytes: 200 }, {}, 100),
  buffered('of the virtual host', {}, { per_request_buffer_limit_bytes: 100 }),
  buffered(
    'of the route before the virtual host',
    { per_request_buffer_limit_bytes: 200 },
    { per_request_buffer_limit_bytes: 100 },
  ),
  buffered('its own', { request_body_buffer_limit: 200 }, {}, 100),
  buffered('its own, small', { request_body_buffer_limit: 100 }),
  certified('presented', { presented: true }),
  certified('not presented', { presented: false }),
  certified('validated', { validated: true }),
  certified('not validated', { validated: false }),
];
