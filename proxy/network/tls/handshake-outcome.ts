/** What both sides do when OpenSSL says the handshake is done: verify the peer, and describe the session. */
import { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import type { TlsInfo } from '../connection.ts';
import { verificationError } from '../socket-handle.ts';
import { describeCertificate, type ParsedCertificate } from './certificate.ts';
import { formatTlsFailure } from './failure-reason.ts';
import type { PeerVerifier } from './peer-verification.ts';
import type { TlsContext } from './secret-contexts.ts';
import type { SslStats } from './ssl-stats.ts';

export type HandshakeOutcome =
  | { readonly kind: 'accepted'; readonly info: TlsInfo }
  | { readonly kind: 'refused'; readonly reason: string; readonly alert: number };

const ownCertificates = new WeakMap<TlsContext, ParsedCertificate | null>();

/** A peer's certificate, kept with a client session: Node does not tell it for resumed ones. */
export interface PeerCertificate {
  readonly certificate: X509Certificate;
  readonly parsed: ParsedCertificate;
}

export function readPeerCertificate(stream: TLSSocket): PeerCertificate | null {
  const certificate = stream.getPeerX509Certificate();
  return certificate === undefined ? null : { certificate, parsed: describeCertificate(certificate) };
}

/** Sessions are renewed by use, and could outlive what their peer showed once. */
function expiryOf(peer: PeerCertificate | null): (Error & { code?: string }) | null {
  if (peer === null || peer.parsed.validToMs >= Date.now()) return null;
  return Object.assign(new Error('certificate has expired'), { code: 'CERT_HAS_EXPIRED' });
}

/** `remembered` is the peer of the session that was offered; it counts if the session was resumed. */
export function concludeHandshake(
  stream: TLSSocket,
  context: TlsContext,
  verify: PeerVerifier,
  stats: SslStats,
  serverName: string,
  remembered: PeerCertificate | null = null,
): HandshakeOutcome {
  const resumed = stream.isSessionReused();
  const peer = readPeerCertificate(stream) ?? (resumed ? remembered : null);
  const certificate = peer?.certificate;
  const parsed = peer?.parsed ?? null;
  // OpenSSL's verdict is "unspecified" where no certificate came.
  const chainError = certificate === undefined ? null : (verificationError(stream) ?? (resumed ? expiryOf(peer) : null));
  const failure = verify(certificate, parsed, chainError);
  if (failure !== null) {
    stats.countVerification(failure.stat);
    const name = failure.stat === 'fail_verify_no_cert' ? 'PEER_DID_NOT_RETURN_A_CERTIFICATE' : 'CERTIFICATE_VERIFY_FAILED';
    return { kind: 'refused', reason: formatTlsFailure(name, failure.details), alert: failure.alert };
  }
  const version = stream.getProtocol() ?? '';
  const cipher = stream.getCipher()?.name ?? '';
  if (certificate === undefined) stats.noCertificate.inc();
  stats.countHandshake(version, cipher, keyExchangeGroup(stream), resumed);
  const info: TlsInfo = {
    version,
    cipher,
    alpn: typeof stream.alpnProtocol === 'string' ? stream.alpnProtocol : '',
    serverName,
    resumed,
    sessionId: '',
    peerCertificatePresented: certificate !== undefined,
    peerCertificateValidated: certificate !== undefined && context.verifiesChain,
    peer: parsed,
    local: describeOwnCertificate(context),
  };
  return { kind: 'accepted', info };
}

/** BoringSSL's names of OpenSSL's groups, where they differ. */
const groupNames: { readonly [name: string]: string | undefined } = {
  prime256v1: 'P-256',
  secp384r1: 'P-384',
  secp521r1: 'P-521',
};

/** Empty on the accepting side, where Node does not tell. */
function keyExchangeGroup(stream: TLSSocket): string {
  const info = stream.getEphemeralKeyInfo() as { readonly name?: string } | null;
  const name = info?.name ?? '';
  return groupNames[name] ?? name;
}

function describeOwnCertificate(context: TlsContext): ParsedCertificate | null {
  let own = ownCertificates.get(context);
  if (own === undefined) {
    own = context.certificate === null ? null : describeCertificate(new X509Certificate(context.certificate));
    ownCertificates.set(context, own);
  }
  return own;
}

const encodedProtocols = new Map<string, Buffer>();

/** An ALPN list in wire form, which Node takes as it is; cached, the lists are few. */
export function encodeAlpn(protocols: readonly string[]): Buffer {
  const key = protocols.join();
  let encoded = encodedProtocols.get(key);
  if (encoded === undefined) {
    encoded = Buffer.concat(protocols.flatMap(name => [Buffer.from([name.length]), Buffer.from(name, 'latin1')]));
    encodedProtocols.set(key, encoded);
  }
  return encoded;
}
