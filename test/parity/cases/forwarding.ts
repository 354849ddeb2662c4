/** Retries, timeouts, mirrors, circuit breakers, tunnels: what the router does with an upstream. */
import type { ParityCase, UpstreamBehaviour } from '../parity-case.ts';

const get = (path = '/', headers = '') => `GET ${path} HTTP/1.1\r\nHost: a.test\r\n${headers}\r\n`;
const post = (body: string, headers = '') =>
  `POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${body.length}\r\n${headers}\r\n${body}`;
const reply = (status: number, headers = '', body = 'ok'): UpstreamBehaviour => ({
  respond: `HTTP/1.1 ${status} X\r\n${headers}content-length: ${body.length}\r\n\r\n${body}`,
});
const ok = reply(200);
const close: UpstreamBehaviour = { closeAfterHead: true };
const reset: UpstreamBehaviour = { resetAfterHead: true };
const absent: UpstreamBehaviour = { absent: true };
const hang: UpstreamBehaviour = { hang: true };
const quick = { base_interval: '0.001s', max_interval: '0.005s' };
const retried = (
  name: string,
  retry_on: string,
  upstream: ParityCase['upstream'],
  {
    send = get(),
    policy = {},
    route = {},
    virtualHost = {},
  }: { send?: ParityCase['send']; policy?: object; route?: object; virtualHost?: object } = {},
): ParityCase => ({
  name: `retry: ${name}`,
  send,
  upstream,
  virtualHost,
  routes: [
    {
      match: { prefix: '/' },
      route: {
        cluster: '$lane',
        timeout: '20s',
        retry_policy: { retry_on, num_retries: 2, retry_back_off: quick, ...policy },
        ...route,
      },
    },
  ],
});
const grpc = 'Content-Type: application/grpc\r\n';
const breakers = (thresholds: object) => ({ circuit_breakers: { thresholds: [thresholds] } });
const websocket = 'Connection: Upgrade\r\nUpgrade: websocket\r\n';
const switching = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';
const connectRoute = (config: object = {}) => ({
  routes: [
    {
      match: { connect_matcher: {} },
      route: { cluster: '$lane', upgrade_configs: [{ upgrade_type: 'CONNECT', ...config }] },
    },
  ],
});

