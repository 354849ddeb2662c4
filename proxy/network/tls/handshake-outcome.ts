/** What both sides do in a handshake and after it: judge the peer, and describe what was agreed on. */
import { X509Certificate } from 'node:crypto';
import type { TlsInfo } from '../connection.ts';
import { describeCertificate, type ParsedCertificate } from './certificate.ts';
import { formatTlsFailure } from './failure-reason.ts';
import type { PeerCertificate } from './peer-certificate.ts';
import { certificateHasExpired, type PeerVerifier, type VerificationFailure } from './peer-verification.ts';
import type { TlsContext } from './secret-contexts.ts';
import type { SslDelegate } from './ssl-callbacks.ts';
import type { SslSession } from './ssl-session.ts';
import type { SslStats } from './ssl-stats.ts';

/** Answers OpenSSL for one connection, and remembers why a peer was refused. */
export class PeerJudge implements SslDelegate {
  readonly #context: TlsContext;
  readonly #verify: PeerVerifier;
  readonly alpnProtocols: readonly string[];
  readonly keepSession: (session: number) => boolean;
  refusal: VerificationFailure | null = null;

  /** `alpnProtocols` are a server's; `keepSession` is a client's. */
  constructor(
    context: TlsContext,
    verify: PeerVerifier,
    alpnProtocols: readonly string[],
    keepSession: (session: number) => boolean = () => false,
  ) {
    this.#context = context;
    this.#verify = verify;
    this.alpnProtocols = alpnProtocols;
    this.keepSession = keepSession;
  }

  get verifiesChain(): boolean {
    return this.#context.verifiesChain;
  }

  verifyPeer({ certificate, parsed }: PeerCertificate, chainError: number): number | null {
    this.refusal = this.#verify(certificate, parsed, chainError);
    return this.refusal === null ? null : this.refusal.alert;
  }

  /** A session is judged again: it may have outlived the certificate that was shown at its beginning. */
  verifyResumed(session: SslSession, peer: PeerCertificate | null): void {
    const isOver = peer !== null && peer.parsed.validToMs < Date.now();
    const chainError = peer === null ? 0 : session.verifyResult || (isOver ? certificateHasExpired : 0);
    this.refusal = this.#verify(peer?.certificate, peer?.parsed ?? null, chainError);
  }
}

/** Why a handshake failed that OpenSSL ended because of a verdict of ours. */
export function describeRefusal(refusal: VerificationFailure): string {
  const name = refusal.stat === 'fail_verify_no_cert' ? 'PEER_DID_NOT_RETURN_A_CERTIFICATE' : 'CERTIFICATE_VERIFY_FAILED';
  return formatTlsFailure(name, refusal.details);
}

/** Judges what was not judged yet and counts; null: the peer is refused, `judge` knows why. */
export function concludeHandshake(
  session: SslSession,
  context: TlsContext,
  judge: PeerJudge,
  stats: SslStats,
  serverName: string,
): TlsInfo | null {
  const resumed = session.isResumed;
  const peer = session.peerCertificate;
  if (resumed || peer === null) judge.verifyResumed(session, peer);
  if (judge.refusal !== null) {
    stats.countVerification(judge.refusal.stat);
    return null;
  }
  const { version, cipher } = session;
  if (peer === null) stats.noCertificate.inc();
  stats.countHandshake(version, cipher, session.group, resumed);
  return {
    version,
    cipher,
    alpn: session.alpnProtocol,
    serverName,
    resumed,
    sessionId: '',
    peerCertificatePresented: peer !== null,
    peerCertificateValidated: peer !== null && context.verifiesChain,
    peer: peer?.parsed ?? null,
    local: describeOwnCertificate(context),
  };
}

const ownCertificates = new WeakMap<TlsContext, ParsedCertificate | null>();

function describeOwnCertificate(context: TlsContext): ParsedCertificate | null {
  let own = ownCertificates.get(context);
  if (own === undefined) {
    own = context.certificate === null ? null : describeCertificate(new X509Certificate(context.certificate));
    ownCertificates.set(context, own);
  }
  return own;
}

const encodedProtocols = new Map<string, Buffer>();

/** An ALPN list in wire form (RFC 7301 3.1); cached, the lists are few. */
export function encodeAlpn(protocols: readonly string[]): Buffer {
  const key = protocols.join();
  let encoded = encodedProtocols.get(key);
  if (encoded === undefined) {
    encoded = Buffer.concat(protocols.flatMap(name => [Buffer.from([name.length]), Buffer.from(name, 'latin1')]));
    encodedProtocols.set(key, encoded);
  }
  return encoded;
}
