/** OpenSSL's memory: nothing is used after it was given back, nothing stays, and nothing is thrown through it. */
import t from 'tap';
import type { PeerCertificate } from '../../../../../proxy/network/tls/peer-certificate.ts';
import type { SslDelegate } from '../../../../../proxy/network/tls/ssl-callbacks.ts';
import { SslContext, type SslContextOptions } from '../../../../../proxy/network/tls/ssl-context.ts';
import { SslSession, sslClosed, sslFailed } from '../../../../../proxy/network/tls/ssl-session.ts';
import { authority, ourCertificate, peerCertificate } from '../../../../support/tls-pair.ts';

const common: Omit<SslContextOptions, 'role' | 'certificate'> = {
  trustedCa: authority.rootCertificate,
  crl: null,
  ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256',
  groups: 'X25519:P-256',
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.3',
  sessionIdContext: 'x',
  ticketKeys: Buffer.alloc(80, 1),
  sessionTimeoutSeconds: 0,
};
const certify = ({ certificate: chain, privateKey }: typeof ourCertificate) => ({ chain, privateKey, password: null });
const serverContext = new SslContext({ ...common, role: 'server', certificate: certify(ourCertificate) });
const clientContext = new SslContext({ ...common, role: 'client', certificate: certify(peerCertificate) });

const trusting: SslDelegate = {
  verifiesChain: true,
  alpnProtocols: [],
  verifyPeer: (_peer: PeerCertificate, chainError: number) => (chainError === 0 ? null : 48),
  keepSession: () => false,
};

function createServer(delegate: Partial<SslDelegate> = {}): SslSession {
  const context = serverContext.pointer;
  return new SslSession({ role: 'server', context, delegate: { ...trusting, ...delegate }, peerCertificate: 'required' });
}

function createClient(delegate: Partial<SslDelegate> = {}, serverName = ''): SslSession {
  const context = clientContext.pointer;
  const session = { role: 'client', context, peerCertificate: 'asked', serverName, alpnOffer: Buffer.from('\x02h2') } as const;
  return new SslSession({ ...session, delegate: { ...trusting, ...delegate } });
}

const bytes = Buffer.alloc(65_536);

function pass(from: SslSession, to: SslSession): void {
  const length = from.takeOutput(bytes, bytes.length);
  if (length > 0) to.feed(bytes, length);
}

/** What the last steps came to. */
function shakeHands(server: SslSession, client: SslSession, steps = 4): { server: number; client: number } {
  let results = { server: 0, client: 0 };
  for (let i = 0; i < steps; i++) {
    const ofClient = client.shakeHands();
    pass(client, server);
    const ofServer = server.shakeHands();
    pass(server, client);
    results = { server: ofServer, client: ofClient };
    if (ofServer < 0 || ofClient < 0) break;
  }
  return results;
}

t.test('an error in a verdict refuses the peer, and goes no further', async t => {
  const verifyPeer = (): never => {
    throw new Error('a bug');
  };
  const [server, client] = [createServer({ verifyPeer }), createClient()];
  t.equal(shakeHands(server, client).server, sslFailed);
  t.equal(server.failure?.reason, 'CERTIFICATE_VERIFY_FAILED');
  const [other, bad] = [createServer(), createClient({ verifyPeer })];
  t.equal(shakeHands(other, bad).client, sslFailed);
  for (const session of [server, client, other, bad]) session.free();
});

t.test('an error in the choice of a protocol or about a session leaves the handshake as it is', async t => {
  const broken: Partial<SslDelegate> = {
    get alpnProtocols(): never {
      throw new Error('a bug');
    },
  };
  const delegate = Object.defineProperties({ ...trusting }, Object.getOwnPropertyDescriptors(broken)) as SslDelegate;
  const context = serverContext.pointer;
  const server = new SslSession({ role: 'server', context, delegate, peerCertificate: 'required' });
  const client = createClient({
    keepSession: () => {
      throw new Error('a bug');
    },
  });
  t.same(shakeHands(server, client), { server: 1, client: 1 });
  t.equal(server.alpnProtocol, '');
  t.ok(server.write(Buffer.from('hello'), 5));
  pass(server, client);
  t.equal(client.read(bytes, bytes.length), 5);
  for (const session of [server, client]) session.free();
});

t.test('who was freed answers without asking OpenSSL, at any stage', async t => {
  for (const steps of [0, 1, 2, 4]) {
    const [server, client] = [createServer(), createClient({}, 'Peer.Test')];
    shakeHands(server, client, steps);
    for (const session of [server, client]) {
      session.free();
      session.free();
      session.feed(bytes, 100);
      t.equal(session.shakeHands(), sslFailed);
      t.equal(session.read(bytes, bytes.length), sslClosed);
      t.equal(session.write(bytes, 100), false);
      t.equal(session.takeOutput(bytes, bytes.length), 0);
      session.shutdown();
      const { isResumed, peerCertificate: peer, cipher, group, serverName, alpnProtocol } = session;
      t.same([isResumed, peer, cipher, group, serverName, alpnProtocol], [false, null, '', '', '', '']);
      t.not(session.verifyResult, 0);
      t.equal(session.version, '0x0');
    }
  }
});

t.test('names of servers are compared in small letters', async t => {
  const [server, client] = [createServer(), createClient({}, 'Peer.TEST')];
  shakeHands(server, client);
  t.equal(server.serverName, 'peer.test');
  for (const session of [server, client]) session.free();
});

t.test('sessions given up at any stage leave no memory behind', async t => {
  const churn = (rounds: number): void => {
    for (let i = 0; i < rounds; i++) {
      const [server, client] = [createServer(), createClient()];
      shakeHands(server, client, i % 5);
      server.write(bytes, 10_000);
      if (i % 2 === 0) pass(server, client);
      for (const session of [server, client]) session.free();
    }
  };
  churn(500);
  const before = process.memoryUsage().rss;
  churn(500);
  const grown = process.memoryUsage().rss - before;
  // A session that stays takes 40 KB and more.
  t.ok(grown < 10_000_000, `${grown} bytes`);
});
