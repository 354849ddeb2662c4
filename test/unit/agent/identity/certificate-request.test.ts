import t from 'tap';
import { spawnSync } from 'node:child_process';
import { createPrivateKey } from 'node:crypto';
import { createCertificateRequest, type KeyOptions } from '../../../../agent/identity/certificate-request.ts';

const uri = `spiffe://cluster.local/ns/${'n'.repeat(60)}/sa/${'s'.repeat(60)}`;
const rsa: KeyOptions = { rsaKeySize: 2048, eccSignatureAlgorithm: '', eccCurve: 'P256', pkcs8Key: false };
const skip = spawnSync('openssl', ['version']).status === 0 ? false : 'openssl is not installed';

const cases: readonly (readonly [string, KeyOptions, string, RegExp])[] = [
  ['RSA', rsa, 'RSA PRIVATE KEY', /sha256WithRSAEncryption/],
  ['RSA in PKCS#8', { ...rsa, pkcs8Key: true }, ' PRIVATE KEY', /sha256WithRSAEncryption/],
  ['P-256', { ...rsa, eccSignatureAlgorithm: 'ECDSA' }, 'EC PRIVATE KEY', /ecdsa-with-SHA256/],
  ['P-384', { ...rsa, eccSignatureAlgorithm: 'ECDSA', eccCurve: 'P384' }, 'EC PRIVATE KEY', /ecdsa-with-SHA384/],
];
for (const [name, options, title, algorithm] of cases) {
  t.test(`a request with ${name} verifies and names the workload in a critical extension`, { skip }, async t => {
    const { requestPem, keyPem } = await createCertificateRequest(uri, options);
    const { stdout, stderr } = spawnSync('openssl', ['req', '-noout', '-verify', '-text'], { input: requestPem });
    const text = stdout.toString() + stderr.toString();
    t.match(text, /verify OK/i);
    t.match(text, algorithm);
    t.match(text, /Subject Alternative Name: critical/);
    t.ok(text.includes(`URI:${uri}`));
    t.ok(keyPem.startsWith(`-----BEGIN${title.startsWith(' ') ? '' : ' '}${title}`));
    t.doesNotThrow(() => createPrivateKey(keyPem));
  });
}

t.test('refuses a key that is too short to be safe', async t => {
  await t.rejects(createCertificateRequest(uri, { ...rsa, rsaKeySize: 1024 }), /below the minimum/);
});
