import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { setLogFile } from '../../../../../common/log.ts';
import { CertificateAuthority } from '../../../../../demo/certificate-authority.ts';
import type { SecretModel } from '../../../../../proxy/config/model/tls.ts';
import { SecretContexts } from '../../../../../proxy/network/tls/secret-contexts.ts';
import { commonTls, noValidation } from '../../../../support/worker-listener.ts';

const authority = await CertificateAuthority.create();
const issued = await authority.issue([]);
const renewed = await authority.issue([]);

const certificate = ({ certificate: chain, privateKey } = issued): SecretModel => ({
  key: 'default',
  certificate: { chain, privateKey, password: null },
  validation: null,
  ticketKeys: '',
});
const trust: SecretModel = {
  key: 'ROOTCA',
  certificate: null,
  validation: { ...noValidation, trustedCa: authority.rootCertificate },
  ticketKeys: '',
};

t.test('equal uses share a context, which is there when all of its secrets are', async t => {
  const contexts = new SecretContexts();
  const source = contexts.source(commonTls(), 'server');
  t.equal(source.current(), null);
  contexts.update(certificate());
  t.equal(source.current(), null);
  contexts.update(trust);
  const context = source.current();
  t.ok(context?.sslContext.pointer);
  t.equal(contexts.source(commonTls({ alpnProtocols: ['h2'] }), 'server').current(), context);
  t.not(contexts.source(commonTls(), 'client').current(), context);
});

t.test('a rotated secret makes another context', async t => {
  const contexts = new SecretContexts();
  const source = contexts.source(commonTls(), 'server');
  contexts.update(trust);
  contexts.update(certificate());
  const before = source.current();
  contexts.update(certificate(renewed));
  const after = source.current();
  t.not(after, before);
  t.equal(after?.certificate, renewed.certificate);
  t.equal(after?.trustId, before?.trustId);
});

t.test('what OpenSSL refuses lets no connection be made, until the secret is replaced', async t => {
  const contexts = new SecretContexts();
  const source = contexts.source(commonTls(), 'server');
  const log = join(t.testdir(), 'log');
  setLogFile(log);
  contexts.update(trust);
  contexts.update(certificate({ ...issued, privateKey: renewed.privateKey }));
  t.equal(source.current(), null);
  t.equal(source.current(), null);
  const lines = readFileSync(log, 'utf8').trimEnd().split('\n');
  t.equal(lines.length, 1, 'it is said once');
  t.match(lines[0], 'no server can use the secrets default and ROOTCA: TLS key: KEY_VALUES_MISMATCH');
  contexts.update(certificate());
  t.ok(source.current());
});
