/** What peers send besides bytes once the handshake is over: tickets in pieces, new keys, attempts to begin anew. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import t, { type Test } from 'tap';
import type { Connection } from '../../../../../proxy/network/connection.ts';
import { listen, openPair, peerCertificate, TlsEndpoint, type Version } from '../../../../support/tls-pair.ts';

const { certificate: cert, privateKey: key } = peerCertificate;

t.test('what is written while a ticket arrives in pieces follows, and so does the end', async t => {
  const received: Buffer[] = [];
  const ended = Promise.withResolvers<void>();
  const sockets: net.Socket[] = [];
  const server = await listen(socket => {
    sockets.push(socket);
    const peer = new tls.TLSSocket(socket, { isServer: true, requestCert: true, rejectUnauthorized: false, cert, key });
    // The ticket holds the client's certificate: three records.
    peer.setMaxSendFragment(512);
    peer.on('data', (data: Buffer) => received.push(data)).on('end', ended.resolve);
    peer.on('error', () => {});
  });
  // Within every step of the handshake and of the ticket something is written.
  const relay = await listen(near => {
    const far = net.connect(server.port, '127.0.0.1');
    sockets.push(near, far);
    for (const socket of [near, far]) socket.setNoDelay(true).on('error', () => {});
    near.pipe(far);
    let turn = Promise.resolve();
    far.on('data', (data: Buffer) => (turn = turn.then(() => pass(data, near))));
  });
  const pass = async (data: Buffer, to: net.Socket): Promise<void> => {
    for (let offset = 0; offset < data.length; offset += 50) {
      to.write(data.subarray(offset, offset + 50));
      await new Promise(setImmediate);
      write();
      await new Promise(setImmediate);
    }
  };
  let written = 0;
  let isOpen = false;
  const write = (): void => {
    if (isOpen && written < 60) ours.write(Buffer.alloc(100, written++), written === 60);
  };
  const ours: Connection = new TlsEndpoint().connect(relay.port, {
    onData() {},
    onConnected() {
      ours.enableHalfClose(true);
      isOpen = true;
      write();
    },
    onClose() {},
  });
  while (!isOpen) await new Promise(setImmediate);
  while (written < 60) {
    await new Promise(setImmediate);
    write();
  }
  await ended.promise;
  t.ok(Buffer.concat(received).equals(Buffer.concat(Array.from({ length: 60 }, (_, i) => Buffer.alloc(100, i)))));
  ours.close('no-flush');
  for (const socket of sockets) socket.destroy();
  for (const { server: closed } of [server, relay]) closed.close();
});

interface ClientProgram {
  readonly program: ChildProcess;
  readonly endpoint: TlsEndpoint;
  readonly connection: Connection;
  /** What the proxy received, as text. */
  received(): string;
  readonly closed: Promise<void>;
  /** Everything the program said. */
  output(): string;
}

/** `openssl s_client` on a server of ours that echoes. */
async function startClient(t: Test, version: Version): Promise<ClientProgram> {
  const common = { minVersion: version, maxVersion: version };
  const endpoint = new TlsEndpoint({ common, requireClientCertificate: false });
  const accepted = Promise.withResolvers<Connection>();
  const closed = Promise.withResolvers<void>();
  let received = '';
  const { server, port } = await listen(socket =>
    endpoint.accept(socket, connection => {
      connection.callbacks = {
        onData(data) {
          received += data.toString('latin1');
          connection.write(Buffer.from(data), false);
        },
        onClose: () => closed.resolve(),
      };
      accepted.resolve(connection);
    }),
  );
  const program = spawn('openssl', ['s_client', '-connect', `127.0.0.1:${port}`]);
  let output = '';
  for (const stream of [program.stdout, program.stderr]) stream.on('data', data => (output += data));
  t.teardown(() => {
    program.kill('SIGKILL');
    server.close();
  });
  const connection = await accepted.promise;
  return { program, endpoint, connection, received: () => received, closed: closed.promise, output: () => output };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(resolve => setTimeout(resolve, 5));
}

t.test('a peer may change its keys, and ask for ours to be changed', async t => {
  const client = await startClient(t, 'TLSv1.3');
  for (const [i, command] of ['K', 'k', 'K'].entries()) {
    client.program.stdin?.write(`${command}\n`);
    await until(() => client.output().split('KEYUPDATE').length > i + 1);
    client.program.stdin?.write(`after ${i}\n`);
    await until(() => client.output().includes(`after ${i}`));
  }
  t.equal(client.received(), 'after 0\nafter 1\nafter 2\n');
  t.equal(client.endpoint.counter('server.ssl.connection_error'), 0);
});

t.test('who changes keys again and again without a byte between is cut off', async t => {
  const client = await startClient(t, 'TLSv1.3');
  for (let i = 1; i <= 33; i++) {
    client.program.stdin?.write('k\n');
    await until(() => client.output().split('KEYUPDATE').length > i);
  }
  await client.closed;
  t.equal(client.endpoint.counter('server.ssl.connection_error'), 1);
  t.match(client.connection.info.transportFailureReason, /TOO_MANY_KEY_UPDATES/);
});

t.test("records that fill the reader's buffer exactly are no silent ones", async t => {
  const pair = await openPair('server', { version: 'TLSv1.3' });
  t.teardown(() => pair.close());
  let received = 0;
  const closed: string[] = [];
  pair.ours.callbacks = { onData: data => void (received += data.length), onClose: event => void closed.push(event) };
  for (let round = 0; round < 20; round++) {
    pair.socket.cork();
    for (let i = 0; i < 60; i++) pair.theirs.write(Buffer.alloc(4096));
    pair.socket.uncork();
    while (received < (round + 1) * 60 * 4096 && closed.length === 0) await new Promise(setImmediate);
  }
  t.same(closed, []);
});

t.test('nobody negotiates anew in TLS 1.2', async t => {
  const client = await startClient(t, 'TLSv1.2');
  client.program.stdin?.write('before\n');
  await until(() => client.output().includes('before'));
  client.program.stdin?.write('R\n');
  await Promise.race([client.closed, once(client.program, 'exit')]);
  t.equal(client.received(), 'before\n');
});
