/** Listeners of a Sidecar resource with ports and sockets of their own, as istiod's generators make them. */
import { createServer } from 'node:net';
import { connect } from 'node:tls';
import { send, until } from '../../connection-end.ts';
import { type Lane, pathOf, type TunnelCase } from '../exchange.ts';
import { fitResources } from '../recorded.ts';
import { pingPong } from './shared.ts';

const at = (port: number): object => ({ socket_address: { address: '127.0.0.1', port_value: port } });

/** One listener before its clusters. `recordedPort` is that of the clusters' endpoints. */
function shapeOf(listener: string, recordedPort: number, clusters: readonly string[]): Pick<TunnelCase, 'resources'> {
  const isSocket = listener.startsWith('unix:');
  return {
    resources: lane =>
      fitResources(
        {
          pod: 'shapes',
          listeners: [listener],
          clusters,
          addresses: ({ port }) => ({ [listener]: isSocket ? { pipe: { path: pathOf(lane, 'client') } } : at(port) }),
          // Chains of ingress name the port that they are bound to.
          ports: ({ port, upstreamPort }: Lane) => ({
            [recordedPort]: upstreamPort,
            ...(recordedPort > 19_000 && { [Number(listener.split('_')[1])]: port }),
          }),
          texts: ({ upstreamPort }) => ({
            ...(isSocket && { [`two.example.com:${upstreamPort}`]: 'two.example.com' }),
            '127.0.0.3': '127.0.0.1',
            '127.0.0.4': '127.0.0.1',
            '127.0.0.5': '127.0.0.1',
            '/tmp/shapes-app.sock': pathOf(lane, 'upstream'),
          }),
        },
        lane,
      ),
  };
}

/** What a TLS client says first. */
function recordHello(servername: string): Promise<string> {
  return new Promise(resolve => {
    const server = createServer(socket =>
      socket.once('data', data => {
        socket.destroy();
        server.close();
        resolve(data.toString('latin1'));
      }),
    ).listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      connect({ port, host: '127.0.0.1', servername, rejectUnauthorized: false }).on('error', () => {});
    });
  });
}

const get = (host: string): string => `GET /path HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`;
const answer = send('HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello');
const served = (host: string): Pick<TunnelCase, 'client' | 'upstream'> => ({
  client: [send(get(host)), until('hello'), until('end')],
  upstream: [until('GET /path'), answer],
});
/** Times and identifiers make what is received differ: the log says it all. */
const anyEnd = true as const;

/** Enough for inspectors to see that it is nothing they know. */
const plain = {
  client: [send('neither TLS nor HTTP\r\n'), until('pong'), 'fin', until('end')],
  upstream: [until('neither'), send('pong'), until('fin'), 'fin'],
} as const;

const tls = ['outbound|9443||one.example.com', 'outbound|9443||two.example.com'];
const http = ['outbound|9082||one.example.com', 'outbound|9082||two.example.com'];
const any = ['outbound|9999||unnamed.example.com'];

/** Bytes behind a hello that is passed on as it is. */
async function passTls(servername: string): Promise<Pick<TunnelCase, 'client' | 'upstream'>> {
  return {
    client: [send(await recordHello(servername)), until('pong'), 'fin', until('end')],
    upstream: [until('\x16'), send('pong'), until('fin'), 'fin'],
  };
}

export async function makeShapeCases(): Promise<readonly TunnelCase[]> {
  return [
    { name: 'egress of TCP', ...shapeOf('127.0.0.1_9306', 9306, ['outbound|9306||database.example.com']), ...pingPong },
    { name: 'egress of TLS, by name', ...shapeOf('127.0.0.1_9443', 9443, tls), ...(await passTls('one.example.com')), anyEnd },
    {
      name: 'egress of TLS, of another name',
      ...shapeOf('127.0.0.1_9443', 9443, tls),
      ...(await passTls('x.example.com')),
      anyEnd,
    },
    { name: 'egress of TLS that is none', ...shapeOf('127.0.0.1_9443', 9443, tls), ...plain },
    { name: 'egress of HTTP', ...shapeOf('127.0.0.1_9082', 9082, http), ...served('one.example.com'), anyEnd },
    {
      name: 'egress of HTTP to nobody known',
      ...shapeOf('127.0.0.1_9082', 9082, http),
      client: [send(get('x.example.com')), until('end')],
      anyEnd,
    },
    { name: 'egress of anything, HTTP', ...shapeOf('127.0.0.1_9999', 9999, any), ...served('unnamed.example.com'), anyEnd },
    { name: 'egress of anything, no HTTP', ...shapeOf('127.0.0.1_9999', 9999, any), ...plain },
    {
      name: 'egress by a Unix socket',
      ...shapeOf('unix:///tmp/shapes-egress.sock_0', 9082, http),
      ...served('two.example.com'),
      socket: 'client',
      anyEnd,
    },
    {
      name: 'ingress of HTTP to a Unix socket',
      ...shapeOf('127.0.0.1_19080', 19_080, ['inbound|19080||']),
      ...served('a'),
      socket: 'upstream',
      anyEnd,
    },
    { name: 'ingress of TCP', ...shapeOf('127.0.0.1_19081', 29_081, ['inbound|19081||']), ...pingPong },
    { name: 'ingress of anything, HTTP', ...shapeOf('127.0.0.1_19082', 29_082, ['inbound|19082||']), ...served('a'), anyEnd },
    { name: 'ingress of anything, no HTTP', ...shapeOf('127.0.0.1_19082', 29_082, ['inbound|19082||']), ...plain },
  ];
}
