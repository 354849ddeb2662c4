import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import tls from 'node:tls';
import koffi from 'koffi';
import t from 'tap';
import { TimerWheel } from '../../../../common/timer-wheel.ts';
import { CertificateAuthority, type IssuedCertificate } from '../../../../demo/certificate-authority.ts';
import type { UpstreamTlsModel } from '../../../../proxy/config/model/tls.ts';
import {
  type ClientConnectionOptions,
  createClientTransport,
  openConnection,
} from '../../../../proxy/network/client-connection.ts';
import type { CloseEvent, Connection } from '../../../../proxy/network/connection.ts';
import type { SocketConnection } from '../../../../proxy/network/socket-connection.ts';
import { descriptorOf } from '../../../../proxy/network/socket-handle.ts';
import { SecretContexts } from '../../../../proxy/network/tls/secret-contexts.ts';
import { StatsStore } from '../../../../proxy/telemetry/stats-store.ts';
import { commonTls, noValidation } from '../../../support/worker-listener.ts';

const timers = new TimerWheel();
const serverName = 'spiffe://cluster.local/ns/a/sa/server';
const authority = await CertificateAuthority.create();
const otherAuthority = await CertificateAuthority.create({ name: 'other' });
const serverCertificate = await authority.issue([{ type: 'url', value: serverName }]);
const clientCertificate = await authority.issue([{ type: 'url', value: 'spiffe://cluster.local/ns/a/sa/client' }]);

interface Outcome {
  readonly connection: Connection;
  readonly event: CloseEvent | null;
}

/** The connection once it is open, or the event that ended it. */
function open(options: Partial<ClientConnectionOptions> & { address: ClientConnectionOptions['address'] }): Promise<Outcome> {
  return new Promise(resolve => {
    const connection: Connection = openConnection({
      bindAddress: null,
      transport: null,
      bufferLimitBytes: 0,
      timers,
      callbacks: {
        onData() {},
        onConnected: () => resolve({ connection, event: null }),
        onClose: event => resolve({ connection, event }),
      },
      ...options,
    });
  });
}

