import { once } from 'node:events';
import { X509Certificate } from 'node:crypto';
import net from 'node:net';
import tls from 'node:tls';
import t from 'tap';
import { CertificateAuthority, type IssuedCertificate } from '../../../../../demo/certificate-authority.ts';
import type { ListenerModel } from '../../../../../proxy/config/model/listener.ts';
import type { SecretModel } from '../../../../../proxy/config/model/tls.ts';
import {
  createTestListeners,
  downstreamTls,
  filterChain,
  listenerModel,
  noValidation,
  type TestListeners,
} from '../../../../support/worker-listener.ts';

const client = 'spiffe://cluster.local/ns/a/sa/client';
const authority = await CertificateAuthority.create();
const otherAuthority = await CertificateAuthority.create({ name: 'other' });
const serverCertificate = await authority.issue([{ type: 'url', value: 'spiffe://cluster.local/ns/a/sa/server' }]);
const clientCertificate = await authority.issue([{ type: 'url', value: client }]);

function certificateSecret(key: string, issued: IssuedCertificate): SecretModel {
  const certificate = { chain: issued.certificate, privateKey: issued.privateKey, password: null };
  return { key, certificate, validation: null, ticketKeys: 'x' };
}

function trustSecret(ca: string): SecretModel {
  return { key: 'ROOTCA', certificate: null, validation: { ...noValidation, trustedCa: ca }, ticketKeys: ca.slice(40, 90) };
}

const trustDomain = { type: 'any', matcher: { kind: 'prefix', value: 'spiffe://cluster.local/', ignoreCase: false } } as const;

function startTls(
  overrides: Parameters<typeof downstreamTls>[0] = {},
  transportSocketConnectTimeoutMs = 15_000,
): { host: TestListeners; port: number } {
  const host = createTestListeners();
  host.contexts.update(certificateSecret('default', serverCertificate));
  host.contexts.update(trustSecret(authority.rootCertificate));
  const transportSocket = downstreamTls({
    validation: { ...noValidation, subjectAltNames: [trustDomain] },
    alpnProtocols: ['h2', 'http/1.1'],
    ...overrides,
  });
  host.listeners.update(
    'listener',
    JSON.stringify(listenerModel({ filterChains: [filterChain({ transportSocket, transportSocketConnectTimeoutMs })] })),
  );
  return { host, port: host.listen() };
}

function connect(port: number, options: tls.ConnectionOptions = {}): tls.TLSSocket {
  const socket = tls.connect({
    port,
    host: '127.0.0.1',
    rejectUnauthorized: false,
    cert: clientCertificate.certificate,
    key: clientCertificate.privateKey,
    ...options,
  });
  socket.on('error', () => {});
  return socket;
}

/** What came back for `text`, or null if the connection ended. */
async function exchange(socket: tls.TLSSocket, text: string): Promise<string | null> {
  socket.write(text);
  return new Promise(resolve => {
    socket.once('data', data => resolve(data.toString()));
    socket.once('close', () => resolve(null));
  });
}

t.test('a peer of the trust domain is served and described', async t => {
  const { host, port } = startTls();
  const socket = connect(port, { servername: 'server.test', ALPNProtocols: ['http/1.1'] });
  t.equal(await exchange(socket, 'hello'), 'hello');
  t.equal(socket.alpnProtocol, 'http/1.1');
  const info = host.accepted[0];
  t.same(info.tls?.peer?.uriSans, [client]);
  t.same(info.tls?.local?.uriSans, ['spiffe://cluster.local/ns/a/sa/server']);
  t.equal(info.tls?.serverName, 'server.test');
  t.equal(info.tls?.alpn, 'http/1.1');
  t.equal(info.tls?.version, 'TLSv1.3');
  t.equal(info.tls?.peerCertificateValidated, true);
  t.equal(info.requestedServerName, 'server.test');
  t.equal(host.counter('listener.test.ssl.handshake'), 1);
  t.equal(host.counter('listener.test.ssl.versions.TLSv1.3'), 1);
  socket.destroy();
  host.close();
});

t.test('protocols without overlap select none and the connection goes on', async t => {
  const { host, port } = startTls();
  const socket = connect(port, { ALPNProtocols: ['istio'] });
  t.equal(await exchange(socket, 'hello'), 'hello');
  t.equal(socket.alpnProtocol, false);
  t.equal(host.accepted[0].tls?.alpn, '');
  socket.destroy();
  host.close();
});

t.test('the server chooses the protocol by its own order', async t => {
  const { host, port } = startTls();
  const socket = connect(port, { ALPNProtocols: ['http/1.1', 'h2'] });
  t.equal(await exchange(socket, 'hello'), 'hello');
  t.equal(socket.alpnProtocol, 'h2');
  socket.destroy();
  host.close();
});

