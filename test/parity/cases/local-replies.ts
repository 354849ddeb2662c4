/** Local replies that the configuration rewrites: mappers, formats, content types. */
import type { ParityCase } from '../parity-case.ts';

const get = (path = '/', headers = '') => `GET ${path} HTTP/1.1\r\nHost: a.test\r\n${headers}\r\n`;
const grpc = 'POST / HTTP/1.1\r\nHost: a.test\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n';
const status = (op: string, value: number) => ({
  status_code_filter: { comparison: { op, value: { default_value: value, runtime_key: 'none' } } },
});
const any = status('GE', 100);
const add = (key: string, value: string, append_action = 'OVERWRITE_IF_EXISTS_OR_ADD') => ({
  header: { key, value },
  append_action,
});
const text = (inline_string: string, content_type?: string) => ({ text_format_source: { inline_string }, content_type });
const json = {
  json_format: { code: '%RESPONSE_CODE%', body: '%LOCAL_REPLY_BODY%', path: '%REQ(:path)%', flags: '%RESPONSE_FLAGS%' },
};

/** Nothing listens behind the route: the answer is a 503 with a body, UF and details. */
function rewritten(name: string, local_reply_config: object, parts: Partial<ParityCase> = {}): ParityCase {
  const upstream = { absent: true } as const;
  return {
    name: `local reply: ${name}`,
    send: get('/p?q'),
    upstream,
    ...parts,
    manager: { local_reply_config, ...parts.manager },
  };
}

const direct = (response: object) => ({ routes: [{ match: { prefix: '/' }, direct_response: response }] });

export const localReplies: readonly ParityCase[] = [
  rewritten('nothing configured', {}),
  rewritten('text', {
    body_format: text('%LOCAL_REPLY_BODY%|%RESPONSE_CODE%|%REQ(:path)%|%REQ(x-none)%|%RESPONSE_CODE_DETAILS%\n'),
  }),
  rewritten('text with a type', { body_format: text('<p>%LOCAL_REPLY_BODY%</p>', 'text/html; charset=UTF-8') }),
  rewritten('constant text', { body_format: text('sorry') }),
  rewritten('empty text', { body_format: text('%REQ(x-none)%', 'text/x-never') }),
  rewritten('JSON', { body_format: json }),
  rewritten('JSON with a type', { body_format: { ...json, content_type: 'application/problem+json' } }),
  rewritten('JSON for gRPC', { body_format: json }, { send: grpc }),
  rewritten('text for gRPC', { body_format: text('100%% é %LOCAL_REPLY_BODY%\n') }, { send: grpc }),
  rewritten('JSON for HEAD', { body_format: json }, { send: 'HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n' }),
  rewritten('empty values left out', { body_format: { json_format: { a: '%REQ(x-none)%', b: 'b' }, omit_empty_values: true } }),
  rewritten('status', { mappers: [{ filter: status('EQ', 503), status_code: 404 }], body_format: text('%RESPONSE_CODE%') }),
  rewritten('status for gRPC', { mappers: [{ filter: status('EQ', 503), status_code: 404 }] }, { send: grpc }),
  rewritten('body', { mappers: [{ filter: any, body: { inline_string: 'nötig' } }], body_format: text('[%LOCAL_REPLY_BODY%]') }),
  rewritten('body alone', { mappers: [{ filter: any, body: { inline_string: 'other' } }] }),
  rewritten('no body any more', { mappers: [{ filter: any, body: { inline_string: '' } }] }),
  rewritten('first mapper that fits', {
    mappers: [
      { filter: status('EQ', 404), body: { inline_string: 'first' } },
      { filter: status('GE', 500), body: { inline_string: 'second' }, body_format_override: text('2: %LOCAL_REPLY_BODY%') },
      { filter: any, body: { inline_string: 'third' }, status_code: 200 },
    ],
    body_format: json,
  }),
  rewritten('JSON of one mapper', { mappers: [{ filter: any, body_format_override: json }], body_format: text('never') }),
  rewritten('no mapper fits', { mappers: [{ filter: status('LE', 403), status_code: 200 }] }),
  rewritten('response flag', { mappers: [{ filter: { response_flag_filter: { flags: ['UF'] } }, status_code: 502 }] }),
  rewritten('other response flag', { mappers: [{ filter: { response_flag_filter: { flags: ['NR'] } }, status_code: 502 }] }),
  rewritten(
    'and, or, header',
    {
      mappers: [
        {
          filter: {
            and_filter: {
              filters: [
                { header_filter: { header: { name: 'x-a', string_match: { exact: '1' } } } },
                { or_filter: { filters: [status('EQ', 400), { response_flag_filter: {} }] } },
              ],
            },
          },
          body: { inline_string: 'both' },
        },
      ],
    },
    { send: [get('/', 'x-a: 1\r\n'), get('/', 'x-a: 2\r\n')] },
  ),
  rewritten('headers', {
    mappers: [
      {
        filter: any,
        headers_to_add: [add('x-code', '%RESPONSE_CODE%'), add('x-path', '%REQ(:path)%', 'APPEND_IF_EXISTS_OR_ADD')],
        status_code: 599,
      },
    ],
  }),
  rewritten('content type of headers', {
    mappers: [{ filter: any, headers_to_add: [add('content-type', 'text/x-own')], body: { inline_string: '<own>' } }],
  }),
  rewritten('content type of headers, body unchanged', {
    mappers: [{ filter: any, headers_to_add: [add('content-type', 'text/x-own')] }],
  }),
  rewritten('direct response', { body_format: json }, direct({ status: 403, body: { inline_string: 'no' } })),
  rewritten('direct response without a body', { body_format: json }, direct({ status: 200 })),
  rewritten(
    'body for a status that has none',
    { body_format: json },
    {
      ...direct({ status: 204 }),
      differs: 'a 204 has no body: its bytes would be read as the next response',
    },
  ),
  rewritten(
    'direct response, type from the route',
    { body_format: json },
    {
      routes: [
        {
          match: { prefix: '/' },
          direct_response: { status: 200, body: { inline_string: 'x' } },
          response_headers_to_add: [add('content-type', 'text/x-route')],
        },
      ],
    },
  ),
  rewritten(
    'no route',
    { mappers: [{ filter: { response_flag_filter: { flags: ['NR'] } }, status_code: 410 }], body_format: json },
    {
      routes: [{ match: { path: '/other' }, direct_response: { status: 200 } }],
    },
  ),
  rewritten(
    'redirect',
    { mappers: [{ filter: status('EQ', 301), status_code: 302 }], body_format: json },
    {
      routes: [{ match: { prefix: '/' }, redirect: { path_redirect: '/new' } }],
    },
  ),
  rewritten(
    'request that breaks the protocol',
    { mappers: [{ filter: status('EQ', 400), status_code: 418 }], body_format: json },
    {
      send: 'GET / HTTP/1.1\r\nHost: a.test\r\nBad Header: 1\r\n\r\n',
    },
  ),
  rewritten('no host', { body_format: json }, { send: 'GET / HTTP/1.1\r\n\r\n' }),
  rewritten('CEL', {
    mappers: [
      {
        filter: {
          extension_filter: {
            name: 'cel',
            typed_config: {
              '@type': 'type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter',
              expression: 'response.code >= 500 && request.path == "/p?q"',
            },
          },
        },
        status_code: 555,
      },
    ],
  }),
  rewritten(
    'answer of the upstream',
    { mappers: [{ filter: any, status_code: 500 }], body_format: json },
    {
      upstream: { respond: 'HTTP/1.1 503 X\r\ncontent-length: 4\r\n\r\nmine' },
    },
  ),
];
