import t from 'tap';
import { once } from 'node:events';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { createSecureContext, createServer, type TLSSocket } from 'node:tls';
import type { JsonGeneralNames } from '@peculiar/x509';
import { TlsCredentials } from '../../../../agent/identity/tls-credentials.ts';
import { CertificateAuthority } from '../../../../demo/certificate-authority.ts';

type Tap = { teardown(handler: () => void): void };

/** Connects by `name` to a server whose certificate holds `names`; resolves to the SNI that the server saw. */
async function handshake(t: Tap, names: JsonGeneralNames, name: string, trusts = true): Promise<string | false | null> {
  const authority = await CertificateAuthority.create();
  const { certificate, privateKey } = await authority.issue(names);
  const server = createServer({ cert: certificate, key: privateKey, ALPNProtocols: ['h2'] });
  server.on('tlsClientError', () => {});
  const seen: (string | false | null)[] = [];
  server.on('secureConnection', (socket: TLSSocket) => {
    seen.push(socket.servername);
    socket.on('error', () => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  t.teardown(() => {
    socket.destroy();
    server.close();
  });
  await once(socket, 'connect');
  const trusted = trusts ? authority : await CertificateAuthority.create({ name: 'another' });
  const context = createSecureContext({ ca: trusted.rootCertificate });
  const connector = new TlsCredentials(context, name)._createSecureConnector(null, {});
  const { socket: secured } = (await connector.connect(socket)) as { socket: Socket };
  secured.on('error', () => {});
  if (seen.length === 0) await once(server, 'secureConnection');
  return seen[0];
}

t.test('an address is verified against the IP names, and not sent as SNI', async t => {
  t.equal(await handshake(t, [{ type: 'ip', value: '127.0.0.1' }], '127.0.0.1'), false);
  await t.rejects(handshake(t, [{ type: 'ip', value: '127.0.0.2' }], '127.0.0.1'), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
  await t.rejects(handshake(t, [{ type: 'dns', value: 'istiod' }], '127.0.0.1'), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
});

t.test('a name is verified and sent as SNI', async t => {
  t.equal(
    await handshake(t, [{ type: 'dns', value: 'istiod.istio-system.svc' }], 'istiod.istio-system.svc'),
    'istiod.istio-system.svc',
  );
  await t.rejects(handshake(t, [{ type: 'dns', value: 'other' }], 'istiod'), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
});

t.test('a certificate of another authority is refused', async t => {
  await t.rejects(handshake(t, [{ type: 'dns', value: 'istiod' }], 'istiod', false), { code: /SELF_SIGNED|UNABLE_TO/ });
});
