/** Two workers act as one: connections spread evenly, and least-request sees what the other worker has under way. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { findFreePort, getAdmin, ownCommand, type ProxyProcess, startProxy } from '../support/proxy-process.ts';
import { httpFilter, staticListener } from './static-bootstrap.ts';
import { waitFor } from './wait.ts';

const workers = 2;
/** So many looks at two hosts find the one with fewer requests, but for one time in a million. */
const choiceCount = 20;

/** Two workers that do not know of each other would spread two requests by luck, every other time. */
const luckyRounds = 12;

/** Answers when it is told to. */
class HoldingHost {
  readonly #held: ServerResponse[] = [];

  constructor(server: Server) {
    server.on('request', (_request: IncomingMessage, response: ServerResponse) => this.#held.push(response));
  }

  static async start(t: Test, port: number): Promise<HoldingHost> {
    const server = createServer();
    await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve));
    t.teardown(() => {
      server.closeAllConnections();
      server.close();
    });
    return new HoldingHost(server);
  }

  get underWay(): number {
    return this.#held.length;
  }

  release(): void {
    for (const response of this.#held.splice(0)) response.end();
  }
}

function leastRequestCluster(ports: readonly number[]): object {
  const endpoints = ports.map(port => ({
    endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: port } } },
  }));
  return {
    name: 'hosts',
    type: 'STATIC',
    connect_timeout: '5s',
    lb_policy: 'LEAST_REQUEST',
    least_request_lb_config: { choice_count: choiceCount },
    load_assignment: { cluster_name: 'hosts', endpoints: [{ lb_endpoints: endpoints }] },
  };
}

async function start(t: Test): Promise<{ proxy: ProxyProcess; port: number; hosts: readonly HoldingHost[] }> {
  const folder = mkdtempSync(join(tmpdir(), 'workers-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const ports = [await findFreePort(), await findFreePort()];
  const port = await findFreePort();
  const hosts = await Promise.all(ports.map(hostPort => HoldingHost.start(t, hostPort)));
  const static_resources = {
    listeners: [staticListener({ port, filter: httpFilter('hosts') })],
    clusters: [leastRequestCluster(ports)],
  };
  const proxy = await startProxy({
    name: 'workers',
    ...ownCommand(),
    bootstrap: { static_resources },
    folder,
    concurrency: workers,
  });
  t.teardown(() => proxy.stop());
  return { proxy, port, hosts };
}

async function openConnections(port: number, count: number): Promise<Socket[]> {
  const sockets: Socket[] = [];
  for (let i = 0; i < count; i++) {
    const socket = connect(port, '127.0.0.1').on('error', () => {});
    await new Promise(resolve => socket.once('connect', resolve));
    sockets.push(socket);
  }
  return sockets;
}

/** Active connections of each worker. */
async function readSpread({ adminPort }: ProxyProcess, port: number): Promise<number[]> {
  const text = await getAdmin(adminPort, `/stats?filter=^listener.127.0.0.1_${port}.worker_`);
  return Array.from({ length: workers }, (_, i) =>
    Number(new RegExp(`worker_${i}\\.downstream_cx_active: (\\d+)`).exec(text)?.[1] ?? 0),
  );
}

const sum = (counts: readonly number[]): number => counts.reduce((total, count) => total + count, 0);

t.test('connections spread over the workers, and their requests over the hosts', async t => {
  const { proxy, port, hosts } = await start(t);
  for (const count of [1, ...Array<number>(luckyRounds).fill(2), 8, 64]) {
    const sockets = await openConnections(port, count);
    await waitFor(async () => sum(await readSpread(proxy, port)) === count);
    const spread = await readSpread(proxy, port);
    t.ok(Math.max(...spread) - Math.min(...spread) <= 1, `${count} connections: ${spread.join(' and ')} on the workers`);
    for (const [i, socket] of sockets.entries()) {
      socket.write('GET / HTTP/1.1\r\nhost: test\r\n\r\n');
      await waitFor(() => sum(hosts.map(host => host.underWay)) === i + 1);
    }
    const underWay = hosts.map(host => host.underWay);
    t.ok(Math.max(...underWay) - Math.min(...underWay) <= 1, `${count} requests: ${underWay.join(' and ')} on the hosts`);
    for (const host of hosts) host.release();
    await Promise.all(sockets.map(socket => new Promise(resolve => socket.once('data', resolve))));
    for (const socket of sockets) socket.destroy();
    await waitFor(async () => sum(await readSpread(proxy, port)) === 0);
  }
});
