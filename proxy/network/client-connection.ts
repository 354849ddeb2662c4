/** Opens upstream connections: TCP or Unix socket, from a chosen source address, plain or TLS. */
import { Logger } from '../../common/log.ts';
import type { TimerWheel } from '../../common/timer-wheel.ts';
import { formatAddress, type SocketAddress, type SystemAddress } from '../config/model/address.ts';
import type { TcpKeepaliveModel } from '../config/model/cluster.ts';
import type { RawBufferModel, UpstreamTlsModel } from '../config/model/tls.ts';
import type { StatsStore } from '../telemetry/stats-store.ts';
import type { Connection, ConnectionCallbacks } from './connection.ts';
import { ConnectionRecord, unknownAddress } from './connection-record.ts';
import { describeSocketError } from './error-text.ts';
import { connectInternal, type InternalConnectOptions } from './internal-connection.ts';
import { InternalStream } from './internal-stream.ts';
import { ignoreConnection, SocketConnection } from './socket-connection.ts';
import { createSocket, SocketOptionError, type SocketSetup } from './socket-options.ts';
import { ClientTls, type TlsOverrides } from './tls/client-handshake.ts';
import type { SecretContexts } from './tls/secret-contexts.ts';
import { SslStats } from './tls/ssl-stats.ts';

export type { TlsOverrides } from './tls/client-handshake.ts';

/** A transport socket of the configuration, ready for use: null is plain. Keep one per compiled transport socket. */
export type ClientTransport = ClientTls | null;

/** `statPrefix` is `cluster.<name>`. */
export function createClientTransport(
  model: UpstreamTlsModel | RawBufferModel,
  contexts: SecretContexts,
  stats: StatsStore,
  statPrefix: string,
): ClientTransport {
  return model.kind === 'raw-buffer' ? null : new ClientTls(model, contexts, new SslStats(stats, statPrefix));
}

export interface ClientConnectionOptions {
  /** An IP and port, or the path of a socket. */
  readonly address: SystemAddress;
  /** Source; port 0 lets the kernel choose. Null: no preference. */
  readonly bindAddress: SocketAddress | null;
  readonly socketSetup?: Pick<SocketSetup, 'transparent' | 'mark' | 'options'> | null;
  readonly transport: ClientTransport;
  /** Sent before anything else, TLS included; null or absent: nothing is. */
  readonly proxyHeader?: Buffer | null;
  readonly overrides?: TlsOverrides;
  readonly keepalive?: TcpKeepaliveModel | null;
  readonly bufferLimitBytes: number;
  readonly callbacks: ConnectionCallbacks;
  readonly timers: TimerWheel;
}

export interface InternalClientOptions extends InternalConnectOptions {
  readonly transport: ClientTransport;
  readonly overrides?: TlsOverrides;
  readonly timers: TimerWheel;
}

const log = new Logger('connection');
/** How the transport failure reason begins where a source address could not be bound. */
export const bindFailure = 'failed to bind to';
const noOverrides: TlsOverrides = { alpnProtocols: null, serverName: null, subjectAltNames: null };

/**
 * Begins to connect. `callbacks.onConnected` follows, TLS included, or `onClose`: `remote-close` when the peer could not be
 * reached, `local-close` when the source could not be bound. Never calls back before it returns.
 */
export function openConnection(options: ClientConnectionOptions): Connection {
  const { address } = options;
  const connection = new SocketConnection(new ConnectionRecord(unknownAddress, address), options.timers, 'connecting');
  connection.callbacks = options.callbacks;
  connection.setBufferLimit(options.bufferLimitBytes);
  let fd: number | null = null;
  try {
    fd = createBoundSocket(options);
  } catch (error) {
    const reason = explainUnusable(error as Error, options.bindAddress);
    connection.createSocket(null);
    queueMicrotask(() => connection.fail('local-close', reason));
    return connection;
  }
  const socket = connection.createSocket(fd);
  socket.prependListener('error', (error: Error & { code?: string }) => {
    if (connection.state !== 'connecting' || connection.isTls) return;
    connection.fail(
      'remote-close',
      socket.connecting || connection.info.localAddress === unknownAddress ? connectFailure(error, address) : '',
    );
  });
  socket.once('connect', () => onSocketConnected(connection, options));
  if (address.kind === 'pipe') socket.connect({ path: address.path });
  else socket.connect({ host: address.address, port: address.port });
  return connection;
}

