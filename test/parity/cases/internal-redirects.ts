/** Redirects that the proxy follows itself, and those that it leaves to the client. */
import type { ParityCase, UpstreamBehaviour } from '../parity-case.ts';

const get = (path = '/', headers = '') => `GET ${path} HTTP/1.1\r\nHost: a.test\r\n${headers}\r\n`;
const post = (body: string, headers = '') =>
  `POST /start HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${body.length}\r\n${headers}\r\n${body}`;
const to = (location: string, status = 302, headers = '', body = ''): UpstreamBehaviour => ({
  respond: `HTTP/1.1 ${status} X\r\nlocation: ${location}\r\n${headers}content-length: ${body.length}\r\n\r\n${body}`,
});
const ok: UpstreamBehaviour = { respond: 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok' };
const away = to('http://b.test/next?q=1');
/** Its body ends the connection: the next request has another, whatever the order of events. */
const moved = to('http://b.test/next', 302, '', 'moved');
const stats = /redirect|upstream_rq_\d|downstream_rq_\d|downstream_rq_total|downstream_rq_completed|rq_total|upstream_cx_total/;

/** One route that follows redirects; `policy` is its policy, `route` and `parts` the rest. */
function followed(
  name: string,
  policy: object,
  upstream: ParityCase['upstream'],
  parts: Partial<ParityCase> = {},
  route: object = {},
): ParityCase {
  const routes = [
    { name: 'start', match: { prefix: '/start' }, route: { cluster: '$lane', internal_redirect_policy: policy, ...route } },
    { name: 'next', match: { prefix: '/next' }, route: { cluster: '$lane' } },
  ];
  return { name: `internal redirect: ${name}`, send: get('/start?x'), stats, upstream, routes, ...parts };
}

const predicate = (name: string, type: string, config: object = {}) => ({
  name,
  typed_config: { '@type': `type.googleapis.com/envoy.extensions.internal_redirect.${name}.v3.${type}`, ...config },
});
const previous = predicate('previous_routes', 'PreviousRoutesConfig');
const safe = predicate('safe_cross_scheme', 'SafeCrossSchemeConfig');
const listed = (...allowed_route_names: string[]) =>
  predicate('allow_listed_routes', 'AllowListedRoutesConfig', { allowed_route_names });
const everywhere = (policy: object, route: object = {}) => ({
  routes: [{ name: 'all', match: { prefix: '/' }, route: { cluster: '$lane', internal_redirect_policy: policy, ...route } }],
});

export const internalRedirects: readonly ParityCase[] = [
  followed('once', {}, [away, ok]),
  followed('with a body in the redirect', {}, [to('http://b.test/next', 302, '', 'moved'), ok]),
  followed('of a POST', {}, [away, ok], { send: post('hello', 'X-A: 1\r\n') }),
  followed('of a chunked POST', {}, [away, ok], {
    send: 'POST /start HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3\r\nyou\r\n0\r\n\r\n',
  }),
  followed('of a POST that becomes a GET', { redirect_response_codes: [303] }, [to('http://b.test/next', 303), ok], {
    send: post('hello'),
  }),
  followed(
    '303 of a HEAD',
    { redirect_response_codes: [303] },
    [to('http://b.test/next', 303), { respond: 'HTTP/1.1 200 OK\r\n\r\n' }],
    {
      send: 'HEAD /start HTTP/1.1\r\nHost: a.test\r\n\r\n',
    },
  ),
  followed('of a request that is not complete', {}, [away, ok], {
    send: ['POST /start HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhello', 'world'],
  }),
  followed('of a body beyond the buffer', {}, [away, ok], {
    send: post('x'.repeat(200)),
    listener: { per_connection_buffer_limit_bytes: 100 },
  }),
  followed('of another status', {}, to('http://b.test/next', 307)),
  followed('of statuses that are chosen', { redirect_response_codes: [307, 308, 200] }, [to('http://b.test/next', 308), ok]),
  followed('of a status that is no redirect', { redirect_response_codes: [200] }, to('http://b.test/next', 200)),
  followed('without a location', {}, { respond: 'HTTP/1.1 302 X\r\ncontent-length: 0\r\n\r\n' }),
  ...[
    '',
    '/next',
    '//b.test/next',
    'next',
    'http://',
    'http:/next',
    'ftp://b.test/next',
    'https://b.test/next',
    'HTTP://b.test/next',
  ].map(location => followed(`to '${location}'`, {}, [to(location), ok])),
  ...[
    'http://b.test',
    'http://b.test?q',
    'http://b.test:81/next#f',
    'http://u:p@b.test/next',
    'http://[::1]:8080/next/../next',
    'http://b.test/next/%2e',
  ].map(location => followed(`to ${location}`, {}, [to(location), ok], everywhere({}))),
  followed('to no route', {}, to('http://b.test/nowhere')),
  followed('to a direct response', {}, [away, ok], {
    routes: [
      { match: { prefix: '/start' }, route: { cluster: '$lane', internal_redirect_policy: {} } },
      { name: 'direct', match: { prefix: '/next' }, direct_response: { status: 299, body: { inline_string: 'direct' } } },
    ],
  }),
  followed('to another cluster', {}, away, {
    routes: [
      { match: { prefix: '/start' }, route: { cluster: '$lane', internal_redirect_policy: {} } },
      { match: { prefix: '/next' }, route: { cluster: '$lane-b' } },
    ],
    secondUpstream: ok,
  }),
  followed('twice, allowed once', {}, [to('http://b.test/1'), to('http://b.test/2'), ok], everywhere({})),
  followed(
    'twice, allowed twice',
    {},
    [to('http://b.test/1', 302, '', 'moved'), to('http://b.test/2', 302, '', 'moved'), ok],
    everywhere({ max_internal_redirects: 2 }),
  ),
  followed('never', {}, to('http://b.test/1'), everywhere({ max_internal_redirects: 0 })),
  followed('where the second route follows none', {}, [away, to('http://b.test/start')]),
  followed('to another scheme', { allow_cross_scheme_redirect: true }, [to('https://b.test/next'), ok]),
  followed('to another scheme, safely', { allow_cross_scheme_redirect: true, predicates: [safe] }, to('https://b.test/next')),
  followed('to listed routes', { predicates: [listed('other', 'next')] }, [away, ok]),
  followed('to routes that are not listed', { predicates: [listed('other')] }, away),
  followed(
    'to a previous route',
    {},
    [to('http://b.test/1', 302, '', 'moved'), to('http://b.test/2', 302, '', 'moved'), ok],
    everywhere({ max_internal_redirects: 5, predicates: [previous] }),
  ),
  followed(
    'with headers of the response',
    { response_headers_to_copy: ['x-copied', 'x-absent', 'x-many'] },
    [to('http://b.test/next', 302, 'x-copied: new\r\nx-many: 1\r\nx-many: 2\r\nx-other: no\r\n'), ok],
    { send: get('/start', 'x-copied: old\r\nx-absent: old\r\nx-kept: old\r\n') },
  ),
  followed('after a rewrite', {}, [away, ok], {
    routes: [
      {
        match: { prefix: '/start' },
        route: { cluster: '$lane', internal_redirect_policy: {}, prefix_rewrite: '/begin', host_rewrite_literal: 'c.test' },
        request_headers_to_add: [{ header: { key: 'x-route', value: 'start' } }],
        response_headers_to_add: [{ header: { key: 'x-out', value: 'start' } }],
      },
      {
        match: { prefix: '/next' },
        route: { cluster: '$lane', prefix_rewrite: '/then' },
        request_headers_to_add: [{ header: { key: 'x-route', value: 'next' } }],
        response_headers_to_add: [{ header: { key: 'x-out', value: 'next %REQ(x-envoy-original-url)%' } }],
      },
    ],
  }),
  followed('before a retry', {}, [moved, { respond: 'HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n' }, ok], {
    routes: [
      { match: { prefix: '/start' }, route: { cluster: '$lane', internal_redirect_policy: {} } },
      { match: { prefix: '/next' }, route: { cluster: '$lane', retry_policy: { retry_on: '5xx' } } },
    ],
  }),
  followed(
    'after a retry',
    {},
    [{ respond: 'HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n' }, moved, ok],
    {},
    { retry_policy: { retry_on: '5xx' } },
  ),
  followed('on a connection that closes', {}, [away, ok], { send: get('/start', 'Connection: close\r\n') }),
  followed('and another request', {}, [moved, ok], { send: [get('/start'), get('/next'), get('/start')] }),
  followed('through a filter', {}, [away, ok], {
    filters: [
      {
        name: 'envoy.filters.http.fault',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault',
          abort: { http_status: 418, percentage: { numerator: 100 } },
          headers: [{ name: ':path', string_match: { prefix: '/next' } }],
        },
      },
    ],
  }),
  followed('with a host and a path that are normalized', {}, [to('http://b.test:81/next/../start/x'), ok], {
    manager: { strip_any_host_port: true },
    ...everywhere({}),
  }),
  followed('trusting the connection', {}, [away, ok], { manager: { use_remote_address: true } }),
];
