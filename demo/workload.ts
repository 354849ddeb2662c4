/**
 * The demo's workloads, as a process of their own so that they can run in a namespace: `workload.ts server SERVICES` answers for
 * every endpoint, `workload.ts client SERVICES RATE` calls the services in turn. Both report to the parent process.
 */
import { Agent, createServer, request } from 'node:http';
import { setTimeout as wait } from 'node:timers/promises';
import { type Endpoint, hostOf, type Service } from './mesh-config.ts';

/** What an application answers. */
interface Answer {
  readonly service: string;
  readonly version: string;
  /** URI SAN of the caller's certificate, as the server's sidecar forwarded it. */
  readonly caller: string;
}

export type Report =
  | { readonly kind: 'listening' }
  | ({ readonly kind: 'answered'; readonly timeMs: number } & Answer)
  | { readonly kind: 'failed'; readonly reason: string };

function report(message: Report): void {
  process.send?.(message);
}

async function serve({ name }: Service, { version, appPort, delayMs }: Endpoint): Promise<void> {
  const server = createServer(async (incoming, response) => {
    await wait(delayMs);
    const certificate = String(incoming.headers['x-forwarded-client-cert'] ?? '');
    const caller = /URI=([^;,]+)(?!.*URI=)/.exec(certificate)?.[1] ?? 'unknown';
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ service: name, version, caller } satisfies Answer));
  });
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(appPort, resolve));
}

const agent = new Agent({ keepAlive: true, maxSockets: 8 });

function call({ name, address, port }: Service): void {
  const startMs = performance.now();
  const outgoing = request({ host: address, port, path: '/', headers: { host: hostOf(name) }, agent }, response => {
    let body = '';
    response.setEncoding('utf8');
    response.on('data', chunk => {
      body += chunk;
    });
    response.on('end', () => {
      if (response.statusCode !== 200) report({ kind: 'failed', reason: `${name}: ${response.statusCode} ${body.slice(0, 80)}` });
      else report({ kind: 'answered', timeMs: performance.now() - startMs, ...(JSON.parse(body) as Answer) });
    });
  });
  outgoing.on('error', error => report({ kind: 'failed', reason: `${name}: ${error.message}` }));
  outgoing.end();
}

async function main([role, servicesText, rate]: string[]): Promise<void> {
  const services = JSON.parse(servicesText) as Service[];
  process.on('disconnect', () => process.exit(0)).on('SIGINT', () => {});
  if (role === 'server') {
    for (const service of services) for (const endpoint of service.endpoints) await serve(service, endpoint);
    report({ kind: 'listening' });
    return;
  }
  let turn = 0;
  setInterval(() => call(services[turn++ % services.length]), 1000 / Number(rate));
}

if (import.meta.main) await main(process.argv.slice(2));