export const forwarding: readonly ParityCase[] = [
  retried('5xx that becomes 200', '5xx', [reply(500), reply(503), ok]),
  retried('5xx to the end', '5xx', reply(503)),
  retried('5xx of a POST', '5xx', [reply(500), ok], { send: post('hello') }),
  retried('5xx of a chunked POST', '5xx', [reply(500), ok], {
    send: 'POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  }),
  retried('gateway error, not 500', 'gateway-error', [reply(502), reply(500)]),
  retried('retriable 4xx', 'retriable-4xx', [reply(409), reply(404)]),
  retried('status codes', 'retriable-status-codes', [reply(418), reply(200)], { policy: { retriable_status_codes: [418] } }),
  retried('headers', 'retriable-headers', [reply(200, 'x-again: yes\r\n'), reply(200)], {
    policy: { retriable_headers: [{ name: 'x-again', present_match: true }] },
  }),
  retried('rate limited', 'envoy-ratelimited', [reply(429, 'x-envoy-ratelimited: 1\r\n'), reply(200)]),
  retried('rate limited is not 5xx', '5xx', [reply(503, 'x-envoy-ratelimited: 1\r\n')]),
  retried('reset', 'reset', [close, reset, ok]),
  retried('reset to the end', 'reset', close),
  retried('reset before the request', 'reset-before-request', close),
  retried('connect failure', 'connect-failure', absent),
  retried('connect failure does not cover resets', 'connect-failure', reset),
  retried(
    'connect failure, default of Istio',
    'connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes',
    absent,
    {
      policy: { retriable_status_codes: [503] },
    },
  ),
  retried(
    'gRPC unavailable',
    'unavailable',
    [reply(200, `${grpc}grpc-status: 14\r\n`, ''), reply(200, `${grpc}grpc-status: 0\r\n`, '')],
    {
      send: post('', grpc),
    },
  ),
  retried('not asked for', 'gateway-error', reply(500)),
  retried('only of GET', '5xx', reply(500), {
    send: post('x'),
    policy: { retriable_request_headers: [{ name: ':method', string_match: { exact: 'GET' } }] },
  }),
  retried('of the virtual host', '5xx', [reply(500), ok], {
    route: { retry_policy: undefined },
    virtualHost: { retry_policy: { retry_on: '5xx', retry_back_off: quick } },
  }),
  retried('attempts counted in the response', '5xx', [reply(500), ok], {
    virtualHost: { include_attempt_count_in_response: true },
  }),
  retried('answer begun is never repeated', '5xx,reset', {
    respond: ['HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n', 'half'],
    thenClose: true,
  }),
  retried('dead reused connection', 'reset', [ok, close, ok], { send: [get('/one'), get('/two')] }),
  retried(
    'connection closed while idle',
    'reset',
    { respond: 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok', thenClose: true },
    {
      send: [get('/one'), get('/two')],
    },
  ),
  retried('per try timeout', '5xx', [hang, ok], { policy: { per_try_timeout: '0.6s' } }),
  retried('per try timeout to the end', '5xx', hang, { policy: { per_try_timeout: '0.5s', num_retries: 1 } }),
  retried('per try timeout without retry', 'connect-failure', hang, { policy: { per_try_timeout: '0.5s' } }),
  retried('per try idle timeout', '5xx', hang, { policy: { per_try_idle_timeout: '0.5s', num_retries: 1 } }),
  {
    name: 'retry: asked for by headers',
    send: get('/', 'x-envoy-retry-on: 5xx\r\nx-envoy-max-retries: 3\r\n'),
    manager: { use_remote_address: false },
    upstream: [reply(500), reply(500), reply(500), ok],
  },
  { name: 'timeout: of the route', send: get(), upstream: hang, route: { route: { cluster: '$lane', timeout: '0.6s' } } },
  {
    name: 'timeout: asked for by a header',
    send: get('/', 'x-envoy-upstream-rq-timeout-ms: 600\r\n'),
    upstream: hang,
  },
  {
    name: 'timeout: alternative answer',
    send: get('/', 'x-envoy-upstream-rq-timeout-ms: 600\r\nx-envoy-upstream-rq-timeout-alt-response: 1\r\n'),
    upstream: hang,
  },
  {
    name: 'timeout: after the answer began',
    send: get(),
    upstream: { respond: 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf' },
    route: { route: { cluster: '$lane', timeout: '0.9s' } },
    until: /never/,
  },
  {
    name: 'timeout: gRPC',
    send: post('', `${grpc}grpc-timeout: 600m\r\n`),
    upstream: hang,
    route: { route: { cluster: '$lane', max_stream_duration: { grpc_timeout_header_max: '5s' } } },
  },
  {
    name: 'timeout: stream duration of the route',
    send: get(),
    upstream: hang,
    route: { route: { cluster: '$lane', max_stream_duration: { max_stream_duration: '0.6s' } } },
  },
  {
    name: 'timeout: stream duration of the route, answer begun',
    send: get(),
    upstream: { respond: 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf' },
    route: { route: { cluster: '$lane', max_stream_duration: { max_stream_duration: '0.5s' } } },
    until: /never/,
  },
  {
    name: 'timeout: stream duration of the manager',
    send: get(),
    upstream: hang,
    manager: { common_http_protocol_options: { max_stream_duration: '0.6s' } },
    route: { route: { cluster: '$lane', timeout: '0s' } },
  },
  {
    name: 'timeout: stream duration of the cluster',
    send: get(),
    upstream: hang,
    cluster: {
      typed_extension_protocol_options: {
        'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
          '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
          common_http_protocol_options: { max_stream_duration: '0.6s' },
          explicit_http_config: { http_protocol_options: {} },
        },
      },
    },
  },
  {
    name: 'timeout: idle stream',
    send: get(),
    upstream: hang,
    manager: { stream_idle_timeout: '0.6s' },
    route: { route: { cluster: '$lane', timeout: '0s' } },
  },
  {
    name: 'timeout: idle stream whose request is not complete',
    send: 'POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhe',
    upstream: hang,
    manager: { stream_idle_timeout: '0.6s' },
  },
  {
    name: 'timeout: idle stream of the route',
    send: get(),
    upstream: hang,
    route: { route: { cluster: '$lane', timeout: '0s', idle_timeout: '0.6s' } },
  },
  {
    name: 'timeout: request',
    send: 'POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhe',
    manager: { request_timeout: '0.6s' },
    upstream: hang,
  },
  {
    name: 'timeout: request headers',
    send: 'GET / HTTP/1.1\r\nHo',
    manager: { request_headers_timeout: '0.6s' },
    until: /./,
  },
  {
    name: 'timeout: idle connection',
    send: get(),
    manager: { common_http_protocol_options: { idle_timeout: '0.6s' } },
    until: /never/,
  },
  {
    name: 'timeout: duration of a connection',
    send: get(),
    manager: { common_http_protocol_options: { max_connection_duration: '0.6s' } },
    until: /never/,
  },
  {
    name: 'timeout: duration of a connection with a request',
    send: get(),
    upstream: hang,
    manager: { common_http_protocol_options: { max_connection_duration: '0.5s' } },
    route: { route: { cluster: '$lane', timeout: '0.9s' } },
    until: /never/,
  },
  {
    name: 'mirror',
    send: post('hello', 'x-a: 1\r\n'),
    routes: [
      {
        match: { prefix: '/' },
        route: { cluster: '$lane', request_mirror_policies: [{ cluster: '$lane-b' }] },
        request_headers_to_add: [{ header: { key: 'x-edited', value: '1' } }],
      },
    ],
    secondUpstream: reply(500, '', 'unseen'),
  },
  {
    name: 'mirror of a GET, keeping the host',
    send: get('/mirrored?x'),
    routes: [
      {
        match: { prefix: '/' },
        route: {
          cluster: '$lane',
          prefix_rewrite: '/rewritten/',
          request_mirror_policies: [{ cluster: '$lane-b', disable_shadow_host_suffix_append: true }],
        },
      },
    ],
    secondUpstream: reply(200),
  },
  {
    name: 'mirror that is down',
    send: get(),
    routes: [{ match: { prefix: '/' }, route: { cluster: '$lane', request_mirror_policies: [{ cluster: '$lane-b' }] } }],
    secondUpstream: absent,
  },
  { name: 'overflow: pending requests', send: get(), cluster: breakers({ max_pending_requests: 0 }) },
  { name: 'overflow: requests', send: get(), cluster: breakers({ max_requests: 0 }) },
  { name: 'overflow: connections', send: get(), cluster: breakers({ max_connections: 0 }) },
  {
    ...retried('overflow', '5xx', [reply(500), ok]),
    cluster: breakers({ max_retries: 0 }),
  },
  { name: 'tunnel: early bytes of both sides', send: `${get('/', websocket)}early`, upstream: { respond: `${switching}soon` } },
  {
    name: 'tunnel: in both directions',
    send: [get('/', websocket), 'one', 'two'],
    upstream: { respond: [switching, 'eins', 'zwei'] },
  },
  {
    name: 'tunnel: the upstream ends it',
    send: [get('/', websocket), 'one'],
    upstream: { respond: [switching, 'bye'], thenClose: true },
  },
  {
    name: 'tunnel: the client ends it',
    send: [get('/', websocket), 'one'],
    upstream: { respond: switching },
    halfClose: true,
  },
  {
    name: 'tunnel: refused with a body, then another request',
    send: [get('/', websocket), get('/after')],
    upstream: [reply(403, '', 'no'), ok],
  },
  {
    name: 'tunnel: disabled on the route',
    send: get('/', websocket),
    routes: [
      { match: { prefix: '/' }, route: { cluster: '$lane', upgrade_configs: [{ upgrade_type: 'websocket', enabled: false }] } },
    ],
  },
  {
    name: 'tunnel: enabled on the route only',
    send: [get('/', websocket), 'ping'],
    upstream: { respond: [switching, 'pong'] },
    manager: { upgrade_configs: [] },
    routes: [{ match: { prefix: '/' }, route: { cluster: '$lane', upgrade_configs: [{ upgrade_type: 'websocket' }] } }],
  },
  {
    name: 'tunnel: upstream does not answer',
    send: get('/', websocket),
    upstream: close,
  },
  {
    name: 'CONNECT: forwarded',
    send: ['CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n', 'ping'],
    upstream: { respond: ['HTTP/1.1 200 OK\r\n\r\n', 'pong'] },
    ...connectRoute(),
  },
  {
    name: 'CONNECT: refused by the upstream',
    send: 'CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n',
    upstream: reply(403, '', 'no'),
    ...connectRoute(),
  },
  {
    name: 'continue: asked of the upstream, which refuses',
    send: ['POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n'],
    manager: { proxy_100_continue: true },
    upstream: reply(417, '', 'no'),
  },
  {
    name: 'early answer, while the request goes on',
    send: ['POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhello', 'world'],
    upstream: reply(200),
  },
  {
    name: 'early answer with connection close',
    send: 'POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhello',
    upstream: { respond: 'HTTP/1.1 413 X\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno', thenClose: true },
  },
  {
    name: 'trailers of both sides',
    send: 'POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-T: 1\r\n\r\n',
    upstream: { respond: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-U: 2\r\n\r\n' },
    manager: { http_protocol_options: { enable_trailers: true } },
    cluster: {
      typed_extension_protocol_options: {
        'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
          '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
          explicit_http_config: { http_protocol_options: { enable_trailers: true } },
        },
      },
    },
  },
  {
    name: 'headers, case preserved',
    send: get('/', 'X-CamelCase: V\r\nx-lower: v\r\n'),
    upstream: { respond: 'HTTP/1.1 200 OK\r\nX-UpStream: V\r\nContent-Length: 2\r\n\r\nok' },
    manager: {
      http_protocol_options: {
        header_key_format: {
          stateful_formatter: {
            name: 'preserve_case',
            typed_config: {
              '@type': 'type.googleapis.com/envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig',
            },
          },
        },
      },
    },
    cluster: {
      typed_extension_protocol_options: {
        'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
          '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
          explicit_http_config: {
            http_protocol_options: {
              header_key_format: {
                stateful_formatter: {
                  name: 'preserve_case',
                  typed_config: {
                    '@type':
                      'type.googleapis.com/envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig',
                  },
                },
              },
            },
          },
        },
      },
    },
  },
  {
    name: 'body beyond the retry buffer',
    // Envoy buffers what it writes, if only for a moment: with a limit this low that alone pauses the other side.
    stats: /^(?!.*(_bytes_total|flow_control_\w+): )/,
    send: [post('x'.repeat(120))],
    listener: { per_connection_buffer_limit_bytes: 100 },
    upstream: [reply(500), ok],
    routes: [
      {
        match: { prefix: '/' },
        route: { cluster: '$lane', retry_policy: { retry_on: '5xx', retry_back_off: quick } },
      },
    ],
  },
  {
    name: 'absent upstream and a big body',
    send: post('x'.repeat(120)),
    listener: { per_connection_buffer_limit_bytes: 100 },
    upstream: absent,
  },
  {
    name: 'upstream of HTTP/2 only',
    send: get(),
    cluster: {
      typed_extension_protocol_options: {
        'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
          '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
          explicit_http_config: { http2_protocol_options: {} },
        },
      },
    },
    upstream: { respond: '' },
    differs: 'HTTP/2 is not spoken to upstreams yet: the request is answered with 503',
  },
];
