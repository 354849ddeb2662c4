/**
 * istiod's debug pages on a loopback port: `pilot-agent request --debug-port 15004 GET debug/config_dump?proxyID=<pod>.<namespace>`
 * shows what istiod knows, with this pod's identity and no port-forwarding. Outside of its own namespace istiod shows `config_dump`,
 * `edsz` and `ndsz` only. Beyond pilot-agent, which reserves the port and serves nothing there any more.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { explainSystemError } from '../failure-text.ts';
import { AgentLogger } from '../log.ts';

const log = new AgentLogger('xdsproxy');

const prefix = '/debug/';
/** gRPC's codes as HTTP says them. */
const httpStatus: Readonly<Record<number, number>> = { 3: 400, 4: 504, 5: 404, 7: 403, 14: 503, 16: 401 };

export type IstiodDebugOptions = {
  readonly host: string;
  readonly port: number;
  /** Resolves to a page; rejects with an error that may have a gRPC `code`. */
  readonly fetchPage: (page: string) => Promise<Buffer>;
};

export class IstiodDebugServer {
  readonly server: Server;

  constructor({ host, port, fetchPage }: IstiodDebugOptions) {
    this.server = createServer((request, response) => void answer(request, response, fetchPage));
    // Nothing depends on it: a port in use is told and no more.
    this.server.on('error', error =>
      log.warn(explainSystemError(`serve the debug pages of istiod on port ${port}`, error).message),
    );
    this.server.listen(port, host);
  }

  /** Resolves to the port once it listens. */
  async port(): Promise<number> {
    if (!this.server.listening) await once(this.server, 'listening');
    return (this.server.address() as AddressInfo).port;
  }

  close(): void {
    this.server.close();
    this.server.closeAllConnections();
  }
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  fetchPage: IstiodDebugOptions['fetchPage'],
): Promise<void> {
  const path = request.url ?? '/';
  const send = (status: number, body: string | Buffer): void => {
    response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(body);
  };
  if (!path.startsWith(prefix) || path === prefix) {
    send(
      404,
      'the pages of istiod are at /debug/<name>: config_dump, edsz and ndsz, each with ?proxyID=<pod>.<namespace>, and others\n',
    );
    return;
  }
  try {
    send(200, await fetchPage(path.slice(prefix.length)));
  } catch (error) {
    const { code = 0, message } = error as Error & { code?: number };
    send(httpStatus[code] ?? 502, `${message}\n`);
  }
}
