/** CONNECT that ends here, is passed on, or is refused. */
import { send, until } from '../../connection-end.ts';
import type { TunnelCase } from '../exchange.ts';
import { cluster, connectionManager, connectRoute, listener } from '../resources.ts';
import { get, textAnswer } from './shared.ts';

const request = 'CONNECT target:80 HTTP/1.1\r\nhost: target:80\r\n\r\n';

/** The manager that ends CONNECT, listening where the client connects. */
function terminating(connect: object | null = {}, action: object = {}): TunnelCase['resources'] {
  return ({ name, port, upstreamPort, log }) => ({
    listeners: [listener(name, port, [connectionManager(name, log, { routes: [connectRoute(name, connect, action)] })])],
    clusters: [cluster(name, upstreamPort)],
  });
}

export const terminationCases: readonly TunnelCase[] = [
  {
    name: 'CONNECT of HTTP/1.1 ends at a TCP upstream, the client ends first',
    resources: terminating(),
    client: [send(request), until('200 OK'), send('ping'), until('pong'), 'fin', until('end')],
    upstream: [until('ping'), send('pong'), until('fin'), 'fin'],
    stats: /cluster\.|http\./,
  },
  {
    name: 'the upstream ends first',
    resources: terminating(),
    client: [send(request), until('200 OK'), until('bye'), until('end')],
    upstream: [send('bye'), 'fin', until('end')],
    stats: /cluster\.|http\./,
  },
  {
    name: 'the upstream resets',
    resources: terminating(),
    client: [send(request), until('200 OK'), send('x'), until('end')],
    upstream: [until('x'), 'reset'],
    stats: /cluster\.|http\./,
  },
  {
    name: 'the client resets',
    resources: terminating(),
    client: [send(request), until('200 OK'), send('x'), until('y'), 'reset'],
    upstream: [until('x'), send('y'), until('end')],
  },
  {
    name: 'the upstream refuses',
    resources: terminating(),
    client: [send(request), until('503')],
    refused: true,
    stats: /cluster\./,
  },
  {
    name: 'bytes right behind the request',
    resources: terminating(),
    client: [send(`${request}early`), until('late'), 'fin', until('end')],
    upstream: [until('early'), send('late'), until('fin'), 'fin'],
  },
  {
    name: 'a PROXY header before the payload',
    resources: terminating({ proxy_protocol_config: { version: 'V1' } }),
    client: [send(request), until('200 OK'), send('ping'), until('pong'), 'fin', until('end')],
    upstream: [until('ping'), send('pong'), until('fin'), 'fin'],
  },
  {
    name: 'CONNECT is passed on where it is not ended',
    resources: terminating(null, { upgrade_configs: [{ upgrade_type: 'CONNECT' }] }),
    client: [send(request), until('200 OK'), send('ping'), until('pong'), 'fin', until('end')],
    upstream: [until('CONNECT'), send('HTTP/1.1 200 OK\r\n\r\n'), until('ping'), send('pong'), until('fin'), 'fin'],
  },
  {
    name: 'the route forbids it',
    resources: terminating(null, { upgrade_configs: [{ upgrade_type: 'CONNECT', enabled: false }] }),
    client: [send(request), until('403')],
  },
  {
    name: 'POST in the place of CONNECT',
    resources: ({ name, port, upstreamPort, log }) => {
      const upgrade = { upgrade_type: 'CONNECT', connect_config: { allow_post: true } };
      const route = { match: { prefix: '/' }, route: { cluster: name, upgrade_configs: [upgrade] } };
      return {
        listeners: [listener(name, port, [connectionManager(name, log, { routes: [route] })])],
        clusters: [cluster(name, upstreamPort)],
      };
    },
    client: [
      send('POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n4\r\nping\r\n'),
      until('pong'),
      send('0\r\n\r\n'),
      until('0\r\n\r\n'),
    ],
    upstream: [until('ping'), send('pong'), until('fin'), 'fin'],
  },
];

const masque =
  'GET /.well-known/masque/udp/1.2.3.4/53/ HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: connect-udp\r\n\r\n';
/** A manager with these routes. */
const managing =
  (overrides: object, ...routes: object[]): TunnelCase['resources'] =>
  ({ name, port, upstreamPort, log }) => ({
    listeners: [listener(name, port, [connectionManager(name, log, { routes, overrides })])],
    clusters: [cluster(name, upstreamPort)],
  });

export const refusedCases: readonly TunnelCase[] = [
  { name: 'CONNECT without a route of its own', resources: managing({}, textAnswer), client: [send(request), until('\r\n\r\n')] },
  {
    name: 'CONNECT without the upgrade',
    resources: managing({ upgrade_configs: [] }, textAnswer),
    client: [send(request), until('\r\n\r\n')],
  },
  {
    name: 'CONNECT that the manager forbids',
    resources: managing({ upgrade_configs: [{ upgrade_type: 'CONNECT', enabled: false }] }, connectRoute('none')),
    client: [send(request), until('\r\n\r\n')],
  },
  {
    name: 'CONNECT to a cluster that is not there',
    resources: managing({}, connectRoute('none')),
    client: [send(request), until('\r\n\r\n')],
  },
  {
    name: 'GET where only CONNECT has a route',
    resources: managing({}, connectRoute('none')),
    client: [send(get), until('\r\n\r\n')],
  },
  {
    name: 'CONNECT by header',
    resources: ({ name, ...lane }) => {
      const { match, ...route } = connectRoute(name) as { match: object };
      const headers = [{ name: 'x-a', string_match: { exact: 'b' } }];
      return managing({}, { match: { ...match, headers }, ...route })({ name, ...lane });
    },
    client: [send(request), until('\r\n\r\n')],
  },
  // The authority that it is logged with is Envoy's reading of the path.
  { name: 'CONNECT-UDP', resources: managing({}, textAnswer), client: [send(masque), until('\r\n\r\n')], log: /never/ },
  {
    name: 'CONNECT with a length',
    resources: managing({}, connectRoute('none')),
    client: [send('CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\ncontent-length: 4\r\n\r\nabcd'), until('\r\n\r\n')],
  },
  {
    name: 'CONNECT with a path',
    resources: managing({}, connectRoute('none')),
    client: [send('CONNECT /path HTTP/1.1\r\nhost: a:1\r\n\r\n'), until('\r\n\r\n')],
  },
  {
    name: 'CONNECT without a port',
    resources: managing({}, connectRoute('none')),
    client: [send('CONNECT a HTTP/1.1\r\nhost: a\r\n\r\n'), until('\r\n\r\n')],
  },
];
