/** CONNECT, and upgrades that are one protocol's and the other's. */
import type { ServerHttp2Stream } from 'node:http2';
import { type Http2Case, http2Cluster } from '../http2-case.ts';

const accepted = 'HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\nhi there';
const webSocket = { ':method': 'CONNECT', ':protocol': 'websocket', ':scheme': 'http', ':path': '/chat' };
const connect = { ':method': 'CONNECT', ':authority': 'a.test:80', ':path': undefined, ':scheme': undefined };
const allowed = { http2_protocol_options: { allow_connect: true }, upgrade_configs: [{ upgrade_type: 'websocket' }] };
const upgrade = 'GET /chat HTTP/1.1\r\nhost: a.test\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n';
const connectRoute = [{ match: { connect_matcher: {} }, route: { cluster: '$lane' } }];

function echo(stream: ServerHttp2Stream): void {
  stream.respond({ ':status': 200 });
  stream.on('data', chunk => stream.write(chunk));
  stream.on('end', () => stream.end());
}

export const upgradeCases: readonly Http2Case[] = [
  {
    name: 'a WebSocket to HTTP/1',
    requests: [{ headers: webSocket, body: ['ping', 'pong'], open: true }],
    manager: allowed,
    upstream: { http1: { respond: accepted } },
  },
  {
    name: 'a WebSocket to HTTP/1 that is refused',
    requests: [{ headers: webSocket, open: true }],
    manager: allowed,
    upstream: { http1: { respond: 'HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno' } },
  },
  {
    name: 'a WebSocket to HTTP/2',
    requests: [{ headers: webSocket, body: ['ping', 'pong'], open: true }],
    manager: allowed,
    cluster: http2Cluster({ allow_connect: true }),
    upstreamSettings: { enableConnectProtocol: true },
    upstream: echo,
  },
  {
    name: 'a WebSocket from HTTP/1',
    requests: upgrade,
    cluster: http2Cluster({ allow_connect: true }),
    upstreamSettings: { enableConnectProtocol: true },
    until: /hi/,
    upstream: stream => {
      stream.respond({ ':status': 200 });
      stream.write('hi');
    },
  },
  {
    name: 'a WebSocket from HTTP/1 that is refused',
    requests: upgrade,
    cluster: http2Cluster({ allow_connect: true }),
    upstreamSettings: { enableConnectProtocol: true },
    until: /403/,
    upstream: stream => stream.respond({ ':status': 403 }, { endStream: true }),
  },
  {
    name: 'a WebSocket for which there is no upgrade',
    requests: [{ headers: webSocket, open: true }, {}],
    manager: { ...allowed, upgrade_configs: [] },
    cluster: http2Cluster(),
  },
  {
    name: 'CONNECT',
    requests: [{ headers: connect, body: ['ping', 'pong'] }],
    manager: { ...allowed, upgrade_configs: [{ upgrade_type: 'CONNECT' }] },
    routes: connectRoute,
    cluster: http2Cluster({ allow_connect: true }),
    upstream: echo,
  },
  {
    name: 'CONNECT without route',
    requests: [{ headers: connect, open: true }, {}],
    manager: { ...allowed, upgrade_configs: [{ upgrade_type: 'CONNECT' }] },
    cluster: http2Cluster(),
  },
  {
    name: 'CONNECT for which there is no upgrade',
    requests: [{ headers: connect, open: true }, {}],
    manager: allowed,
    routes: connectRoute,
    cluster: http2Cluster(),
  },
  {
    name: 'CONNECT to an upstream that is not there',
    requests: [{ headers: connect, open: true }, {}],
    manager: { ...allowed, upgrade_configs: [{ upgrade_type: 'CONNECT' }] },
    routes: connectRoute,
    cluster: http2Cluster(),
    upstream: { http1: { absent: true } },
  },
];
