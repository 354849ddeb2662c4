/** What clients and operators do wrong, against the whole process: each gets Envoy's answer, and nothing is left behind. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import t, { type Test } from 'tap';
import { findFreePort, getAdmin, ownCommand, type ProxyProcess, startProxy } from '../support/proxy-process.ts';
import { Random } from '../support/random.ts';
import { httpFilter, makeCertificates, staticCluster, staticListener, tcpFilter } from './static-bootstrap.ts';
import { waitFor } from './wait.ts';

const headTimeoutMs = 400;
const handshakeTimeoutMs = 400;

interface Subject {
  readonly proxy: ProxyProcess;
  readonly plain: number;
  readonly tls: number;
  /** Leads to the plain one. */
  readonly tcp: number;
}

async function startSubject(t: Test): Promise<Subject> {
  const folder = mkdtempSync(join(tmpdir(), 'bad-input-'));
  const certificates = makeCertificates(folder);
  const [plain, tls, tcp] = [await findFreePort(), await findFreePort(), await findFreePort()];
  const answer = { status: 200, body: { inline_string: 'fine' } };
  const filter = httpFilter('bad-input', {
    request_headers_timeout: `${headTimeoutMs / 1000}s`,
    route_config: {
      name: 'local',
      virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, direct_response: answer }] }],
    },
  });
  const tlsListener = staticListener({ port: tls, filter, tls: certificates }) as { filter_chains: object[] };
  tlsListener.filter_chains[0] = {
    ...tlsListener.filter_chains[0],
    transport_socket_connect_timeout: `${handshakeTimeoutMs / 1000}s`,
  };
  const listeners = [
    staticListener({ port: plain, filter }),
    tlsListener,
    staticListener({ port: tcp, filter: tcpFilter('own') }),
  ];
  const bootstrap = { static_resources: { listeners, clusters: [staticCluster('own', plain)] } };
  const proxy = await startProxy({ name: 'bad-input', ...ownCommand(), bootstrap, folder });
  t.teardown(async () => {
    await proxy.stop();
    rmSync(folder, { recursive: true });
  });
  return { proxy, plain, tls, tcp };
}

/** Everything that comes until the connection ends; `error` if it was reset. */
function collect(socket: Socket): Promise<string> {
  let text = '';
  socket.on('data', data => {
    text += data.toString('latin1');
  });
  return new Promise(resolve => {
    socket.on('error', () => resolve(`${text}<reset>`)).on('close', () => resolve(text));
  });
}

function exchange(port: number, bytes: string | Buffer): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.write(bytes);
  return collect(socket);
}

const request = 'GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n';
const clientHello = Buffer.from('160301020001000001fc0303', 'hex');

function openDescriptors({ proxy }: Subject): number {
  return readdirSync(`/proc/${proxy.child.pid}/fd`).length;
}

/** A statistic that nobody touched may not exist yet. */
async function readStat({ proxy }: Subject, name: string): Promise<number> {
  const text = await getAdmin(proxy.adminPort, `/stats?filter=^${name}$`);
  return Number(text.split(': ')[1] ?? 0);
}

/** It serves, and holds no more descriptors than before. */
async function checkHealthy(t: Test, subject: Subject, descriptorsBefore: number): Promise<void> {
  t.match(await exchange(subject.plain, request), /200 OK[\s\S]*fine/, 'it still serves');
  await waitFor(() => openDescriptors(subject) <= descriptorsBefore);
  t.equal(await readStat(subject, 'http.bad-input.downstream_cx_active'), 0);
  t.equal(subject.proxy.child.exitCode, null);
}

