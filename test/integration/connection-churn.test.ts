/** What connections cost while they are idle, and that nothing of them stays. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls, createSecureContext, type SecureContext } from 'node:tls';
import t, { type Test } from 'tap';
import { findFreePort, ownCommand, type ProxyProcess, startProxy } from '../support/proxy-process.ts';
import { httpFilter, makeCertificates, staticListener, type TestCertificates } from './static-bootstrap.ts';
import { waitFor } from './wait.ts';

const churned = 10_000;
const idle = 500;
const atOnce = 50;
/** Of resident memory, after as many connections have brought the heap to the size at which it is collected. */
const allowedGrowthMiB = 24;
/** Per idle connection that has carried a request, measured 10 and 75 KiB: Node keeps two buffers of 16 KiB per TLS connection. */
const allowedPlainKiB = 32;
const allowedTlsKiB = 130;

interface Subject {
  readonly proxy: ProxyProcess;
  readonly openPlain: () => Socket;
  readonly openTls: () => Socket;
}

async function startSubject(t: Test): Promise<Subject> {
  const folder = mkdtempSync(join(tmpdir(), 'churn-'));
  const certificates = makeCertificates(folder);
  const [plain, tls] = [await findFreePort(), await findFreePort()];
  const answer = { status: 200, body: { inline_string: 'fine' } };
  const filter = httpFilter('churn', {
    route_config: {
      name: 'local',
      virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, direct_response: answer }] }],
    },
  });
  const listeners = [staticListener({ port: plain, filter }), staticListener({ port: tls, filter, tls: certificates })];
  const proxy = await startProxy({
    name: 'churn',
    ...ownCommand(),
    bootstrap: { static_resources: { listeners, clusters: [] } },
    folder,
  });
  const secureContext = makeContext(certificates);
  t.teardown(async () => {
    await proxy.stop();
    rmSync(folder, { recursive: true });
  });
  return {
    proxy,
    openPlain: () => connect(plain, '127.0.0.1'),
    openTls: () => connectTls({ port: tls, host: '127.0.0.1', secureContext, checkServerIdentity: () => undefined }),
  };
}

function makeContext({ ca, certificate, key }: TestCertificates): SecureContext {
  return createSecureContext({ ca: readFileSync(ca), cert: readFileSync(certificate), key: readFileSync(key) });
}

/** One request; resolves with its answer on the way. */
function sendRequest(socket: Socket, close: boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.on('error', reject);
    socket.once('data', () => resolve());
    socket.write(`GET / HTTP/1.1\r\nhost: a\r\n${close ? 'connection: close\r\n' : ''}\r\n`);
  });
}

function ended(socket: Socket): Promise<void> {
  return new Promise(resolve => socket.once('close', () => resolve()));
}

/** Opens, uses and closes connections, a few at once. The proxy closes some itself, each a second after its own reply, as Envoy does. */
async function churn(open: () => Socket, count: number): Promise<void> {
  let left = count;
  const work = async (): Promise<void> => {
    while (left-- > 0) {
      const socket = open();
      const end = ended(socket);
      const peerCloses = left % 20 === 0;
      await sendRequest(socket, peerCloses);
      if (!peerCloses) socket.destroy();
      await end;
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
}

function residentKiB({ child }: ProxyProcess): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]);
}

function openDescriptors({ child }: ProxyProcess): number {
  return readdirSync(`/proc/${child.pid}/fd`).length;
}

async function idleCostKiB(proxy: ProxyProcess, open: () => Socket): Promise<number> {
  const before = residentKiB(proxy);
  const sockets = Array.from({ length: idle }, open);
  for (const socket of sockets) await sendRequest(socket, false);
  const cost = (residentKiB(proxy) - before) / idle;
  const ends = sockets.map(ended);
  for (const socket of sockets) socket.destroy();
  await Promise.all(ends);
  return cost;
}

t.test('connections', async t => {
  const { proxy, openPlain, openTls } = await startSubject(t);
  await churn(openPlain, 1000);
  await churn(openTls, 300);
  await waitFor(() => openDescriptors(proxy) < atOnce);
  const descriptors = openDescriptors(proxy);

  await t.test('an idle plain connection is cheap', async t => {
    const cost = await idleCostKiB(proxy, openPlain);
    t.comment(`${cost.toFixed(1)} KiB`);
    t.ok(cost <= allowedPlainKiB, `${cost.toFixed(1)} KiB`);
  });

  await t.test('an idle connection with mutual TLS is not dear', async t => {
    const cost = await idleCostKiB(proxy, openTls);
    t.comment(`${cost.toFixed(1)} KiB`);
    t.ok(cost <= allowedTlsKiB, `${cost.toFixed(1)} KiB`);
  });

  for (const [name, open, count] of [
    ['plain', openPlain, churned],
    ['mutual TLS', openTls, churned / 10],
  ] as const) {
    await t.test(`${count} connections leave nothing behind, ${name}`, async t => {
      await churn(open, count);
      const before = residentKiB(proxy);
      await churn(open, count);
      const growth = (residentKiB(proxy) - before) / 1024;
      t.comment(`${growth.toFixed(1)} MiB`);
      t.ok(growth <= allowedGrowthMiB, `${growth.toFixed(1)} MiB`);
      await waitFor(() => openDescriptors(proxy) <= descriptors);
      t.equal(proxy.child.exitCode, null);
    });
  }
});
