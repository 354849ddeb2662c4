/** HTTP/2 at both ends. */
import { constants } from 'node:http2';
import { exceptProtocolErrors, type Http2Case, http2Cluster } from '../http2-case.ts';

const cluster = http2Cluster();
const megabyte = 'm'.repeat(1024 * 1024);

export const forwardingCases: readonly Http2Case[] = [
  { name: 'a request without body', requests: [{}], cluster },
  { name: 'two requests on one connection', requests: [{}, { headers: { ':path': '/two' } }], cluster },
  { name: 'two requests at once', requests: [{}, { headers: { ':path': '/two' }, together: true }], cluster },
  { name: 'a body of unknown length', requests: [{ body: 'hello' }], cluster },
  { name: 'a body in pieces', requests: [{ body: ['hello ', 'world'] }], cluster },
  { name: 'a body with its length', requests: [{ headers: { 'content-length': '5' }, body: 'hello' }], cluster },
  { name: 'an empty body with its length', requests: [{ headers: { 'content-length': '0' }, body: '' }], cluster },
  { name: 'a HEAD request', requests: [{ headers: { ':method': 'HEAD' } }], cluster },
  { name: 'an OPTIONS request for the server', requests: [{ headers: { ':method': 'OPTIONS', ':path': '*' } }], cluster },
  { name: 'a method that nobody knows', requests: [{ headers: { ':method': 'BREW' } }], cluster },
  { name: 'another scheme', requests: [{ headers: { ':scheme': 'https' } }], cluster },
  {
    name: 'a path that is normalized',
    requests: [{ headers: { ':path': '/a/./b/../c?d=%20' } }],
    cluster,
  },
  { name: 'a path with a fragment', requests: [{ headers: { ':path': '/a#b' } }], cluster },
  {
    name: 'repeated headers and cookies',
    requests: [{ headers: { cookie: ['a=1', 'b=2'], 'x-many': ['1', '2'], 'x-empty': '', te: 'trailers' } }],
    cluster,
    upstream: stream => {
      stream.respond({ ':status': 200, 'set-cookie': ['c=1', 'd=2'], 'x-many': ['3', '4'], 'x-empty': '' });
      stream.end('ok');
    },
  },
  {
    name: 'who the client is',
    requests: [{ headers: { 'x-forwarded-for': '1.2.3.4', 'user-agent': 'u', 'x-request-id': 'mine' } }],
    manager: { use_remote_address: true, server_name: 'here', via: 'v' },
    cluster,
  },
  {
    name: 'trailers of request and response',
    requests: [{ headers: { te: 'trailers' }, body: 'hello', trailers: { 'x-end': 'request' } }],
    cluster,
    upstream: stream => {
      stream.respond({ ':status': 200 }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-end': 'response' }));
      stream.end('ok');
    },
  },
  {
    name: 'trailers without body',
    requests: [{ trailers: { 'x-end': 'request' } }],
    cluster,
    upstream: stream => {
      stream.respond({ ':status': 200 }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-end': 'response' }));
      stream.end();
    },
  },
  ...[204, 304, 404, 500].map(
    (status): Http2Case => ({
      name: `a response ${status} without body`,
      requests: [{}],
      cluster,
      upstream: stream => stream.respond({ ':status': status }, { endStream: true }),
    }),
  ),
  {
    name: 'a response with its length',
    requests: [{}],
    cluster,
    upstream: stream => {
      stream.respond({ ':status': 200, 'content-length': 2, server: 'theirs', date: 'Tue, 01 Jan 2030 00:00:00 GMT' });
      stream.end('ok');
    },
  },
  {
    name: 'early hints',
    requests: [{}],
    cluster,
    upstream: stream => {
      stream.additionalHeaders({ ':status': 103, link: '</a>' });
      stream.respond({ ':status': 200 }, { endStream: true });
    },
  },
  { name: 'a client that expects 100', requests: [{ headers: { expect: '100-continue' }, body: 'hello' }], cluster },
  {
    name: 'an upstream that is asked for 100',
    requests: [{ headers: { expect: '100-continue' }, body: 'hello' }],
    manager: { proxy_100_continue: true },
    cluster,
    upstream: stream => {
      stream.additionalHeaders({ ':status': 100 });
      stream.respond({ ':status': 200 }, { endStream: true });
    },
  },
  {
    name: 'a megabyte each way',
    requests: [{ body: megabyte }],
    cluster,
    until: /\[end\]/,
    upstream: stream => {
      stream.on('end', () => {
        stream.respond({ ':status': 200 });
        stream.end(megabyte);
      });
    },
  },
  {
    name: 'headers that are too large',
    requests: [{ headers: { 'x-large': 'l'.repeat(61 * 1024) } }],
    cluster,
  },
  {
    name: 'headers that are too many',
    requests: [{ headers: Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`x-${i}`, ''])) }, {}],
    cluster,
  },
  {
    name: 'a response before the request has ended',
    requests: [{ body: 'hello', open: true }, {}],
    cluster,
  },
  {
    name: 'a host that is changed, a header that is added',
    requests: [{}],
    route: {
      route: { cluster: '$lane', host_rewrite_literal: 'other' },
      request_headers_to_add: [{ header: { key: 'x-protocol', value: '%PROTOCOL%' } }],
      response_headers_to_add: [{ header: { key: 'x-upstream', value: '%UPSTREAM_PROTOCOL%' } }],
    },
    cluster,
  },
  {
    name: 'more streams at once than the upstream admits',
    requests: [{}, { together: true }, { together: true }],
    cluster: http2Cluster({ max_concurrent_streams: 1 }),
    until: /\[end\][\s\S]*\[end\][\s\S]*\[end\]/,
    upstream: stream => {
      setTimeout(() => {
        stream.respond({ ':status': 200 });
        stream.end('ok');
      }, 50);
    },
  },
  {
    name: 'the last request of a connection',
    requests: [{}, {}, {}],
    manager: { common_http_protocol_options: { max_requests_per_connection: 2 }, drain_timeout: '0.3s' },
    cluster,
    until: /\[closed\]/,
  },
  {
    name: 'a connection that was idle too long',
    requests: [{}],
    manager: { common_http_protocol_options: { idle_timeout: '0.2s' }, drain_timeout: '0.2s' },
    cluster,
    until: /\[closed\]/,
  },
  {
    name: 'a connection that lasted too long',
    requests: [{}],
    manager: { common_http_protocol_options: { max_connection_duration: '0.2s' }, drain_timeout: '0.2s' },
    cluster,
    until: /\[closed\]/,
  },
  {
    name: 'an upstream connection of one request',
    stats: exceptProtocolErrors,
    requests: [{}, {}],
    cluster: http2Cluster({}, { common_http_protocol_options: { max_requests_per_connection: 1 } }),
  },
  {
    name: 'a stream that lasts too long',
    requests: [{}],
    cluster: http2Cluster({}, { common_http_protocol_options: { max_stream_duration: '0.2s' } }),
    until: /\[(end|reset)/,
    upstream: () => {},
  },
  { name: 'a route that there is not', requests: [{}, { body: 'hello' }], routes: [], cluster },
  { name: 'a direct response', requests: [{}, { headers: { ':method': 'HEAD' } }], routes: [direct('/', 200, 'hello')], cluster },
  {
    name: 'a redirect',
    requests: [{ body: 'hello' }],
    routes: [{ match: { prefix: '/' }, redirect: { path_redirect: '/there' } }],
    cluster,
  },
  ...resetCases(),
];

