/** The demo's applications: plain HTTP servers that say who they are, and whom their sidecar says is calling. */
import { createServer, type Server } from 'node:http';
import { setTimeout as wait } from 'node:timers/promises';
import type { Endpoint, Service } from './mesh-config.ts';

export interface Answer {
  readonly service: string;
  readonly version: string;
  /** URI SAN of the caller's certificate, as the server's sidecar forwarded it. */
  readonly caller: string;
}

/** @throws if the port is taken. */
export async function startApplication({ name }: Service, { version, appPort, delayMs }: Endpoint): Promise<Server> {
  const server = createServer(async (request, response) => {
    await wait(delayMs);
    const certificate = String(request.headers['x-forwarded-client-cert'] ?? '');
    const caller = /URI=([^;,]+)(?!.*URI=)/.exec(certificate)?.[1] ?? 'unknown';
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ service: name, version, caller } satisfies Answer));
  });
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(appPort, '127.0.0.1', resolve));
  return server;
}
