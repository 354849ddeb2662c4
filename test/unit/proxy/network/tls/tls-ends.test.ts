/** How connections over TLS end, and handshakes that are cut off, unusual or large. */
import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { CertificateAuthority } from '../../../../../demo/certificate-authority.ts';
import type { CloseEvent, Connection } from '../../../../../proxy/network/connection.ts';
import {
  authority,
  listen,
  openPair,
  ourCertificate,
  peerCertificate,
  type Role,
  TlsEndpoint,
  type TlsPair,
  type Version,
} from '../../../../support/tls-pair.ts';

const roles: readonly Role[] = ['server', 'client'];
const versions: readonly Version[] = ['TLSv1.2', 'TLSv1.3'];

/** A pair of which `ours` read something: tickets that nobody read would turn a close into a reset. */
async function openReadPair(role: Role, version: Version): Promise<TlsPair> {
  const pair = await openPair(role, { version });
  const received = new Promise<void>(resolve => (pair.ours.callbacks = { onData: () => resolve(), onClose() {} }));
  pair.theirs.write('x');
  await received;
  return pair;
}

/** What the peer saw: bytes, and how they ended. */
function observe(socket: tls.TLSSocket): { bytes: number; ended: boolean; error: string; closed: Promise<void> } {
  const closed = Promise.withResolvers<void>();
  const seen = { bytes: 0, ended: false, error: '', closed: closed.promise };
  socket.on('data', (data: Buffer) => (seen.bytes += data.length));
  socket.on('end', () => {
    seen.ended = true;
    socket.end();
  });
  socket.on('error', (error: Error & { code?: string }) => (seen.error = error.code ?? error.message));
  socket.on('close', () => closed.resolve());
  return seen;
}

function whenClosed(connection: Connection): Promise<CloseEvent> {
  return new Promise(resolve => (connection.callbacks = { onData() {}, onClose: resolve }));
}

for (const role of roles) {
  for (const version of versions) {
    const as = `as ${role}, ${version}`;
    for (const type of ['flush-write', 'flush-write-and-delay'] as const) {
      t.test(`${type} delivers what was written, however much, and says that it is over, ${as}`, async t => {
        const pair = await openReadPair(role, version);
        t.teardown(() => pair.close());
        const closed = whenClosed(pair.ours);
        const seen = observe(pair.theirs);
        pair.ours.write(Buffer.alloc(3_000_000), false);
        pair.ours.setDelayedCloseTimeoutMs(type === 'flush-write' ? 60_000 : 200);
        pair.ours.close(type);
        pair.ours.write(Buffer.from('too late'), false);
        t.match(await closed, /local-close|remote-close/);
        await seen.closed;
        t.same([seen.bytes, seen.ended, seen.error], [3_000_000, true, '']);
      });
    }

    t.test(`no-flush closes at once, and says so, ${as}`, async t => {
      const pair = await openReadPair(role, version);
      t.teardown(() => pair.close());
      const closed = whenClosed(pair.ours);
      const seen = observe(pair.theirs);
      pair.ours.close('no-flush');
      t.equal(pair.ours.state, 'closed');
      t.equal(await closed, 'local-close');
      await seen.closed;
      t.same([seen.bytes, seen.ended, seen.error], [0, true, '']);
    });

    t.test(`abort-reset resets, ${as}`, async t => {
      const pair = await openReadPair(role, version);
      t.teardown(() => pair.close());
      const closed = whenClosed(pair.ours);
      const seen = observe(pair.theirs);
      pair.ours.close('abort-reset');
      t.equal(await closed, 'local-reset');
      await seen.closed;
      t.same([seen.ended, seen.error], [false, 'ECONNRESET']);
    });

    t.test(`a reset by the peer ends the connection, also while it writes, ${as}`, async t => {
      const pair = await openPair(role, { version });
      t.teardown(() => pair.close());
      const closed = whenClosed(pair.ours);
      pair.theirs.pause();
      pair.ours.write(Buffer.alloc(8_000_000), false);
      await new Promise(setImmediate);
      pair.socket.resetAndDestroy();
      t.match(await closed, /^remote-/);
      t.equal(pair.ours.state, 'closed');
    });
  }
}

