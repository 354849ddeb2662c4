import 'reflect-metadata';
import { createPrivateKey, webcrypto, X509Certificate } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import t from 'tap';
import { CertificateAuthority, type IssuedCertificate } from '../../../../../demo/certificate-authority.ts';
import { clearOpenSslErrors, loadOpenSsl, takeOpenSslError } from '../../../../../proxy/network/tls/openssl.ts';
import { SslContext, type SslContextOptions } from '../../../../../proxy/network/tls/ssl-context.ts';

const ssl = loadOpenSsl<{
  create(context: number): number;
  free(ssl: number): void;
  setShutdown(ssl: number, ends: number): void;
  memory(): number;
  newBio(method: number): number;
  setBios(ssl: number, read: number, write: number): void;
  write(bio: number, bytes: Buffer, length: number): number;
  read(bio: number, bytes: Buffer, length: number): number;
  accept(ssl: number): void;
  connect(ssl: number): void;
  handshake(ssl: number): number;
  receive(ssl: number, bytes: Buffer, length: number): number;
  setVerify(ssl: number, mode: number, callback: number): void;
  setVerifyCallback(context: number, callback: number, argument: number): void;
  verifyResult(ssl: number): number;
  takeSession(ssl: number): number;
  freeSession(session: number): void;
  offerSession(ssl: number, session: number): number;
  reused(ssl: number): number;
  version(ssl: number): string;
  cipher(ssl: number): number;
  cipherName(cipher: number): string;
  peerChain(ssl: number): number;
  peerAuthorities(ssl: number): number;
  countOf(stack: number): number;
  timeout(context: number): number;
}>({
  create: 'int64_t SSL_new(int64_t context)',
  free: 'void SSL_free(int64_t ssl)',
  setShutdown: 'void SSL_set_shutdown(int64_t ssl, int ends)',
  memory: 'int64_t BIO_s_mem()',
  newBio: 'int64_t BIO_new(int64_t method)',
  setBios: 'void SSL_set_bio(int64_t ssl, int64_t read, int64_t write)',
  write: 'int BIO_write(int64_t bio, const void *bytes, int length)',
  read: 'int BIO_read(int64_t bio, void *bytes, int length)',
  accept: 'void SSL_set_accept_state(int64_t ssl)',
  connect: 'void SSL_set_connect_state(int64_t ssl)',
  handshake: 'int SSL_do_handshake(int64_t ssl)',
  receive: 'int SSL_read(int64_t ssl, void *bytes, int length)',
  setVerify: 'void SSL_set_verify(int64_t ssl, int mode, int64_t callback)',
  setVerifyCallback: 'void SSL_CTX_set_cert_verify_callback(int64_t context, int64_t callback, int64_t argument)',
  verifyResult: 'long SSL_get_verify_result(int64_t ssl)',
  takeSession: 'int64_t SSL_get1_session(int64_t ssl)',
  freeSession: 'void SSL_SESSION_free(int64_t session)',
  offerSession: 'int SSL_set_session(int64_t ssl, int64_t session)',
  reused: 'int SSL_session_reused(int64_t ssl)',
  version: 'const char *SSL_get_version(int64_t ssl)',
  cipher: 'int64_t SSL_get_current_cipher(int64_t ssl)',
  cipherName: 'const char *SSL_CIPHER_get_name(int64_t cipher)',
  peerChain: 'int64_t SSL_get_peer_cert_chain(int64_t ssl)',
  peerAuthorities: 'int64_t SSL_get0_peer_CA_list(int64_t ssl)',
  countOf: 'int OPENSSL_sk_num(int64_t stack)',
  timeout: 'long SSL_CTX_get_timeout(int64_t context)',
});

const authority = await CertificateAuthority.create();
const issued = await authority.issue([{ type: 'url', value: 'spiffe://cluster.local/ns/a/sa/server' }]);
const own = { chain: issued.certificate, privateKey: issued.privateKey, password: null };
const ticketKeys = Buffer.alloc(80, 1);
const common: Omit<SslContextOptions, 'role'> = {
  certificate: null,
  trustedCa: authority.rootCertificate,
  crl: null,
  ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384',
  groups: 'X25519:P-256',
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.3',
  sessionIdContext: 'listener',
  ticketKeys,
  sessionTimeoutSeconds: 0,
};

/** One that judges chains as OpenSSL does by itself: here no connection is there to be asked. */
function createContext(settings: SslContextOptions): SslContext {
  const context = new SslContext(settings);
  ssl.setVerifyCallback(context.pointer, 0, 0);
  return context;
}

const createServer = (overrides: Partial<SslContextOptions> = {}) =>
  createContext({ ...common, role: 'server', certificate: own, ...overrides });
const createClient = (overrides: Partial<SslContextOptions> = {}) => createContext({ ...common, role: 'client', ...overrides });

interface End {
  readonly pointer: number;
  readonly input: number;
  readonly output: number;
}

function createEnd(context: SslContext): End {
  const end = { pointer: ssl.create(context.pointer), input: ssl.newBio(ssl.memory()), output: ssl.newBio(ssl.memory()) };
  ssl.setBios(end.pointer, end.input, end.output);
  return end;
}

