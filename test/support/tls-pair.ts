/** A TLS connection of the proxy in the test's own thread, in either role, whose peer is Node's own TLS or a plain socket. */
import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import { TimerWheel } from '../../common/timer-wheel.ts';
import { CertificateAuthority, type IssuedCertificate } from '../../demo/certificate-authority.ts';
import type { CommonTlsModel, SecretModel, ValidationModel } from '../../proxy/config/model/tls.ts';
import { createClientTransport, openConnection, openInternalConnection } from '../../proxy/network/client-connection.ts';
import { ConnectionRecord, unknownAddress } from '../../proxy/network/connection-record.ts';
import type { Connection, ConnectionCallbacks } from '../../proxy/network/connection.ts';
import { InternalStream } from '../../proxy/network/internal-stream.ts';
import { SocketConnection } from '../../proxy/network/socket-connection.ts';
import { takeHandle } from '../../proxy/network/socket-handle.ts';
import { SecretContexts } from '../../proxy/network/tls/secret-contexts.ts';
import { ServerTls } from '../../proxy/network/tls/server-handshake.ts';
import { SslStats } from '../../proxy/network/tls/ssl-stats.ts';
import { StatsStore } from '../../proxy/telemetry/stats-store.ts';
import type { Random } from './random.ts';
import { commonTls, downstreamTls, noValidation } from './worker-listener.ts';

export type Role = 'server' | 'client';
export type Version = 'TLSv1.2' | 'TLSv1.3';

export const authority = await CertificateAuthority.create();
export const ourCertificate = await authority.issue([{ type: 'url', value: 'spiffe://cluster.local/ns/a/sa/proxy' }]);
export const peerCertificate = await authority.issue([{ type: 'url', value: 'spiffe://cluster.local/ns/a/sa/peer' }]);

export interface EndpointOptions {
  readonly common?: Partial<CommonTlsModel>;
  readonly validation?: Partial<ValidationModel>;
  readonly certificate?: IssuedCertificate;
  readonly requireClientCertificate?: boolean;
  readonly maxSessionKeys?: number;
  readonly serverName?: string;
  readonly handshakeTimeoutMs?: number;
  readonly bufferLimitBytes?: number;
}

/** The proxy's side: a server that accepts, a client that connects, with one set of secrets. */
export class TlsEndpoint {
  readonly contexts = new SecretContexts();
  readonly timers = new TimerWheel();
  readonly #stats = new StatsStore({ isIncluded: () => true, sink: { addBlock() {}, register() {} } });
  readonly #options: EndpointOptions;
  readonly #server: ServerTls;
  readonly #client: ReturnType<typeof createClientTransport>;

