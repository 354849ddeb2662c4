/** HTTP/2 at one end, HTTP/1 at the other. */
import { type Http2Case, http2Cluster } from '../http2-case.ts';

const cluster = http2Cluster();
const ok = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';
const followDownstream = http2Cluster(
  {},
  {
    explicit_http_config: undefined,
    use_downstream_protocol_config: { http_protocol_options: {}, http2_protocol_options: {} },
  },
);

function get(headers = '', path = '/'): string {
  return `GET ${path} HTTP/1.1\r\nhost: a.test\r\n${headers}\r\n`;
}

const toHttp1: readonly Http2Case[] = [
  { name: 'to HTTP/1: a request without body', requests: [{}], upstream: { http1: { respond: ok } } },
  {
    name: 'to HTTP/1: a body of unknown length',
    requests: [{ body: 'hello' }],
    upstream: { http1: { respond: ok } },
  },
  {
    name: 'to HTTP/1: a body with its length',
    requests: [{ headers: { 'content-length': '5' }, body: 'hello' }],
    upstream: { http1: { respond: ok } },
  },
  {
    name: 'to HTTP/1: cookies, te and hosts',
    requests: [{ headers: { cookie: ['a=1', 'b=2'], te: 'trailers', 'x-many': ['1', '2'] } }],
    upstream: { http1: { respond: 'HTTP/1.1 200 OK\r\nset-cookie: a\r\nset-cookie: b\r\ncontent-length: 0\r\n\r\n' } },
  },
  {
    name: 'to HTTP/1: trailers',
    requests: [{ body: 'hello', trailers: { 'x-end': 'request' } }],
    upstream: {
      http1: { respond: 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-end: response\r\n\r\n' },
    },
  },
  {
    name: 'to HTTP/1: trailers where they are enabled',
    requests: [{ body: 'hello', trailers: { 'x-end': 'request' } }],
    cluster: http2Cluster({}, { explicit_http_config: { http_protocol_options: { enable_trailers: true } } }),
    upstream: {
      http1: { respond: 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-end: response\r\n\r\n' },
    },
  },
  {
    name: 'to HTTP/1: a response that ends with its connection',
    requests: [{}],
    upstream: { http1: { respond: 'HTTP/1.1 200 OK\r\n\r\nok', thenClose: true } },
  },
  {
    name: 'to HTTP/1: a response that breaks off',
    requests: [{}],
    upstream: { http1: { respond: 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok', thenClose: true } },
  },
  {
    name: 'to HTTP/1: hop by hop headers of the response',
    requests: [{}],
    upstream: {
      http1: { respond: 'HTTP/1.1 200 OK\r\nconnection: close\r\nkeep-alive: 1\r\ncontent-length: 2\r\n\r\nok', thenClose: true },
    },
  },
  { name: 'to HTTP/1: HEAD', requests: [{ headers: { ':method': 'HEAD' } }], upstream: { http1: { respond: ok } } },
  {
    name: 'to HTTP/1: the interim response is dropped',
    requests: [{}],
    upstream: { http1: { respond: `HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n${ok}` } },
  },
  {
    name: 'to HTTP/1: malformed response',
    requests: [{}],
    upstream: { http1: { respond: 'what\r\n\r\n' } },
  },
  { name: 'to HTTP/1: closed without response', requests: [{}], upstream: { http1: { closeAfterHead: true } } },
  { name: 'to HTTP/1: two streams at once', requests: [{}, { together: true }], upstream: { http1: { respond: ok } } },
  {
    name: 'to HTTP/1: as the downstream, which is HTTP/1',
    requests: get(),
    cluster: followDownstream,
    upstream: { http1: { respond: ok } },
    until: /ok/,
  },
];

const toHttp2: readonly Http2Case[] = [
  { name: 'from HTTP/1: a request without body', requests: get(), cluster, until: /ok|503/ },
  { name: 'from HTTP/1: two requests', requests: get() + get('', '/two'), cluster, until: /ok[\s\S]*ok|503/ },
  {
    name: 'from HTTP/1: a body with its length',
    requests: 'POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 5\r\n\r\nhello',
    cluster,
    until: /ok|503/,
  },
  {
    name: 'from HTTP/1: a chunked body',
    requests: 'POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
    cluster,
    until: /ok|503/,
  },
  {
    name: 'from HTTP/1: headers of the connection',
    requests: get(
      'connection: keep-alive, x-mine\r\nx-mine: 1\r\nkeep-alive: 5\r\nte: gzip, trailers\r\nproxy-connection: a\r\n',
    ),
    cluster,
    until: /ok|503/,
  },
  { name: 'from HTTP/1: te that is not for trailers', requests: get('te: gzip\r\n'), cluster, until: /ok|503/ },
  { name: 'from HTTP/1: the last request', requests: get('connection: close\r\n'), cluster, until: /closed/ },
  { name: 'from HTTP/1: HEAD', requests: 'HEAD / HTTP/1.1\r\nhost: a.test\r\n\r\n', cluster, until: /200/ },
  {
    name: 'from HTTP/1: trailers of the response',
    requests: get('te: trailers\r\n'),
    cluster,
    until: /ok|503/,
    upstream: stream => {
      stream.respond({ ':status': 200 }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-end': 'response' }));
      stream.end('ok');
    },
  },
  {
    name: 'from HTTP/1: trailers where they are enabled',
    requests: 'POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-end: request\r\n\r\n',
    manager: { http_protocol_options: { enable_trailers: true } },
    cluster,
    until: /ok|503/,
    upstream: stream => {
      stream.respond({ ':status': 200 }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-end': 'response' }));
      stream.end('ok');
    },
  },
  {
    name: 'from HTTP/1: cookies that are repeated',
    requests: get('cookie: a=1\r\ncookie: b=2\r\n'),
    cluster,
    until: /ok|503/,
  },
  {
    name: 'from HTTP/1: a response that is reset',
    requests: get(),
    cluster,
    until: /closed/,
    upstream: stream => {
      stream.respond({ ':status': 200 });
      stream.write('half');
      setTimeout(() => stream.close(2), 30);
    },
  },
  {
    name: 'from HTTP/1: no content',
    requests: get(),
    cluster,
    until: /204|503/,
    upstream: stream => stream.respond({ ':status': 204 }, { endStream: true }),
  },
  {
    name: 'from HTTP/2: as the downstream, which is HTTP/2',
    requests: [{}],
    cluster: followDownstream,
  },
];

export const bridgingCases: readonly Http2Case[] = [...toHttp1, ...toHttp2];