const refused: { name: string; issue: () => Promise<IssuedCertificate | null>; stat: string }[] = [
  { name: 'no client certificate', issue: async () => null, stat: 'fail_verify_no_cert' },
  {
    name: "another CA's certificate",
    issue: () => otherAuthority.issue([{ type: 'url', value: client }]),
    stat: 'fail_verify_error',
  },
  {
    name: 'an expired certificate',
    issue: () => authority.issue([{ type: 'url', value: client }], -3_600_000),
    stat: 'fail_verify_error',
  },
  {
    name: 'a foreign trust domain',
    issue: () => authority.issue([{ type: 'url', value: 'spiffe://other/ns/a/sa/b' }]),
    stat: 'fail_verify_san',
  },
];
for (const { name, issue, stat } of refused) {
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    t.test(`${name} is refused before a filter sees a byte (${maxVersion})`, async t => {
      const issued = await issue();
      const { host, port } = startTls();
      const socket = connect(port, { cert: issued?.certificate, key: issued?.privateKey, maxVersion });
      t.equal(await exchange(socket, 'secret'), null);
      t.same(host.accepted, []);
      t.equal(host.counter(`listener.test.ssl.${stat}`), 1);
      t.equal(host.counter('listener.test.ssl.handshake'), 0);
      host.close();
    });
  }
}

t.test('a client resumes its session', async t => {
  const { host, port } = startTls();
  const first = connect(port);
  const session = new Promise<Buffer>(resolve => first.once('session', resolve));
  t.equal(await exchange(first, 'hello'), 'hello');
  const second = connect(port, { session: await session });
  t.equal(await exchange(second, 'again'), 'again');
  t.equal(second.isSessionReused(), true);
  t.equal(host.counter('listener.test.ssl.session_reused'), 1);
  t.same(host.accepted[1].tls?.peer?.uriSans, [client], 'the peer of a resumed session is known');
  first.destroy();
  second.destroy();
  host.close();
});

t.test('a session of TLS 1.2 is resumed for the name that it began with, which is known then, too', async t => {
  const host = createTestListeners();
  host.contexts.update(certificateSecret('default', serverCertificate));
  host.contexts.update(trustSecret(authority.rootCertificate));
  const listenerFilters = [
    { kind: 'envoy.filters.listener.tls_inspector', name: 'tls_inspector', config: {}, disabled: null },
  ] as unknown as ListenerModel['listenerFilters'];
  const model = listenerModel({ listenerFilters, filterChains: [filterChain({ transportSocket: downstreamTls() })] });
  host.listeners.update('listener', JSON.stringify(model));
  const port = host.listen();
  let session: Buffer | undefined;
  for (const servername of ['first.test', 'first.test', 'second.test']) {
    const socket = connect(port, { servername, session, maxVersion: 'TLSv1.2' });
    const ticket = new Promise<Buffer>(resolve => socket.once('session', resolve));
    t.equal(await exchange(socket, 'hello'), 'hello');
    session ??= await ticket;
    socket.destroy();
  }
  t.same(
    host.accepted.map(({ tls: info, requestedServerName }) => [info?.resumed, info?.serverName, requestedServerName]),
    [
      [false, 'first.test', 'first.test'],
      [true, 'first.test', 'first.test'],
      [false, 'second.test', 'second.test'],
    ],
  );
  host.close();
});

t.test('a session from before a change of the CA does not let an old peer in', async t => {
  const { host, port } = startTls();
  const first = connect(port);
  const session = new Promise<Buffer>(resolve => first.once('session', resolve));
  await exchange(first, 'hello');
  host.contexts.update(trustSecret(otherAuthority.rootCertificate));
  const second = connect(port, { session: await session });
  t.equal(await exchange(second, 'again'), null);
  t.equal(host.accepted.length, 1);
  t.equal(host.counter('listener.test.ssl.session_reused'), 0);
  first.destroy();
  host.close();
});

t.test('a session does not outlive the certificate of its peer', async t => {
  const shortLived = await authority.issue([{ type: 'url', value: client }], 1500);
  const expired = new Date(new X509Certificate(shortLived.certificate).validTo).getTime();
  const { host, port } = startTls();
  const first = connect(port, { cert: shortLived.certificate, key: shortLived.privateKey });
  const session = new Promise<Buffer>(resolve => first.once('session', resolve));
  t.equal(await exchange(first, 'hello'), 'hello');
  const kept = await session;
  while (Date.now() <= expired) await new Promise(resolve => setTimeout(resolve, expired + 1 - Date.now()));
  const second = connect(port, { cert: shortLived.certificate, key: shortLived.privateKey, session: kept });
  t.equal(await exchange(second, 'again'), null);
  t.equal(host.counter('listener.test.ssl.fail_verify_error'), 1);
  t.equal(host.accepted.length, 1);
  first.destroy();
  host.close();
});

