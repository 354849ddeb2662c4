/** Consistent hashing with a balance factor: with the same requests in flight, Envoy and this proxy pass a key on to the same host. */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { findEnvoy } from '../support/envoy-binary.ts';
import { ownCommand, startProxy } from '../support/proxy-process.ts';
import { buildBootstrap, laneName } from './bootstrap.ts';
import { readListenerPorts } from './comparison.ts';

const requestCount = 40;
/** Few keys: their hosts fill up. */
const keyCount = 6;

/** Hosts are addresses of the loopback network. None answers, so every request stays in flight. */
class HoldingHosts {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #arrive: (host: string) => void = () => {};

  constructor() {
    this.#server = createServer(socket => {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.on('data', () => this.#arrive(socket.localAddress ?? ''));
    });
  }

  async listen(): Promise<number> {
    await new Promise<void>(resolve => this.#server.listen(0, '0.0.0.0', resolve));
    return (this.#server.address() as AddressInfo).port;
  }

  /** The host of the next request. */
  next(): Promise<string> {
    return new Promise(resolve => {
      this.#arrive = resolve;
    });
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

const ring = { lb_policy: 'RING_HASH', ring_hash_lb_config: { minimum_ring_size: 1024 } };
const maglev = { lb_policy: 'MAGLEV', maglev_lb_config: { table_size: 1009 } };
const cases = [
  { name: 'ring hash', policy: ring, factor: 120, weights: [1, 1, 1, 1, 1] },
  { name: 'ring hash of weighted hosts', policy: ring, factor: 100, weights: [1, 2, 1, 5, 1] },
  { name: 'maglev', policy: maglev, factor: 150, weights: [1, 1, 1, 1, 1] },
  { name: 'maglev of weighted hosts', policy: maglev, factor: 200, weights: [3, 1, 1, 1, 1] },
] as const;

function buildLanes(port: number) {
  return cases.map(({ name, policy, factor, weights }, lane) => {
    const endpoints = weights.map((weight, host) => ({
      endpoint: { address: { socket_address: { address: `127.90.${lane}.${host + 1}`, port_value: port } } },
      load_balancing_weight: weight,
    }));
    return {
      case: {
        name,
        cluster: {
          ...policy,
          common_lb_config: { consistent_hashing_lb_config: { hash_balance_factor: factor } },
          load_assignment: { cluster_name: '$lane', endpoints: [{ lb_endpoints: endpoints }] },
        },
        routes: [
          {
            match: { prefix: '/' },
            route: { cluster: '$lane', timeout: '0s', hash_policy: [{ header: { header_name: 'x-key' } }] },
          },
        ],
      },
      logPath: '/dev/null',
      upstreamPort: 1,
      secondUpstreamPort: 0,
    };
  });
}

/** The hosts of the requests, each sent when the one before has arrived. */
async function askInTurn(port: number, hosts: HoldingHosts): Promise<string[]> {
  const chosen: string[] = [];
  const sockets: Socket[] = [];
  for (let i = 0; i < requestCount; i++) {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.on('error', () => {});
    sockets.push(socket);
    await once(socket, 'connect');
    const arrived = hosts.next();
    socket.write(`GET / HTTP/1.1\r\nhost: a.test\r\nx-key: key-${i % keyCount}\r\n\r\n`);
    chosen.push(await arrived);
  }
  for (const socket of sockets) socket.destroy();
  return chosen;
}

const envoy = findEnvoy();
const options = { skip: envoy === null && 'no Envoy binary (npm run mesh -- tools)', timeout: 60_000 };

t.test('bounded loads', options, async t => {
  const folder = mkdtempSync(join(tmpdir(), 'bounded-load-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const answers: string[][][] = [];
  const hosts = new HoldingHosts();
  // The same port for both, since it is part of what is hashed.
  const lanes = buildLanes(await hosts.listen());
  t.teardown(() => hosts.close());
  for (const [name, command] of [
    ['envoy', { command: envoy as string }],
    ['own', ownCommand()],
  ] as const) {
    const proxy = await startProxy({ name, ...command, bootstrap: buildBootstrap(lanes), folder });
    try {
      const ports = await readListenerPorts(proxy);
      const ofProxy: string[][] = [];
      for (const index of cases.keys()) ofProxy.push(await askInTurn(ports.get(laneName(index)) as number, hosts));
      answers.push(ofProxy);
    } finally {
      await proxy.stop();
    }
  }
  for (const [index, { name }] of cases.entries()) t.same(answers[1][index], answers[0][index], name);
});
