import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { encodeMessage, type MessageTypes, type Partially } from '../../../../../protos/messages.ts';
import { compileSecret } from '../../../../../proxy/config/compile/secret.ts';
import { any, compile, context, listenerOf, refuses, tcpProxy } from './fixture.ts';

type Secret = Partially<MessageTypes['envoy.extensions.transport_sockets.tls.v3.Secret']>;

/** A self-signed certificate and its key, as PEM. */
function makeCertificate(name: string): { chain: string; key: string } {
  const folder = mkdtempSync(join(tmpdir(), 'secret-test-'));
  const [keyPath, chainPath] = [join(folder, 'key.pem'), join(folder, 'chain.pem')];
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  execFileSync('openssl', ['req', '-x509', ...curve, '-keyout', keyPath, '-out', chainPath, '-subj', `/CN=${name}`], {
    stdio: 'ignore',
  });
  return { chain: readFileSync(chainPath, 'utf8'), key: readFileSync(keyPath, 'utf8') };
}

const a = makeCertificate('a');
const b = makeCertificate('b');
/** Signed by nobody in particular. */
const emptyList = `-----BEGIN X509 CRL-----
MIGjMEwCAQEwCgYIKoZIzj0EAwIwDTELMAkGA1UECgwCY2EXDTI2MTEyMTIyMTc0
MVoXDTI2MTIyMTIyMTc0MVqgDjAMMAoGA1UdFAQDAgEBMAoGCCqGSM49BAMCA0cA
MEQCIDZu7YLdkZAcPkSbIbeOGq60b28hF4/XI628Waldqa/dAiBgqv6RYIhn68qj
aKvrymOonoB4qGgx7ULfYzKxVCgzvQ==
-----END X509 CRL-----
`;
const text = (inline_string: string) => ({ inline_string });

function compileOne(message: Secret) {
  return compileSecret(encodeMessage('envoy.extensions.transport_sockets.tls.v3.Secret', message), context, 'k');
}

t.test('a certificate with its key becomes a secret under the key it was asked for', async t => {
  const { name, model } = compileOne({
    name: 'default',
    tls_certificate: { certificate_chain: text(a.chain), private_key: text(a.key) },
  });
  t.equal(name, 'default');
  t.strictSame(model, {
    key: 'k',
    certificate: { chain: a.chain, privateKey: a.key, password: null },
    validation: null,
    ticketKeys: '',
  });
});

t.test('a key of another certificate is refused', async t => {
  const tls_certificate = { certificate_chain: text(a.chain), private_key: text(b.key) };
  refuses(t, () => compileOne({ name: 'x', tls_certificate }), 'tls_certificate', /mismatch/);
});

t.test('parts that are missing or unreadable are refused with their path', async t => {
  const refused = (tls_certificate: NonNullable<Secret['tls_certificate']>, path: string, reason: string): void =>
    refuses(t, () => compileOne({ name: 'x', tls_certificate }), `tls_certificate.${path}`, reason);
  refused({ private_key: text(a.key) }, 'certificate_chain', 'certificate chain not set');
  refused({ certificate_chain: text(a.chain) }, 'private_key', 'private key not set');
  refused({ certificate_chain: text('junk'), private_key: text(a.key) }, 'certificate_chain', 'no PEM certificate');
  refused({ certificate_chain: text(a.chain), private_key: text('junk') }, 'private_key', 'Failed to load private key');
  refused({ certificate_chain: { filename: '/nonexistent' } }, 'certificate_chain.filename', 'Invalid path: /nonexistent');
});

t.test('a CA that cannot be read is refused, also behind one that can', async t => {
  const validationOf = (ca: string) =>
    compileOne({ name: 'ROOTCA', validation_context: { trusted_ca: text(ca) } }).model.validation;
  t.equal(validationOf(a.chain)?.trustedCa, a.chain);
  refuses(t, () => validationOf('junk'), 'validation_context.trusted_ca', 'no PEM certificate');
  const broken = a.chain.replace(/\n[A-Za-z0-9+/]{20}/, '\nAAAAAAAAAAAAAAAAAAAA');
  refuses(t, () => validationOf(a.chain + broken), 'validation_context.trusted_ca', 'Failed to load trusted CA');
});

t.test('a revocation list that cannot be read is refused, also behind one that can', async t => {
  const compileLists = (crl: string) =>
    compileOne({ name: 'ROOTCA', validation_context: { crl: text(crl) } }).model.validation?.crl;
  t.equal(compileLists(emptyList), emptyList);
  t.equal(compileLists(`${emptyList}${emptyList}that is all`), `${emptyList}${emptyList}that is all`);
  refuses(t, () => compileLists(a.chain), 'validation_context.crl', 'Failed to load CRL: no PEM list');
  refuses(t, () => compileLists(emptyList.replace('\nM', '\n-')), 'validation_context.crl', 'Failed to load CRL');
  refuses(t, () => compileLists(emptyList + emptyList.replace('\nM', '\nA')), 'validation_context.crl', 'Failed to load CRL');
});