  constructor(options: EndpointOptions = {}) {
    const {
      common,
      handshakeTimeoutMs = 0,
      serverName = 'peer.test',
      maxSessionKeys = 0,
      requireClientCertificate = true,
    } = options;
    this.#options = options;
    this.trust(authority.rootCertificate);
    const { certificate: chain, privateKey } = options.certificate ?? ourCertificate;
    this.contexts.update({
      key: 'default',
      certificate: { chain, privateKey, password: null },
      validation: null,
      ticketKeys: '',
    });
    this.#server = new ServerTls(downstreamTls(common, requireClientCertificate), [], handshakeTimeoutMs, {
      contexts: this.contexts,
      timers: this.timers,
      stats: new SslStats(this.#stats, 'server'),
      handshakeTimeout: this.#stats.counter('timeout'),
      secretsNotReady: this.#stats.counter('not-ready'),
    });
    const model = { kind: 'upstream-tls', common: commonTls(common), sni: serverName, maxSessionKeys } as const;
    this.#client = createClientTransport(model, this.contexts, this.#stats, 'client');
  }

  /** Replaces the trusted certificates. */
  trust(trustedCa: string): void {
    const validation = { ...noValidation, trustedCa, ...this.#options.validation };
    this.contexts.update({ key: 'ROOTCA', certificate: null, validation, ticketKeys: '' } satisfies SecretModel);
  }

  /** `server.ssl.handshake`, `client.ssl.connection_error`, ... */
  counter(name: string): number {
    return this.#stats.counter(name).value;
  }

  /** Accepts TLS on a socket that was not read yet; `done` hears whether the peer was accepted. */
  accept(socket: net.Socket, done: (connection: Connection, accepted: boolean) => void): SocketConnection {
    const connection = new SocketConnection(new ConnectionRecord(unknownAddress, unknownAddress), this.timers, 'open');
    connection.setBufferLimit(this.#options.bufferLimitBytes ?? 0);
    connection.adoptHandle(takeHandle(socket) as Parameters<SocketConnection['adoptHandle']>[0]);
    this.#server.accept(connection, Buffer.alloc(0), accepted => done(connection, accepted));
    return connection;
  }

  /** Both ends over an internal connection: the client's, and by `done` the server's. */
  connectInternal(callbacks: ConnectionCallbacks, done: (connection: Connection, accepted: boolean) => void): Connection {
    return openInternalConnection({
      address: { kind: 'internal', listener: 'inner', endpointId: '' },
      passthrough: null,
      transport: this.#client,
      bufferLimitBytes: this.#options.bufferLimitBytes ?? 0,
      timers: this.timers,
      callbacks,
      accept: (_listener, inner) => {
        const connection = new SocketConnection(inner.info, this.timers, 'open');
        connection.adoptStream(new InternalStream(inner));
        inner.startReading();
        this.#server.accept(connection, Buffer.alloc(0), accepted => done(connection, accepted));
        return true;
      },
    });
  }

  connect(port: number, callbacks: ConnectionCallbacks): Connection {
    return openConnection({
      address: { kind: 'socket', address: '127.0.0.1', port },
      bindAddress: null,
      transport: this.#client,
      bufferLimitBytes: this.#options.bufferLimitBytes ?? 0,
      timers: this.timers,
      callbacks,
    });
  }
}

/** Two connections of the proxy, TLS between them over an internal connection; nothing was read yet. */
export async function openInternalPair(options: EndpointOptions = {}): Promise<{ client: Connection; server: Connection }> {
  const endpoint = new TlsEndpoint(options);
  const { promise: server, resolve, reject } = Promise.withResolvers<Connection>();
  const { promise: opened, resolve: open, reject: fail } = Promise.withResolvers<void>();
  const client = endpoint.connectInternal(
    { onData() {}, onConnected: open, onClose: event => fail(new Error(event)) },
    (connection, wasAccepted) => (wasAccepted ? resolve(connection) : reject(new Error('refused'))),
  );
  await opened;
  return { client, server: await server };
}

/** Listens on a port of its own; accepted sockets are paused. */
export async function listen(onSocket: (socket: net.Socket) => void): Promise<{ server: net.Server; port: number }> {
  const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true }, onSocket);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { server, port: (server.address() as net.AddressInfo).port };
}

export interface PairOptions extends EndpointOptions {
  readonly version?: Version;
  /** Of Node's side. */
  readonly peer?: tls.TLSSocketOptions & tls.ConnectionOptions;
  /** Bytes pass through a relay that cuts them at random. */
  readonly split?: Random;
}

export interface TlsPair {
  readonly endpoint: TlsEndpoint;
  readonly ours: Connection;
  readonly theirs: tls.TLSSocket;
  /** Below `theirs`. */
  readonly socket: net.Socket;
  /** Ends everything. */
  close(): void;
}