/** Passes the first `bytes` of a client on to a server of ours, and then ends as told. */
async function cutOff(bytes: number, end: 'reset' | 'close'): Promise<{ accepted: boolean; reason: string }> {
  const outcome = Promise.withResolvers<{ accepted: boolean; reason: string }>();
  const endpoint = new TlsEndpoint();
  const { server, port } = await listen(socket =>
    endpoint.accept(socket, (connection, accepted) => {
      outcome.resolve({ accepted, reason: connection.info.transportFailureReason });
      connection.close('no-flush');
    }),
  );
  const relay = await listen(near => {
    const far = net.connect(port, '127.0.0.1');
    let left = bytes;
    const cut = (): void => {
      if (end === 'reset') far.resetAndDestroy();
      else far.destroy();
      near.destroy();
    };
    for (const socket of [near, far]) socket.on('error', () => {});
    far.on('data', (data: Buffer) => near.write(data));
    far.on('connect', () => (left === 0 ? cut() : near.resume()));
    near.on('data', (data: Buffer) => {
      far.write(data.subarray(0, left), () => left === 0 && cut());
      left -= Math.min(left, data.length);
    });
  });
  const { certificate: cert, privateKey: key } = peerCertificate;
  const client = tls.connect({ port: relay.port, host: '127.0.0.1', rejectUnauthorized: false, cert, key });
  client.on('error', () => {});
  const result = await outcome.promise;
  client.destroy();
  for (const { server: closed } of [{ server }, relay]) closed.close();
  return result;
}

t.test('a client that goes away in the midst of the handshake is refused, wherever it was', async t => {
  for (const end of ['reset', 'close'] as const) {
    for (const bytes of [0, 1, 5, 100, 300, 600, 900]) {
      const { accepted } = await cutOff(bytes, end);
      t.equal(accepted, false, `${end} after ${bytes} bytes`);
    }
  }
});

t.test('a server that goes away in the midst of the handshake is a failed connection', async t => {
  for (const bytes of [0, 1, 5, 6, 100]) {
    for (const end of ['resetAndDestroy', 'destroy'] as const) {
      const { server, port } = await listen(socket => {
        socket.on('error', () => {});
        socket.once('data', () =>
          socket.write(Buffer.from([22, 3, 3, 4, 0, ...Array(95).fill(2)]).subarray(0, bytes), () => socket[end]()),
        );
        socket.resume();
      });
      const closed = Promise.withResolvers<CloseEvent>();
      const connection = new TlsEndpoint().connect(port, { onData() {}, onClose: closed.resolve });
      t.equal(await closed.promise, 'remote-close', `${end} after ${bytes} bytes`);
      t.equal(connection.state, 'closed');
      server.close();
    }
  }
});

t.test('a client that is asked for a certificate and has none is let in where none is required', async t => {
  for (const version of versions) {
    const pair = await openPair('server', {
      version,
      requireClientCertificate: false,
      peer: { cert: undefined, key: undefined },
    });
    t.same([pair.ours.info.tls?.peerCertificatePresented, pair.ours.info.tls?.peer], [false, null]);
    pair.close();
  }
});