t.test('clients', async t => {
  const subject = await startSubject(t);
  const { plain, tls } = subject;
  await exchange(plain, request);
  const descriptors = openDescriptors(subject);

  await t.test('TLS on a plain port is a bad request', async t => {
    t.match(await exchange(plain, clientHello), /^HTTP\/1\.1 400 Bad Request\r\n/);
  });

  await t.test('plain HTTP and garbage on a TLS port end the connection, and are counted', async t => {
    const before = await readStat(subject, `listener.127.0.0.1_${tls}.ssl.connection_error`);
    for (const bytes of [request, '\0'.repeat(100), Buffer.alloc(20_000, 0x16), 'x']) {
      t.notMatch(await exchange(tls, bytes), /HTTP/);
    }
    // A single byte is an unfinished hello: the deadline ends it, which is no error of TLS.
    t.equal((await readStat(subject, `listener.127.0.0.1_${tls}.ssl.connection_error`)) - before, 3);
  });

  await t.test('a client that never finishes its handshake is cut off', async t => {
    const began = performance.now();
    const socket = connect(tls, '127.0.0.1');
    socket.write(clientHello);
    await collect(socket);
    t.ok(performance.now() - began >= handshakeTimeoutMs - 20);
    t.ok((await readStat(subject, `listener.127.0.0.1_${tls}.downstream_cx_transport_socket_connect_timeout`)) >= 1);
  });

  await t.test('a client without a certificate is refused', async t => {
    const socket = connectTls({ port: tls, host: '127.0.0.1', rejectUnauthorized: false });
    socket.write(request);
    t.notMatch(await collect(socket), /200 OK/);
  });

  await t.test('a head that comes byte by byte is given up with 408', async t => {
    const socket = connect(plain, '127.0.0.1');
    const answer = collect(socket);
    const timer = setInterval(() => socket.write('a'), 20);
    socket.write('GET / HTTP/1.1\r\nx: ');
    t.match(await answer, /^HTTP\/1\.1 408 Request Timeout\r\n/);
    clearInterval(timer);
  });

  await t.test('a head that is too large is refused with 431, whole or in pieces', async t => {
    t.match(await exchange(plain, `GET / HTTP/1.1\r\nhost: a\r\nx: ${'y'.repeat(70_000)}\r\n\r\n`), /^HTTP\/1\.1 431 /);
    t.match(await exchange(plain, `GET /${'y'.repeat(70_000)}`), /^HTTP\/1\.1 431 /);
    t.match(await exchange(plain, `GET / HTTP/1.1\r\n${'x: y\r\n'.repeat(200)}\r\n`), /^HTTP\/1\.1 431 /);
  });

  await t.test('clients that end their side early leave nothing behind', async t => {
    for (const bytes of [
      '',
      'GET',
      'GET / HTTP/1.1\r\nhost: a\r\n',
      'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nxy',
    ]) {
      const socket = connect(plain, '127.0.0.1');
      socket.end(bytes);
      await collect(socket);
    }
    await checkHealthy(t, subject, descriptors);
  });

  await t.test('a storm of resets at any point of an exchange leaves nothing behind', async t => {
    const seed = Date.now() >>> 0;
    t.comment(`seed ${seed}`);
    const random = new Random(seed);
    const ports = [plain, tls, subject.tcp];
    const storm = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++) {
        const whole = random.chance(0.5) ? Buffer.from(request) : clientHello;
        await resetAfter(random.pick(ports), whole.subarray(0, random.below(whole.length + 1)), random.chance(0.7));
      }
    };
    await Promise.all(Array.from({ length: 20 }, () => storm(75)));
    await checkHealthy(t, subject, descriptors);
  });
});

/** Connects, writes, and resets: at once, or when the first bytes of an answer are there. */
function resetAfter(port: number, bytes: Buffer, atOnce: boolean): Promise<void> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1', () => {
      if (atOnce || bytes.length === 0) socket.write(bytes, () => socket.resetAndDestroy());
      else socket.write(bytes);
    });
    socket.setTimeout(headTimeoutMs, () => socket.resetAndDestroy());
    socket.on('data', () => socket.resetAndDestroy());
    socket.on('error', () => {}).on('close', () => resolve());
  });
}

interface Ending {
  readonly code: number | null;
  readonly log: string;
}

function run(args: readonly string[]): Promise<Ending> {
  const { command, args: first } = ownCommand();
  const child = spawn(command, [...first, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  child.stderr.on('data', chunk => {
    log += chunk;
  });
  return new Promise(resolve => child.once('close', code => resolve({ code, log })));
}

t.test('bootstrap files that cannot be used end the process with status 1 and a reason', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'bad-bootstrap-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const files: { [name: string]: [content: string | Buffer, reason: RegExp] } = {
    'broken.json': ['{"node": {', /broken\.json|JSON/],
    'list.json': ['[1, 2]', /list\.json|Bootstrap|object/],
    'unknown.json': ['{"no_such_field": 1}', /no_such_field/],
    'type.json': ['{"static_resources": {"listeners": "none"}}', /listeners/],
    'tabs.yaml': ['node:\n\tid: x', /tabs\.yaml|yaml/i],
    'garbage.pb': [Buffer.alloc(500, 0xff), /garbage\.pb|parse|wire/i],
    'deep.json': [`${'{"node":'.repeat(5000)}1${'}'.repeat(5000)}`, /./],
    'nul.json': ['\0\0\0', /./],
  };
  for (const [name, [content, reason]] of Object.entries(files)) {
    const file = join(folder, name);
    writeFileSync(file, content);
    const { code, log } = await run(['-c', file, '-l', 'error']);
    t.equal(code, 1, name);
    t.match(log, reason, name);
    t.notMatch(log, /\n\s+at .*\.[jt]s:\d+/, `${name}: no stack`);
  }
  const { code, log } = await run(['-c', join(folder, 'missing.yaml')]);
  t.equal(code, 1);
  t.match(log, /missing\.yaml/);
});
