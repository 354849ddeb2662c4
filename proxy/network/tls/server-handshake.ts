/** The accept side of TLS: the peer is verified within the handshake, and only then does the connection carry bytes. */
import { Timer, type TimerWheel } from '../../../common/timer-wheel.ts';
import type { DownstreamTlsModel } from '../../config/model/tls.ts';
import type { Counter } from '../../telemetry/stats-store.ts';
import type { CloseEvent, ConnectionCallbacks } from '../connection.ts';
import type { SocketConnection } from '../socket-connection.ts';
import { describeSocketFailure, describeTlsFailure, tlsFailureReason } from './failure-reason.ts';
import { concludeHandshake, describeRefusal, PeerJudge } from './handshake-outcome.ts';
import type { OpenSslError } from './openssl.ts';
import { compilePeerVerifier, expectsCertificate, type PeerVerifier } from './peer-verification.ts';
import type { SecretContexts, TlsContext, TlsContextSource } from './secret-contexts.ts';
import { SslSession } from './ssl-session.ts';
import type { SslStats } from './ssl-stats.ts';
import { type TlsEvents, TlsStream } from './tls-stream.ts';

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

class ServerHandshake implements ConnectionCallbacks, TlsEvents {
  readonly #connection: SocketConnection;
  readonly #context: TlsContext;
  readonly #services: ServerTlsServices;
  readonly #done: (accepted: boolean) => void;
  readonly #judge: PeerJudge;
  readonly #session: SslSession;
  readonly #timer: Timer;

  constructor(
    connection: SocketConnection,
    model: DownstreamTlsModel,
    context: TlsContext,
    verify: PeerVerifier,
    services: ServerTlsServices,
    done: (accepted: boolean) => void,
  ) {
    this.#connection = connection;
    this.#context = context;
    this.#services = services;
    this.#done = done;
    this.#judge = new PeerJudge(context, verify, model.common.alpnProtocols);
    this.#session = new SslSession({
      role: 'server',
      context: context.sslContext.pointer,
      delegate: this.#judge,
      peerCertificate: requiresCertificate(model, context) ? 'required' : context.validation === null ? 'none' : 'asked',
    });
    this.#timer = new Timer(() => {
      services.handshakeTimeout.inc();
      connection.fail('local-close', 'connection establishment timed out');
    });
  }

  start(peeked: Buffer, timeoutMs: number): void {
    const connection = this.#connection;
    connection.callbacks = this;
    if (timeoutMs > 0) this.#services.timers.arm(this.#timer, timeoutMs);
    const stream = new TlsStream(connection.socket, this.#session, connection, this);
    connection.beginTls(stream);
    stream.receive(peeked, peeked.length);
  }

  onData(): void {}

  onClose(_event: CloseEvent): void {
    this.#services.timers.cancel(this.#timer);
    this.#done(false);
  }

  onTlsFailure(failure: OpenSslError | null): void {
    const { stats } = this.#services;
    const reason = tlsFailureReason(failure);
    this.#noteServerName();
    if (reason === 'CERTIFICATE_VERIFY_FAILED' && this.#judge.refusal !== null) {
      stats.countVerification(this.#judge.refusal.stat);
      this.#connection.fail('local-close', describeRefusal(this.#judge.refusal));
      return;
    }
    if (reason === 'PEER_DID_NOT_RETURN_A_CERTIFICATE') stats.verifyNoCert.inc();
    else if (reason !== null) stats.connectionError.inc();
    this.#connection.fail('remote-close', describeTlsFailure(failure, 'server'));
  }

  onSocketError(error: Error & { code?: string }): void {
    this.#connection.fail('remote-close', describeSocketFailure(error));
  }

  onHandshakeDone(): void {
    this.#services.timers.cancel(this.#timer);
    const serverName = this.#noteServerName();
    const info = concludeHandshake(this.#session, this.#context, this.#judge, this.#services.stats, serverName);
    if (info === null) {
      const { refusal } = this.#judge;
      this.#connection.fail('local-close', refusal === null ? '' : describeRefusal(refusal));
      return;
    }
    this.#connection.finishTls(info);
    this.#done(true);
  }

  /** What the inspector read of this hello comes first: of a resumed session of TLS 1.2 OpenSSL tells the name at its beginning. */
  #noteServerName(): string {
    const { info } = this.#connection;
    if (info.requestedServerName === '') info.requestedServerName = this.#session.serverName;
    return info.requestedServerName;
  }
}
