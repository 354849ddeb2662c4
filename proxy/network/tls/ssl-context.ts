/**
 * What all connections of one use of TLS share: certificate and key, trust, versions, ciphers, ticket keys. It is OpenSSL's
 * SSL_CTX; what differs between connections (verification, ALPN, names, sessions) is set on each SSL.
 *
 * Source: SSL_CTX_new(3), SSL_CTX_ctrl(3) and the pages of the functions below; numbers from ssl.h and x509_vfy.h of OpenSSL 3.5.
 */
import { clearOpenSslErrors, loadOpenSsl, takeOpenSslError } from './openssl.ts';
import { freePemObject, readCertificates, readPrivateKey, readRevocationLists } from './pem-objects.ts';
import { installCallbacks } from './ssl-callbacks.ts';

export type TlsVersion = 'TLSv1' | 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3';

export const ticketKeyBytes = 80;

export interface SslContextOptions {
  readonly role: 'server' | 'client';
  /** The chain in the order in which it is sent, leaf first, and the leaf's key: PEM. Null: none is presented. */
  readonly certificate: { readonly chain: string; readonly privateKey: string; readonly password: string | null } | null;
  /** Certificates that chains of peers may end in, PEM; null: none is trusted. */
  readonly trustedCa: string | null;
  /** PEM. Given, every certificate of a chain needs a list of its issuer. */
  readonly crl: string | null;
  /** Suites of TLS 1.2 and below, OpenSSL's names joined with ':'. Those of TLS 1.3 are always the same. */
  readonly ciphers: string;
  /** Groups of the key exchange joined with ':', preferred first. */
  readonly groups: string;
  readonly minVersion: TlsVersion;
  readonly maxVersion: TlsVersion;
  /** On a server: sessions are resumed only where this is the same. At most 32 bytes. */
  readonly sessionIdContext: string;
  /** On a server: name (16 bytes), HMAC key (32), AES key (32). Whoever has them resumes the sessions; null: random ones. */
  readonly ticketKeys: Buffer | null;
  /** 0 for OpenSSL's own: two hours. */
  readonly sessionTimeoutSeconds: number;
}

const versionNumbers: { readonly [version in TlsVersion]: number } = {
  TLSv1: 0x0301,
  'TLSv1.1': 0x0302,
  'TLSv1.2': 0x0303,
  'TLSv1.3': 0x0304,
};
const tls13Ciphers = 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256';

/** Commands of SSL_CTX_ctrl, which C's headers wrap in macros. */
const commands = {
  mode: 33,
  sessionCacheMode: 44,
  ticketKeys: 59,
  chainCertificate: 89,
  groups: 92,
  minVersion: 123,
  maxVersion: 124,
} as const;
const modes = { acceptMovingWriteBuffer: 0x2, autoRetry: 0x4, noAutoChain: 0x8, releaseBuffers: 0x10 } as const;
const options = { noCompression: 1 << 17, cipherServerPreference: 1 << 22, noRenegotiation: 1 << 30 } as const;
const sessionCacheModes = { off: 0, client: 0x1, noInternal: 0x300 } as const;
const storeFlags = { crlCheck: 0x4, crlCheckAll: 0x8, partialChain: 0x80000 } as const;

interface ContextCalls {
  serverMethod(): number;
  clientMethod(): number;
  create(method: number): number;
  free(context: number): void;
  control(context: number, command: number, value: number, pointer: number): number;
  controlBytes(context: number, command: number, value: number, bytes: Uint8Array): number;
  setOptions(context: number, options: number): number;
  setCiphers(context: number, list: string): number;
  setTls13Ciphers(context: number, list: string): number;
  useCertificate(context: number, certificate: number): number;
  usePrivateKey(context: number, key: number): number;
  addClientCa(context: number, certificate: number): number;
  certificateStore(context: number): number;
  addTrusted(store: number, certificate: number): number;
  addCrl(store: number, crl: number): number;
  setStoreFlags(store: number, flags: number): number;
  setSessionIdContext(context: number, bytes: Uint8Array, length: number): number;
  setSessionTimeout(context: number, seconds: number): number;
}

let calls: ContextCalls;

function loadCalls(): ContextCalls {
  calls ??= loadOpenSsl<ContextCalls>({
    serverMethod: 'int64_t TLS_server_method()',
    clientMethod: 'int64_t TLS_client_method()',
    create: 'int64_t SSL_CTX_new(int64_t method)',
    free: 'void SSL_CTX_free(int64_t context)',
    control: 'long SSL_CTX_ctrl(int64_t context, int command, long value, int64_t pointer)',
    controlBytes: 'long SSL_CTX_ctrl(int64_t context, int command, long value, const void *bytes)',
    setOptions: 'uint64_t SSL_CTX_set_options(int64_t context, uint64_t options)',
    setCiphers: 'int SSL_CTX_set_cipher_list(int64_t context, const char *list)',
    setTls13Ciphers: 'int SSL_CTX_set_ciphersuites(int64_t context, const char *list)',
    useCertificate: 'int SSL_CTX_use_certificate(int64_t context, int64_t certificate)',
    usePrivateKey: 'int SSL_CTX_use_PrivateKey(int64_t context, int64_t key)',
    addClientCa: 'int SSL_CTX_add_client_CA(int64_t context, int64_t certificate)',
    certificateStore: 'int64_t SSL_CTX_get_cert_store(int64_t context)',
    addTrusted: 'int X509_STORE_add_cert(int64_t store, int64_t certificate)',
    addCrl: 'int X509_STORE_add_crl(int64_t store, int64_t crl)',
    setStoreFlags: 'int X509_STORE_set_flags(int64_t store, unsigned long flags)',
    setSessionIdContext: 'int SSL_CTX_set_session_id_context(int64_t context, const void *bytes, unsigned int length)',
    setSessionTimeout: 'long SSL_CTX_set_timeout(int64_t context, long seconds)',
  });
  return calls;
}

