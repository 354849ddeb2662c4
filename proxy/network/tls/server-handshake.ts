/**
 * The accept side of TLS, whole: the hello is read before OpenSSL sees it, so that context and ALPN fit the client (BoringSSL
 * goes on without ALPN where nothing overlaps, Node would end the handshake); then the peer is verified, and only then does
 * the connection carry bytes.
 */
import { TLSSocket } from 'node:tls';
import { Timer, type TimerWheel } from '../../../common/timer-wheel.ts';
import type { DownstreamTlsModel } from '../../config/model/tls.ts';
import type { Counter } from '../../telemetry/stats-store.ts';
import type { CloseEvent, ConnectionCallbacks } from '../connection.ts';
import type { SocketConnection } from '../socket-connection.ts';
import { drainOptions } from '../socket-handle.ts';
import { maxClientHelloBytes, parseClientHello } from './client-hello.ts';
import { describeTlsError, tlsFailureReason } from './failure-reason.ts';
import { concludeHandshake, encodeAlpn } from './handshake-outcome.ts';
import { compilePeerVerifier, expectsCertificate, type PeerVerifier } from './peer-verification.ts';
import type { SecretContexts, TlsContext, TlsContextSource } from './secret-contexts.ts';
import type { SslStats } from './ssl-stats.ts';

export interface ServerTlsServices {
  readonly contexts: SecretContexts;
  readonly timers: TimerWheel;
  readonly stats: SslStats;
  readonly handshakeTimeout: Counter;
  readonly secretsNotReady: Counter;
}

/** TLS of one filter chain. */
export class ServerTls {
  readonly #model: DownstreamTlsModel;
  readonly #services: ServerTlsServices;
  readonly #timeoutMs: number;
  readonly #source: TlsContextSource;
  #verifierContext: TlsContext | null = null;
  #verifier: PeerVerifier | null = null;

  /** `timeoutMs` bounds the handshake; 0: not at all. */
  constructor(model: DownstreamTlsModel, serverNames: readonly string[], timeoutMs: number, services: ServerTlsServices) {
    this.#model = model;
    this.#services = services;
    this.#timeoutMs = timeoutMs;
    this.#source = services.contexts.source(model.common, 'server', { serverNames, sessionTimeoutMs: model.sessionTimeoutMs });
  }

  /**
   * Does the handshake on a connection of which `peeked` was read. `done` is told once; after false the connection is closed
   * and its info says why.
   */
  accept(connection: SocketConnection, peeked: Buffer, done: (accepted: boolean) => void): void {
    const context = this.#source.current();
    if (context === null) {
      this.#services.secretsNotReady.inc();
      connection.callbacks = { onData() {}, onClose: () => done(false) };
      connection.fail('local-close', 'TLS error: Secret is not supplied by SDS');
      return;
    }
    new ServerHandshake(connection, this.#model, context, this.#verify(context), this.#services, done).start(
      peeked,
      this.#timeoutMs,
    );
  }

  #verify(context: TlsContext): PeerVerifier {
    if (this.#verifier === null || this.#verifierContext !== context) {
      this.#verifierContext = context;
      const isRequired = requiresCertificate(this.#model, context);
      this.#verifier = compilePeerVerifier(context.validation, context.verifiesChain, isRequired, null);
    }
    return this.#verifier;
  }
}

function requiresCertificate(model: DownstreamTlsModel, { validation }: TlsContext): boolean {
  return model.requireClientCertificate || expectsCertificate(validation);
}

/**
 * A fatal alert in a plain record.
 *
 * Differs from Envoy: a refused client of TLS 1.3 sees the connection close; its alert would have to be encrypted, which Node
 * does not offer.
 */
function encodeAlert(description: number): Buffer {
  return Buffer.from([21, 3, 3, 0, 2, 2, description]);
}

