/** What the connection manager reads, writes and removes in request headers. */
import type { ParityCase } from '../parity-case.ts';

const get = (headers: string, path = '/') => `GET ${path} HTTP/1.1\r\nHost: a.test\r\n${headers}\r\n`;
const edge = { use_remote_address: true };
const normalized = { normalize_path: true };
const id = '12345678-1234-4234-8234-123456789abc';

export const requestHeaders: readonly ParityCase[] = [
  { name: 'plain', send: get('') },
  { name: 'names in mixed case', send: get('X-Mixed-CASE: Value\r\n') },
  { name: 'repeated names', send: get('X-A: 1\r\nX-A: 2\r\nCookie: a\r\nCookie: b\r\n') },
  { name: 'x-request-id kept', send: get(`X-Request-Id: ${id}\r\n`) },
  { name: 'x-request-id kept that is no UUID', send: get('X-Request-Id: mine\r\n') },
  { name: 'x-forwarded-proto without a value', send: get('X-Forwarded-Proto:\r\n') },
  { name: 'x-forwarded-proto of another scheme', send: get('X-Forwarded-Proto: ftp\r\n') },
  { name: 'x-request-id without a value', send: get('X-Request-Id:\r\n') },
  { name: 'x-request-id at the edge', send: get(`X-Request-Id: mine\r\n`), manager: edge },
  { name: 'x-forwarded-for kept', send: get('X-Forwarded-For: 1.2.3.4\r\n') },
  { name: 'x-forwarded-for internal', send: get('X-Forwarded-For: 10.0.0.1\r\n') },
  { name: 'x-forwarded-for of two', send: get('X-Forwarded-For: 10.0.0.1, 10.0.0.2\r\n') },
  { name: 'x-forwarded-for at the edge', send: get('X-Forwarded-For: 1.2.3.4\r\n'), manager: edge },
  {
    name: 'x-forwarded-for with a trusted hop',
    send: get('X-Forwarded-For: 1.2.3.4, 5.6.7.8\r\n'),
    manager: { use_remote_address: true, xff_num_trusted_hops: 1 },
  },
  {
    name: 'x-forwarded-for not appended',
    send: get('X-Forwarded-For: 1.2.3.4\r\n'),
    manager: { use_remote_address: true, skip_xff_append: true },
  },
  { name: 'x-forwarded-proto kept', send: get('X-Forwarded-Proto: https\r\n') },
  { name: 'x-forwarded-proto of another kind', send: get('X-Forwarded-Proto: ftp\r\n') },
  { name: 'x-forwarded-proto at the edge', send: get('X-Forwarded-Proto: https\r\n'), manager: edge },
  { name: 'x-forwarded-port', send: get(''), manager: { use_remote_address: true, append_x_forwarded_port: true } },
  {
    name: 'x-envoy headers of an internal request',
    send: get(
      'X-Envoy-Retry-On: 5xx\r\nX-Envoy-Max-Retries: 1\r\nX-Envoy-Upstream-Rq-Timeout-Ms: 100\r\nX-Envoy-Internal: true\r\n' +
        'X-Envoy-Decorator-Operation: op\r\nX-Envoy-External-Address: 1.1.1.1\r\nX-Envoy-Force-Trace: true\r\n',
    ),
  },
  {
    name: 'x-envoy headers of an external request',
    send: get(
      'X-Forwarded-For: 1.2.3.4\r\nX-Envoy-Retry-On: 5xx\r\nX-Envoy-Max-Retries: 1\r\nX-Envoy-Upstream-Rq-Timeout-Ms: 100\r\n' +
        'X-Envoy-Internal: true\r\nX-Envoy-Decorator-Operation: op\r\nX-Envoy-External-Address: 1.1.1.1\r\n' +
        'X-Envoy-Downstream-Service-Cluster: c\r\nX-Envoy-Downstream-Service-Node: n\r\nX-Envoy-Ip-Tags: t\r\nX-Envoy-Hedge-On-Per-Try-Timeout: 1\r\n',
    ),
  },
  {
    name: 'x-envoy headers at the edge',
    send: get(
      'X-Forwarded-For: 1.2.3.4\r\nX-Envoy-Retry-On: 5xx\r\nX-Envoy-Internal: true\r\nX-Envoy-Downstream-Service-Node: n\r\n',
    ),
    manager: { ...edge, internal_address_config: { cidr_ranges: [{ address_prefix: '192.168.0.0', prefix_len: 16 }] } },
  },
  { name: 'x-forwarded-client-cert sanitized', send: get('X-Forwarded-Client-Cert: By=x\r\n') },
  {
    name: 'x-forwarded-client-cert always forwarded',
    send: get('X-Forwarded-Client-Cert: By=x\r\n'),
    manager: { forward_client_cert_details: 'ALWAYS_FORWARD_ONLY' },
  },
  { name: 'x-forwarded-host', send: get('X-Forwarded-Host: b.test\r\n') },
  { name: 'user-agent and referer', send: get('User-Agent: ua\r\nReferer: http://r.test/\r\n') },
  { name: 'referer that is no URL', send: get('Referer: nonsense\r\n') },
  { name: 'via', send: get('Via: 1.1 other\r\n'), manager: { via: 'me' } },
  { name: 'server name', send: get(''), manager: { server_name: 'mine' } },
  {
    name: 'server appended if absent',
    send: get(''),
    manager: { server_header_transformation: 'APPEND_IF_ABSENT' },
    upstream: { respond: 'HTTP/1.1 200 OK\r\nserver: up\r\ncontent-length: 2\r\n\r\nok' },
  },
  {
    name: 'server passed through',
    send: get(''),
    manager: { server_header_transformation: 'PASS_THROUGH' },
    upstream: { respond: 'HTTP/1.1 200 OK\r\nserver: up\r\ncontent-length: 2\r\n\r\nok' },
  },
  {
    name: 'request id in the response',
    send: get(`X-Request-Id: ${id}\r\n`),
    manager: { always_set_request_id_in_response: true },
  },
  { name: 'no request id generated', send: get(''), manager: { generate_request_id: false } },
  { name: 'dots in the path', send: get('', '/a/./b/../c'), manager: normalized },
  { name: 'dots above the root', send: get('', '/../../x'), manager: normalized },
  { name: 'encoded dots in the path', send: get('', '/a/%2e%2E/c'), manager: normalized },
  { name: 'encoded slash', send: get('', '/a%2Fb%5cc'), manager: normalized },
  { name: 'encoded letters', send: get('', '/%61%7e%20%zz?%61'), manager: normalized },
  { name: 'backslash in the path', send: get('', '/a\\b\\..\\c'), manager: normalized },
  { name: 'high byte in a normalized path', send: get('', '/\xe4x'), manager: normalized },
  { name: 'odd bytes in a normalized path', send: get('', '/"<>[]{}|^`'), manager: normalized },
  { name: 'encoded NUL', send: get('', '/a%00b'), manager: normalized },
  { name: 'two slashes', send: get('', '//a//b/?c//d'), manager: normalized },
  { name: 'two slashes merged', send: get('', '//a//b/?c//d'), manager: { ...normalized, merge_slashes: true } },
  { name: 'query kept while normalizing', send: get('', '/a/../b?x=/../y'), manager: normalized },
  { name: 'trailing dot segment', send: get('', '/a/b/..'), manager: normalized },
  {
    name: 'encoded slash rejected',
    send: get('', '/a%2Fb'),
    manager: { ...normalized, path_with_escaped_slashes_action: 'REJECT_REQUEST' },
  },
  {
    name: 'encoded slash redirected',
    send: get('', '/a%2Fb%5Cc?x=%2f'),
    manager: { ...normalized, path_with_escaped_slashes_action: 'UNESCAPE_AND_REDIRECT' },
  },
  {
    name: 'encoded slash unescaped',
    send: get('', '/a%2F..%5Cc?x=%2f'),
    manager: { ...normalized, path_with_escaped_slashes_action: 'UNESCAPE_AND_FORWARD' },
  },
  { name: 'fragment', send: get('', '/a#b?c') },
  {
    name: 'underscore rejected',
    send: get('A_b: x\r\n'),
    manager: { common_http_protocol_options: { headers_with_underscores_action: 'REJECT_REQUEST' } },
  },
  {
    name: 'underscore dropped',
    send: get('A_b: x\r\nc: d\r\n'),
    manager: { common_http_protocol_options: { headers_with_underscores_action: 'DROP_HEADER' } },
  },
  {
    name: 'any port stripped',
    send: 'GET / HTTP/1.1\r\nHost: a.test:1234\r\n\r\n',
    manager: { strip_any_host_port: true },
  },
  {
    name: 'trailing dot stripped',
    send: 'GET / HTTP/1.1\r\nHost: a.test.:80\r\n\r\n',
    manager: { strip_trailing_host_dot: true },
  },
  {
    name: 'header count limit',
    send: get('a: b\r\nc: d\r\n'),
    manager: { common_http_protocol_options: { max_headers_count: 2 } },
  },
  { name: 'header size limit', send: get(`a: ${'b'.repeat(2000)}\r\n`), manager: { max_request_headers_kb: 1 } },
  {
    name: 'one request per connection',
    send: get('').repeat(2),
    manager: { common_http_protocol_options: { max_requests_per_connection: 1 } },
  },
  { name: 'no route', send: 'GET /none HTTP/1.1\r\nHost: none.test\r\n\r\n' },
  {
    name: 'no route for gRPC',
    send: 'POST /none HTTP/1.1\r\nHost: none.test\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n',
  },
];
