/** The connecting side of TLS: one ClientTls per compiled transport socket, which also owns its sessions. */
import tls from 'node:tls';
import type { UpstreamTlsModel } from '../../config/model/tls.ts';
import type { SocketConnection } from '../socket-connection.ts';
import { drainOptions } from '../socket-handle.ts';
import { describeTlsError } from './failure-reason.ts';
import { concludeHandshake, encodeAlpn, type PeerCertificate, readPeerCertificate } from './handshake-outcome.ts';
import { compilePeerVerifier, type PeerVerifier } from './peer-verification.ts';
import type { SecretContexts, TlsContext, TlsContextSource } from './secret-contexts.ts';
import type { SslStats } from './ssl-stats.ts';

/** Per-connection replacements; null keeps what is configured. */
export interface TlsOverrides {
  readonly alpnProtocols: readonly string[] | null;
  /** Offered where neither the configuration nor a replacement names any. */
  readonly alpnFallback?: readonly string[];
  readonly serverName: string | null;
  readonly subjectAltNames: readonly string[] | null;
}

interface KeptSession {
  readonly session: Buffer;
  readonly peer: PeerCertificate | null;
}

/** Verifiers of overridden names that are kept. */
const maxVerifiers = 64;
/** Server names whose sessions are kept. */
const maxSessionNames = 64;

export class ClientTls {
  readonly #model: UpstreamTlsModel;
  readonly #source: TlsContextSource;
  readonly #stats: SslStats;
  readonly #verifiers = new Map<string, PeerVerifier>();
  /** Newest last; TLS 1.3 sessions are used once. */
  readonly #sessions = new Map<string, KeptSession[]>();
  #context: TlsContext | null = null;

  constructor(model: UpstreamTlsModel, contexts: SecretContexts, stats: SslStats) {
    this.#model = model;
    this.#source = contexts.source(model.common, 'client');
    this.#stats = stats;
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
    const kept = this.#takeSession(serverName);
    const stream = tls.connect({
      socket: connection.socket,
      secureContext: context.secureContext,
      ...{ allowHalfOpen: true, ...drainOptions },
      rejectUnauthorized: false,
      // Names are matched for resumed sessions too, which Node would not do.
      checkServerIdentity: () => undefined,
      ...(serverName === '' ? {} : { servername: serverName }),
      ...(alpn.length === 0 ? {} : { ALPNProtocols: encodeAlpn(alpn) as unknown as string[] }),
      ...(kept === null ? {} : { session: kept.session }),
    } as tls.ConnectionOptions);
    const verify = this.#verifier(context, overrides.subjectAltNames);
    stream.on('session', (session: Buffer) => {
      const peer = readPeerCertificate(stream) ?? kept?.peer ?? null;
      this.#keepSession(serverName, { session, peer }, context);
    });
    stream.on('error', (error: Error & { code?: string }) => {
      if (connection.state === 'closed') return;
      this.#stats.connectionError.inc();
      // An alert that follows the handshake (a certificate refused in TLS 1.3) ends a connection that was made.
      const failed = connection.state === 'connecting';
      connection.fail('remote-close', failed ? describeTlsError(error, 'client', stream.getCipher()?.name !== undefined) : '');
    });
    stream.on('secure', () => {
      if (connection.state === 'closed') return;
      const outcome = concludeHandshake(stream, context, verify, this.#stats, serverName, kept?.peer ?? null);
      if (outcome.kind === 'refused') {
        this.#sessions.delete(serverName);
        connection.fail('remote-close', outcome.reason);
        return;
      }
      connection.info.requestedServerName = serverName;
      connection.finishTls(outcome.info);
      opened();
    });
    connection.beginTls(stream);
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

  #takeSession(serverName: string): KeptSession | null {
    const sessions = this.#sessions.get(serverName);
    if (sessions === undefined || sessions.length === 0) return null;
    return sessions.length > 1 ? (sessions.pop() as KeptSession) : sessions[0];
  }

  #keepSession(serverName: string, session: KeptSession, context: TlsContext): void {
    if (this.#model.maxSessionKeys === 0 || context !== this.#context) return;
    let sessions = this.#sessions.get(serverName);
    if (sessions === undefined) {
      if (this.#sessions.size >= maxSessionNames) this.#sessions.clear();
      sessions = [];
      this.#sessions.set(serverName, sessions);
    }
    sessions.push(session);
    if (sessions.length > this.#model.maxSessionKeys) sessions.shift();
  }
}
