/** gRPC-Web, binary and text, in front of a gRPC upstream. */
import type { OutgoingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { type Http2Case, http2Cluster } from '../http2-case.ts';

const filters = [
  {
    name: 'envoy.filters.http.grpc_web',
    typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.grpc_web.v3.GrpcWeb' },
  },
];
const cluster = http2Cluster();
const message = '\0\0\0\0\x05hello';
const text = Buffer.from(message, 'latin1').toString('base64');
const setting = { filters, cluster };

function answer(stream: ServerHttp2Stream): void {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', 'grpc-message': 'fine', 'X-More': 'm' }));
  stream.write(Buffer.from(message, 'latin1'));
  stream.end(Buffer.from(message, 'latin1'));
}

function request(type: string, accept = type): OutgoingHttpHeaders {
  return { ':path': '/test.Echo/Say', 'content-type': type, accept };
}

function http1(type: string, body: string): string {
  return `POST /test.Echo/Say HTTP/1.1\r\nhost: a.test\r\ncontent-type: ${type}\r\naccept: ${type}\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
}

const types: readonly (readonly [string, string])[] = [
  ['application/grpc-web', message],
  ['application/grpc-web+proto', message],
  ['application/grpc-web-text', text],
  ['application/grpc-web-text+proto', text],
];

export const grpcWebCases: readonly Http2Case[] = [
  ...types.flatMap(([type, body]): Http2Case[] => [
    {
      name: `gRPC-Web: ${type}`,
      requests: [{ headers: request(type), body }],
      ...setting,
      until: /\[(end|reset)/,
      upstream: answer,
    },
    { name: `gRPC-Web: ${type} over HTTP/1`, requests: http1(type, body), ...setting, until: /\r\n0\r\n\r\n/, upstream: answer },
  ]),
  {
    name: 'gRPC-Web: text is asked for, text is not accepted',
    requests: [{ headers: request('application/grpc-web-text', '*/*'), body: text }],
    ...setting,
    until: /\[(end|reset)/,
    upstream: answer,
  },
  {
    name: 'gRPC-Web: text in pieces that are no multiple of four',
    requests: [{ headers: request('application/grpc-web-text'), body: [text.slice(0, 3), text.slice(3, 9), text.slice(9)] }],
    ...setting,
    until: /\[(end|reset)/,
    upstream: stream => {
      stream.on('end', () => answer(stream));
    },
  },
  {
    name: 'gRPC-Web: text that is cut short',
    requests: [{ headers: request('application/grpc-web-text'), body: text.slice(0, 9) }],
    ...setting,
    until: /\[(end|reset)/,
  },
  {
    name: 'gRPC-Web: text that is no base64',
    requests: [{ headers: request('application/grpc-web-text'), body: '????' }],
    ...setting,
    until: /\[(end|reset)/,
  },
  {
    name: 'gRPC-Web: a status without body',
    requests: [{ headers: request('application/grpc-web'), body: message }],
    ...setting,
    until: /\[(end|reset)/,
    upstream: stream => {
      stream.respond(
        { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '5', 'grpc-message': 'gone' },
        { endStream: true },
      );
    },
  },
  {
    name: 'gRPC-Web: an answer that is no gRPC',
    requests: [{ headers: request('application/grpc-web'), body: message }],
    ...setting,
    until: /\[(end|reset)/,
    upstream: stream => {
      stream.respond({ ':status': 503, 'content-type': 'text/plain' });
      stream.end('over "there"');
    },
  },
  {
    name: 'gRPC-Web: no route',
    requests: [{ headers: request('application/grpc-web-text'), body: text }],
    ...setting,
    routes: [],
  },
  {
    name: 'gRPC-Web: other requests pass',
    requests: [
      { headers: { 'content-type': 'text/plain' }, body: 'hello' },
      { headers: { 'content-type': 'application/grpc' }, body: message },
    ],
    ...setting,
    upstream: answer,
  },
];