/** Every SSL holds a reference of its own, so that connections outlive the context they were made of. */
const unused = new FinalizationRegistry<number>(pointer => calls.free(pointer));

/** Throws an error that names the part that OpenSSL refuses and its reason: `TLS ciphers: NO_CIPHER_MATCH`. */
export class SslContext {
  /** SSL_CTX; valid as long as this object is referenced. */
  readonly pointer: number;

  constructor(settings: SslContextOptions) {
    const { create, serverMethod, clientMethod, free } = loadCalls();
    clearOpenSslErrors();
    const context = create(settings.role === 'server' ? serverMethod() : clientMethod());
    try {
      requireSuccess(context !== 0, 'context');
      setProtocol(context, settings);
      installCallbacks(context, settings.role);
      setSessions(context, settings);
      if (settings.certificate !== null) setCertificate(context, settings.certificate);
      if (settings.trustedCa !== null) setTrust(context, settings.trustedCa, settings.role);
      if (settings.crl !== null) setRevocations(context, settings.crl);
    } catch (error) {
      free(context);
      throw error;
    }
    this.pointer = context;
    unused.register(this, context);
  }
}

/** OpenSSL's calls answer 0 when they fail. */
function requireSuccess(succeeded: boolean, part: string): void {
  if (!succeeded) throw new Error(`TLS ${part}: ${takeOpenSslError()?.reason ?? 'UNKNOWN_ERROR'}`);
}

function setProtocol(context: number, { role, ciphers, groups, minVersion, maxVersion }: SslContextOptions): void {
  const preference = role === 'server' ? options.cipherServerPreference : 0;
  calls.setOptions(context, options.noCompression | options.noRenegotiation | preference);
  // Without `noAutoChain` OpenSSL would add the issuers it finds among the trusted ones to a leaf that comes alone.
  const { acceptMovingWriteBuffer, autoRetry, noAutoChain, releaseBuffers } = modes;
  calls.control(context, commands.mode, acceptMovingWriteBuffer | autoRetry | noAutoChain | releaseBuffers, 0);
  requireSuccess(calls.control(context, commands.minVersion, versionNumbers[minVersion], 0) === 1, `version ${minVersion}`);
  requireSuccess(calls.control(context, commands.maxVersion, versionNumbers[maxVersion], 0) === 1, `version ${maxVersion}`);
  requireSuccess(calls.setTls13Ciphers(context, tls13Ciphers) === 1, 'ciphers of TLS 1.3');
  requireSuccess(calls.setCiphers(context, ciphers) === 1, `ciphers ${ciphers}`);
  requireSuccess(calls.controlBytes(context, commands.groups, 0, Buffer.from(`${groups}\0`)) === 1, `groups ${groups}`);
}

/** Servers keep no sessions, the tickets hold them; clients keep theirs outside OpenSSL. */
function setSessions(context: number, settings: SslContextOptions): void {
  const { role, sessionIdContext, ticketKeys, sessionTimeoutSeconds } = settings;
  if (sessionTimeoutSeconds > 0) calls.setSessionTimeout(context, sessionTimeoutSeconds);
  const cacheMode = role === 'server' ? sessionCacheModes.off : sessionCacheModes.client | sessionCacheModes.noInternal;
  calls.control(context, commands.sessionCacheMode, cacheMode, 0);
  if (role === 'client') return;
  const id = Buffer.from(sessionIdContext);
  requireSuccess(calls.setSessionIdContext(context, id, id.length) === 1, 'session id context');
  if (ticketKeys === null) return;
  requireSuccess(calls.controlBytes(context, commands.ticketKeys, ticketKeys.length, ticketKeys) === 1, 'ticket keys');
}

function setCertificate(context: number, certificate: NonNullable<SslContextOptions['certificate']>): void {
  const chain = readCertificates(certificate.chain, 'certificate');
  try {
    requireSuccess(calls.useCertificate(context, chain[0]) === 1, 'certificate');
    const addsReference = 1;
    for (const issuer of chain.slice(1)) {
      requireSuccess(calls.control(context, commands.chainCertificate, addsReference, issuer) === 1, 'certificate chain');
    }
  } finally {
    for (const entry of chain) freePemObject('certificate', entry);
  }
  const key = readPrivateKey(certificate.privateKey, certificate.password, 'key');
  try {
    requireSuccess(calls.usePrivateKey(context, key) === 1, 'key');
  } finally {
    freePemObject('key', key);
  }
}

/** A server also names the trusted ones in its request for a certificate. */
function setTrust(context: number, trustedCa: string, role: 'server' | 'client'): void {
  const trusted = readCertificates(trustedCa, 'CA');
  try {
    const store = calls.certificateStore(context);
    // A trusted certificate ends a chain, whoever issued it, as in Envoy.
    calls.setStoreFlags(store, storeFlags.partialChain);
    for (const certificate of trusted) {
      requireSuccess(calls.addTrusted(store, certificate) === 1, 'CA');
      if (role === 'server') requireSuccess(calls.addClientCa(context, certificate) === 1, 'CA');
    }
  } finally {
    for (const certificate of trusted) freePemObject('certificate', certificate);
  }
}

function setRevocations(context: number, crl: string): void {
  const lists = readRevocationLists(crl, 'CRL');
  try {
    const store = calls.certificateStore(context);
    for (const list of lists) requireSuccess(calls.addCrl(store, list) === 1, 'CRL');
    calls.setStoreFlags(store, storeFlags.crlCheck | storeFlags.crlCheckAll);
  } finally {
    for (const list of lists) freePemObject('crl', list);
  }
}