/** The same to an internal listener of this worker, through TLS if the transport says so. */
export function openInternalConnection(options: InternalClientOptions): Connection {
  const { transport, callbacks } = options;
  if (transport === null) return connectInternal(options);
  const inner = connectInternal({ ...options, callbacks: ignoreConnection });
  const connection = new SocketConnection(inner.info, options.timers, 'connecting');
  connection.callbacks = callbacks;
  connection.setBufferLimit(options.bufferLimitBytes);
  const opened = (): void => {
    connection.state = 'open';
    connection.callbacks.onConnected?.();
  };
  const stream = new InternalStream(inner, {
    onConnected() {
      connection.info.transportProtocol = 'tls';
      transport.connect(connection, options.overrides ?? noOverrides, opened);
    },
    onClosed() {
      if (connection.state === 'connecting') connection.fail('remote-close', connection.info.transportFailureReason);
    },
  });
  connection.adoptStream(stream);
  return connection;
}

/** A source that cannot be bound is told to the request; an option that cannot be set only to the log, as in Envoy. */
function explainUnusable(error: Error & { code?: string }, bindAddress: SocketAddress | null): string {
  if (error instanceof SocketOptionError || bindAddress === null) {
    log.warn(error.message);
    return '';
  }
  return `${bindFailure} ${formatAddress(bindAddress)}: ${describeSocketError(error)}`;
}

function createBoundSocket(options: ClientConnectionOptions): number | null {
  const { address, bindAddress, socketSetup = null, keepalive = null } = options;
  if (address.kind === 'pipe' || (bindAddress === null && socketSetup === null && keepalive === null)) return null;
  const family = address.address.includes(':') ? 6 : 4;
  const setup: SocketSetup = { ...socketSetup, keepalive, bindAddressNoPort: bindAddress !== null && bindAddress.port === 0 };
  return createSocket(family, setup, bindAddress);
}

function onSocketConnected(connection: SocketConnection, options: ClientConnectionOptions): void {
  if (connection.state === 'closed') return;
  const socket = connection.socket;
  socket.setNoDelay(true);
  const info = connection.info;
  if (options.address.kind === 'socket') {
    info.localAddress = { kind: 'socket', address: socket.localAddress ?? '', port: socket.localPort ?? 0 };
    info.directLocalAddress = info.localAddress;
  } else {
    info.localAddress = { kind: 'pipe', path: '' };
  }
  info.transportProtocol = options.transport === null ? 'raw_buffer' : 'tls';
  const opened = (): void => {
    connection.state = 'open';
    connection.callbacks.onConnected?.();
  };
  const { proxyHeader = null } = options;
  if (options.transport === null) {
    connection.startClientReading();
    if (proxyHeader !== null) connection.write(proxyHeader, false);
    opened();
  } else {
    // TLS then takes over the socket with nothing left to send.
    if (proxyHeader !== null) socket.write(proxyHeader);
    options.transport.connect(connection, options.overrides ?? noOverrides, opened);
  }
}

/** What the kernel refuses in the call itself, before any packet. */
const immediateErrors = new Set(['ENETUNREACH', 'EADDRNOTAVAIL', 'EACCES', 'EPERM', 'EINVAL']);

function connectFailure(error: Error & { code?: string }, address: SystemAddress): string {
  const text = describeSocketError(error);
  // A Unix socket is connected, or not, within the call.
  const isImmediate = address.kind === 'pipe' || immediateErrors.has(error.code ?? '');
  return isImmediate
    ? `immediate connect error: ${text}|remote address:${formatAddress(address)}`
    : `delayed connect error: ${text}`;
}
