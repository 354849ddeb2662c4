/**
 * Memory stays flat on bodies of any size, whoever is slow. By default bodies have 256 MB, the receiver stalls for 1.5 s and
 * reads a second at 1 MB/s before it reads at full speed; LARGE_BODY_MB=4096 LARGE_BODY_STALL_S=30 LARGE_BODY_SLOW_S=60 is the
 * full run, of half an hour (`--timeout=6000`).
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer as createHttpServer, request, type Server } from 'node:http';
import {
  type ClientHttp2Stream,
  connect as connectHttp2,
  createServer as createHttp2Server,
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from 'node:http2';
import { connect, createServer as createTcpServer, type Server as TcpServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { findFreePort, ownCommand, type ProxyProcess, startProxy } from '../support/proxy-process.ts';
import { receiveBody, type ReceiverPace, sendBody } from './body-stream.ts';
import { httpFilter, makeCertificates, staticCluster, staticListener, tcpFilter } from './static-bootstrap.ts';

const total = Number(process.env.LARGE_BODY_MB ?? 256) * 2 ** 20;
const stallMs = Number(process.env.LARGE_BODY_STALL_S ?? 1.5) * 1000;
const slowMs = Number(process.env.LARGE_BODY_SLOW_S ?? 1) * 1000;
const pace: ReceiverPace = { stallMs, slowMs };
const allowedGrowthMiB = 32;
/** Of HTTP/2; the default ones alone would fill what is allowed. */
const http2Windows = { initial_stream_window_size: 2 ** 20, initial_connection_window_size: 2 ** 21 };

function http2Cluster(name: string, port: number): object {
  return {
    ...staticCluster(name, port),
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
        explicit_http_config: { http2_protocol_options: http2Windows },
      },
    },
  };
}

/** Ports of the four ways in. */
interface Entries {
  readonly plain: number;
  readonly mtls: number;
  readonly tcp: number;
  readonly tcpMtls: number;
  readonly http2: number;
}

interface Origin {
  readonly http: Server;
  readonly http2: Http2Server;
  readonly tcp: TcpServer;
  /** What the server side received of the body that was last sent to it. */
  received: Promise<number>;
}

function serveHttp2(incoming: Http2ServerRequest, response: Http2ServerResponse): void {
  if (incoming.method === 'POST') {
    void receiveBody(incoming, total, pace).then(
      received => response.end(String(received)),
      error => response.end(String(error)),
    );
    return;
  }
  incoming.resume();
  void sendBody(response, total).then(() => response.end());
}

/** POST receives, GET sends; an upgrade and a TCP connection do what their first byte or path says. */
async function startOrigin(httpPort: number, tcpPort: number, http2Port: number): Promise<Origin> {
  const http = createHttpServer((incoming, response) => {
    if (incoming.method === 'POST') {
      void receiveBody(incoming, total, pace).then(
        received => response.end(String(received)),
        error => response.end(String(error)),
      );
      return;
    }
    if (incoming.url === '/short') {
      response.end('short');
      return;
    }
    if (incoming.url === '/sized') response.setHeader('content-length', total);
    void sendBody(response, total).then(() => response.end());
  });
  const origin: Origin = {
    http,
    http2: createHttp2Server(serveHttp2),
    tcp: createTcpServer(socket => takeRaw(socket)),
    received: Promise.resolve(0),
  };
  const takeRaw = (socket: Socket): void => {
    socket.on('error', () => {});
    socket.once('data', (first: Buffer) => {
      socket.pause();
      if (first.length > 1) socket.unshift(first.subarray(1));
      if (first[0] === 'd'.charCodeAt(0)) void sendBody(socket, total).then(() => socket.end());
      else origin.received = receiveBody(socket, total, pace).finally(() => socket.end('ok'));
    });
  };
  http.on('upgrade', (_request, socket: Socket) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n');
    takeRaw(socket);
  });
  await new Promise<void>(resolve => http.listen(httpPort, '127.0.0.1', resolve));
  await new Promise<void>(resolve => origin.tcp.listen(tcpPort, '127.0.0.1', resolve));
  await new Promise<void>(resolve => origin.http2.listen(http2Port, '127.0.0.1', () => resolve()));
  return origin;
}

/** The mutual TLS ways pass the proxy twice: out with TLS, and in again. */
async function startLanes(t: Test): Promise<{ proxy: ProxyProcess; entries: Entries; origin: Origin }> {
  const folder = mkdtempSync(join(tmpdir(), 'large-body-'));
  const tls = makeCertificates(folder);
  const ports = [];
  for (let i = 0; i < 10; i++) ports.push(await findFreePort());
  const [plain, mtls, tcp, tcpMtls, httpTls, tcpTls, httpOrigin, tcpOrigin, http2, http2Origin] = ports;
  const bootstrap = {
    static_resources: {
      listeners: [
        staticListener({ port: plain, filter: httpFilter('http') }),
        staticListener({ port: mtls, filter: httpFilter('http-tls') }),
        staticListener({ port: httpTls, filter: httpFilter('http'), tls }),
        staticListener({ port: tcp, filter: tcpFilter('tcp') }),
        staticListener({ port: tcpMtls, filter: tcpFilter('tcp-tls') }),
        staticListener({ port: tcpTls, filter: tcpFilter('tcp'), tls }),
        staticListener({ port: http2, filter: httpFilter('http2', { http2_protocol_options: http2Windows }) }),
      ],
      clusters: [
        staticCluster('http', httpOrigin),
        staticCluster('http-tls', httpTls, tls),
        staticCluster('tcp', tcpOrigin),
        staticCluster('tcp-tls', tcpTls, tls),
        http2Cluster('http2', http2Origin),
      ],
    },
  };
  const origin = await startOrigin(httpOrigin, tcpOrigin, http2Origin);
  const proxy = await startProxy({ name: 'large-body', ...ownCommand(), bootstrap, folder });
  t.teardown(async () => {
    await proxy.stop();
    origin.http.closeAllConnections();
    origin.http.close();
    origin.tcp.close();
    origin.http2.close();
    rmSync(folder, { recursive: true });
  });
  return { proxy, entries: { plain, mtls, tcp, tcpMtls, http2 }, origin };
}

