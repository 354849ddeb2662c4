/**
 * One TLS connection of OpenSSL, apart from any socket: ciphertext goes in and out by buffers. After `free` the memory behind is
 * gone: nothing is read or written any more, and nothing may be asked.
 *
 * Source: ssl(7), SSL_read(3), SSL_do_handshake(3), BIO_s_mem(3).
 */
import { memory } from './native-memory.ts';
import { clearOpenSslErrors, declareOpenSsl, type OpenSslError, takeOpenSslError } from './openssl.ts';
import { type PeerCertificate, readPeerCertificate } from './peer-certificate.ts';
import { beginCall, endCall, type SslDelegate } from './ssl-callbacks.ts';

interface SslCalls {
  SSL_new(context: number): number;
  SSL_free(ssl: number): void;
  SSL_set_accept_state(ssl: number): void;
  SSL_set_connect_state(ssl: number): void;
  SSL_set_bio(ssl: number, input: number, output: number): void;
  SSL_set_verify(ssl: number, mode: number, callback: number): void;
  SSL_set_session(ssl: number, session: number): number;
  SSL_set_alpn_protos(ssl: number, protocols: Uint8Array, bytes: number): number;
  SSL_ctrl_text(ssl: number, command: number, value: number, text: string): number;
  SSL_ctrl(ssl: number, command: number, value: number, pointer: number): number;
  SSL_do_handshake(ssl: number): number;
  SSL_read(ssl: number, to: Uint8Array, bytes: number): number;
  SSL_write(ssl: number, from: Uint8Array, bytes: number): number;
  SSL_shutdown(ssl: number): number;
  SSL_want(ssl: number): number;
  SSL_pending(ssl: number): number;
  SSL_get_shutdown(ssl: number): number;
  SSL_set_shutdown(ssl: number, mode: number): void;
  SSL_get0_alpn_selected(ssl: number, data: Uint8Array, length: Uint8Array): void;
  SSL_get_servername(ssl: number, type: number): string | null;
  SSL_session_reused(ssl: number): number;
  SSL_version(ssl: number): number;
  SSL_get_current_cipher(ssl: number): number;
  SSL_CIPHER_get_name(cipher: number): string;
  SSL_group_to_name(ssl: number, group: number): string | null;
  SSL_get0_peer_certificate(ssl: number): number;
  SSL_get_peer_cert_chain(ssl: number): number;
  SSL_get_verify_result(ssl: number): number;
  BIO_s_mem(): number;
  BIO_new(method: number): number;
  BIO_write(bio: number, from: Uint8Array, bytes: number): number;
  BIO_read(bio: number, to: Uint8Array, bytes: number): number;
}

const calls = declareOpenSsl<SslCalls>({
  SSL_new: 'int64_t SSL_new(int64_t context)',
  SSL_free: 'void SSL_free(int64_t ssl)',
  SSL_set_accept_state: 'void SSL_set_accept_state(int64_t ssl)',
  SSL_set_connect_state: 'void SSL_set_connect_state(int64_t ssl)',
  SSL_set_bio: 'void SSL_set_bio(int64_t ssl, int64_t input, int64_t output)',
  SSL_set_verify: 'void SSL_set_verify(int64_t ssl, int mode, int64_t callback)',
  SSL_set_session: 'int SSL_set_session(int64_t ssl, int64_t session)',
  SSL_set_alpn_protos: 'int SSL_set_alpn_protos(int64_t ssl, const void *protocols, unsigned int bytes)',
  SSL_ctrl_text: 'long SSL_ctrl(int64_t ssl, int command, long value, const char *text)',
  SSL_ctrl: 'long SSL_ctrl(int64_t ssl, int command, long value, int64_t pointer)',
  SSL_do_handshake: 'int SSL_do_handshake(int64_t ssl)',
  SSL_read: 'int SSL_read(int64_t ssl, void *to, int bytes)',
  SSL_write: 'int SSL_write(int64_t ssl, const void *from, int bytes)',
  SSL_shutdown: 'int SSL_shutdown(int64_t ssl)',
  SSL_want: 'int SSL_want(int64_t ssl)',
  SSL_pending: 'int SSL_pending(int64_t ssl)',
  SSL_get_shutdown: 'int SSL_get_shutdown(int64_t ssl)',
  SSL_set_shutdown: 'void SSL_set_shutdown(int64_t ssl, int mode)',
  SSL_get0_alpn_selected: 'void SSL_get0_alpn_selected(int64_t ssl, void *data, void *length)',
  SSL_get_servername: 'const char *SSL_get_servername(int64_t ssl, int type)',
  SSL_session_reused: 'int SSL_session_reused(int64_t ssl)',
  SSL_version: 'int SSL_version(int64_t ssl)',
  SSL_get_current_cipher: 'int64_t SSL_get_current_cipher(int64_t ssl)',
  SSL_CIPHER_get_name: 'const char *SSL_CIPHER_get_name(int64_t cipher)',
  SSL_group_to_name: 'const char *SSL_group_to_name(int64_t ssl, int group)',
  SSL_get0_peer_certificate: 'int64_t SSL_get0_peer_certificate(int64_t ssl)',
  SSL_get_peer_cert_chain: 'int64_t SSL_get_peer_cert_chain(int64_t ssl)',
  SSL_get_verify_result: 'long SSL_get_verify_result(int64_t ssl)',
  BIO_s_mem: 'int64_t BIO_s_mem()',
  BIO_new: 'int64_t BIO_new(int64_t method)',
  BIO_write: 'int BIO_write(int64_t bio, const void *from, int bytes)',
  BIO_read: 'int BIO_read(int64_t bio, void *to, int bytes)',
});

