/** Matching, redirects, rewrites, header edits, direct responses: what the router does before it forwards. */
import type { ParityCase } from '../parity-case.ts';

const get = (path: string, headers = '') => `GET ${path} HTTP/1.1\r\nHost: a.test\r\n${headers}\r\n`;
const prefix = (value: string) => ({ match: { prefix: value } });
const redirected = (name: string, redirect: object, path = '/old/page?q=1', match: object = { prefix: '/old' }): ParityCase => ({
  name: `redirect: ${name}`,
  send: get(path),
  routes: [{ match, redirect }],
});
const rewritten = (name: string, route: object, path: string, match: object = { prefix: '/' }, headers = ''): ParityCase => ({
  name: `rewrite: ${name}`,
  send: get(path, headers),
  routes: [{ match, route: { cluster: '$lane', ...route } }],
});
const edited = (name: string, parts: Partial<ParityCase>): ParityCase => ({
  name: `header edits: ${name}`,
  send: get('/', 'x-in: 1\r\nx-gone: 1\r\n'),
  ...parts,
});
const add = (key: string, value: string, append_action?: string) => ({
  header: { key, value },
  ...(append_action && { append_action }),
});
const regex = (pattern: string, substitution: string) => ({ pattern: { regex: pattern }, substitution });

export const routeActions: readonly ParityCase[] = [
  redirected('host', { host_redirect: 'b.test' }),
  redirected('path', { path_redirect: '/new' }),
  redirected('path with its own query', { path_redirect: '/new?x=2' }),
  redirected('prefix', { prefix_rewrite: '/new' }),
  redirected('regex', { regex_rewrite: regex('^/old/(.*)$', '/\\1/new') }),
  redirected('https and code', { https_redirect: true, response_code: 'PERMANENT_REDIRECT' }),
  redirected('scheme and port', { scheme_redirect: 'https', port_redirect: 8443, response_code: 'SEE_OTHER' }),
  redirected('without query', { host_redirect: 'b.test', strip_query: true }),
  redirected('host with a port', { host_redirect: 'b.test:81', https_redirect: true }),
  {
    name: 'redirect: of a host with a default port',
    send: 'GET /old HTTP/1.1\r\nHost: a.test:80\r\n\r\n',
    routes: [{ match: { prefix: '/old' }, redirect: { https_redirect: true } }],
  },
  { name: 'redirect: virtual host requires TLS', send: get('/x?y=1'), virtualHost: { require_tls: 'ALL' } },
  {
    name: 'redirect: with header edits',
    send: get('/old'),
    routes: [
      { match: { prefix: '/' }, redirect: { path_redirect: '/new' }, response_headers_to_add: [add('x-out', '%RESPONSE_CODE%')] },
    ],
  },
  {
    name: 'direct response',
    send: get('/'),
    routes: [{ match: { prefix: '/' }, direct_response: { status: 418, body: { inline_string: 'short and stout' } } }],
  },
  {
    name: 'direct response without a body, to a POST',
    send: 'POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello',
    routes: [{ match: { prefix: '/' }, direct_response: { status: 200 } }],
  },
  {
    name: 'direct response to HEAD, with edits',
    send: 'HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n',
    routes: [
      {
        match: { prefix: '/' },
        direct_response: { status: 200, body: { inline_string: 'body' } },
        response_headers_to_add: [add('x-a', 'a'), add('content-type', 'text/html', 'OVERWRITE_IF_EXISTS_OR_ADD')],
      },
    ],
  },
  {
    name: 'direct response to gRPC',
    send: 'POST / HTTP/1.1\r\nHost: a.test\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n',
    routes: [{ match: { prefix: '/' }, direct_response: { status: 403, body: { inline_string: 'no "é" %' } } }],
  },
  rewritten('prefix', { prefix_rewrite: '/new/' }, '/old/page?q=1', { prefix: '/old/' }),
  rewritten('prefix to the root', { prefix_rewrite: '/' }, '/old', { prefix: '/old' }),
  rewritten('exact path', { prefix_rewrite: '/new' }, '/old?q=1', { path: '/old' }),
  rewritten('path separated prefix', { prefix_rewrite: '/new' }, '/old/x', { path_separated_prefix: '/old' }),
  rewritten('regex', { regex_rewrite: regex('/(\\w+)/(\\w+)', '/\\2/\\1') }, '/a/b?q=/c/d'),
  rewritten('host', { host_rewrite_literal: 'b.test' }, '/'),
  rewritten('host, forwarded', { host_rewrite_literal: 'b.test', append_x_forwarded_host: true }, '/'),
  rewritten('host of a header', { host_rewrite_header: 'x-host' }, '/', { prefix: '/' }, 'x-host: c.test\r\n'),
  rewritten('host of an absent header', { host_rewrite_header: 'x-host' }, '/'),
  rewritten('host of the path', { host_rewrite_path_regex: regex('^/([^/]+).*$', '\\1.test') }, '/b/c?d=e'),
  rewritten('host to the same host', { host_rewrite_literal: 'a.test' }, '/'),
  rewritten('host to the same host, forwarded', { host_rewrite_literal: 'a.test', append_x_forwarded_host: true }, '/'),
  rewritten('host of the endpoint, forwarded', { auto_host_rewrite: true, append_x_forwarded_host: true }, '/'),
  rewritten('host of the endpoint', { auto_host_rewrite: true }, '/'),
  edited('added and removed on the route', {
    route: {
      request_headers_to_add: [add('x-a', '1'), add('x-in', '2')],
      request_headers_to_remove: ['x-gone'],
      response_headers_to_add: [add('x-b', '2')],
      response_headers_to_remove: ['content-type'],
    },
  }),
  edited('append actions', {
    route: {
      request_headers_to_add: [
        add('x-in', 'over', 'OVERWRITE_IF_EXISTS'),
        add('x-new', 'over', 'OVERWRITE_IF_EXISTS'),
        add('x-gone', 'kept?', 'ADD_IF_ABSENT'),
        add('x-fresh', 'absent', 'ADD_IF_ABSENT'),
        add('x-set', 'set', 'OVERWRITE_IF_EXISTS_OR_ADD'),
        add('x-list', 'a', 'APPEND_IF_EXISTS_OR_ADD'),
        add('x-list', 'b', 'APPEND_IF_EXISTS_OR_ADD'),
      ],
    },
  }),
  edited('of every level', {
    route: { request_headers_to_add: [add('x-l', 'route', 'OVERWRITE_IF_EXISTS_OR_ADD')] },
    virtualHost: { request_headers_to_add: [add('x-l', 'host', 'OVERWRITE_IF_EXISTS_OR_ADD')] },
  }),
  edited('formatted', {
    route: {
      request_headers_to_add: [
        add('x-f', '%PROTOCOL% %REQ(x-in)% %REQ(:METHOD)% 100%% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%'),
        add('x-empty', '%REQ(absent)%'),
      ],
      response_headers_to_add: [add('x-r', '%RESPONSE_CODE% %RESP(x-absent?content-length)% %UPSTREAM_CLUSTER%')],
    },
  }),
  {
    name: 'matching: first route that fits',
    send: get('/two'),
    routes: [
      { ...prefix('/one'), direct_response: { status: 201 } },
      { name: 'second', ...prefix('/two'), direct_response: { status: 202 } },
      { ...prefix('/'), direct_response: { status: 203 } },
    ],
  },
  {
    name: 'matching: headers and query',
    send: get('/x?a=1&b', 'x-v: 7\r\nx-t: abc\r\n'),
    routes: [
      {
        match: { prefix: '/', headers: [{ name: 'x-v', range_match: { start: '8', end: '10' } }] },
        direct_response: { status: 201 },
      },
      { match: { prefix: '/', headers: [{ name: 'x-t', string_match: { exact: 'ABC' } }] }, direct_response: { status: 202 } },
      { match: { prefix: '/', query_parameters: [{ name: 'b', present_match: false }] }, direct_response: { status: 203 } },
      {
        match: {
          prefix: '/',
          headers: [
            { name: 'x-v', range_match: { start: '7', end: '8' } },
            { name: 'x-t', string_match: { suffix: 'BC', ignore_case: true } },
            { name: 'x-none', present_match: true, invert_match: true },
          ],
          query_parameters: [
            { name: 'a', string_match: { exact: '1' } },
            { name: 'b', present_match: true },
          ],
        },
        direct_response: { status: 204 },
      },
    ],
  },
  {
    name: 'matching: regex needs the whole path, without the query',
    send: [get('/abc?d'), get('/abcd')],
    routes: [{ match: { safe_regex: { regex: '/a[bc]+' } }, direct_response: { status: 200 } }],
  },
  {
    name: 'matching: case',
    send: get('/UP'),
    routes: [
      { ...prefix('/up'), direct_response: { status: 201 } },
      { match: { path: '/up', case_sensitive: false }, direct_response: { status: 202 } },
    ],
  },
  {
    name: 'matching: virtual hosts',
    send: ['one.b.test', 'x.test', 'A.test:81', 'A.test', 'a.test.c', 'nowhere'].map(
      host => `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
    ),
    manager: {
      route_config: {
        virtual_hosts: (
          [
            ['exact', ['a.test']],
            ['suffix', ['*.test']],
            ['longer', ['*.b.test']],
            ['prefix', ['a.test.*']],
          ] as const
        ).map(([name, domains], index) => ({
          name,
          domains,
          routes: [{ name, ...prefix('/'), direct_response: { status: 210 + index } }],
        })),
      },
    },
  },
  {
    name: 'matching: virtual hosts without ports',
    send: 'GET / HTTP/1.1\r\nHost: a.test:81\r\n\r\n',
    manager: {
      route_config: {
        ignore_port_in_host_matching: true,
        virtual_hosts: [{ name: 'a', domains: ['a.test'], routes: [{ ...prefix('/'), direct_response: { status: 200 } }] }],
      },
    },
  },
  {
    name: 'weighted clusters, one of them always',
    send: get('/'),
    routes: [
      {
        ...prefix('/'),
        route: {
          weighted_clusters: {
            clusters: [
              { name: '$lane-b', weight: 0 },
              { name: '$lane', weight: 100, request_headers_to_add: [add('x-w', 'w')], host_rewrite_literal: 'w.test' },
            ],
          },
        },
      },
    ],
    secondUpstream: { respond: 'HTTP/1.1 500 Wrong\r\ncontent-length: 0\r\n\r\n' },
  },
  {
    name: 'cluster of a header that is absent',
    send: get('/'),
    routes: [{ ...prefix('/'), route: { cluster_header: 'x-to' } }],
  },
  {
    name: 'cluster of a header that names none',
    send: get('/', 'x-to: nowhere\r\n'),
    routes: [{ ...prefix('/'), route: { cluster_header: 'x-to' } }],
  },
  {
    name: 'cluster not found',
    send: get('/'),
    routes: [{ ...prefix('/'), route: { cluster: 'nowhere' } }],
    routeConfig: { validate_clusters: false },
  },
  {
    name: 'cluster not found, with a status of its own, for gRPC',
    send: 'POST / HTTP/1.1\r\nHost: a.test\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n',
    routes: [{ ...prefix('/'), route: { cluster: 'nowhere', cluster_not_found_response_code: 'NOT_FOUND' } }],
    routeConfig: { validate_clusters: false },
  },
  {
    name: 'cluster without hosts',
    send: get('/'),
    cluster: { load_assignment: { cluster_name: '$lane' } },
    virtualHost: { include_attempt_count_in_response: true },
  },
  {
    name: 'attempt count in the response',
    send: get('/'),
    virtualHost: { include_attempt_count_in_response: true },
  },
  {
    name: 'envoy headers suppressed',
    send: get('/'),
    manager: {
      http_filters: [
        {
          name: 'envoy.filters.http.router',
          typed_config: {
            '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router',
            suppress_envoy_headers: true,
          },
        },
      ],
    },
  },
  {
    name: 'strict check of envoy headers',
    send: get('/', 'x-envoy-max-retries: many\r\n'),
    manager: {
      use_remote_address: false,
      internal_address_config: {},
      http_filters: [
        {
          name: 'envoy.filters.http.router',
          typed_config: {
            '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router',
            strict_check_headers: ['x-envoy-max-retries', 'x-envoy-retry-on'],
          },
        },
      ],
    },
  },
];
