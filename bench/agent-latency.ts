/**
 * Asks an agent's ports in turn and times the answers; also the application that the agent probes. A process of its own, so that what
 * makes the load does not delay it. Tells its port, then measures for each number of milliseconds that it is sent.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { encodeName } from '../agent/dns/dns-message.ts';

type Order = { readonly statusPort: number; readonly dnsPort: number; readonly ms: number };

const pauseMs = 10;

async function probe(statusPort: number, path: string): Promise<void> {
  const request = get({ port: statusPort, path, agent: false });
  const [response] = await once(request, 'response');
  response.resume();
  await once(response, 'end');
}

const udp = createSocket('udp4');
const header = Buffer.from([0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
const query = Buffer.concat([header, encodeName('service-7.n.svc.cluster.local'), Buffer.from([0, 1, 0, 1])]);

async function lookUp(dnsPort: number): Promise<void> {
  udp.send(query, dnsPort, '127.0.0.1');
  await once(udp, 'message');
}

async function measure(name: string, ask: () => Promise<void>, ms: number): Promise<string> {
  const times: number[] = [];
  for (const end = performance.now() + ms; performance.now() < end; ) {
    const startMs = performance.now();
    await ask();
    times.push(performance.now() - startMs);
    await sleep(pauseMs);
  }
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number): string => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))].toFixed(1);
  return `${name.padEnd(10)} ${String(sorted.length).padStart(5)} asked, ms: p50 ${at(0.5)}, p99 ${at(0.99)}, longest ${at(1)}`;
}

process.on('message', async ({ statusPort, dnsPort, ms }: Order) => {
  const lines = await Promise.all([
    measure('probe', () => probe(statusPort, '/app-health/app/livez'), ms),
    measure('readiness', () => probe(statusPort, '/healthz/ready'), ms),
    measure('DNS', () => lookUp(dnsPort), ms),
  ]);
  process.send?.(lines);
});
const application = createServer((_request, response) => response.end('alive')).listen(0, '127.0.0.1');
await once(application, 'listening');
process.send?.((application.address() as AddressInfo).port);