const verifyPeer = 1;
const failWithoutCertificate = 2;
const setServerName = 55;
const getNegotiatedGroup = 134;
const wantsRead = 3;
const sentShutdown = 1;
const receivedShutdown = 2;

let memoryBio = 0;

const unspecifiedError = 1;

/** What a read or a step of the handshake came to, below the counts of bytes. */
export const sslWaiting = 0;
/** The peer said that it sends no more. */
export const sslClosed = -1;
export const sslFailed = -2;

export interface SslSessionOptions {
  readonly role: 'server' | 'client';
  /** An SSL_CTX with our callbacks. */
  readonly context: number;
  readonly delegate: SslDelegate;
  /** A certificate of the peer is asked for; a server may also insist. */
  readonly peerCertificate: 'none' | 'asked' | 'required';
  /** Of a client: SNI (empty: none), its protocols in wire form, and a session to resume (0: none). */
  readonly serverName?: string;
  readonly alpnOffer?: Buffer;
  readonly session?: number;
}

export class SslSession {
  readonly #delegate: SslDelegate;
  readonly #input: number;
  readonly #output: number;
  /** 0 once freed. */
  #ssl: number;
  /** Set with the answer `sslFailed`; null: the peer just ended. */
  failure: OpenSslError | null = null;

  constructor(options: SslSessionOptions) {
    const { role, context, peerCertificate, serverName = '', alpnOffer, session = 0 } = options;
    this.#delegate = options.delegate;
    this.#ssl = calls.SSL_new(context);
    if (this.#ssl === 0) throw new Error(`SSL_new: ${takeOpenSslError()?.reason}`);
    if (memoryBio === 0) memoryBio = calls.BIO_s_mem();
    this.#input = calls.BIO_new(memoryBio);
    this.#output = calls.BIO_new(memoryBio);
    calls.SSL_set_bio(this.#ssl, this.#input, this.#output);
    const mode = peerCertificate === 'none' ? 0 : peerCertificate === 'asked' ? verifyPeer : verifyPeer | failWithoutCertificate;
    calls.SSL_set_verify(this.#ssl, mode, 0);
    if (role === 'server') {
      calls.SSL_set_accept_state(this.#ssl);
      return;
    }
    calls.SSL_set_connect_state(this.#ssl);
    if (serverName !== '') calls.SSL_ctrl_text(this.#ssl, setServerName, 0, serverName);
    if (alpnOffer !== undefined && alpnOffer.length > 0) calls.SSL_set_alpn_protos(this.#ssl, alpnOffer, alpnOffer.length);
    if (session !== 0) calls.SSL_set_session(this.#ssl, session);
  }

  /** Takes ciphertext of the peer. */
  feed(from: Uint8Array, bytes: number): void {
    if (this.#ssl !== 0) calls.BIO_write(this.#input, from, bytes);
  }

  /** Ciphertext for the peer into `to`; how many bytes, at most 0 if there are none. */
  takeOutput(to: Uint8Array, bytes: number): number {
    return this.#ssl === 0 ? 0 : calls.BIO_read(this.#output, to, bytes);
  }

  /** 1: done; else `sslWaiting` or `sslFailed`. Either way there may be output. */
  shakeHands(): number {
    if (this.#ssl === 0) return sslFailed;
    clearOpenSslErrors();
    beginCall(this.#delegate);
    const result = calls.SSL_do_handshake(this.#ssl);
    endCall();
    return result === 1 ? 1 : this.#explain();
  }

  /** How many bytes were read, or what it waits for. */
  read(to: Uint8Array, bytes: number): number {
    if (this.#ssl === 0) return sslClosed;
    clearOpenSslErrors();
    beginCall(this.#delegate);
    const result = calls.SSL_read(this.#ssl, to, bytes);
    endCall();
    return result > 0 ? result : this.#explain();
  }

  /** The last read left some of its record. */
  get isAmidRecord(): boolean {
    return this.#ssl !== 0 && calls.SSL_pending(this.#ssl) > 0;
  }

  /** What was not read or done, and why; the thread's queue of errors was empty before. */
  #explain(): number {
    this.failure = takeOpenSslError();
    if (this.failure !== null) return sslFailed;
    if ((calls.SSL_get_shutdown(this.#ssl) & receivedShutdown) !== 0) return sslClosed;
    return calls.SSL_want(this.#ssl) === wantsRead ? sslWaiting : sslFailed;
  }

  /** False: nothing was taken, because the connection is beyond writing, or a message of the peer is still incomplete. */
  write(from: Uint8Array, bytes: number): boolean {
    if (this.#ssl === 0) return false;
    if (calls.SSL_write(this.#ssl, from, bytes) === bytes) return true;
    clearOpenSslErrors();
    return false;
  }

  /** Says that nothing more will be sent. */
  shutdown(): void {
    if (this.#ssl === 0) return;
    calls.SSL_shutdown(this.#ssl);
    clearOpenSslErrors();
  }

  free(): void {
    const ssl = this.#ssl;
    if (ssl === 0) return;
    this.#ssl = 0;
    // A connection that was not shut down would take its session with it.
    if (this.failure === null) calls.SSL_set_shutdown(ssl, sentShutdown | receivedShutdown);
    calls.SSL_free(ssl);
  }

  // What was negotiated; nothing, once freed

  get isResumed(): boolean {
    return this.#ssl !== 0 && calls.SSL_session_reused(this.#ssl) === 1;
  }

  /** X509_V_ERR_*, 0: the peer's chain is trusted, or none was sent; of a resumed session it is what was found at its beginning. */
  get verifyResult(): number {
    return this.#ssl === 0 ? unspecifiedError : calls.SSL_get_verify_result(this.#ssl);
  }

  get peerCertificate(): PeerCertificate | null {
    const leaf = this.#ssl === 0 ? 0 : calls.SSL_get0_peer_certificate(this.#ssl);
    return leaf === 0 ? null : readPeerCertificate(leaf, calls.SSL_get_peer_cert_chain(this.#ssl));
  }

  /** As OpenSSL and BoringSSL name it: `TLSv1.3`. */
  get version(): string {
    const version = this.#ssl === 0 ? 0 : calls.SSL_version(this.#ssl);
    return versionNames[version] ?? `0x${version.toString(16)}`;
  }

  /** OpenSSL's name of the suite. */
  get cipher(): string {
    const cipher = this.#ssl === 0 ? 0 : calls.SSL_get_current_cipher(this.#ssl);
    if (cipher === 0) return '';
    let name = cipherNames.get(cipher);
    if (name === undefined) {
      name = calls.SSL_CIPHER_get_name(cipher);
      cipherNames.set(cipher, name);
    }
    return name;
  }

  /** BoringSSL's name of the group of the key exchange; empty if there was none. */
  get group(): string {
    const group = this.#ssl === 0 ? 0 : calls.SSL_ctrl(this.#ssl, getNegotiatedGroup, 0, 0);
    if (group === 0) return '';
    let name = groupNames.get(group);
    if (name === undefined) {
      const own = calls.SSL_group_to_name(this.#ssl, group) ?? '';
      name = boringSslGroups[own.toLowerCase()] ?? own;
      groupNames.set(group, name);
    }
    return name;
  }

  /** Of the client's hello, as far as it was read; empty if it named none. */
  get serverName(): string {
    return this.#ssl === 0 ? '' : (calls.SSL_get_servername(this.#ssl, 0) ?? '').toLowerCase();
  }

  /** Empty if none was selected. */
  get alpnProtocol(): string {
    if (this.#ssl === 0) return '';
    calls.SSL_get0_alpn_selected(this.#ssl, selectedAt, selectedBytes);
    const bytes = selectedBytes.readUInt32LE();
    if (bytes === 0 || bytes > selected.length) return '';
    memory.read(selected, Number(selectedAt.readBigUInt64LE()), bytes);
    return selected.toString('latin1', 0, bytes);
  }
}

const selectedAt = Buffer.alloc(8);
const selectedBytes = Buffer.alloc(4);
const selected = Buffer.alloc(255);
const versionNames: { readonly [version: number]: string | undefined } = {
  769: 'TLSv1',
  770: 'TLSv1.1',
  771: 'TLSv1.2',
  772: 'TLSv1.3',
};
const cipherNames = new Map<number, string>();
const groupNames = new Map<number, string>();
const boringSslGroups: { readonly [name: string]: string | undefined } = {
  x25519: 'X25519',
  prime256v1: 'P-256',
  secp256r1: 'P-256',
  secp384r1: 'P-384',
  secp521r1: 'P-521',
};