t.test('the typed names replace the untyped ones', async t => {
  const validation_context = {
    match_subject_alt_names: [{ prefix: 'spiffe://td/' }],
    match_typed_subject_alt_names: [{ san_type: 3, matcher: { exact: 'spiffe://td/ns/a' } }],
  };
  t.match(compileOne({ name: 'x', validation_context }).model.validation?.subjectAltNames, [
    { type: 'uri', matcher: { value: 'spiffe://td/ns/a' } },
  ]);
  const untyped = { match_subject_alt_names: validation_context.match_subject_alt_names };
  t.match(compileOne({ name: 'x', validation_context: untyped }).model.validation?.subjectAltNames, [{ type: 'any' }]);
});

t.test('secrets of other kinds are refused', async t => {
  refuses(t, () => compileOne({ name: 'x', generic_secret: {} }), 'generic_secret', 'not implemented');
  refuses(t, () => compileOne({ name: 'x' }), '', 'must hold');
});

type Tls = Partially<MessageTypes['envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext']>;

function compileTls(context: Tls) {
  const typed_config = any('envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext', context);
  const transport_socket = { name: 'tls', typed_config };
  return compile.listener(listenerOf({ filter_chains: [{ filters: [tcpProxy], transport_socket }] }));
}

const at = 'filter_chains[0].transport_socket.typed_config';

t.test('a certificate given inline leaves the model and travels as a secret', async t => {
  const tls_certificates = [{ certificate_chain: text(a.chain), private_key: text(a.key) }];
  const { model, inlineSecrets } = compileTls({ common_tls_context: { tls_certificates } });
  t.equal(inlineSecrets.length, 1);
  t.match(model.filterChains[0].transportSocket, {
    kind: 'downstream-tls',
    common: { certificateSecret: inlineSecrets[0].key, minVersion: 'TLSv1.2', maxVersion: 'TLSv1.3', groups: 'X25519:P-256' },
    requireClientCertificate: false,
  });
  t.notMatch(JSON.stringify(model), 'PRIVATE KEY');
});

t.test('a server without a certificate and settings that nothing enforces are refused', async t => {
  refuses(t, () => compileTls({ common_tls_context: {} }), `${at}.common_tls_context`, 'No TLS certificates found');
  refuses(t, () => compileTls({ common_tls_context: {}, require_sni: { value: true } }), `${at}.require_sni`, 'not implemented');
  refuses(t, () => compileTls({ common_tls_context: { key_log: {} } }), `${at}.common_tls_context.key_log`, 'not implemented');
  const validation_context = { match_subject_alt_names: [{ exact: 'a' }] };
  const tls_certificates = [{ certificate_chain: text(a.chain), private_key: text(a.key) }];
  refuses(
    t,
    () => compileTls({ common_tls_context: { tls_certificates, validation_context } }),
    `${at}.common_tls_context.validation_context`,
    'without trusted CA is insecure',
  );
  const unknown = { tls_certificates, tls_params: { cipher_suites: ['AES256-GCM-SHA384', 'FOO'] } };
  refuses(
    t,
    () => compileTls({ common_tls_context: unknown }),
    `${at}.common_tls_context.tls_params.cipher_suites`,
    'individually: FOO',
  );
});

t.test('suites of TLS 1.3 cannot be chosen: beside others they have no effect, alone they are no list', async t => {
  const tls_certificates = [{ certificate_chain: text(a.chain), private_key: text(a.key) }];
  const compileSuites = (...cipher_suites: string[]) =>
    compileTls({ common_tls_context: { tls_certificates, tls_params: { cipher_suites } } }).model;
  const path = `${at}.common_tls_context.tls_params.cipher_suites`;
  t.match(compileSuites('AES256-GCM-SHA384', 'TLS_AES_128_GCM_SHA256').filterChains[0].transportSocket, {
    common: { ciphers: 'AES256-GCM-SHA384' },
  });
  refuses(t, () => compileSuites('TLS_AES_128_GCM_SHA256'), path, 'individually: TLS_AES_128_GCM_SHA256');
  refuses(
    t,
    () => compileSuites('[AES256-GCM-SHA384|TLS_AES_128_GCM_SHA256]', 'FOO'),
    path,
    'suites [AES256-GCM-SHA384|TLS_AES_128_GCM_SHA256]:FOO. The following ciphers were rejected when tried individually: TLS_AES_128_GCM_SHA256, FOO',
  );
});

t.test('secrets by discovery are told apart by their source', async t => {
  const sds = (sds_config: object) => ({ name: 'default', sds_config });
  const service = { envoy_grpc: { cluster_name: 'sds-grpc' } };
  const grpc = sds({
    api_config_source: { api_type: 2, transport_api_version: 2, grpc_services: [service] },
    resource_api_version: 2,
  });
  const { model, secrets } = compileTls({
    common_tls_context: {
      tls_certificate_sds_secret_configs: [grpc],
      combined_validation_context: {
        default_validation_context: { match_subject_alt_names: [{ prefix: 'spiffe://td/' }] },
        validation_context_sds_secret_config: { ...sds({ ads: {} }), name: 'ROOTCA' },
      },
    },
  });
  t.match(secrets, [
    { key: 'cluster/sds-grpc/default', name: 'default', source: { cluster: 'sds-grpc' }, kind: 'certificate' },
    { key: 'ads/ROOTCA', name: 'ROOTCA', source: 'ads', kind: 'validation' },
  ]);
  t.match(model.filterChains[0].transportSocket, {
    common: { certificateSecret: 'cluster/sds-grpc/default', validationSecret: 'ads/ROOTCA', validation: { trustedCa: null } },
  });
});