const bytes = Buffer.alloc(32_768);

/** One step of a handshake; what it wrote goes to the other end. The reason if it fails. */
function step(from: End, to: End): string | null {
  clearOpenSslErrors();
  ssl.handshake(from.pointer);
  const reason = takeOpenSslError()?.reason ?? null;
  for (let length = 0; (length = ssl.read(from.output, bytes, bytes.length)) > 0; ) ssl.write(to.input, bytes, length);
  return reason;
}

/** The outcome of a handshake, as the client sees it. `session` is offered, and freed. */
function shakeHands(server: SslContext, client: SslContext, session = 0) {
  const [accepting, connecting] = [createEnd(server), createEnd(client)];
  ssl.accept(accepting.pointer);
  ssl.connect(connecting.pointer);
  ssl.setVerify(connecting.pointer, 0, 0);
  ssl.setVerify(accepting.pointer, 1, 0);
  if (session !== 0) ssl.offerSession(connecting.pointer, session);
  let error: string | null = null;
  for (let round = 0; round < 3; round++) {
    error ??= step(connecting, accepting);
    error ??= step(accepting, connecting);
  }
  // Reads the tickets that follow the handshake.
  if (error === null) ssl.receive(connecting.pointer, bytes, bytes.length);
  const cipher = ssl.cipher(connecting.pointer);
  const outcome = {
    error,
    version: ssl.version(connecting.pointer),
    cipher: cipher === 0 ? '' : ssl.cipherName(cipher),
    verifyResult: ssl.verifyResult(connecting.pointer),
    chainLength: ssl.countOf(ssl.peerChain(connecting.pointer)),
    authorities: ssl.countOf(ssl.peerAuthorities(connecting.pointer)),
    reused: ssl.reused(connecting.pointer) === 1,
    session: ssl.takeSession(connecting.pointer),
  };
  if (session !== 0) ssl.freeSession(session);
  for (const { pointer } of [connecting, accepting]) {
    // OpenSSL takes the session of a connection that was not shut down for a bad one.
    ssl.setShutdown(pointer, 3);
    ssl.free(pointer);
  }
  return outcome;
}

t.test('a server presents its certificate, and names whom it trusts', async t => {
  const outcome = shakeHands(createServer(), createClient());
  t.match(outcome, { error: null, version: 'TLSv1.3', verifyResult: 0, authorities: 1 });
});

t.test('the chain is sent as the text has it, and nothing is added from the trusted certificates', async t => {
  t.equal(shakeHands(createServer(), createClient()).chainLength, 1);
  const chain = `${issued.certificate}\n${authority.rootCertificate}`;
  t.equal(shakeHands(createServer({ certificate: { ...own, chain } }), createClient()).chainLength, 2);
});

t.test('every certificate of the trusted ones counts, and nobody else is trusted', async t => {
  const other = await CertificateAuthority.create({ name: 'other' });
  const both = `${other.rootCertificate}\n${authority.rootCertificate}`;
  t.equal(shakeHands(createServer({ trustedCa: both }), createClient({ trustedCa: both })).verifyResult, 0);
  t.equal(shakeHands(createServer({ trustedCa: both }), createClient()).authorities, 2);
  const unableToGetIssuerLocally = 20;
  const unableToVerifyLeaf = 21;
  for (const trustedCa of [other.rootCertificate, null]) {
    const { verifyResult } = shakeHands(createServer(), createClient({ trustedCa }));
    t.ok([unableToGetIssuerLocally, unableToVerifyLeaf].includes(verifyResult), `${verifyResult}`);
  }
});

t.test('a chain ends at a trusted certificate, whoever issued that', async t => {
  t.equal(shakeHands(createServer(), createClient({ trustedCa: issued.certificate })).verifyResult, 0);
});

async function issueCrl(from: CertificateAuthority, revoked: readonly IssuedCertificate[]): Promise<string> {
  const signing = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const key = createPrivateKey(await from.exportKey()).export({ type: 'pkcs8', format: 'der' });
  const list = await x509.X509CrlGenerator.create({
    issuer: new x509.X509Certificate(from.rootCertificate).subject,
    thisUpdate: new Date(Date.now() - 60_000),
    nextUpdate: new Date(Date.now() + 3_600_000),
    entries: revoked.map(({ certificate }) => ({ serialNumber: new X509Certificate(certificate).serialNumber })),
    signingAlgorithm: signing,
    signingKey: await webcrypto.subtle.importKey('pkcs8', key, signing, false, ['sign']),
  });
  return `${x509.PemConverter.encode(list.rawData, 'X509 CRL')}\n`;
}

t.test('every revocation list counts, and a missing one is a failure', async t => {
  const other = await CertificateAuthority.create({ name: 'other' });
  const ofOthers = await issueCrl(other, []);
  const resultWith = (crl: string) => shakeHands(createServer(), createClient({ crl })).verifyResult;
  const unableToGetCrl = 3;
  const revoked = 23;
  t.equal(resultWith(await issueCrl(authority, [])), 0);
  t.equal(resultWith(ofOthers), unableToGetCrl);
  t.equal(resultWith(ofOthers + (await issueCrl(authority, [issued]))), revoked);
});

