/**
 * One GET of a probe: over HTTP/1.1, or over HTTP/2 where TLS agrees on it. By default each has a connection of its own, as the
 * kubelet's: a kept one would hide an application that accepts no more.
 */
import { Agent, type IncomingHttpHeaders, request as requestHttp } from 'node:http';
import { connect as connectHttp2, constants, type ClientHttp2Session } from 'node:http2';
import { Agent as TlsAgent, request as requestHttps } from 'node:https';
import type { TcpSocketConnectOpts } from 'node:net';
import type { Readable } from 'node:stream';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';

const maxBodyBytes = 10 * 1024;
/** Of kept connections that nothing uses; Go's default. */
const idleTimeoutMs = 90_000;

export type ProbeTransport = {
  readonly sourceAddress: string;
  /** HTTP/2 is offered to applications that serve TLS. Default true. */
  readonly http2?: boolean;
  /** Connections are kept for the next probe. Default false. */
  readonly keepsConnections?: boolean;
};

export type Fetched = { readonly status: number; readonly body: Buffer; readonly location: string | undefined };

const keptAgents = {
  http: new Agent({ keepAlive: true, timeout: idleTimeoutMs }),
  https: new TlsAgent({ keepAlive: true, timeout: idleTimeoutMs }),
};
const keptSessions = new Map<string, ClientHttp2Session>();
/** Origins that chose HTTP/1.1 last time: their kept connections are the agent's. */
const http1Origins = new Set<string>();

/** Rejects if there is no answer; `host` of the headers is sent as it is. The body is cut at 10 KB. */
export async function fetchOnce(
  url: URL,
  headers: IncomingHttpHeaders,
  transport: ProbeTransport,
  signal: AbortSignal | undefined,
): Promise<Fetched> {
  // A redirect may lead from http to https and back; only TLS can agree on a protocol.
  if (url.protocol !== 'https:' || transport.http2 === false || http1Origins.has(url.origin))
    return fetchHttp1(url, headers, transport, signal);
  const kept = keptSessions.get(url.origin);
  if (kept !== undefined) return fetchHttp2(url, headers, kept, signal);
  const socket = await connectSecurely(url, transport, signal);
  if (socket.alpnProtocol !== 'h2') {
    if (transport.keepsConnections) http1Origins.add(url.origin);
    return fetchHttp1(url, headers, transport, signal, socket);
  }
  const session = connectHttp2(url, { createConnection: () => socket });
  session.on('error', () => {});
  if (transport.keepsConnections) {
    keep(url.origin, session);
    return fetchHttp2(url, headers, session, signal);
  }
  return fetchHttp2(url, headers, session, signal).finally(() => session.destroy());
}

function keep(origin: string, session: ClientHttp2Session): void {
  keptSessions.set(origin, session);
  session.setTimeout(idleTimeoutMs, () => session.destroy());
  session.once('goaway', () => session.destroy());
  session.once('close', () => keptSessions.delete(origin));
}

/** `localhost` may be of either family, and a source address must be of the same one. */
export function bindable(url: URL, sourceAddress: string): string | undefined {
  if (url.hostname === 'localhost') return undefined;
  return url.hostname.startsWith('[') === sourceAddress.includes(':') ? sourceAddress : undefined;
}

function connectSecurely(url: URL, { sourceAddress }: ProbeTransport, signal: AbortSignal | undefined): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const options: ConnectionOptions & TcpSocketConnectOpts = {
      host: url.hostname.replace(/^\[|\]$/g, ''),
      port: Number(url.port || 443),
      localAddress: bindable(url, sourceAddress),
      ALPNProtocols: ['h2', 'http/1.1'],
      // The kubelet verifies nothing either: applications have certificates of their own making.
      rejectUnauthorized: false,
    };
    const socket = connectTls(options);
    const abort = (): void => void socket.destroy(signal?.reason as Error);
    signal?.addEventListener('abort', abort, { once: true });
    socket.once('error', reject);
    socket.once('secureConnect', () => {
      signal?.removeEventListener('abort', abort);
      resolve(socket);
    });
  });
}

function fetchHttp1(
  url: URL,
  headers: IncomingHttpHeaders,
  { sourceAddress, keepsConnections = false }: ProbeTransport,
  signal: AbortSignal | undefined,
  socket?: TLSSocket,
): Promise<Fetched> {
  const forwarded = withoutBody(headers);
  delete forwarded.connection;
  const secure = url.protocol === 'https:';
  const options = {
    method: 'GET',
    headers: forwarded,
    localAddress: bindable(url, sourceAddress),
    rejectUnauthorized: false,
    signal,
    agent: keepsConnections && socket === undefined ? (secure ? keptAgents.https : keptAgents.http) : (false as const),
    ...(socket === undefined ? {} : { createConnection: () => socket }),
  };
  return new Promise((resolve, reject) => {
    const exchange = (secure ? requestHttps : requestHttp)(url, options, response => {
      const { statusCode = 0, headers: answer } = response;
      collect(response).then(body => resolve({ status: statusCode, body, location: answer.location }), reject);
    });
    exchange.on('error', reject);
    exchange.end();
  });
}

/** A probe is a GET, whatever it was asked by: an application that was promised a body would wait for it. */
function withoutBody(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const { 'content-length': _length, 'transfer-encoding': _encoding, ...others } = headers;
  return others;
}

/** Headers about the connection have no place in HTTP/2. */
const connectionHeaders = ['connection', 'host', 'keep-alive', 'proxy-connection', 'te', 'transfer-encoding', 'upgrade'] as const;

function fetchHttp2(
  url: URL,
  headers: IncomingHttpHeaders,
  session: ClientHttp2Session,
  signal: AbortSignal | undefined,
): Promise<Fetched> {
  const forwarded = withoutBody(headers);
  for (const name of connectionHeaders) delete forwarded[name];
  const { HTTP2_HEADER_AUTHORITY, HTTP2_HEADER_PATH, HTTP2_HEADER_STATUS } = constants;
  return new Promise((resolve, reject) => {
    const stream = session.request(
      { ...forwarded, [HTTP2_HEADER_AUTHORITY]: headers.host ?? url.host, [HTTP2_HEADER_PATH]: `${url.pathname}${url.search}` },
      signal === undefined ? {} : { signal },
    );
    stream.once('error', reject);
    const abandon = (): void => reject(new Error('closed without an answer'));
    stream.once('close', abandon);
    stream.once('response', answer => {
      // From here on the reading tells.
      stream.off('close', abandon);
      collect(stream).then(
        body => resolve({ status: Number(answer[HTTP2_HEADER_STATUS]), body, location: answer.location }),
        reject,
      );
    });
  });
}

async function collect(response: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response) {
    chunks.push((chunk as Buffer).subarray(0, Math.max(0, maxBodyBytes - length)));
    length += (chunk as Buffer).length;
    if (length >= maxBodyBytes) break;
  }
  return Buffer.concat(chunks);
}
