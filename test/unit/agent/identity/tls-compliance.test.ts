import t from 'tap';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, createServer } from 'node:tls';
import { restrictTls } from '../../../../agent/identity/tls-compliance.ts';
import { CertificateAuthority } from '../../../../demo/certificate-authority.ts';

const authority = await CertificateAuthority.create();
const { certificate, privateKey } = await authority.issue([{ type: 'dns', value: 'istiod' }]);

/** What a client of this policy agrees on with a server that allows everything. */
async function negotiate(
  policy: string,
): Promise<{ readonly protocol: string | null; readonly cipher: string; readonly group: string }> {
  const everything = { minVersion: 'TLSv1.2', ecdhCurve: 'X25519MLKEM768:X25519:P-256:P-384' } as const;
  const server = createServer({ ...everything, key: privateKey, cert: certificate }, socket => socket.end()).listen(
    0,
    '127.0.0.1',
  );
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const options = { ...restrictTls(policy), host: '127.0.0.1', port, ca: authority.rootCertificate, servername: 'istiod' };
  const socket = connect(options);
  try {
    await once(socket, 'secureConnect');
    const { name } = socket.getEphemeralKeyInfo() as { name?: string };
    return { protocol: socket.getProtocol(), cipher: socket.getCipher().standardName, group: name ?? '' };
  } finally {
    socket.destroy();
    server.close();
  }
}

t.test('each policy restricts versions, ciphers and groups', async t => {
  t.match(await negotiate('fips-140-2'), {
    protocol: 'TLSv1.2',
    cipher: /^TLS_ECDHE_ECDSA_WITH_AES_\d+_GCM/,
    group: 'prime256v1',
  });
  t.match(await negotiate('fips-140-3'), { protocol: 'TLSv1.3', cipher: /^TLS_AES_(128|256)_GCM/, group: 'prime256v1' });
  t.match(await negotiate('pqc'), { protocol: 'TLSv1.3', cipher: /^TLS_AES_/ });
  t.equal(restrictTls('pqc').ecdhCurve, 'X25519MLKEM768');
});

t.test('no policy and an unknown one restrict nothing', async t => {
  t.strictSame(restrictTls(''), {});
  t.strictSame(restrictTls('strict'), {});
});