t.test('an encrypted key is read with its password only', async t => {
  const privateKey = createPrivateKey(issued.privateKey)
    .export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'secret' })
    .toString();
  const server = createServer({ certificate: { ...own, privateKey, password: 'secret' } });
  t.equal(shakeHands(server, createClient()).error, null);
  for (const password of ['wrong', null]) {
    // The padding of one in 256 wrong decryptions looks right: then the reason is another one.
    t.throws(() => createServer({ certificate: { ...own, privateKey, password } }), { message: /^TLS key: [A-Z_]+$/ });
  }
});

t.test('an error names the part and the reason', async t => {
  const stranger = await authority.issue([]);
  const truncated = `${issued.certificate}-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n`;
  const refused: readonly [Partial<SslContextOptions>, string | RegExp][] = [
    [{ certificate: { ...own, privateKey: stranger.privateKey } }, 'TLS key: KEY_VALUES_MISMATCH'],
    [{ certificate: { ...own, chain: '' } }, 'TLS certificate: NO_START_LINE'],
    [{ certificate: { ...own, chain: truncated } }, /^TLS certificate: [A-Z_]+$/],
    [{ certificate: { ...own, privateKey: issued.certificate } }, /^TLS key: [A-Z_]+$/],
    [{ trustedCa: 'no certificate' }, 'TLS CA: NO_START_LINE'],
    [{ crl: 'no list' }, 'TLS CRL: NO_START_LINE'],
    [{ ciphers: 'NO-SUCH-CIPHER' }, 'TLS ciphers NO-SUCH-CIPHER: NO_CIPHER_MATCH'],
    [{ groups: 'X25519:no-such-group' }, /^TLS groups X25519:no-such-group: /],
    [{ ticketKeys: Buffer.alloc(48) }, 'TLS ticket keys: INVALID_TICKET_KEYS_LENGTH'],
    [{ sessionIdContext: 'x'.repeat(33) }, 'TLS session id context: SSL_SESSION_ID_CONTEXT_TOO_LONG'],
  ];
  for (const [overrides, message] of refused) {
    t.throws(() => createServer(overrides), { message }, String(message));
    t.equal(takeOpenSslError(), null, 'nothing stays in the queue of errors');
  }
});

t.test('versions, ciphers and groups are what both ends have', async t => {
  const only12 = { maxVersion: 'TLSv1.2' } as const;
  t.equal(shakeHands(createServer(only12), createClient()).version, 'TLSv1.2');
  t.equal(shakeHands(createServer(only12), createClient({ minVersion: 'TLSv1.3' })).error, 'UNSUPPORTED_PROTOCOL');
  const server = createServer({ ...only12, ciphers: 'ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256' });
  t.equal(shakeHands(server, createClient()).cipher, 'ECDHE-ECDSA-AES256-GCM-SHA384', "the server's order counts");
  t.equal(shakeHands(createServer({ ...only12, ciphers: 'AES128-GCM-SHA256' }), createClient()).error, 'NO_SHARED_CIPHER');
  t.equal(shakeHands(createServer({ groups: 'P-256' }), createClient()).error, null, 'a second hello brings the key share');
  t.not(shakeHands(createServer({ groups: 'P-256' }), createClient({ groups: 'X25519' })).error, null);
});

t.test('sessions are resumed wherever the ticket keys and the id context are the same', async t => {
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const client = createClient({ maxVersion });
    const first = shakeHands(createServer({ maxVersion }), client);
    t.match(first, { error: null, version: maxVersion, reused: false });
    const second = shakeHands(createServer({ maxVersion }), client, first.session);
    t.match(second, { error: null, reused: true }, 'another context with equal keys');
    const third = shakeHands(createServer({ maxVersion }), client, second.session);
    t.match(third, { error: null, reused: true }, 'what a resumed session left can be resumed');
    for (const different of [{ ticketKeys: Buffer.alloc(80, 2) }, { sessionIdContext: 'other' }]) {
      const { session } = shakeHands(createServer({ maxVersion }), client);
      const outcome = shakeHands(createServer({ maxVersion, ...different }), client, session);
      t.match(outcome, { error: null, reused: false }, `other ${Object.keys(different)}`);
      ssl.freeSession(outcome.session);
    }
    ssl.freeSession(third.session);
  }
});

t.test('a resumed session of TLS 1.3 brings a new ticket', async t => {
  const [server, client] = [createServer(), createClient()];
  const first = shakeHands(server, client);
  const second = shakeHands(server, client, first.session);
  t.equal(second.reused, true);
  t.not(second.session, first.session);
  ssl.freeSession(second.session);
});

t.test('sessions last two hours unless told otherwise', async t => {
  t.equal(ssl.timeout(createServer().pointer), 7200);
  t.equal(ssl.timeout(createServer({ sessionTimeoutSeconds: 60 }).pointer), 60);
});
