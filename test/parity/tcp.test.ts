/** How TCP connections end, through Envoy and through this proxy: bytes, FIN and RST at both ends, and the access log. */
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import t from 'tap';
import { findEnvoy } from '../support/envoy-binary.ts';
import { findFreePort, ownCommand, startProxy } from '../support/proxy-process.ts';
import { End, type Step, send, until } from './connection-end.ts';

interface TcpCase {
  readonly name: string;
  /** What each end does, in order. */
  readonly client: readonly Step[];
  readonly upstream?: readonly Step[];
  readonly proxy?: object;
  /** Merged into the cluster. */
  readonly cluster?: object;
  readonly refused?: boolean;
}

const noEndpoints = { load_assignment: { cluster_name: '$', endpoints: [] } };

const cases: readonly TcpCase[] = [
  { name: 'the client ends first', client: [send('a'), 'fin', until('fin')], upstream: [until('fin'), send('b'), 'fin'] },
  {
    name: 'the upstream ends first',
    client: [until('fin'), send('late'), 'fin'],
    upstream: [send('b'), 'fin', until('late'), until('fin')],
  },
  { name: 'the client resets', client: [send('a'), until('b'), 'reset'], upstream: [until('a'), send('b'), until('reset')] },
  { name: 'the upstream resets', client: [send('a'), until('reset')], upstream: [until('a'), 'reset'] },
  {
    name: 'the upstream resets after it ended',
    client: [send('a'), until('fin'), send('c'), until('reset')],
    // One after the other: a reset that follows at once may overtake what was sent before.
    upstream: [until('a'), send('b'), 'fin', until('c'), 'reset'],
  },
  { name: 'the upstream refuses', client: [until('fin')], refused: true },
  { name: 'two attempts', client: [until('fin')], refused: true, proxy: { max_connect_attempts: 2 } },
  { name: 'no host', client: [until('fin')], cluster: noEndpoints },
  { name: 'no cluster', client: [until('fin')], proxy: { cluster: 'missing' } },
  {
    name: 'no connection allowed',
    client: [until('fin')],
    cluster: { circuit_breakers: { thresholds: [{ max_connections: 0, max_pending_requests: 0 }] } },
  },
  {
    name: 'idle',
    client: [send('a'), until('fin')],
    upstream: [until('a'), send('b'), until('fin')],
    proxy: { idle_timeout: '1s' },
  },
  {
    name: 'too long',
    client: [until('fin')],
    upstream: [until('fin')],
    proxy: { max_downstream_connection_duration: '0.3s' },
  },
  {
    name: 'much in both directions',
    client: [send('x'.repeat(300_000)), 'fin', until('fin')],
    upstream: [until('fin'), send('y'.repeat(300_000)), 'fin'],
  },
];

const typeUrl = (name: string): string => `type.googleapis.com/envoy.extensions.${name}`;
const format =
  '%RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% %UPSTREAM_CLUSTER% ' +
  '%UPSTREAM_TRANSPORT_FAILURE_REASON% %UPSTREAM_REQUEST_ATTEMPT_COUNT%\n';

function listener(name: string, port: number, path: string, proxy: object = {}): object {
  const log_format = { text_format_source: { inline_string: format } };
  const log = { '@type': typeUrl('access_loggers.file.v3.FileAccessLog'), path, log_format };
  const config = {
    '@type': typeUrl('filters.network.tcp_proxy.v3.TcpProxy'),
    stat_prefix: name,
    cluster: name,
    access_log: [{ name: 'envoy.access_loggers.file', typed_config: log }],
    ...proxy,
  };
  return {
    name,
    address: { socket_address: { address: '127.0.0.1', port_value: port } },
    filter_chains: [{ filters: [{ name: 'envoy.filters.network.tcp_proxy', typed_config: config }] }],
  };
}

function cluster(name: string, port: number, overrides: object = {}): object {
  const endpoint = { address: { socket_address: { address: '127.0.0.1', port_value: port } } };
  const resource = {
    name,
    type: 'STATIC',
    connect_timeout: '1s',
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint }] }] },
    ...overrides,
  };
  return JSON.parse(JSON.stringify(resource).replaceAll('"$"', JSON.stringify(name)));
}

async function runAll(name: string, command: { command: string; args?: string[] }, folder: string): Promise<object[]> {
  const results: object[] = [];
  const lanes = await Promise.all(
    cases.map(async (tcpCase, i) => {
      const upstreams: End[] = [];
      const server = createServer({ allowHalfOpen: true, noDelay: true }, socket => {
        const end = new End(socket);
        upstreams.push(end);
        void end.run(tcpCase.upstream ?? []);
      }).listen(0, '127.0.0.1');
      await once(server, 'listening');
      const upstreamPort = tcpCase.refused ? 1 : (server.address() as AddressInfo).port;
      return { tcpCase, upstreams, server, upstreamPort, port: await findFreePort(), log: join(folder, `${name}-${i}.log`) };
    }),
  );
  const bootstrap = {
    node: { id: 'tcp', cluster: 'tcp' },
    static_resources: {
      listeners: lanes.map(({ port, log, tcpCase }, i) => listener(`lane${i}`, port, log, tcpCase.proxy)),
      clusters: lanes.map(({ upstreamPort, tcpCase }, i) => cluster(`lane${i}`, upstreamPort, tcpCase.cluster)),
    },
  };
  const proxy = await startProxy({ name, ...command, bootstrap, folder });
  for (const { port, tcpCase, upstreams } of lanes) {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    const client = new End(socket);
    await client.run(tcpCase.client);
    const stayed = upstreams.filter(
      ({ end }) => end === 'open' && tcpCase.upstream?.some(step => typeof step === 'object' && 'until' in step),
    );
    for (const upstream of stayed) await upstream.run([until('')]);
    await wait(100);
    results.push({ client: client.summary, upstreams: upstreams.map(({ summary }) => summary) });
    socket.destroy();
  }
  await proxy.stop();
  for (const { server, upstreams } of lanes) {
    for (const upstream of upstreams) upstream.destroy();
    server.close();
  }
  return results.map((result, i) => ({ ...result, log: readFileSync(lanes[i].log, 'utf8') }));
}

const envoy = findEnvoy();
t.test('TCP parity with Envoy', { skip: envoy === null && 'no Envoy binary (npm run mesh -- tools)' }, async t => {
  const folder = mkdtempSync(join(tmpdir(), 'tcp-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const expected = await runAll('envoy', { command: envoy as string }, folder);
  const own = await runAll('own', ownCommand(), folder);
  for (const [i, { name }] of cases.entries()) t.same(own[i], expected[i], name);
});
