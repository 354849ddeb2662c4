/** The traffic behind which both proxies must show the same statistics. Every step ends before the next begins. */
import { createServer as createHttpServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { StatsIdentities, StatsPorts } from './stats-bootstrap.ts';

export interface TrafficTargets {
  close(): void;
}

/** HTTP: `/status/N` answers N, `/retry-later` 503 first and then 200, `/hang` never, `/reset` resets; TCP: echo. */
export async function startTargets(ports: StatsPorts): Promise<TrafficTargets> {
  const http = createHttpServer({ keepAliveTimeout: 60_000 });
  let isLater = false;
  http.on('request', (incoming: IncomingMessage, response: ServerResponse) => {
    const path = incoming.url ?? '';
    incoming.resume();
    if (path.includes('hang')) return;
    if (path.startsWith('/reset')) return incoming.socket.resetAndDestroy();
    const status = /status\/(\d+)/.exec(path);
    let code = status === null ? 200 : Number(status[1]);
    if (path.startsWith('/retry-later')) {
      code = isLater ? 200 : 503;
      isLater = true;
    }
    response.writeHead(code, { 'content-length': 2 });
    response.end('ok');
  });
  http.on('upgrade', (_incoming, socket: Socket) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n');
    socket.pipe(socket);
    socket.on('error', () => {});
  });
  const echo = createServer(socket => {
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  await new Promise<void>(resolve => http.listen(ports.upstream, '127.0.0.1', resolve));
  await new Promise<void>(resolve => echo.listen(ports.echo, '127.0.0.1', resolve));
  return {
    close() {
      http.closeAllConnections();
      http.close();
      echo.close();
    },
  };
}

export function get(port: number, path: string, options: object = {}, body = ''): Promise<number> {
  return new Promise(resolve => {
    const outgoing = request({ host: '127.0.0.1', port, path, agent: false, ...options }, response => {
      response.resume();
      response.on('error', () => {});
      response.on('close', () => resolve(response.statusCode ?? 0));
    });
    outgoing.on('error', () => resolve(0));
    outgoing.end(body);
  });
}

/** Sends bytes and resolves with what came back when the other side ended, or after the first answer if `once`. */
export function talk(socket: Socket, bytes: string, once: boolean): Promise<string> {
  return new Promise(resolve => {
    let received = '';
    socket.on('error', () => {});
    socket.on('data', chunk => {
      received += chunk.toString('latin1');
      if (once) socket.end();
    });
    socket.on('close', () => resolve(received));
    socket.write(bytes, 'latin1');
  });
}

export function leave(port: number, bytes: string): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  socket.write(bytes);
  setTimeout(() => socket.destroy(), 100);
  return new Promise(resolve => socket.once('close', () => resolve()));
}

function openTls(
  port: number,
  identities: StatsIdentities,
  certificate: 'client' | 'stranger' | null,
  maxVersion: string,
): Socket {
  const pair = certificate === null ? null : identities[certificate];
  return connectTls({
    host: '127.0.0.1',
    port,
    servername: 'server.x',
    rejectUnauthorized: false,
    // Envoy's own groups begin with X25519MLKEM768.
    ecdhCurve: 'X25519',
    maxVersion: maxVersion as never,
    ALPNProtocols: ['http/1.1'],
    ...(pair === null ? {} : { cert: pair.certificate, key: pair.privateKey }),
  });
}

const closing = 'GET /ok HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n';

async function driveHttp(port: number): Promise<void> {
  const paths = [
    '/ok',
    '/ok',
    '/missing',
    '/status/404',
    '/status/503',
    '/status/301',
    '/down',
    '/retry-down',
    '/retry-status/503',
  ];
  paths.push('/retry-later', '/hang', '/try-hang', '/reset', '/overflow', '/retry-overflow', '/empty', '/unknown', '/mirror');
  paths.push('/named', '/redirect', '/direct', '/mtls', '/mtls', '/no-certificate', '/wrong-san', '/stranger', '/plain-to-tls');
  for (const path of paths) await get(port, path);
  await get(port, '/ok', { method: 'POST' }, 'x'.repeat(10_000));
  await get(port, '/ok', { headers: { 'x-envoy-upstream-rq-timeout-ms': '2000' } });
  await talk(connect(port, '127.0.0.1'), 'GET /ok HTTP/1.1\r\nbad header\r\n\r\n', false);
  await talk(connect(port, '127.0.0.1'), closing, false);
  await talk(connect(port, '127.0.0.1'), closing.replace('HTTP/1.1', 'HTTP/1.0'), false);
  const upgrade = 'GET /websocket HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n';
  await talk(connect(port, '127.0.0.1'), upgrade, true);
  // The client leaves while the upstream hangs, and in the middle of a head.
  await leave(port, 'GET /hang HTTP/1.1\r\nhost: x\r\n\r\n');
  await leave(port, 'GET / HTTP/1.1\r\nhost: x\r\nx-large: ');
}

async function driveTls(port: number, identities: StatsIdentities): Promise<void> {
  for (const version of ['TLSv1.3', 'TLSv1.2']) {
    await talk(openTls(port, identities, 'client', version), closing, false);
    await talk(openTls(port, identities, null, version), closing, false);
    await talk(openTls(port, identities, 'stranger', version), closing, false);
  }
  await talk(connect(port, '127.0.0.1'), closing, false);
}

export async function driveTraffic(ports: StatsPorts, identities: StatsIdentities): Promise<void> {
  await driveHttp(ports.http);
  await talk(connect(ports.tcp, '127.0.0.1'), 'hello', true);
  await talk(connect(ports.tcp, '127.0.0.1'), 'hello again', true);
  await talk(connect(ports.tcpDown, '127.0.0.1'), 'hello', false);
  await driveTls(ports.tls, identities);
  await talk(openTls(ports.plainOrTls, identities, 'client', 'TLSv1.3'), closing, false);
  await talk(connect(ports.plainOrTls, '127.0.0.1'), closing, false);
  await talk(connect(ports.plainOrTls, '127.0.0.1'), '\x01\x02 no protocol at all\r\n', false);
}
