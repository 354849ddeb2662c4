/**
 * Runs inside a network namespace, as an application or as the world outside: serves and connects as its parent says, over the
 * IPC channel. Imported by the test for its message types only.
 */
import dgram from 'node:dgram';
import http from 'node:http';
import net from 'node:net';
import tls from 'node:tls';

export type Service = 'http' | 'tcp' | 'tls' | 'udp';

export interface Exchange {
  readonly host: string;
  readonly port: number;
  readonly send: string;
  /** The source address. */
  readonly from?: string;
  /** Send a datagram. */
  readonly udp?: boolean;
  /** Speak TLS with this server name. */
  readonly serverName?: string;
  /** Stay open until the end of the process. */
  readonly keep?: boolean;
}

export type Command =
  | { readonly kind: 'listen'; readonly service: Service; readonly host: string; readonly port: number; readonly pem?: string }
  | ({ readonly kind: 'exchange' } & Exchange)
  /** New connections, `width` at a time, spread over the ports; answers how each ended. */
  | {
      readonly kind: 'burst';
      readonly host: string;
      readonly ports: readonly number[];
      readonly count: number;
      readonly width: number;
    }
  | { readonly kind: 'fetch'; readonly port: number; readonly path: string }
  | { readonly kind: 'release' };

const exchangeTimeoutMs = 5000;
const kept: net.Socket[] = [];

/** What a service says: its kind, whom it sees, what it got. */
function describe(kind: Service, remote: string | undefined, localPort: number | undefined, received: string): string {
  return `${kind} ${remote?.replace('::ffff:', '')} to ${localPort}: ${received}\n`;
}

function listenUdp(host: string, port: number): Promise<string> {
  const socket = dgram.createSocket({ type: host.includes(':') ? 'udp6' : 'udp4', ipv6Only: host.includes(':') });
  socket.on('message', (data, from) =>
    socket.send(describe('udp', from.address, port, data.toString()), from.port, from.address),
  );
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.bind(port, host, () => resolve('listening'));
  });
}

async function listen({ service, host, port, pem }: Extract<Command, { kind: 'listen' }>): Promise<string> {
  if (service === 'udp') return listenUdp(host, port);
  const serve = (socket: net.Socket): void => {
    socket.on('error', () => {});
    socket.on('data', data => socket.write(describe(service, socket.remoteAddress, socket.localPort, data.toString().trim())));
  };
  const server =
    service === 'http'
      ? http.createServer(({ socket, url }, response) =>
          response.end(describe('http', socket.remoteAddress, socket.localPort, url ?? '')),
        )
      : service === 'tls'
        ? tls.createServer({ cert: pem, key: pem }, serve)
        : net.createServer(serve);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port, ipv6Only: host.includes(':') }, resolve);
  });
  return 'listening';
}

/** The answer's last line, or `ended`: whether by FIN or RST is a race where bytes were on their way. */
function exchange({ host, port, send, serverName, from, udp, keep }: Exchange): Promise<string> {
  if (udp) return exchangeDatagrams(host, port, send);
  return new Promise(resolve => {
    const options = { host, port, localAddress: from };
    const socket =
      serverName === undefined
        ? net.connect(options)
        : tls.connect({ ...options, servername: serverName, rejectUnauthorized: false });
    const timer = setTimeout(() => finish('timeout'), exchangeTimeoutMs);
    const finish = (result: string): void => {
      clearTimeout(timer);
      if (keep && !socket.destroyed) kept.push(socket);
      else socket.destroy();
      resolve(result);
    };
    let received = '';
    socket.on('data', data => {
      received += data.toString();
      const answer = /(?:^|\n)((?:http|tcp|tls) .*)\n/.exec(received) ?? /^HTTP\/1.1 (\d+)/.exec(received);
      if (answer !== null) finish(answer[1]);
    });
    socket.on('error', (error: Error & { code?: string }) => finish(error.code === 'ECONNRESET' ? 'ended' : String(error.code)));
    socket.on('close', () => finish('ended'));
    socket.write(send);
  });
}

function exchangeDatagrams(host: string, port: number, send: string): Promise<string> {
  return new Promise(resolve => {
    const socket = dgram.createSocket(host.includes(':') ? 'udp6' : 'udp4');
    const finish = (result: string): void => {
      clearTimeout(timer);
      socket.close();
      resolve(result);
    };
    const timer = setTimeout(() => finish('timeout'), exchangeTimeoutMs);
    // A connected socket takes answers from the address that was asked, and from no other.
    socket.connect(port, host, () => socket.send(send));
    socket.on('message', data => finish(data.toString().trim()));
    socket.on('error', (error: Error & { code?: string }) => finish(String(error.code)));
  });
}

async function burst({ host, ports, count, width }: Extract<Command, { kind: 'burst' }>): Promise<string> {
  const ends: { [end: string]: number } = {};
  let next = 0;
  const run = async (): Promise<void> => {
    while (next < count) {
      const answer = await exchange({ host, port: ports[next++ % ports.length], send: 'x\n' });
      const end = / x$/.test(answer) ? 'answered' : answer;
      ends[end] = (ends[end] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: width }, run));
  return JSON.stringify(ends);
}

function fetchAdmin(port: number, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const outgoing = http.get({ host: '127.0.0.1', port, path, agent: false }, response => {
      let body = '';
      response.on('data', chunk => (body += chunk));
      response.on('end', () => resolve(body));
    });
    outgoing.on('error', reject);
  });
}

async function execute(command: Command): Promise<string> {
  switch (command.kind) {
    case 'listen':
      return listen(command);
    case 'exchange':
      return exchange(command);
    case 'burst':
      return burst(command);
    case 'fetch':
      return fetchAdmin(command.port, command.path);
    case 'release':
      for (const socket of kept.splice(0)) socket.destroy();
      return 'released';
  }
}

if (process.send !== undefined && process.argv[2] === 'peer') {
  process.on('disconnect', () => process.exit(0));
  process.on('message', ({ id, command }: { id: number; command: Command }) => {
    execute(command).then(
      result => process.send?.({ id, result }),
      (error: Error) => process.send?.({ id, error: error.message }),
    );
  });
}