async function listenPlain(onSocket: (socket: net.Socket) => void): Promise<{ server: net.Server; port: number }> {
  const server = net.createServer({ allowHalfOpen: true }, socket => {
    socket.on('error', () => {});
    onSocket(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { server, port: (server.address() as net.AddressInfo).port };
}

/** Reads a socket option by level and name. */
function readOptions(fd: number): (level: number, name: number) => number {
  const getsockopt = koffi.load(null).func('int getsockopt(int fd, int level, int name, void *value, uint32_t *length)');
  return (level, name) => {
    const value = new Int32Array(1);
    getsockopt(fd, level, name, value, new Uint32Array([4]));
    return value[0];
  };
}

const at = (port: number) => ({ kind: 'socket', address: '127.0.0.1', port }) as const;

t.test('bytes go both ways and a half close arrives as the end of the stream', async t => {
  const { server, port } = await listenPlain(socket => {
    socket.on('data', data => socket.write(data.toString().toUpperCase()));
    socket.on('end', () => socket.end('bye'));
  });
  const { connection } = await open({ address: at(port) });
  connection.enableHalfClose(true);
  let received = '';
  const ended = new Promise<CloseEvent>(resolve => {
    connection.callbacks = { onData: data => (received += data.toString()), onClose: resolve };
  });
  connection.writeLatin1('hel', false);
  connection.write(Buffer.from('lo'), true);
  t.equal(await ended, 'remote-close');
  t.equal(received, 'HELLObye');
  t.equal(connection.bytesSent, 5);
  t.equal(connection.bytesReceived, 8);
  server.close();
});

t.test('a refused connection says so in the words of Envoy', async t => {
  const { server, port } = await listenPlain(() => {});
  server.close();
  await once(server, 'close');
  const { connection, event } = await open({ address: at(port) });
  t.equal(event, 'remote-close');
  t.equal(connection.info.transportFailureReason, 'delayed connect error: Connection refused');
});

t.test('the source address is bound', async t => {
  const { server, port } = await listenPlain(() => {});
  const peer = once(server, 'connection');
  const { connection } = await open({ address: at(port), bindAddress: { kind: 'socket', address: '127.0.0.6', port: 0 } });
  const [socket] = (await peer) as [net.Socket];
  t.equal(socket.remoteAddress, '127.0.0.6');
  t.match(connection.info.localAddress, { address: '127.0.0.6', port: socket.remotePort });
  connection.close('no-flush');
  socket.destroy();
  server.close();
});

t.test('keepalive sets what is configured and leaves the rest to the kernel', async t => {
  const { server, port } = await listenPlain(socket => socket.resume());
  const keepalive = { probes: null, timeSeconds: 41, intervalSeconds: 7 };
  const { connection } = await open({ address: at(port), keepalive });
  const read = readOptions(descriptorOf((connection as SocketConnection).socket));
  t.same(
    { on: read(1, 9), idle: read(6, 4), interval: read(6, 5), probes: read(6, 6) },
    { on: 1, idle: 41, interval: 7, probes: Number(readFileSync('/proc/sys/net/ipv4/tcp_keepalive_probes', 'utf8')) },
  );
  connection.close('no-flush');
  server.close();
});

t.test('options of the configuration are set', async t => {
  const { server, port } = await listenPlain(socket => socket.resume());
  const socketSetup = { options: [{ level: 6, name: 18, value: 4321, state: 'prebind' }] } as const;
  const { connection } = await open({ address: at(port), socketSetup });
  t.equal(readOptions(descriptorOf((connection as SocketConnection).socket))(6, 18), 4321);
  connection.close('no-flush');
  server.close();
});

t.test('a proxy header goes before everything else, TLS included', async t => {
  const proxyHeader = Buffer.from('PROXY UNKNOWN\r\n');
  const received: string[] = [];
  let notify: () => void = () => {};
  const { server, port } = await listenPlain(socket => {
    socket.once('data', data => {
      received.push(data.toString('latin1', 0, 16));
      notify();
      socket.destroy();
    });
  });
  const arrived = () => new Promise<void>(resolve => (notify = resolve));
  const plain = arrived();
  const { connection } = await open({ address: at(port), proxyHeader });
  connection.writeLatin1('hello', false);
  await plain;
  const secured = arrived();
  const contexts = new SecretContexts();
  const common = commonTls({ certificateSecret: null, validationSecret: null });
  const model: UpstreamTlsModel = { kind: 'upstream-tls', common, sni: '', maxSessionKeys: 0 };
  const transport = createClientTransport(
    model,
    contexts,
    new StatsStore({ isIncluded: () => true, sink: { addBlock() {}, register() {} } } as never),
    'c',
  );
  const failed = open({ address: at(port), proxyHeader, transport });
  await secured;
  t.not((await failed).event, null);
  t.equal(received[0], 'PROXY UNKNOWN\r\nh');
  t.match(received[1], /^PROXY UNKNOWN\r\n/);
  server.close();
});

t.test('a source that cannot be bound is a local failure', async t => {
  const { event, connection } = await open({ address: at(9), bindAddress: { kind: 'socket', address: '192.0.2.1', port: 0 } });
  t.equal(event, 'local-close');
  t.equal(connection.info.transportFailureReason, 'failed to bind to 192.0.2.1:0: Cannot assign requested address');
});

t.test('a reset is told apart from a close, both ways', async t => {
  const { server, port } = await listenPlain(socket => socket.on('data', () => socket.resetAndDestroy()));
  const { connection } = await open({ address: at(port) });
  const ended = new Promise<CloseEvent>(resolve => (connection.callbacks = { onData() {}, onClose: resolve }));
  connection.writeLatin1('x', false);
  t.equal(await ended, 'remote-reset');
  const second = await open({ address: at(port) });
  second.connection.close('abort-reset');
  t.equal(second.connection.state, 'closed');
  server.close();
});

t.test('a reset does not wait for what the peer does not read', async t => {
  const { server, port } = await listenPlain(socket => socket.pause());
  const peer = once(server, 'connection');
  const { connection } = await open({ address: at(port) });
  const [socket] = (await peer) as [net.Socket];
  const reset = once(socket, 'error');
  connection.write(Buffer.alloc(16 << 20), false);
  await new Promise(setImmediate);
  connection.close('abort-reset');
  socket.resume();
  t.match(await reset, [{ code: 'ECONNRESET' }]);
  server.close();
});

t.test('a reset right after a half close gives the descriptor back', async t => {
  const { server, port } = await listenPlain(socket => socket.resume());
  const { connection } = await open({ address: at(port) });
  const { socket } = connection as SocketConnection;
  const closed = once(socket, 'close');
  connection.enableHalfClose(true);
  connection.write(Buffer.from('x'), true);
  connection.close('abort-reset');
  await closed;
  t.equal(descriptorOf(socket), -1);
  server.close();
});

t.test('a slow reader raises the high watermark once, and the low one when it has caught up', async t => {
  const { server, port } = await listenPlain(socket => socket.pause());
  const peer = once(server, 'connection');
  const { connection } = await open({ address: at(port), bufferLimitBytes: 1024 });
  const [socket] = (await peer) as [net.Socket];
  const calls: string[] = [];
  const below = new Promise<void>(resolve => {
    connection.callbacks = {
      onData() {},
      onClose() {},
      onAboveWriteBufferHighWatermark: () => calls.push('above'),
      onBelowWriteBufferLowWatermark: () => {
        calls.push('below');
        resolve();
      },
    };
  });
  connection.write(Buffer.alloc(16 << 20), false);
  await new Promise(setImmediate);
  t.same(calls, ['above']);
  t.ok(connection.bufferedBytes > 0);
  socket.resume();
  await below;
  t.same(calls, ['above', 'below']);
  connection.close('no-flush');
  server.close();
});

interface TlsHost {
  readonly server: tls.Server;
  readonly port: number;
  readonly contexts: SecretContexts;
  readonly counter: (name: string) => number;
  connect(model: UpstreamTlsModel): (names?: readonly string[]) => Promise<Outcome>;
}

async function listenTls(issued: IssuedCertificate, options: tls.TlsOptions = {}): Promise<TlsHost> {
  const server = tls.createServer({ cert: issued.certificate, key: issued.privateKey, ...options }, socket => {
    socket.on('error', () => {});
    socket.write('hello');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  const contexts = new SecretContexts();
  const stats = new StatsStore({ isIncluded: () => true, sink: { addBlock() {}, register() {} } });
  const certificate = { chain: clientCertificate.certificate, privateKey: clientCertificate.privateKey, password: null };
  contexts.update({ key: 'default', certificate, validation: null, ticketKeys: '' });
  contexts.update({
    key: 'ROOTCA',
    certificate: null,
    validation: { ...noValidation, trustedCa: authority.rootCertificate },
    ticketKeys: '',
  });
  return {
    server,
    port,
    contexts,
    counter: name => stats.counter(name).value,
    connect(model) {
      const transport = createClientTransport(model, contexts, stats, 'cluster.x');
      return (names = [serverName]) =>
        open({ address: at(port), transport, overrides: { alpnProtocols: null, serverName: null, subjectAltNames: names } });
    },
  };
}

function upstreamTls(overrides: Partial<UpstreamTlsModel> = {}): UpstreamTlsModel {
  const common = commonTls({ alpnProtocols: ['istio'], validation: noValidation });
  return { kind: 'upstream-tls', common, sni: 'outbound_.80_._.server', maxSessionKeys: 1, ...overrides };
}

t.test('mutual TLS: the server sees our certificate and name, we see its', async t => {
  const host = await listenTls(serverCertificate, { requestCert: true, ca: authority.rootCertificate });
  const peer = once(host.server, 'secureConnection');
  const { connection, event } = await host.connect(upstreamTls())();
  t.equal(event, null);
  const [socket] = (await peer) as [tls.TLSSocket & { servername: string }];
  t.same(
    [socket.servername, socket.getPeerX509Certificate()?.subjectAltName],
    ['outbound_.80_._.server', 'URI:spiffe://cluster.local/ns/a/sa/client'],
  );
  t.same(connection.info.tls?.peer?.uriSans, [serverName]);
  connection.close('no-flush');
  host.server.close();
});

t.test('over TLS too a close waits for the bytes before it, and for nothing else', async t => {
  const host = await listenTls(serverCertificate);
  const peer = once(host.server, 'secureConnection');
  const { connection } = await host.connect(upstreamTls())();
  const [socket] = (await peer) as [tls.TLSSocket];
  const received = once(socket, 'data');
  const closed = new Promise<CloseEvent>(resolve => {
    connection.callbacks = { onData() {}, onClose: resolve };
  });
  connection.setDelayedCloseTimeoutMs(0);
  connection.writeLatin1('bye', false);
  connection.close('flush-write');
  t.equal(await closed, 'local-close');
  t.equal(String((await received)[0]), 'bye');
  host.server.close();
});

t.test('a server with another name is refused, with the reason of Envoy', async t => {
  const host = await listenTls(serverCertificate);
  const { connection, event } = await host.connect(upstreamTls())(['spiffe://cluster.local/ns/a/sa/other']);
  t.equal(event, 'remote-close');
  t.match(
    connection.info.transportFailureReason,
    /^TLS_error:\|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED.*verify SAN list:TLS_error_end$/,
  );
  t.equal(host.counter('cluster.x.ssl.fail_verify_san'), 1);
  host.server.close();
});

t.test('a server of another CA is refused, and so is an expired one', async t => {
  for (const issued of [
    await otherAuthority.issue([{ type: 'url', value: serverName }]),
    await authority.issue([{ type: 'url', value: serverName }], -3_600_000),
  ]) {
    const host = await listenTls(issued);
    const { connection, event } = await host.connect(upstreamTls())();
    t.equal(event, 'remote-close');
    t.match(connection.info.transportFailureReason, /CERTIFICATE_VERIFY_FAILED/);
    t.equal(host.counter('cluster.x.ssl.fail_verify_error'), 1);
    host.server.close();
  }
});

t.test('sessions are resumed, and the name is still checked', async t => {
  const host = await listenTls(serverCertificate);
  const connect = host.connect(upstreamTls());
  const first = await connect();
  // The ticket comes with the first bytes.
  await new Promise<void>(resolve => (first.connection.callbacks = { onData: () => resolve(), onClose() {} }));
  const second = await connect();
  t.equal(second.connection.info.tls?.resumed, true);
  t.same(second.connection.info.tls?.peer?.uriSans, [serverName]);
  const third = await connect(['spiffe://cluster.local/ns/a/sa/other']);
  t.equal(third.event, 'remote-close');
  for (const { connection } of [first, second]) connection.close('no-flush');
  host.server.close();
});

t.test('a changed CA forgets the sessions', async t => {
  const host = await listenTls(serverCertificate);
  const connect = host.connect(upstreamTls());
  const first = await connect();
  await new Promise<void>(resolve => (first.connection.callbacks = { onData: () => resolve(), onClose() {} }));
  const validation = { ...noValidation, trustedCa: otherAuthority.rootCertificate };
  host.contexts.update({ key: 'ROOTCA', certificate: null, validation, ticketKeys: '' });
  t.equal((await connect()).event, 'remote-close');
  first.connection.close('no-flush');
  host.server.close();
});