class ServerHandshake implements ConnectionCallbacks {
  readonly #connection: SocketConnection;
  readonly #model: DownstreamTlsModel;
  readonly #context: TlsContext;
  readonly #verify: PeerVerifier;
  readonly #services: ServerTlsServices;
  readonly #done: (accepted: boolean) => void;
  readonly #timer: Timer;
  #peeked: Buffer = Buffer.alloc(0);
  #started = false;

  constructor(
    connection: SocketConnection,
    model: DownstreamTlsModel,
    context: TlsContext,
    verify: PeerVerifier,
    services: ServerTlsServices,
    done: (accepted: boolean) => void,
  ) {
    this.#connection = connection;
    this.#model = model;
    this.#context = context;
    this.#verify = verify;
    this.#services = services;
    this.#done = done;
    this.#timer = new Timer(() => {
      services.handshakeTimeout.inc();
      connection.fail('local-close', 'connection establishment timed out');
    });
  }

  start(peeked: Buffer, timeoutMs: number): void {
    this.#connection.callbacks = this;
    if (timeoutMs > 0) this.#services.timers.arm(this.#timer, timeoutMs);
    this.#peeked = peeked;
    this.#tryHello();
    if (!this.#started) this.#connection.startReading();
  }

  onData(data: Buffer): void {
    this.#peeked = Buffer.concat([this.#peeked, data]);
    this.#tryHello();
  }

  onClose(_event: CloseEvent): void {
    this.#services.timers.cancel(this.#timer);
    this.#done(false);
  }

  #tryHello(): void {
    if (this.#started) return;
    const hello = parseClientHello(this.#peeked);
    if (hello.kind === 'incomplete' && this.#peeked.length < maxClientHelloBytes) return;
    this.#started = true;
    if (hello.kind !== 'hello') {
      this.#startTls(null, '');
      return;
    }
    if (hello.serverName !== '') this.#connection.info.requestedServerName = hello.serverName;
    const offered = hello.alpnProtocols;
    this.#startTls(this.#model.common.alpnProtocols.find(name => offered.includes(name)) ?? null, hello.serverName);
  }

  /** Without a hello OpenSSL gets the bytes all the same: it knows the right alert. */
  #startTls(alpn: string | null, serverName: string): void {
    const connection = this.#connection;
    const raw = connection.socket;
    raw.pause();
    raw.unshift(this.#peeked);
    const asksCertificate = this.#model.requireClientCertificate || this.#context.validation !== null;
    const stream = new TLSSocket(raw, {
      isServer: true,
      ...drainOptions,
      secureContext: this.#context.secureContext,
      requestCert: asksCertificate,
      rejectUnauthorized: requiresCertificate(this.#model, this.#context),
      ...(alpn === null ? {} : { ALPNProtocols: encodeAlpn([alpn]) as unknown as string[] }),
    });
    stream.on('error', (error: Error & { code?: string }) => this.#onTlsError(error));
    stream.on('secure', () => this.#onSecure(stream, serverName));
    connection.beginTls(stream);
  }

  #onTlsError(error: Error & { code?: string }): void {
    const reason = tlsFailureReason(error);
    if (reason === 'PEER_DID_NOT_RETURN_A_CERTIFICATE') this.#services.stats.verifyNoCert.inc();
    else if (reason !== null && reason !== 'CERTIFICATE_VERIFY_FAILED') this.#services.stats.connectionError.inc();
    this.#connection.fail('remote-close', describeTlsError(error, 'server'));
  }

  #onSecure(stream: TLSSocket, serverName: string): void {
    if (this.#connection.state === 'closed') return;
    this.#services.timers.cancel(this.#timer);
    const outcome = concludeHandshake(stream, this.#context, this.#verify, this.#services.stats, serverName);
    if (outcome.kind === 'refused') {
      // Our last message is not sent yet, so that in TLS 1.2 the client still takes plain records.
      if (stream.getProtocol() === 'TLSv1.2') this.#connection.socket.write(encodeAlert(outcome.alert));
      this.#connection.fail('local-close', outcome.reason);
      return;
    }
    this.#connection.finishTls(outcome.info);
    this.#done(true);
  }
}
