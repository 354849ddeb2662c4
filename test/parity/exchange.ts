/** Drives one case through one proxy: a raw upstream on one side, a raw client on the other. */
import { readFileSync } from 'node:fs';
import { createServer, connect, type Server, type Socket } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import type { Lane } from './bootstrap.ts';
import type { Outcome, ParityCase, UpstreamBehaviour } from './parity-case.ts';

/** An exchange is over when neither end saw a byte for this long: longer than any delay that a case provokes. */
const quietMs = 300;
const pieceDelayMs = 60;
const defaultResponse = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';

export interface Upstream {
  readonly server: Server | null;
  readonly received: string[];
  lastActivityMs: number;
}

export async function startUpstream(behaviour: UpstreamBehaviour | undefined, port: number): Promise<Upstream> {
  const upstream: Upstream & { received: string[] } = { server: null, received: [], lastActivityMs: 0 };
  if (behaviour !== undefined && 'absent' in behaviour) return upstream;
  const server = createServer(socket => serve(socket, behaviour, upstream));
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve));
  return Object.assign(upstream, { server });
}

function serve(socket: Socket, behaviour: UpstreamBehaviour | undefined, upstream: Upstream): void {
  const index = upstream.received.push('') - 1;
  let answered = 0;
  socket.on('error', () => {});
  socket.on('data', async chunk => {
    upstream.received[index] += chunk.toString('latin1');
    upstream.lastActivityMs = Date.now();
    const heads = upstream.received[index].match(/[A-Z]+ \S+ HTTP\/1\.1\r\n(?:[^\r\n]+\r\n)*\r\n/g)?.length ?? 0;
    while (answered < heads) {
      answered++;
      await answer(socket, behaviour);
    }
  });
}

async function answer(socket: Socket, behaviour: UpstreamBehaviour | undefined): Promise<void> {
  if (behaviour === undefined) socket.write(defaultResponse, 'latin1');
  else if ('closeAfterHead' in behaviour) socket.end();
  else if ('resetAfterHead' in behaviour) socket.resetAndDestroy();
  else if ('respond' in behaviour) {
    for (const [index, piece] of [behaviour.respond].flat().entries()) {
      if (index > 0) await wait(pieceDelayMs);
      socket.write(piece, 'latin1');
    }
    if (behaviour.thenClose) socket.end();
  }
}

async function converse(lane: Lane, upstream: Upstream): Promise<Pick<Outcome, 'client' | 'clientEnd'>> {
  let received = '';
  let end: Outcome['clientEnd'] = 'open';
  let lastActivityMs = Date.now();
  const socket = connect({ port: lane.listenerPort, host: '127.0.0.1', allowHalfOpen: true });
  socket.on('data', chunk => {
    received += chunk.toString('latin1');
    lastActivityMs = Date.now();
  });
  socket.on('end', () => {
    if (end === 'open') end = 'fin';
  });
  socket.on('error', () => {
    end = 'reset';
  });
  await new Promise<void>(resolve => socket.once('connect', resolve).once('error', () => resolve()));
  for (const [index, piece] of [lane.case.send].flat().entries()) {
    if (index > 0) await wait(pieceDelayMs);
    socket.write(piece, 'latin1');
  }
  if (lane.case.halfClose) socket.end();
  while (Date.now() - Math.max(lastActivityMs, upstream.lastActivityMs) < quietMs) await wait(20);
  if (isHanging(lane.case) && end === 'open' && received === '') {
    const deadline = Date.now() + 3000;
    while (received === '' && end === 'open' && Date.now() < deadline) await wait(20);
  }
  socket.destroy();
  return { client: received, clientEnd: end };
}

function isHanging({ upstream }: ParityCase): boolean {
  return upstream !== undefined && 'hang' in upstream;
}

/** Runs a lane's case against the proxy that listens on it. The log is read after the proxy flushed it. */
export async function runLane(lane: Lane, upstream: Upstream): Promise<Omit<Outcome, 'log'>> {
  upstream.received.length = 0;
  const seen = await converse(lane, upstream);
  return { ...seen, upstream: [...upstream.received] };
}

export function readLog(lane: Lane): string[] {
  try {
    return readFileSync(lane.logPath, 'latin1')
      .split('\n')
      .filter(line => line !== '');
  } catch {
    return [];
  }
}

/** Replaces what legitimately differs from run to run: time, identifiers, ports. */
export function normalize(outcome: Outcome): Outcome {
  const clean = (text: string) =>
    text
      .replace(/(\r\ndate: )[^\r]*/g, '$1<date>')
      .replace(/(\r\nx-envoy-upstream-service-time: )\d+/g, '$1<ms>')
      .replace(
        /(\r\nx-request-id: [0-9a-f]{8}-[0-9a-f]{4}-)([0-9a-f])[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/g,
        '\r\nx-request-id: <uuid $2>',
      )
      .replace(/(\r\nx-forwarded-port: )\d+/g, '$1<port>')
      .replace(/127\.0\.0\.1:\d+/g, '127.0.0.1:<port>');
  return { ...outcome, client: clean(outcome.client), upstream: outcome.upstream.map(clean), log: outcome.log.map(clean) };
}
