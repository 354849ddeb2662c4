/** The connecting side of TLS: one ClientTls per compiled transport socket, which also owns its sessions. */
import type { UpstreamTlsModel } from '../../config/model/tls.ts';
import type { SocketConnection } from '../socket-connection.ts';
import { ClientSessions, freeSession } from './client-sessions.ts';
import { describeSocketFailure, describeTlsFailure, tlsFailureReason } from './failure-reason.ts';
import { concludeHandshake, describeRefusal, encodeAlpn, PeerJudge } from './handshake-outcome.ts';
import type { OpenSslError } from './openssl.ts';
import { compilePeerVerifier, type PeerVerifier } from './peer-verification.ts';
import type { SecretContexts, TlsContext, TlsContextSource } from './secret-contexts.ts';
import { SslSession } from './ssl-session.ts';
import type { SslStats } from './ssl-stats.ts';
import { type TlsEvents, TlsStream } from './tls-stream.ts';

/** Per-connection replacements; null keeps what is configured. */
export interface TlsOverrides {
  readonly alpnProtocols: readonly string[] | null;
  /** Offered where neither the configuration nor a replacement names any. */
  readonly alpnFallback?: readonly string[];
  readonly serverName: string | null;
  readonly subjectAltNames: readonly string[] | null;
}

/** Verifiers of overridden names that are kept. */
const maxVerifiers = 64;

export class ClientTls {
  readonly #model: UpstreamTlsModel;
  readonly #source: TlsContextSource;
  readonly #stats: SslStats;
  readonly #verifiers = new Map<string, PeerVerifier>();
  readonly #sessions: ClientSessions;
  #context: TlsContext | null = null;

  constructor(model: UpstreamTlsModel, contexts: SecretContexts, stats: SslStats) {
    this.#model = model;
    this.#source = contexts.source(model.common, 'client');
    this.#stats = stats;
    this.#sessions = new ClientSessions(model.maxSessionKeys);
  }

  /** False while a secret is missing: connections fail at once. */
  isReady(): boolean {
    return this.#currentContext() !== null;
  }

  /** Sessions and verifiers belong to one trust; a rotation drops them. */
  #currentContext(): TlsContext | null {
    const context = this.#source.current();
    if (context !== this.#context) {
      this.#context = context;
      this.#verifiers.clear();
      this.#sessions.clear();
    }
    return context;
  }

  /** Begins when the socket below is connected. The connection becomes open, or fails with the reason in its info. */
  connect(connection: SocketConnection, overrides: TlsOverrides, opened: () => void): void {
    const context = this.#currentContext();
    if (context === null) {
      connection.fail('remote-close', 'TLS error: Secret is not supplied by SDS');
      return;
    }
    const serverName = overrides.serverName ?? this.#model.sni;
    const configured = overrides.alpnProtocols ?? this.#model.common.alpnProtocols;
    const alpn = configured.length === 0 ? (overrides.alpnFallback ?? configured) : configured;
    const verify = this.#verifier(context, overrides.subjectAltNames);
    const keepSession = (session: number): boolean => context === this.#context && this.#sessions.keep(serverName, session);
    const offered = this.#sessions.take(serverName);
    const judge = new PeerJudge(context, verify, [], keepSession);
    const session = new SslSession({
      ...{ role: 'client', context: context.sslContext.pointer, delegate: judge, peerCertificate: 'asked' },
      ...{ serverName, alpnOffer: encodeAlpn(alpn), session: offered },
    });
    freeSession(offered);
    const refused = (): void => this.#sessions.drop(serverName);
    const handshake = new ClientHandshake({
      connection,
      session,
      judge,
      context,
      stats: this.#stats,
      serverName,
      opened,
      refused,
    });
    const stream = new TlsStream(connection.socket, session, connection, handshake);
    connection.beginTls(stream);
    stream.start();
  }

  #verifier(context: TlsContext, names: readonly string[] | null): PeerVerifier {
    const key = names === null ? '' : `=${names.join(',')}`;
    let verifier = this.#verifiers.get(key);
    if (verifier === undefined) {
      if (this.#verifiers.size >= maxVerifiers) this.#verifiers.clear();
      verifier = compilePeerVerifier(context.validation, context.verifiesChain, context.validation !== null, names);
      this.#verifiers.set(key, verifier);
    }
    return verifier;
  }
}

interface ClientHandshakeParts {
  readonly connection: SocketConnection;
  readonly session: SslSession;
  readonly judge: PeerJudge;
  readonly context: TlsContext;
  readonly stats: SslStats;
  readonly serverName: string;
  readonly opened: () => void;
  /** The server is not who it should be. */
  readonly refused: () => void;
}

class ClientHandshake implements TlsEvents {
  readonly #parts: ClientHandshakeParts;

  constructor(parts: ClientHandshakeParts) {
    this.#parts = parts;
  }

  onHandshakeDone(): void {
    const { connection, session, judge, context, stats, serverName, opened } = this.#parts;
    const info = concludeHandshake(session, context, judge, stats, serverName);
    if (info === null) {
      this.#refuse();
      return;
    }
    connection.info.requestedServerName = serverName;
    connection.finishTls(info);
    opened();
  }

  #refuse(): void {
    const { connection, judge, refused } = this.#parts;
    refused();
    connection.fail('remote-close', judge.refusal === null ? '' : describeRefusal(judge.refusal));
  }

  onTlsFailure(failure: OpenSslError | null): void {
    const { connection, session, judge, stats } = this.#parts;
    if (judge.refusal !== null && tlsFailureReason(failure) === 'CERTIFICATE_VERIFY_FAILED') {
      stats.countVerification(judge.refusal.stat);
      this.#refuse();
      return;
    }
    stats.connectionError.inc();
    // An alert that follows the handshake (a certificate refused in TLS 1.3) ends a connection that was made.
    const failed = connection.state === 'connecting';
    connection.fail('remote-close', failed ? describeTlsFailure(failure, 'client', session.cipher !== '') : '');
  }

  onSocketError(error: Error & { code?: string }): void {
    const { connection, stats } = this.#parts;
    stats.connectionError.inc();
    connection.fail('remote-close', connection.state === 'connecting' ? describeSocketFailure(error) : '');
  }
}
