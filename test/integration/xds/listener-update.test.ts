import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { encodeMessage } from '../../../protos/messages.ts';
import { findFreePort, getAdmin, ownCommand, type ProxyProcess, startProxy } from '../../support/proxy-process.ts';
import { ControlPlane } from '../control-plane.ts';
import { waitFor } from '../wait.ts';
import { makeAdsBootstrap, makeAssignment, makeEdsCluster } from './resources.ts';

const typeUrl = (name: string): string => `type.googleapis.com/envoy.extensions.filters.${name}`;
const tcpProxyType = 'network.tcp_proxy.v3.TcpProxy';
const inspectorType = 'listener.http_inspector.v3.HttpInspector';

/** TCP proxies behind an HTTP inspector: one chain for what is HTTP, one for the rest. */
function makeListener(port: number, prefixes: { readonly http: string | null; readonly rest: string }): Buffer {
  const chain = (name: string, protocols: readonly string[], statPrefix: string): object => ({
    name,
    filter_chain_match: { application_protocols: protocols },
    filters: [
      {
        name: 'envoy.filters.network.tcp_proxy',
        typed_config: {
          type_url: typeUrl(tcpProxyType),
          value: encodeMessage(`envoy.extensions.filters.${tcpProxyType}`, { stat_prefix: statPrefix, cluster: 'echo' } as never),
        },
      },
    ],
  });
  return encodeMessage('envoy.config.listener.v3.Listener', {
    name: 'both',
    stat_prefix: 'both',
    address: { socket_address: { address: '127.0.0.1', port_value: port } },
    listener_filters: [
      {
        name: 'envoy.filters.listener.http_inspector',
        typed_config: { type_url: typeUrl(inspectorType), value: Buffer.alloc(0) },
      },
    ],
    filter_chains: [
      ...(prefixes.http === null ? [] : [chain('http', ['http/1.1'], prefixes.http)]),
      chain('rest', [], prefixes.rest),
    ],
  } as never);
}

/** A client that sends a line as soon as the last one came back, until it is told to stop. */
class Ping {
  readonly socket: Socket;
  count = 0;
  #stopping = false;

  constructor(port: number, line: string) {
    this.socket = connect(port, '127.0.0.1');
    this.socket.on('error', () => {});
    this.socket.on('data', data => {
      if (!data.toString().endsWith('\n') || this.#stopping) return;
      this.count++;
      this.socket.write(line);
    });
    this.socket.write(line);
  }

  stop(): void {
    this.#stopping = true;
    this.socket.destroy();
  }
}

/** However it ends: bytes that were on their way to a connection that is closed make a reset of it. */
function closed(socket: Socket): Promise<void> {
  return new Promise(resolve => socket.once('close', () => resolve()));
}

async function setUp(t: Test): Promise<{ plane: ControlPlane; proxy: ProxyProcess; port: number }> {
  const folder = mkdtempSync(join(tmpdir(), 'update-'));
  const server = createServer(socket => {
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const plane = new ControlPlane({ address: join(folder, 'XDS') });
  const port = await findFreePort();
  plane.set('cluster', 'echo', makeEdsCluster('echo'));
  plane.set('endpoints', 'echo', makeAssignment('echo', [(server.address() as AddressInfo).port]));
  plane.set('listener', 'both', makeListener(port, { http: 'http', rest: 'rest' }));
  await plane.start();
  const proxy = await startProxy({
    name: 'proxy',
    ...ownCommand(),
    bootstrap: makeAdsBootstrap(join(folder, 'XDS'), 'DELTA_GRPC'),
    folder,
    concurrency: 2,
    extraArgs: ['--drain-time-s', '1'],
  });
  t.teardown(async () => {
    await proxy.stop();
    plane.stop();
    server.close();
    rmSync(folder, { recursive: true });
  });
  return { plane, proxy, port };
}

const stat = async (proxy: ProxyProcess, name: string): Promise<number> =>
  Number((await getAdmin(proxy.adminPort, `/stats?filter=^${name}$`)).split(': ')[1] ?? 0);

t.test('listener updates under traffic keep the connections of unchanged chains and lose no new one', async t => {
  const { plane, proxy, port } = await setUp(t);
  const kept = Array.from({ length: 4 }, () => new Ping(port, 'no http\n'));
  const replaced = new Ping(port, 'GET / HTTP/1.1\r\n');
  await waitFor(() => [...kept, replaced].every(ping => ping.count > 0));
  const ended = closed(replaced.socket);
  let arrivals = 0;
  let updating = true;
  const arrive = async (): Promise<void> => {
    while (updating) {
      const ping = new Ping(port, 'new\n');
      await waitFor(() => ping.count > 0);
      ping.stop();
      arrivals++;
    }
  };
  const arriving = arrive();
  for (let version = 1; version <= 10; version++) {
    plane.set('listener', 'both', makeListener(port, { http: `http${version}`, rest: 'rest' }));
    plane.push();
    await waitFor(async () => (await stat(proxy, 'listener_manager.listener_modified')) === version);
    const before = kept.map(({ count }) => count);
    await waitFor(() => kept.every(({ count }, i) => count > before[i]));
  }
  updating = false;
  await arriving;
  await ended;
  t.ok(arrivals > 0, `${arrivals} connections came while the listener changed`);
  t.ok(
    kept.every(({ socket }) => !socket.closed),
    'no connection of the unchanged chain ended',
  );
  t.equal(await stat(proxy, 'tcp.rest.downstream_cx_no_route'), 0);
  for (const ping of kept) ping.stop();
});

t.test('a chain that is gone drains, and its traffic goes to the chain that matches now', async t => {
  const { plane, port } = await setUp(t);
  const old = new Ping(port, 'GET / HTTP/1.1\r\n');
  await waitFor(() => old.count > 0);
  const ended = closed(old.socket);
  plane.set('listener', 'both', makeListener(port, { http: null, rest: 'rest' }));
  plane.push();
  await ended;
  const next = new Ping(port, 'GET / HTTP/1.1\r\n');
  await waitFor(() => next.count > 0);
  t.ok(old.socket.closed);
  next.stop();
});