t.test('TLS 1.3 tickets are renewed by use: a client that uses each once resumes every time', async t => {
  const { host, port } = startTls({ minVersion: 'TLSv1.3' });
  const visit = async (session?: Buffer): Promise<Buffer> => {
    const socket = connect(port, { session });
    const ticket = new Promise<Buffer>(resolve => socket.once('session', resolve));
    t.equal(await exchange(socket, 'hello'), 'hello');
    const next = await ticket;
    t.equal(socket.isSessionReused(), session !== undefined);
    socket.destroy();
    return next;
  };
  let session = await visit();
  for (let i = 0; i < 4; i++) session = await visit(session);
  t.equal(host.counter('listener.test.ssl.session_reused'), 4);
  host.close();
});

t.test('a hello of any length is understood however it is split', async t => {
  // A post-quantum key share makes it longer than one would peek at.
  for (const ecdhCurve of ['X25519', 'X25519MLKEM768:X25519']) {
    const hello = await recordHello(ecdhCurve);
    for (const at of [1, 4, 5, 9, 43, 44, 100, 200, 511, 512, 513, 1023, hello.length - 1]) {
      if (at >= hello.length) continue;
      const { host, port } = startTls();
      const socket = net.connect(port, '127.0.0.1');
      socket.setNoDelay(true);
      socket.on('error', () => {});
      const answer = once(socket, 'data');
      await new Promise<void>(resolve => socket.write(hello.subarray(0, at), () => setImmediate(resolve)));
      socket.write(hello.subarray(at));
      const [data] = (await answer) as [Buffer];
      t.equal(data[0], 22, `${hello.length} bytes split at ${at}: a handshake record comes back`);
      socket.destroy();
      host.close();
    }
  }
});

/** The first message of a real client. */
async function recordHello(ecdhCurve: string): Promise<Buffer> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connect((server.address() as net.AddressInfo).port, { ecdhCurve, servername: 'server.test' });
  const [peer] = (await once(server, 'connection')) as [net.Socket];
  const [hello] = (await once(peer, 'data')) as [Buffer];
  socket.destroy();
  peer.destroy();
  server.close();
  return hello;
}

t.test('garbage ends the connection with an error count and nothing else', async t => {
  const inputs = [
    Buffer.alloc(64, 0xff),
    Buffer.from([22, 3, 1, 0, 4, 1, 0, 0, 0]),
    Buffer.from([22, 3, 1, 0, 5, 2, 0, 0, 1, 7]),
    Buffer.from([22, 3, 3, 0xff, 0xff, 1, 2, 3]),
    Buffer.concat([Buffer.from([22, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc]), Buffer.alloc(0x3ffc, 7)]),
    Buffer.from([21, 3, 3, 0, 2, 2, 40]),
  ];
  for (const [i, input] of inputs.entries()) {
    const { host, port } = startTls();
    const socket = net.connect(port, '127.0.0.1');
    socket.on('error', () => {});
    socket.resume();
    socket.write(input);
    await once(socket, 'close');
    t.same(host.accepted, []);
    t.equal(host.counter('listener.test.ssl.connection_error'), 1, `input ${i}`);
    host.close();
  }
});

t.test('a rotated certificate serves the next connection', async t => {
  const { host, port } = startTls();
  const rotated = await authority.issue([{ type: 'url', value: 'spiffe://cluster.local/ns/a/sa/rotated' }]);
  const before = connect(port);
  await exchange(before, 'hello');
  host.contexts.update(certificateSecret('default', rotated));
  const after = connect(port);
  await exchange(after, 'hello');
  t.match(after.getPeerX509Certificate()?.subjectAltName, /rotated/);
  t.equal(await exchange(before, 'still'), 'still', 'the old connection goes on');
  before.destroy();
  after.destroy();
  host.close();
});

t.test('a handshake that does not finish in time is ended', async t => {
  const { host, port } = startTls({}, 200);
  const socket = net.connect(port, '127.0.0.1');
  socket.on('error', () => {});
  socket.resume();
  await once(socket, 'close');
  t.equal(host.counter('listener.test.downstream_cx_transport_socket_connect_timeout'), 1);
  t.same(host.accepted, []);
  host.close();
});

t.test('plain text on a TLS chain is ended with an error count', async t => {
  const { host, port } = startTls();
  const socket = net.connect(port, '127.0.0.1');
  socket.on('error', () => {});
  socket.resume();
  socket.write('GET / HTTP/1.1\r\n\r\n');
  await once(socket, 'close');
  t.equal(host.counter('listener.test.ssl.connection_error'), 1);
  t.match(
    host.logged[0].downstream.transportFailureReason,
    /^TLS_error:\|268435\d+:SSL routines:OPENSSL_internal:HTTP_REQUEST:TLS_error_end$/,
  );
  host.close();
});

t.test('without its secret a chain accepts nobody', async t => {
  const host = createTestListeners();
  host.listeners.update(
    'listener',
    JSON.stringify(listenerModel({ filterChains: [filterChain({ transportSocket: downstreamTls() })] })),
  );
  const socket = connect(host.listen());
  t.equal(await exchange(socket, 'x'), null);
  t.equal(host.counter('listener.test.server_ssl_socket_factory.downstream_context_secrets_not_ready'), 1);
  host.close();
});