function direct(prefix: string, status: number, text: string): object {
  return { match: { prefix }, direct_response: { status, body: { inline_string: text } } };
}

/** Ends that are not the end of a message. */
function resetCases(): Http2Case[] {
  const codes = {
    NO_ERROR: constants.NGHTTP2_NO_ERROR,
    PROTOCOL_ERROR: constants.NGHTTP2_PROTOCOL_ERROR,
    INTERNAL_ERROR: constants.NGHTTP2_INTERNAL_ERROR,
    REFUSED_STREAM: constants.NGHTTP2_REFUSED_STREAM,
    CANCEL: constants.NGHTTP2_CANCEL,
  };
  return [
    ...Object.entries(codes).map(
      ([name, code]): Http2Case => ({
        name: `an upstream that resets with ${name}`,
        requests: [{}],
        cluster,
        until: /\[(end|reset)/,
        upstream: stream => stream.close(code),
      }),
    ),
    ...Object.entries(codes).map(
      ([name, code]): Http2Case => ({
        name: `an upstream that resets a response with ${name}`,
        requests: [{}],
        cluster,
        until: /\[(end|reset)/,
        upstream: stream => {
          stream.respond({ ':status': 200 });
          stream.write('half');
          setTimeout(() => stream.close(code), 30);
        },
      }),
    ),
    ...Object.entries(codes).map(
      ([name, code]): Http2Case => ({
        name: `a client that resets with ${name}`,
        requests: [{ body: 'half', open: true, reset: code }, {}],
        cluster,
        upstream: (stream, _headers, count) => {
          if (count > 1) stream.respond({ ':status': 200 }, { endStream: true });
        },
      }),
    ),
    {
      name: 'a stream that is refused and tried again',
      requests: [{}],
      route: { route: { cluster: '$lane', timeout: '2s', retry_policy: { retry_on: 'refused-stream', num_retries: 2 } } },
      cluster,
      until: /\[(end|reset)/,
      upstream: (stream, _headers, count) => {
        if (count === 1) stream.close(constants.NGHTTP2_REFUSED_STREAM);
        else stream.respond({ ':status': 200 }, { endStream: true });
      },
    },
    {
      name: 'a response that is tried again',
      requests: [{ body: 'hello', trailers: { 'x-end': 'request' } }],
      route: { route: { cluster: '$lane', timeout: '2s', retry_policy: { retry_on: '5xx', num_retries: 2 } } },
      cluster,
      until: /\[(end|reset)/,
      upstream: (stream, _headers, count) => stream.respond({ ':status': count === 1 ? 503 : 200 }, { endStream: true }),
    },
    {
      name: 'an upstream that says GOAWAY',
      stats: exceptProtocolErrors,
      requests: [{}, {}],
      cluster,
      upstream: stream => {
        stream.session?.goaway(0);
        stream.respond({ ':status': 200 }, { endStream: true });
      },
    },
    {
      name: 'an upstream connection that ends',
      requests: [{}],
      cluster,
      until: /\[(end|reset)/,
      upstream: stream => stream.session?.destroy(),
    },
    {
      name: 'an upstream connection that ends during a response',
      requests: [{}],
      cluster,
      until: /\[(end|reset)/,
      upstream: stream => {
        stream.respond({ ':status': 200 });
        stream.write('half');
        setTimeout(() => stream.session?.destroy(), 30);
      },
    },
    {
      name: 'an upstream that does not answer',
      requests: [{}],
      cluster,
      until: /\[(end|reset)/,
      route: { route: { cluster: '$lane', timeout: '0.2s' } },
      upstream: () => {},
    },
    {
      name: 'an upstream that is not there',
      requests: [{}],
      cluster,
      until: /\[(end|reset)/,
      upstream: { http1: { absent: true } },
    },
    {
      name: 'a stream that is idle too long',
      requests: [{ body: 'half', open: true }],
      manager: { stream_idle_timeout: '0.2s' },
      cluster,
      until: /\[(end|reset)/,
      upstream: () => {},
    },
  ];
}
