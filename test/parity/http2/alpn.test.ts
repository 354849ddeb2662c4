/** Which version is spoken over TLS, by what both ends offer: through Envoy and this proxy. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect as connectHttp2, createServer as createHttp2Server } from 'node:http2';
import { createServer as createHttp1Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, createServer, type Server, type TLSSocket } from 'node:tls';
import t from 'tap';
import { makeCertificates } from '../../integration/static-bootstrap.ts';
import type { Lane } from '../bootstrap.ts';
import { type CaseExchange, compareExchanges } from '../comparison.ts';
import type { Seen } from '../exchange.ts';
import type { LaneConfiguration } from '../parity-case.ts';
import type { Probe } from '../probe.ts';
import { http2Cluster } from './http2-case.ts';

interface AlpnCase extends LaneConfiguration {
  readonly name: string;
  /** What the client offers. */
  readonly client: readonly string[];
  /** What the upstream knows, its first choice first. */
  readonly server: readonly string[];
  /** Which counters of the lane must have moved alike; default: all. */
  readonly stats?: RegExp;
}

const folder = mkdtempSync(join(tmpdir(), 'alpn-'));
t.teardown(() => rmSync(folder, { recursive: true }));
const files = makeCertificates(folder);
const certificate = { key: readFileSync(files.key), cert: readFileSync(files.certificate) };
const typeUrl = (name: string): string => `type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.${name}`;

const downstreamTls = (alpn: readonly string[]): object => ({
  transport_socket: {
    name: 'tls',
    typed_config: {
      '@type': typeUrl('DownstreamTlsContext'),
      common_tls_context: {
        alpn_protocols: alpn,
        tls_certificates: [{ certificate_chain: { filename: files.certificate }, private_key: { filename: files.key } }],
      },
    },
  },
});

const upstreamTls = (alpn: readonly string[] = []): object => ({
  transport_socket: {
    name: 'tls',
    typed_config: {
      '@type': typeUrl('UpstreamTlsContext'),
      common_tls_context: { alpn_protocols: alpn },
    },
  },
});

const clusters = {
  'HTTP/1': {},
  'HTTP/2': http2Cluster(),
  'by ALPN': http2Cluster({}, { explicit_http_config: undefined, auto_config: {} }),
  'as the client': http2Cluster(
    {},
    { explicit_http_config: undefined, use_downstream_protocol_config: { http2_protocol_options: {} } },
  ),
};

const both = ['h2', 'http/1.1'];
/** Envoy counts a connection whose version ALPN decides once before and once behind its handshake. */
const exceptConnections = /^(?!.*(_bytes_total|upstream_cx_total): |.*\.ssl\.(sigalgs|ciphers|curves)\.)/;
const cases: readonly AlpnCase[] = [
  ...[both, ['http/1.1', 'h2'], ['h2'], ['http/1.1'], ['istio-h2', 'istio', 'h2'], ['istio'], []].map(
    (client): AlpnCase => ({
      name: `a client that offers ${client.join() || 'nothing'}`,
      client,
      server: both,
      filterChain: downstreamTls(both),
      cluster: { ...clusters['as the client'], ...upstreamTls() },
    }),
  ),
  ...Object.entries(clusters).flatMap(([name, cluster]) =>
    [both, ['http/1.1'], []].map(
      (server): AlpnCase => ({
        name: `a cluster of ${name}, a server that knows ${server.join() || 'no ALPN'}`,
        client: ['h2'],
        server,
        filterChain: downstreamTls(both),
        cluster: { ...cluster, ...upstreamTls() },
        ...(name === 'by ALPN' ? { stats: exceptConnections } : {}),
      }),
    ),
  ),
  {
    name: 'a cluster by ALPN that says what it offers',
    stats: exceptConnections,
    client: ['http/1.1'],
    server: both,
    filterChain: downstreamTls(both),
    cluster: { ...clusters['by ALPN'], ...upstreamTls(['http/1.1']) },
  },
];

class AlpnExchange implements CaseExchange {
  readonly #case: AlpnCase;
  readonly #server: Server;
  readonly #seen: string[] = [];
  readonly #sockets = new Set<TLSSocket>();

  constructor(alpnCase: AlpnCase) {
    const http1 = createHttp1Server((request, response) => {
      this.#seen.push(`HTTP/${request.httpVersion}`);
      response.end('ok');
    });
    const http2 = createHttp2Server((request, response) => {
      this.#seen.push(`HTTP/${request.httpVersion}`);
      response.end('ok');
    });
    this.#case = alpnCase;
    this.#server = createServer({
      ...certificate,
      ALPNCallback: ({ protocols }) => {
        this.#seen.push(`offered ${protocols.join()}`);
        return alpnCase.server.find(name => protocols.includes(name));
      },
    });
    this.#server.on('secureConnection', socket => {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      (socket.alpnProtocol === 'h2' ? http2 : http1).emit('connection', socket);
    });
    this.#server.on('tlsClientError', () => this.#seen.push('handshake failed'));
  }

  async openLane(logPath: string): Promise<Lane> {
    await new Promise<void>(resolve => this.#server.listen(0, '127.0.0.1', () => resolve()));
    return { case: this.#case, logPath, upstreamPort: (this.#server.address() as AddressInfo).port, secondUpstreamPort: 0 };
  }

  async run(port: number, probe: Probe): Promise<Seen> {
    const socket = connect({
      port,
      host: '127.0.0.1',
      rejectUnauthorized: false,
      ...(this.#case.client.length === 0 ? {} : { ALPNProtocols: [...this.#case.client] }),
    });
    socket.on('error', () => {});
    await new Promise(resolve => socket.once('secureConnect', resolve).once('close', resolve));
    const answer = await (socket.alpnProtocol === 'h2' ? requestOverHttp2(socket) : requestOverHttp1(socket));
    socket.destroy();
    await probe.rest({ count: 0 }, 100);
    return { client: `${socket.alpnProtocol} ${answer}`, clientEnd: 'open', upstream: this.#seen, secondUpstream: [] };
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

function requestOverHttp2(socket: TLSSocket): Promise<string> {
  const session = connectHttp2('https://a.test', { createConnection: () => socket });
  session.on('error', () => {});
  return new Promise(resolve => {
    const stream = session.request({ ':path': '/', ':authority': 'a.test' });
    let status = '';
    stream.on('response', headers => {
      status = String(headers[':status']);
    });
    stream.resume().on('end', () => resolve(status));
    stream.on('error', error => resolve(error.message));
  });
}

function requestOverHttp1(socket: TLSSocket): Promise<string> {
  return new Promise(resolve => {
    let text = '';
    socket.on('data', chunk => {
      text += chunk.toString('latin1');
      if (/\r\n\r\n.*(ok|\.)/s.test(text)) resolve(text.split('\r\n')[0]);
    });
    socket.once('close', () => resolve('closed'));
    socket.write('GET / HTTP/1.1\r\nhost: a.test\r\n\r\n');
  });
}

compareExchanges(t, 'ALPN parity with Envoy', cases, alpnCase => new AlpnExchange(alpnCase));
