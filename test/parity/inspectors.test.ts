/** What a connection begins with decides on its filter chain: Envoy's inspectors and this proxy's choose alike. */
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import t from 'tap';
import { findEnvoy } from '../support/envoy-binary.ts';
import { ownCommand, startProxy } from '../support/proxy-process.ts';
import { readListenerPorts } from './comparison.ts';

const v3 = (name: string): string => `type.googleapis.com/envoy.extensions.filters.${name}`;
/** The chain of each of these protocols, and the one of everything else, has an upstream that answers with its number. */
const protocols = ['http/1.1', 'http/1.0', 'h2c', 'istio', 'h2', 'a.test'];
const upstreamCount = protocols.length + 1;

const methods = ['GET', 'POST', 'FOO', 'get', 'F%O', 'F{O', 'F@O', 'F(O', 'G-T', 'MSEARCH', 'QUERY', 'X', 'PRI', 'CONNECT', 'É'];
const targets = [
  '/',
  '*',
  '*x',
  'a',
  'http://a/',
  'ftp://a',
  'http:',
  'http://?a',
  'http://a{b',
  'a:80',
  '/é',
  '/a b',
  '/\x01',
  '/\x7f',
];
const versions = ['HTTP/1.1', 'HTTP/1.0', 'HTTP/1.2', 'HTTP/2.0', 'http/1.1', 'HTTP/1.', 'HTTP/11', 'HTTP/1.1 ', 'HTTP/1.1x', ''];
const texts = [
  ...methods.map(method => `${method} / HTTP/1.1\r\n`),
  ...[...targets, '', '/a\tb', '//', '?', '[::1]:80'].map(target => `GET ${target} HTTP/1.1\r\nhost: a\r\n\r\n`),
  ...versions.flatMap(version => [`GET / ${version}\r\n`, `GET / ${version}\n`]),
  ...['GET /\r\n', '\r\nGET / HTTP/1.1\r\n', ' GET / HTTP/1.1\r\n', 'GET\t/ HTTP/1.1\r\n', 'GET  /  HTTP/1.1\r\n'],
  ...[
    'hello\n',
    'hello world\r\n',
    'PING\r\n',
    '*1\r\n$4\r\nPING\r\n',
    'EHLO a.com\r\n',
    'SSH-2.0-OpenSSH_9\r\n',
    '\0\0\0\x10hello',
  ],
  ...[
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    'PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n',
    'PRIX / HTTP/1.1\r\n',
    '\x16\x03xxxx\n',
    '\x16\x03\x01\x00\x05hello',
  ],
  ...['GET / HTTP/1.1\r\n: x\r\n\r\n', `GET /${'a'.repeat(9000)} HTTP/1.1\r\n`],
];

/** The first flight of a TLS client. */
function recordHello(servername: string, alpn: readonly string[]): Promise<string> {
  return new Promise(resolve => {
    const server = createServer(socket => {
      socket.on('error', () => {});
      socket.once('data', data => {
        resolve(data.toString('latin1'));
        socket.destroy();
        server.close();
      });
    });
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      const ALPNProtocols = alpn.length === 0 ? undefined : [...alpn];
      connectTls({ port, host: '127.0.0.1', servername, ALPNProtocols }).on('error', () => {});
    });
  });
}

async function startUpstreams(): Promise<Server[]> {
  const servers = Array.from({ length: upstreamCount }, (_, index) =>
    createServer(socket => {
      socket.on('error', () => {});
      socket.on('data', () => socket.end(String(index)));
    }),
  );
  await Promise.all(servers.map(server => new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))));
  return servers;
}

function buildBootstrap(servers: readonly Server[]): object {
  const clusters = servers.map((server, index) => {
    const address = { socket_address: { address: '127.0.0.1', port_value: (server.address() as AddressInfo).port } };
    return {
      name: `upstream-${index}`,
      load_assignment: { cluster_name: `upstream-${index}`, endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }] },
    };
  });
  const chain = (index: number): object => ({
    name: `chain-${index}`,
    filters: [
      {
        name: 'tcp',
        typed_config: { '@type': v3('network.tcp_proxy.v3.TcpProxy'), stat_prefix: 'tcp', cluster: `upstream-${index}` },
      },
    ],
  });
  const matchOf = (name: string): object => (name === 'a.test' ? { server_names: [name] } : { application_protocols: [name] });
  const listener = {
    name: 'inspecting',
    address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
    listener_filters: ['tls_inspector', 'http_inspector'].map(name => ({
      name,
      typed_config: { '@type': v3(`listener.${name}.v3.${name === 'tls_inspector' ? 'TlsInspector' : 'HttpInspector'}`) },
    })),
    filter_chains: protocols.map((name, index) => ({ ...chain(index), filter_chain_match: matchOf(name) })),
    default_filter_chain: chain(protocols.length),
  };
  return { node: { id: 'inspectors', cluster: 'inspectors' }, static_resources: { listeners: [listener], clusters } };
}

/** The number of the upstream that answered. */
function ask(port: number, text: string): Promise<string> {
  return new Promise(resolve => {
    let answer = '';
    const socket = connect({ port, host: '127.0.0.1' });
    socket.on('data', data => {
      answer += data;
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(answer));
    socket.write(text, 'latin1');
  });
}

const envoy = findEnvoy();
const options = { skip: envoy === null && 'no Envoy binary (npm run mesh -- tools)', timeout: 120_000 };

t.test('inspectors', options, async t => {
  const folder = mkdtempSync(join(tmpdir(), 'inspectors-'));
  const servers = await startUpstreams();
  t.teardown(() => {
    for (const server of servers) server.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const hellos = new Map<string, string>();
  for (const name of ['a.test', 'A.TEST', 'b.test', '']) {
    for (const alpn of [[], ['h2'], ['istio', 'http/1.1'], ['foo']])
      hellos.set(`TLS ${name} ${alpn}`, await recordHello(name, alpn));
  }
  const inputs = [...texts.map(text => [JSON.stringify(text).slice(0, 80), text] as const), ...hellos];
  const run = async (name: string, command: { command: string; args?: string[] }): Promise<string[]> => {
    const proxy = await startProxy({ name, ...command, bootstrap: buildBootstrap(servers), folder });
    try {
      const port = (await readListenerPorts(proxy)).get('inspecting') as number;
      return await Promise.all(inputs.map(([, text]) => ask(port, text)));
    } finally {
      await proxy.stop();
    }
  };
  const expected = await run('envoy', { command: envoy as string });
  const actual = await run('own', ownCommand());
  for (const [index, [name]] of inputs.entries()) t.equal(actual[index], expected[index], name);
  t.ok(new Set(expected).size >= upstreamCount - 1, 'nearly every chain was chosen by something');
});