t.test('handshakes of many kilobytes in both directions, whatever the pieces', async t => {
  const others = await Promise.all(
    Array.from({ length: 60 }, (_, i) => CertificateAuthority.create({ name: `${i}${'x'.repeat(300)}` })),
  );
  const roots = others.map(other => other.rootCertificate);
  const withRoots = (certificate: string): string => [certificate, ...roots].join('\n');
  for (const version of versions) {
    for (const role of roles) {
      const certificate = { ...ourCertificate, certificate: withRoots(ourCertificate.certificate) };
      const pair = await openPair(role, {
        version,
        certificate,
        validation: { trustedCa: withRoots(authority.rootCertificate) },
        peer: {
          cert: withRoots(peerCertificate.certificate),
          ca: withRoots(authority.rootCertificate),
          // A hello of more than a record.
          ALPNProtocols: Array.from({ length: 240 }, (_, i) => `${i}`.padStart(80, 'p')),
        },
      });
      t.equal(pair.ours.info.tls?.peerCertificateValidated, true, `as ${role}, ${version}`);
      t.ok((pair.ours.info.tls?.peer?.pemChain.length ?? 0) > 30_000);
      pair.close();
    }
  }
});

t.test('a handshake of single bytes is a handshake', async t => {
  for (const role of roles) {
    for (const version of versions) {
      const single = { next: () => 0, below: () => 0, chance: () => false, pick: <T>(items: readonly T[]) => items[0] };
      const pair = await openPair(role, { version, split: single as never });
      const received = new Promise<string>(
        resolve => (pair.ours.callbacks = { onData: data => resolve(data.toString()), onClose() {} }),
      );
      pair.theirs.write('hello');
      t.equal(await received, 'hello');
      pair.close();
    }
  }
});

/** Makes `count` connections one after the other; whether each was resumed. */
async function connectAgain(endpoint: TlsEndpoint, port: number, count: number): Promise<boolean[]> {
  const resumed: boolean[] = [];
  for (let i = 0; i < count; i++) {
    const greeted = Promise.withResolvers<void>();
    const connection = endpoint.connect(port, { onData: () => greeted.resolve(), onClose: () => greeted.resolve() });
    await greeted.promise;
    resumed.push(connection.info.tls?.resumed ?? false);
    connection.close('no-flush');
  }
  return resumed;
}

t.test('a client keeps as many sessions as it may', async t => {
  const { certificate: cert, privateKey: key } = peerCertificate;
  for (const version of versions) {
    const server = tls.createServer({ cert, key, maxVersion: version }, socket => {
      socket.on('error', () => {});
      socket.write('hello');
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as net.AddressInfo;
    t.same(await connectAgain(new TlsEndpoint({ maxSessionKeys: 0 }), port, 3), [false, false, false]);
    // A ticket of TLS 1.3 is used once. Node's server sends two, and none to who resumes.
    const ofTls13 = { 1: [false, true, false, true], 3: [false, true, true, false] };
    for (const maxSessionKeys of [1, 3] as const) {
      const endpoint = new TlsEndpoint({ maxSessionKeys });
      const expected = version === 'TLSv1.3' ? ofTls13[maxSessionKeys] : [false, true, true, true];
      t.same(await connectAgain(endpoint, port, 4), expected, `${maxSessionKeys}, ${version}`);
      endpoint.trust(authority.rootCertificate);
      t.same(await connectAgain(endpoint, port, 2), [false, true], 'a new secret forgets them, even if it is the same');
    }
    server.close();
  }
});

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

t.test('connections outlive the context that they were made of', async t => {
  for (const role of roles) {
    const pair = await openPair(role, { maxSessionKeys: 1 });
    const other = await CertificateAuthority.create({ name: 'other' });
    const received: string[] = [];
    pair.ours.callbacks = { onData: data => received.push(data.toString()), onClose() {} };
    for (let i = 0; i < 5; i++) {
      pair.endpoint.trust(other.rootCertificate);
      collectGarbage();
      // Finalizers run in an event of their own.
      await new Promise(setImmediate);
      pair.theirs.write(`${i}`);
      while (received.length <= i) await new Promise(setImmediate);
      pair.ours.writeLatin1('x', false);
      t.equal(String((await once(pair.theirs, 'data'))[0]), 'x');
    }
    t.same(received, ['0', '1', '2', '3', '4']);
    pair.close();
  }
});
