/** gRPC: what the proxy answers by itself, deadlines, retries. */
import type { ServerHttp2Stream } from 'node:http2';
import { type Http2Case, type Http2Request, http2Cluster } from '../http2-case.ts';

const cluster = http2Cluster();
/** One message of five bytes. */
const message = '\0\0\0\0\x05hello';
const headers = { ':path': '/test.Echo/Say', 'content-type': 'application/grpc', te: 'trailers' };
const call: Http2Request = { headers, body: message };

function answer(stream: ServerHttp2Stream, status: string, text = 'because'): void {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': status, 'grpc-message': text }));
  stream.end(status === '0' ? message : undefined);
}

function answerAtOnce(stream: ServerHttp2Stream, status: string): void {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc', 'grpc-status': status }, { endStream: true });
}

function retryOn(retryOn: string): object {
  return { route: { cluster: '$lane', timeout: '2s', retry_policy: { retry_on: retryOn, num_retries: 2 } } };
}

const retried: readonly (readonly [string, string])[] = [
  ['cancelled', '1'],
  ['deadline-exceeded', '4'],
  ['resource-exhausted', '8'],
  ['internal', '13'],
  ['unavailable', '14'],
];

export const grpcCases: readonly Http2Case[] = [
  { name: 'gRPC: a call', requests: [call], cluster, upstream: stream => answer(stream, '0', '') },
  { name: 'gRPC: a call that fails', requests: [call], cluster, upstream: stream => answer(stream, '5') },
  { name: 'gRPC: a call that fails at once', requests: [call], cluster, upstream: stream => answerAtOnce(stream, '7') },
  {
    name: 'gRPC: many messages',
    requests: [{ headers, body: [message, message + message, message] }],
    cluster,
    upstream: stream => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.on('data', chunk => stream.write(chunk));
      stream.on('end', () => stream.end());
    },
  },
  { name: 'gRPC: no route', requests: [call], routes: [], cluster },
  {
    name: 'gRPC: a subtype of its content type',
    requests: [{ headers: { ...headers, 'content-type': 'application/grpc+proto' }, body: message }],
    routes: [],
    cluster,
  },
  {
    name: 'gRPC: another content type that begins alike',
    requests: [{ headers: { ...headers, 'content-type': 'application/grpc-web' }, body: message }],
    routes: [],
    cluster,
  },
  ...[400, 401, 403, 404, 408, 413, 429, 500, 501, 502, 503, 504].map(
    (status): Http2Case => ({
      name: `gRPC: a direct response ${status}`,
      requests: [call],
      routes: [{ match: { prefix: '/' }, direct_response: { status, body: { inline_string: 'no, "äh" %\n' } } }],
      cluster,
    }),
  ),
  { name: 'gRPC: an upstream that is not there', requests: [call], cluster, upstream: { http1: { absent: true } } },
  {
    name: 'gRPC: an upstream that does not answer',
    requests: [call],
    route: { route: { cluster: '$lane', timeout: '0.2s' } },
    cluster,
    until: /\[(end|reset)/,
    upstream: () => {},
  },
  {
    name: 'gRPC: a deadline of the client',
    requests: [{ headers: { ...headers, 'grpc-timeout': '200m' }, body: message }],
    route: { route: { cluster: '$lane', timeout: '0s', max_stream_duration: { grpc_timeout_header_max: '0s' } } },
    cluster,
    until: /\[(end|reset)/,
    upstream: () => {},
  },
  {
    name: 'gRPC: a deadline that the route limits',
    requests: [{ headers: { ...headers, 'grpc-timeout': '9S' }, body: message }],
    route: { route: { cluster: '$lane', max_grpc_timeout: '0.2s' } },
    cluster,
    until: /\[(end|reset)/,
    upstream: () => {},
  },
  {
    name: 'gRPC: an answer without status',
    requests: [call],
    cluster,
    upstream: stream => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
      stream.end(message);
    },
  },
  {
    name: 'gRPC: an answer that is no gRPC',
    requests: [call],
    cluster,
    upstream: stream => stream.respond({ ':status': 503 }, { endStream: true }),
  },
  ...retried.flatMap(([name, status]): Http2Case[] => [
    {
      name: `gRPC: ${name} is tried again`,
      requests: [call],
      route: retryOn(name),
      cluster,
      until: /\[(end|reset)/,
      upstream: (stream, _headers, count) => (count === 1 ? answerAtOnce(stream, status) : answer(stream, '0', '')),
    },
    {
      name: `gRPC: ${name} in trailers is not tried again`,
      requests: [call],
      route: retryOn(name),
      cluster,
      until: /\[(end|reset)/,
      upstream: stream => answer(stream, status),
    },
  ]),
  {
    name: 'gRPC: another status is not tried again',
    requests: [call],
    route: retryOn('unavailable'),
    cluster,
    upstream: stream => answerAtOnce(stream, '5'),
  },
  {
    name: 'gRPC: retries that the client asks for',
    requests: [{ headers: { ...headers, 'x-envoy-retry-grpc-on': 'unavailable', 'x-envoy-max-retries': '1' }, body: message }],
    cluster,
    until: /\[(end|reset)/,
    upstream: (stream, _headers, count) => (count === 1 ? answerAtOnce(stream, '14') : answer(stream, '0', '')),
  },
  {
    name: 'gRPC: too many requests for the circuit breaker',
    requests: [call, { ...call, together: true }],
    cluster: { ...cluster, circuit_breakers: { thresholds: [{ max_requests: 1 }] } },
    upstream: stream => {
      setTimeout(() => answer(stream, '0', ''), 50);
    },
    until: /\[end[\s\S]*\[end/,
  },
  {
    name: 'gRPC: a fault',
    requests: [call],
    filters: [
      {
        name: 'envoy.filters.http.fault',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault',
          abort: { http_status: 503, percentage: { numerator: 100 } },
        },
      },
    ],
    cluster,
  },
  {
    name: 'gRPC: from HTTP/1',
    requests: `POST /a HTTP/1.1\r\nhost: a.test\r\ncontent-type: application/grpc\r\ncontent-length: 10\r\n\r\n${message}`,
    cluster,
    until: /because/,
    upstream: stream => answerAtOnce(stream, '5'),
    routes: [{ match: { prefix: '/' }, direct_response: { status: 503, body: { inline_string: 'because' } } }],
  },
];
