/**
 * Runs the application's probes as the kubelet would, from an address that the traffic redirection lets pass.
 *
 * Source: istio.io/istio pilot/cmd/pilot-agent/status/server.go.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { splitHostPort } from '../config/proxy-config-validation.ts';
import { AgentLogger } from '../log.ts';
import type { AppProbe, GrpcProbe, HttpProbe, TcpProbe } from './app-probe-config.ts';
import { bindable, fetchOnce, type ProbeTransport } from './probe-exchange.ts';

const log = new AgentLogger('probes');

const maxBodyBytes = 10 * 1024;
const maxRedirects = 10;

export type ProbeTarget = ProbeTransport & {
  /** The pod's address, or `localhost` for old meshes. */
  readonly destination: string;
  readonly statusPort: number;
};

export type ProbeRequest = { readonly host: string; readonly headers: IncomingHttpHeaders };
export type ProbeResult = { readonly status: number; readonly body?: Buffer };

/** Probes once; never rejects. */
export async function runAppProbe(probe: AppProbe, target: ProbeTarget, incoming: ProbeRequest): Promise<ProbeResult> {
  try {
    switch (probe.kind) {
      case 'http':
        return await probeHttp(probe, target, incoming);
      case 'tcp':
        return await probeTcp(probe, target);
      case 'grpc':
        return await probeGrpc(probe, target, incoming);
    }
  } catch (error) {
    log.error(`Request to probe app failed: ${(error as Error).message}, ${JSON.stringify(probe)}`);
    return { status: 500 };
  }
}

/** Zero is no limit, as in Go. */
function deadlineOf({ timeoutMs }: AppProbe): AbortSignal | undefined {
  return timeoutMs > 0 ? AbortSignal.timeout(timeoutMs) : undefined;
}

async function probeHttp(probe: HttpProbe, target: ProbeTarget, incoming: ProbeRequest): Promise<ProbeResult> {
  const host = target.destination.includes(':') ? `[${target.destination}]` : target.destination;
  const first = new URL(`${probe.tls ? 'https' : 'http'}://${host}:${probe.port}${probe.path}`);
  const headers = { ...incoming.headers, host: chooseHost(incoming.host, probe.port, target.statusPort) };
  const signal = deadlineOf(probe);
  let url = first;
  for (let redirects = 0; ; redirects++) {
    const response = await fetchOnce(url, headers, target, signal);
    if (!isRedirect(response.status)) return { status: response.status, body: response.body };
    const next = response.location === undefined ? null : URL.parse(response.location, url);
    // Another host is not this application's; a redirect as such counts as success.
    if (next === null || next.hostname !== first.hostname) return { status: 200 };
    if (redirects >= maxRedirects) throw new Error('stopped after 10 redirects');
    headers.host = next.host;
    url = next;
  }
}

/** The kubelet addressed the agent's port; the application expects its own. */
function chooseHost(host: string, port: number, statusPort: number): string {
  const parts = splitHostPort(host);
  if (parts === null || Number(parts.port) !== statusPort) return host;
  return parts.host.includes(':') ? `[${parts.host}]:${port}` : `${parts.host}:${port}`;
}

function isRedirect(code: number): boolean {
  return code >= 300 && code < 400;
}

function probeTcp(probe: TcpProbe, target: ProbeTarget): Promise<ProbeResult> {
  const sameFamily = target.destination.includes(':') === target.sourceAddress.includes(':');
  const source = target.destination !== 'localhost' && sameFamily ? { localAddress: target.sourceAddress } : {};
  return new Promise((resolve, reject) => {
    const socket = connect({ host: target.destination, port: probe.port, ...source });
    const signal = deadlineOf(probe);
    signal?.addEventListener('abort', () => socket.destroy(new Error(`timeout after ${probe.timeoutMs}ms`)), { once: true });
    socket.once('connect', () => {
      socket.destroy();
      resolve({ status: 200 });
    });
    socket.once('error', reject);
  });
}

const servingStatus = 1;
const unimplemented = '12';

/** One call over HTTP/2 by hand: grpc-js cannot bind the source address. */
function probeGrpc(probe: GrpcProbe, target: ProbeTarget, incoming: ProbeRequest): Promise<ProbeResult> {
  const host = target.destination.includes(':') ? `[${target.destination}]` : target.destination;
  const url = new URL(`http://${host}:${probe.port}`);
  const localAddress = bindable(url, target.sourceAddress);
  const createConnection = (): Socket => connect({ host: target.destination, port: probe.port, localAddress });
  const session = connectHttp2(url, { createConnection });
  return new Promise<ProbeResult>((resolve, reject) => {
    const signal = deadlineOf(probe);
    signal?.addEventListener('abort', () => reject(new Error('grpc request not finished within timeout')), { once: true });
    session.on('error', reject);
    const call = session.request({
      ':method': 'POST',
      ':path': '/grpc.health.v1.Health/Check',
      'content-type': 'application/grpc',
      'user-agent': incoming.headers['user-agent'] ?? 'istio-probe/1.0',
      te: 'trailers',
    });
    call.on('error', reject);
    let body = Buffer.alloc(0);
    let grpcStatus: unknown;
    const readStatus = (headers: IncomingHttpHeaders): void => {
      grpcStatus = headers['grpc-status'] ?? grpcStatus;
    };
    // An answer without a message has its status in the headers.
    call.on('response', readStatus);
    call.on('trailers', readStatus);
    call.on('data', (chunk: Buffer) => {
      if (body.length < maxBodyBytes) body = Buffer.concat([body, chunk]);
    });
    call.on('end', () => {
      if (grpcStatus === unimplemented)
        reject(new Error('server does not implement the grpc health protocol (grpc.health.v1.Health)'));
      else if (grpcStatus !== '0') reject(new Error(`grpc probe failed: status ${grpcStatus}`));
      // After the frame's five bytes HealthCheckResponse{status}: a varint after its tag.
      else resolve({ status: body[5] === 0x08 && body[6] === servingStatus ? 200 : 500 });
    });
    const service = Buffer.from(probe.service);
    const message = service.length === 0 ? service : Buffer.concat([Buffer.from([0x0a, service.length]), service]);
    call.end(Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message]));
  }).finally(() => session.destroy());
}