/** Both ends after a handshake. Nothing was read yet by `ours`, whose callbacks are to be set at once. */
export async function openPair(role: Role, options: PairOptions = {}): Promise<TlsPair> {
  const { version } = options;
  const common = { ...options.common, ...(version === undefined ? {} : { minVersion: version, maxVersion: version }) };
  const endpoint = new TlsEndpoint({ ...options, common });
  const closers: (() => void)[] = [];
  const listenFor = async (onSocket: (socket: net.Socket) => void): Promise<number> => {
    const { server, port } = await listen(onSocket);
    closers.push(() => server.close());
    if (options.split === undefined) return port;
    const relay = await listenRelay(port, options.split);
    closers.push(() => relay.server.close());
    return relay.port;
  };
  const { ours, theirs, socket } = await (role === 'server' ? acceptPeer : connectPeer)(endpoint, options, listenFor);
  closers.push(
    () => ours.close('no-flush'),
    () => socket.destroy(),
  );
  const close = (): void => {
    for (const end of closers) end();
  };
  return { endpoint, ours, theirs, socket, close };
}

type Ends = Pick<TlsPair, 'ours' | 'theirs' | 'socket'>;
type ListenFor = (onSocket: (socket: net.Socket) => void) => Promise<number>;

async function acceptPeer(endpoint: TlsEndpoint, options: PairOptions, listenFor: ListenFor): Promise<Ends> {
  const { promise: ours, resolve, reject } = Promise.withResolvers<Connection>();
  const port = await listenFor(accepted =>
    endpoint.accept(accepted, (connection, wasAccepted) => {
      if (wasAccepted) resolve(connection);
      else reject(new Error(`refused: ${connection.info.transportFailureReason}`));
    }),
  );
  const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  const theirs = tls.connect({
    ...{ socket, rejectUnauthorized: false, cert: peerCertificate.certificate, key: peerCertificate.privateKey },
    ...options.peer,
  });
  theirs.on('error', () => {});
  socket.on('error', () => {});
  await once(theirs, 'secureConnect');
  return { ours: await ours, theirs, socket };
}

async function connectPeer(endpoint: TlsEndpoint, options: PairOptions, listenFor: ListenFor): Promise<Ends> {
  const accepted: { theirs: tls.TLSSocket; socket: net.Socket }[] = [];
  const port = await listenFor(socket => {
    const { certificate: cert, privateKey: key } = peerCertificate;
    const secured = { isServer: true, requestCert: true, rejectUnauthorized: false, cert, key, ...options.peer };
    const theirs = new tls.TLSSocket(socket, secured);
    theirs.on('error', () => {});
    socket.on('error', () => {});
    accepted.push({ theirs, socket });
  });
  const ours = await new Promise<Connection>((resolve, reject) => {
    const connection = endpoint.connect(port, {
      onData() {},
      onConnected: () => resolve(connection),
      onClose: event => reject(new Error(`${event}: ${connection.info.transportFailureReason}`)),
    });
  });
  return { ours, ...accepted[0] };
}

/** Forwards to `port`, in pieces of random sizes. */
async function listenRelay(port: number, random: Random): Promise<{ server: net.Server; port: number }> {
  return listen(near => {
    const far = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    forwardInPieces(near, far, random);
    forwardInPieces(far, near, random);
  });
}

function forwardInPieces(from: net.Socket, to: net.Socket, random: Random): void {
  const waiting: (Buffer | null)[] = [];
  let isBusy = false;
  const forward = async (): Promise<void> => {
    isBusy = true;
    for (let data = waiting.shift(); data !== undefined; data = waiting.shift()) {
      if (data === null) {
        to.end();
        break;
      }
      for (let offset = 0; offset < data.length; ) {
        const bytes = 1 + random.below(random.chance(0.3) ? 8 : 20_000);
        if (!to.write(data.subarray(offset, offset + bytes))) await once(to, 'drain').catch(() => {});
        else await new Promise(setImmediate);
        offset += bytes;
      }
      if (waiting.length < 4) from.resume();
    }
    isBusy = false;
  };
  const add = (piece: Buffer | null): void => {
    waiting.push(piece);
    if (waiting.length >= 4) from.pause();
    if (!isBusy) void forward();
  };
  to.setNoDelay(true);
  from.on('data', add);
  from.on('end', () => add(null));
  from.on('error', () => to.destroy());
  from.on('close', () => setImmediate(() => waiting.length === 0 && to.destroy()));
  from.resume();
}