function residentMiB(pid: number): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
}

/** Highest resident memory while `work` runs. */
async function watchMemory<T>(pid: number, work: Promise<T>): Promise<{ result: T; highestMiB: number }> {
  let highestMiB = residentMiB(pid);
  const timer = setInterval(() => {
    highestMiB = Math.max(highestMiB, residentMiB(pid));
  }, 20);
  try {
    return { result: await work, highestMiB };
  } finally {
    clearInterval(timer);
  }
}

/** A few short requests: what is idle has seen traffic. */
async function warmUp(port: number): Promise<void> {
  for (let i = 0; i < 50; i++) {
    await new Promise((resolve, reject) => {
      const outgoing = request({ host: '127.0.0.1', port, path: '/short', agent: false }, response => {
        response.resume().on('end', resolve);
      });
      outgoing.on('error', reject).end();
    });
  }
}

function post(port: number, sized: boolean): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = sized ? { 'content-length': total } : { 'transfer-encoding': 'chunked' };
    const outgoing = request({ host: '127.0.0.1', port, method: 'POST', path: '/', headers, agent: false }, response => {
      let text = '';
      response.on('data', chunk => {
        text += chunk;
      });
      response.on('end', () => (Number(text) > 0 ? resolve(Number(text)) : reject(new Error(text))));
    });
    outgoing.on('error', reject);
    void sendBody(outgoing, total).then(() => outgoing.end());
  });
}

function fetchBody(port: number, sized: boolean): Promise<number> {
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, path: sized ? '/sized' : '/chunked', agent: false };
    const outgoing = request(options, response => void receiveBody(response, total, pace).then(resolve, reject));
    outgoing.on('error', reject).end();
  });
}

function openHttp2(t: Test, port: number, method: string): ClientHttp2Stream {
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  t.teardown(() => session.destroy());
  return session.request({ ':method': method, ':path': '/' });
}

async function postHttp2(t: Test, port: number): Promise<number> {
  const stream = openHttp2(t, port, 'POST');
  let text = '';
  stream.on('data', chunk => {
    text += chunk;
  });
  const ended = new Promise((resolve, reject) => stream.on('end', resolve).on('error', reject));
  await sendBody(stream, total);
  stream.end();
  await ended;
  return Number(text);
}

/** A socket that carries raw bytes: a TCP connection, or one upgraded to WebSocket. */
async function openRaw(port: number, upgrade: boolean): Promise<Socket> {
  if (upgrade) {
    const headers = { connection: 'upgrade', upgrade: 'websocket' };
    const outgoing = request({ host: '127.0.0.1', port, path: '/', headers, agent: false });
    outgoing.end();
    return new Promise((resolve, reject) => {
      outgoing.on('upgrade', (_response, socket: Socket) => resolve(socket)).on('error', reject);
    });
  }
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => resolve(socket)).on('error', reject);
  });
}

async function sendRaw(port: number, upgrade: boolean, origin: Origin): Promise<number> {
  const socket = await openRaw(port, upgrade);
  const answered = new Promise(resolve => socket.once('data', resolve));
  socket.write('u');
  await sendBody(socket, total);
  await answered;
  socket.end();
  return origin.received;
}

async function receiveRaw(port: number, upgrade: boolean): Promise<number> {
  const socket = await openRaw(port, upgrade);
  socket.write('d');
  const received = await receiveBody(socket, total, pace);
  socket.destroy();
  return received;
}

t.test('memory stays flat, and every byte arrives', async t => {
  const { proxy, entries, origin } = await startLanes(t);
  const pid = proxy.child.pid as number;
  const cases: { [name: string]: () => Promise<number> } = {};
  for (const security of ['plain', 'mtls'] as const) {
    const raw = security === 'plain' ? entries.tcp : entries.tcpMtls;
    const http = entries[security];
    cases[`request, sized, ${security}`] = () => post(http, true);
    cases[`request, chunked, ${security}`] = () => post(http, false);
    cases[`response, sized, ${security}`] = () => fetchBody(http, true);
    cases[`response, chunked, ${security}`] = () => fetchBody(http, false);
    cases[`TCP to the server, ${security}`] = () => sendRaw(raw, false, origin);
    cases[`TCP to the client, ${security}`] = () => receiveRaw(raw, false);
    cases[`WebSocket to the server, ${security}`] = () => sendRaw(http, true, origin);
    cases[`WebSocket to the client, ${security}`] = () => receiveRaw(http, true);
  }
  cases['request, HTTP/2'] = () => postHttp2(t, entries.http2);
  cases['response, HTTP/2'] = () => receiveBody(openHttp2(t, entries.http2, 'GET'), total, pace);
  for (const port of [entries.plain, entries.mtls]) await warmUp(port);
  const idleMiB = residentMiB(pid);
  for (const [name, run] of Object.entries(cases)) {
    await t.test(name, async t => {
      const { result, highestMiB } = await watchMemory(pid, run());
      t.equal(result, total);
      t.comment(`idle ${idleMiB.toFixed(0)} MiB, highest ${highestMiB.toFixed(0)} MiB`);
      t.ok(highestMiB - idleMiB <= allowedGrowthMiB, `grows by ${(highestMiB - idleMiB).toFixed(0)} MiB`);
    });
  }
});
