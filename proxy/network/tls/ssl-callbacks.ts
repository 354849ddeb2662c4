/**
 * What OpenSSL asks in the middle of a handshake: whom to trust, which protocol, what to do with a session. It asks while one
 * of our calls runs (`SSL_do_handshake`, `SSL_read`), so at any time at most one session is asked.
 *
 * Source: SSL_CTX_set_cert_verify_callback(3), SSL_CTX_set_alpn_select_cb(3), SSL_CTX_sess_set_new_cb(3).
 */
import { memory, registerCallback } from './native-memory.ts';
import { declareOpenSsl } from './openssl.ts';
import { type PeerCertificate, readPeerCertificate } from './peer-certificate.ts';

/** A session that answers. */
export interface SslDelegate {
  /** False: the chain is not looked at, only names and hashes are. */
  readonly verifiesChain: boolean;
  /** A server's protocols, dearest first. */
  readonly alpnProtocols: readonly string[];
  /** `chainError` is a code of X509_V_ERR_*, 0: the chain is trusted. The AlertDescription that refuses the peer, or null. */
  verifyPeer(peer: PeerCertificate, chainError: number): number | null;
  /** A client got a session; true: it keeps it, and the reference with it. */
  keepSession(session: number): boolean;
}

interface CallbackCalls {
  SSL_CTX_set_cert_verify_callback(context: number, callback: number, argument: number): void;
  SSL_CTX_set_alpn_select_cb(context: number, callback: number, argument: number): void;
  SSL_CTX_sess_set_new_cb(context: number, callback: number): void;
  X509_verify_cert(store: number): number;
  X509_STORE_CTX_get_error(store: number): number;
  X509_STORE_CTX_set_error(store: number, code: number): void;
  X509_STORE_CTX_get0_cert(store: number): number;
  X509_STORE_CTX_get0_untrusted(store: number): number;
}

const calls = declareOpenSsl<CallbackCalls>({
  SSL_CTX_set_cert_verify_callback: 'void SSL_CTX_set_cert_verify_callback(int64_t context, int64_t callback, int64_t argument)',
  SSL_CTX_set_alpn_select_cb: 'void SSL_CTX_set_alpn_select_cb(int64_t context, int64_t callback, int64_t argument)',
  SSL_CTX_sess_set_new_cb: 'void SSL_CTX_sess_set_new_cb(int64_t context, int64_t callback)',
  X509_verify_cert: 'int X509_verify_cert(int64_t store)',
  X509_STORE_CTX_get_error: 'int X509_STORE_CTX_get_error(int64_t store)',
  X509_STORE_CTX_set_error: 'void X509_STORE_CTX_set_error(int64_t store, int code)',
  X509_STORE_CTX_get0_cert: 'int64_t X509_STORE_CTX_get0_cert(int64_t store)',
  X509_STORE_CTX_get0_untrusted: 'int64_t X509_STORE_CTX_get0_untrusted(int64_t store)',
});

/** What a callback answers. */
const refuse = 0;
const accept = 1;
const alpnSelected = 0;
const alpnIgnored = 3;

/** An error of verification for each alert that refuses a peer (OpenSSL derives the alert from it). */
const errorOfAlert: { readonly [alert: number]: number | undefined } = { 40: 50, 44: 23, 45: 10, 48: 2 };
/** One that OpenSSL does not know: certificate_unknown. */
const unknownError = 1000;

let asked: SslDelegate | null = null;

/** Until `endCall` the delegate is the one that is asked. */
export function beginCall(delegate: SslDelegate): void {
  asked = delegate;
}

export function endCall(): void {
  asked = null;
}

/** Who cannot be judged is not let in. */
function verifyCertificate(store: number): number {
  const delegate = asked as SslDelegate;
  const trusted = !delegate.verifiesChain || calls.X509_verify_cert(store) === 1;
  const chainError = trusted ? 0 : calls.X509_STORE_CTX_get_error(store) || unknownError;
  const leaf = calls.X509_STORE_CTX_get0_cert(store);
  calls.X509_STORE_CTX_set_error(store, unknownError);
  const alert = delegate.verifyPeer(readPeerCertificate(leaf, calls.X509_STORE_CTX_get0_untrusted(store)), chainError);
  calls.X509_STORE_CTX_set_error(store, alert === null ? chainError : (errorOfAlert[alert] ?? unknownError));
  return alert === null ? accept : refuse;
}

const offered = Buffer.alloc(65_536);
const address = Buffer.alloc(8);

/** RFC 7301 3.2. Nothing in common: the handshake goes on without, as in BoringSSL. */
function selectProtocol(_ssl: number, selected: number, selectedLength: number, list: number, bytes: number): number {
  if (asked === null || bytes > offered.length) return alpnIgnored;
  memory.read(offered, list, bytes);
  for (const protocol of asked.alpnProtocols) {
    for (let at = 0; at < bytes; at += 1 + offered[at]) {
      if (offered[at] !== protocol.length || offered.toString('latin1', at + 1, at + 1 + protocol.length) !== protocol) continue;
      address.writeBigUInt64LE(BigInt(list + at + 1));
      memory.write(selected, address, 8);
      memory.write(selectedLength, offered.subarray(at, at + 1), 1);
      return alpnSelected;
    }
  }
  return alpnIgnored;
}

function takeSession(_ssl: number, session: number): number {
  return asked?.keepSession(session) === true ? 1 : 0;
}

/** Nothing may be thrown through OpenSSL: it is given `otherwise` for an answer. */
function catchErrors(callback: (...values: number[]) => number, otherwise: number): (...values: number[]) => number {
  return (...values) => {
    try {
      return callback(...values);
    } catch {
      return otherwise;
    }
  };
}

const sessionNotTaken = 0;

/** Addresses for OpenSSL. */
interface Callbacks {
  readonly verify: number;
  readonly alpn: number;
  readonly session: number;
}

let callbacks: Callbacks | null = null;

function registerCallbacks(): Callbacks {
  return {
    verify: registerCallback('int verifyCertificate(int64_t store, int64_t argument)', catchErrors(verifyCertificate, refuse)),
    alpn: registerCallback(
      'int selectProtocol(int64_t ssl, int64_t selected, int64_t selectedLength, int64_t list, uint32_t bytes, int64_t argument)',
      catchErrors(selectProtocol, alpnIgnored),
    ),
    session: registerCallback('int takeSession(int64_t ssl, int64_t session)', catchErrors(takeSession, sessionNotTaken)),
  };
}

/** Every context asks here; contexts belong to the thread that made them. */
export function installCallbacks(context: number, role: 'server' | 'client'): void {
  callbacks ??= registerCallbacks();
  calls.SSL_CTX_set_cert_verify_callback(context, callbacks.verify, 0);
  if (role === 'server') calls.SSL_CTX_set_alpn_select_cb(context, callbacks.alpn, 0);
  else calls.SSL_CTX_sess_set_new_cb(context, callbacks.session);
}
