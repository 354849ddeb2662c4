/** A request that is carried costs two reads and two writes, and no other: counted by strace, not timed. */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { findFreePort, ownCommand, startProxy } from '../support/proxy-process.ts';
import { httpFilter, makeCertificates, staticCluster, staticListener, tcpFilter } from './static-bootstrap.ts';

const requests = 50;
const traced = 'read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg';
const request = 'GET / HTTP/1.1\r\nhost: test\r\n\r\n';
const response = `HTTP/1.1 200 OK\r\ncontent-length: 64\r\n\r\n${'x'.repeat(64)}`;

function hasStrace(): boolean {
  try {
    execFileSync('strace', ['-V'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Answers each piece it gets, as one piece. */
async function startOrigin(t: Test, port: number): Promise<void> {
  const server = createServer(socket => socket.setNoDelay(true).on('data', () => socket.write(response)));
  await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve));
  const sockets = new Set<Socket>();
  server.on('connection', socket => sockets.add(socket));
  t.teardown(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
}

class Client {
  readonly #socket: Socket;
  #tail = '';
  #done: () => void = () => {};

  constructor(socket: Socket) {
    this.#socket = socket.setNoDelay(true).on('data', data => {
      this.#tail = (this.#tail + data.toString('latin1')).slice(-64);
      if (this.#tail === 'x'.repeat(64)) this.#done();
    });
  }

  static async open(t: Test, port: number): Promise<Client> {
    const socket = connect(port, '127.0.0.1');
    t.teardown(() => socket.destroy());
    await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    return new Client(socket);
  }

  /** Sends one request and waits for the end of its response. */
  exchange(): Promise<void> {
    this.#tail = '';
    return new Promise(resolve => {
      this.#done = resolve;
      this.#socket.write(request);
    });
  }
}

/** System calls of a process on connections with one of these ports, while `work` runs. */
async function countCalls(
  { pid, ports, folder }: Counted,
  work: () => Promise<void>,
): Promise<{ reads: number; writes: number }> {
  const file = join(folder, 'strace.txt');
  const args = ['-f', '-yy', '-s', '0', '-e', `trace=${traced}`, '-o', file, '-p', String(pid)];
  const strace = spawn('strace', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = new Promise<void>(resolve => strace.once('close', () => resolve()));
  let told = '';
  await new Promise<void>((resolve, reject) => {
    strace.once('close', () => reject(new Error(`strace: ${told}`)));
    strace.stderr.on('data', chunk => {
      told += chunk;
      if (/attached/.test(told)) resolve();
    });
  });
  await work();
  strace.kill('SIGINT');
  await ended;
  const connections = new RegExp(`^\\d+ +\\w+\\(\\d+<TCP:\\[[^\\]]*:(${ports.join('|')})\\b`);
  const calls = readFileSync(file, 'utf8')
    .split('\n')
    .filter(line => connections.test(line));
  const reads = calls.filter(line => /^\d+ +(read|recv)/.test(line)).length;
  return { reads, writes: calls.length - reads };
}

interface Counted {
  readonly pid: number;
  readonly ports: readonly number[];
  readonly folder: string;
}

interface Lane {
  readonly name: string;
  readonly entry: number;
  /** How often a request passes the proxy: with mutual TLS out and in again. */
  readonly passes: number;
}

/** One proxy with all ways in. */
async function startLanes(t: Test): Promise<Counted & { lanes: readonly Lane[] }> {
  const folder = mkdtempSync(join(tmpdir(), 'system-calls-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const tls = makeCertificates(folder);
  const ports = [];
  for (let i = 0; i < 7; i++) ports.push(await findFreePort());
  const [origin, http, httpOut, httpIn, tcp, tcpOut, tcpIn] = ports;
  const bootstrap = {
    static_resources: {
      listeners: [
        staticListener({ port: http, filter: httpFilter('origin') }),
        staticListener({ port: httpOut, filter: httpFilter('http-in') }),
        staticListener({ port: httpIn, filter: httpFilter('origin'), tls }),
        staticListener({ port: tcp, filter: tcpFilter('origin') }),
        staticListener({ port: tcpOut, filter: tcpFilter('tcp-in') }),
        staticListener({ port: tcpIn, filter: tcpFilter('origin'), tls }),
      ],
      clusters: [staticCluster('origin', origin), staticCluster('http-in', httpIn, tls), staticCluster('tcp-in', tcpIn, tls)],
    },
  };
  await startOrigin(t, origin);
  const proxy = await startProxy({ name: 'system-calls', ...ownCommand(), bootstrap, folder });
  t.teardown(() => proxy.stop());
  const lanes = [
    { name: 'HTTP/1.1, plain', entry: http, passes: 1 },
    { name: 'HTTP/1.1, mutual TLS', entry: httpOut, passes: 2 },
    { name: 'TCP, plain', entry: tcp, passes: 1 },
    { name: 'TCP, mutual TLS', entry: tcpOut, passes: 2 },
  ];
  return { pid: proxy.child.pid as number, ports, folder, lanes };
}

t.test('two reads and two writes a request', { skip: hasStrace() ? false : 'needs strace' }, async t => {
  const { lanes, ...counted } = await startLanes(t);
  for (const { name, entry, passes } of lanes) {
    const client = await Client.open(t, entry);
    for (let i = 0; i < 10; i++) await client.exchange();
    const calls = await countCalls(counted, async () => {
      for (let i = 0; i < requests; i++) await client.exchange();
    });
    t.same(calls, { reads: 2 * passes * requests, writes: 2 * passes * requests }, name);
  }
});
