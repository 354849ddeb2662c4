/** The admin API over HTTP: dispatch, Envoy's headers, and long answers in slices so that the event loop stays free. */
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { type AddressInfo, BoundSocket } from 'node:net';
import { Logger } from '../../common/log.ts';
import type { AdminContext } from './admin-context.ts';
import { AdminAccessLog } from './access-log.ts';
import { endpoints } from './endpoints.ts';
import type { AdminEndpoint, AdminRequest, AdminResponse } from './endpoint.ts';
import { textResponse } from './endpoint.ts';
import { renderHelp } from './help.ts';

const log = new Logger('admin');

/** A slice of a long answer works this long before others get their turn. */
const sliceMs = 8;
const maxBodyBytes = 1024 * 1024;

const endpointsByPath: ReadonlyMap<string, AdminEndpoint> = new Map(endpoints.map(endpoint => [endpoint.path, endpoint]));

export interface AdminServer {
  /** As bound; the path of a pipe has no port. */
  readonly port: number;
  close(): Promise<void>;
}

/** Starts listening. Rejects if the address cannot be bound. */
export async function startAdmin(context: AdminContext): Promise<AdminServer> {
  const accessLog = new AdminAccessLog(context.accessLogs);
  const server = createServer((message, response) => {
    answer(message, response, context, accessLog).catch((error: Error) => {
      log.error(`request ${message.url} failed: ${error.stack}`);
      response.destroy();
    });
  });
  // Keep idle connections: the proxy's own pool holds some, and a close would race with its next request.
  server.keepAliveTimeout = 0;
  await listen(server, context);
  const address = server.address() as AddressInfo | string;
  return {
    port: typeof address === 'string' ? 0 : address.port,
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve());
        server.closeAllConnections();
        accessLog.close();
      }),
  };
}

function listen(server: Server, { address }: AdminContext): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    const ready = () => {
      server.off('error', reject);
      server.on('error', error => log.error(`listener: ${error.message}`));
      resolve();
    };
    if (address.kind === 'pipe') server.listen({ path: address.path }, ready);
    // Given a host it would ask the resolver first, with regular expressions that take milliseconds to compile.
    else server.listen(new BoundSocket({ host: address.address, port: address.port }), ready);
  });
}

async function answer(
  message: IncomingMessage,
  response: ServerResponse,
  context: AdminContext,
  accessLog: AdminAccessLog,
): Promise<void> {
  const startMs = performance.now();
  const url = message.url ?? '/';
  const queryStart = url.indexOf('?');
  const path = queryStart === -1 ? url : url.slice(0, queryStart);
  const query = new URLSearchParams(queryStart === -1 ? '' : url.slice(queryStart + 1));
  const body = await readBody(message);
  const result =
    body === null
      ? textResponse('request body is too large', 413)
      : dispatch({ path, query, headers: message.headers, body }, message.method ?? 'GET', context);
  response.statusCode = result.status;
  response.setHeader('content-type', result.contentType);
  response.setHeader('cache-control', 'no-cache, max-age=0');
  response.setHeader('x-content-type-options', 'nosniff');
  response.setHeader('server', 'envoy');
  const sent = await writeBody(response, message.method === 'HEAD' ? '' : result.body);
  accessLog.log(message, result.status, sent, startMs);
}

function dispatch(request: AdminRequest, method: string, context: AdminContext): AdminResponse {
  const endpoint = endpointsByPath.get(request.path);
  if (endpoint === undefined) return textResponse(`invalid path. ${renderHelp(endpoints)}`, 404);
  if (endpoint.mutates && method !== 'POST') return textResponse(`Method ${method} not allowed, POST required.`, 405);
  return endpoint.handle(request, context);
}

async function readBody(message: IncomingMessage): Promise<string | null> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of message) {
    size += (chunk as Buffer).length;
    if (size <= maxBodyBytes) chunks.push(chunk as Buffer);
  }
  return size > maxBodyBytes ? null : Buffer.concat(chunks).toString('utf8');
}

/** Writes pieces for `sliceMs` at a time, and waits where the client is slow. Returns the number of bytes. */
async function writeBody(response: ServerResponse, body: string | Iterable<string>): Promise<number> {
  if (typeof body === 'string') {
    // Chunked as in Envoy: end(body) alone would announce a length.
    if (body !== '') response.write(body);
    response.end();
    return Buffer.byteLength(body);
  }
  let sent = 0;
  let pending = '';
  let sliceStartMs = performance.now();
  for (const piece of body) {
    pending += piece;
    if (pending.length < 65_536 && performance.now() - sliceStartMs < sliceMs) continue;
    sent += Buffer.byteLength(pending);
    const isFull = !response.write(pending);
    pending = '';
    if (response.destroyed) return sent;
    await (isFull ? waitForDrain(response) : new Promise(resolve => setImmediate(resolve)));
    sliceStartMs = performance.now();
  }
  response.end(pending);
  return sent + Buffer.byteLength(pending);
}

function waitForDrain(response: ServerResponse): Promise<void> {
  return new Promise(resolve => {
    const done = () => {
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    response.on('drain', done);
    response.on('close', done);
  });
}
