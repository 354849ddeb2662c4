/** Runs tunnel cases through one proxy, or through two of different make, and collects what every end, log and counter saw. */
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type NetConnectOpts, type Server } from 'node:net';
import { basename, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { findFreePort, getAdmin, type ProxyProcess, startProxy } from '../../support/proxy-process.ts';
import { End, type Step } from '../connection-end.ts';
import { internalListenerExtension } from './resources.ts';

/** Where a case finds its ports; names of resources begin with `name`. */
export interface Lane {
  readonly name: string;
  /** Where the client connects. */
  readonly port: number;
  /** Between two proxies, or between listeners of one. */
  readonly middlePort: number;
  readonly upstreamPort: number;
  /** Of the access log. */
  readonly log: string;
  /** With the certificates of tls-scenarios.ts. */
  readonly folder: string;
}

export interface LaneResources {
  readonly listeners: readonly object[];
  readonly clusters: readonly object[];
}

export interface TunnelCase {
  readonly name: string;
  readonly resources: (lane: Lane) => LaneResources;
  /** Of the second proxy, which is of the other make where two are crossed; absent: there is one proxy only. */
  readonly behind?: (lane: Lane) => LaneResources;
  readonly client: readonly Step[];
  readonly upstream?: readonly Step[];
  /** The end that is at a Unix socket, `pathOf` its role, and not at its port. */
  readonly socket?: 'client' | 'upstream';
  /** Nothing listens at the upstream's port. */
  readonly refused?: true;
  /** Clients that do the same, one after the other; 1 if absent. */
  readonly repeat?: number;
  /** Which lines of the log are compared; absent: all. The others depend on who is faster. */
  readonly log?: RegExp;
  /** Whether a client sees the end of the stream or a reset depends on who is faster. */
  readonly anyEnd?: true;
  /** Of the counters that moved, those that match are compared. */
  readonly stats?: RegExp;
}

/** Of the Unix socket where a lane's client connects, or its upstream listens. */
export const pathOf = ({ folder, log }: Lane, role: 'client' | 'upstream'): string =>
  join(folder, `${basename(log, '.log')}-${role}.sock`);

interface RunningLane extends Lane {
  readonly tunnel: TunnelCase;
  readonly ends: End[];
  readonly server: Server;
}

export interface Observation {
  readonly clients: readonly object[];
  readonly upstreams: readonly object[];
  readonly log: readonly string[];
  readonly stats: readonly string[];
}

let runs = 0;

async function openLane(tunnel: TunnelCase, index: number, folder: string, maker: string): Promise<RunningLane> {
  const ends: End[] = [];
  const server = createServer({ allowHalfOpen: true, noDelay: true }, socket => {
    const end = new End(socket);
    ends.push(end);
    void end.run(tunnel.upstream ?? []);
  });
  const name = `lane${index}`;
  const log = join(folder, `${maker}-${name}.log`);
  const lane = { name, folder, log, port: await findFreePort(), middlePort: await findFreePort() };
  let upstreamPort = await findFreePort();
  if (tunnel.socket === 'upstream') server.listen(pathOf({ ...lane, upstreamPort }, 'upstream'));
  else server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const bound = server.address() as AddressInfo | string;
  if (tunnel.refused === undefined && typeof bound === 'object') upstreamPort = bound.port;
  return { tunnel, ends, server, upstreamPort, ...lane };
}

async function runLane(lane: RunningLane): Promise<Pick<Observation, 'clients' | 'upstreams'>> {
  const { tunnel, port, ends } = lane;
  const clients: object[] = [];
  const target: NetConnectOpts =
    tunnel.socket === 'client' ? { path: pathOf(lane, 'client') } : { port, host: '127.0.0.1', noDelay: true };
  for (let i = 0; i < (tunnel.repeat ?? 1); i++) {
    const socket = connect({ ...target, allowHalfOpen: true });
    const client = new End(socket);
    await client.run(tunnel.client);
    clients.push(client.summary);
    socket.destroy();
  }
  const waiting = tunnel.upstream?.findLast(step => typeof step === 'object' && 'until' in step);
  if (waiting !== undefined) for (const end of ends) await end.run([waiting]);
  return { clients, upstreams: ends.map(({ summary }) => summary) };
}

/** Of no interest, or dependent on how bytes are cut. */
const unsteady = /P0\(|_buffered|_bytes_total|http2\.|rq_rx_reset|delayed_close|ssl\.[cs]|membership_|match_count/;

const belongsTo = (name: string, line: string): boolean => new RegExp(`${name}(?![0-9])`).test(line);

/** Ports differ from run to run, and dates too. */
function normalize(text: string, lane: Lane): string {
  return text
    .replaceAll(pathOf(lane, 'client'), 'CLIENT')
    .replaceAll(pathOf(lane, 'upstream'), 'APPLICATION')
    .replaceAll(String(lane.port), 'PORT')
    .replaceAll(String(lane.middlePort), 'MIDDLE')
    .replaceAll(String(lane.upstreamPort), 'UPSTREAM')
    .replace(/date: [^\\]*GMT/g, 'date: now')
    .replace(/(PROXY TCP4 127.0.0.1 127.0.0.1) \d+/g, '$1 CLIENT')
    .replace(/x-envoy-upstream-service-time: \d+/g, 'x-envoy-upstream-service-time: N');
}

async function readLog(lane: RunningLane, atLeast: number): Promise<string[]> {
  const read = (): string[] => (existsSync(lane.log) ? readFileSync(lane.log, 'utf8').trim().split('\n') : []);
  const deadline = Date.now() + 3000;
  while (read().length < atLeast && Date.now() < deadline) await wait(20);
  return read();
}

export interface RunOptions {
  readonly name: string;
  readonly command: string;
  readonly args?: readonly string[];
}

const makeBootstrap = (resources: readonly LaneResources[]): object => ({
  node: { id: 'tunnels', cluster: 'tunnels' },
  bootstrap_extensions: [internalListenerExtension],
  static_resources: {
    listeners: resources.flatMap(({ listeners }) => listeners),
    clusters: resources.flatMap(({ clusters }) => clusters),
  },
});

/** All cases through one process, or through two where cases have something behind. */
export async function runCases(
  cases: readonly TunnelCase[],
  options: RunOptions,
  folder: string,
  behindOptions: RunOptions = options,
): Promise<Observation[]> {
  const maker = `${runs++}-${options.name}-${behindOptions.name}`;
  const lanes = await Promise.all(cases.map((tunnel, i) => openLane(tunnel, i, folder, maker)));
  const behind = lanes.flatMap(lane => lane.tunnel.behind?.(lane) ?? []);
  const start = (role: string, run: RunOptions, resources: readonly LaneResources[]): Promise<ProxyProcess> =>
    startProxy({ ...run, name: `${maker}-${role}`, bootstrap: makeBootstrap(resources), folder });
  const proxies = [
    await start(
      'front',
      options,
      lanes.map(lane => lane.tunnel.resources(lane)),
    ),
  ];
  if (behind.length > 0) proxies.push(await start('behind', behindOptions, behind));
  const seen: Pick<Observation, 'clients' | 'upstreams'>[] = [];
  // One after the other: what wins a race must not depend on the other cases.
  for (const lane of lanes) seen.push(await runLane(lane));
  // Whatever ends with the last client has ended, and is written.
  await wait(300);
  const pages = await Promise.all(proxies.map(({ adminPort }) => getAdmin(adminPort, '/stats?usedonly')));
  const stats = pages.join('').split('\n');
  await Promise.all(proxies.map(proxy => proxy.stop()));
  const observations: Observation[] = [];
  for (const [i, lane] of lanes.entries()) {
    const { stats: wanted } = lane.tunnel;
    const counted = stats.filter(line => wanted?.test(line) && belongsTo(lane.name, line) && !unsteady.test(line));
    const log = (await readLog(lane, 0)).map(line => normalize(line, lane)).filter(line => lane.tunnel.log?.test(line) ?? true);
    const { clients, upstreams } = JSON.parse(normalize(JSON.stringify(seen[i]), lane)) as (typeof seen)[number];
    if (lane.tunnel.anyEnd) for (const client of clients) Object.assign(client, { received: '', end: 'over' });
    observations.push({ clients, upstreams, log: log.sort(), stats: counted.map(line => normalize(line, lane)).sort() });
    for (const end of lane.ends) end.destroy();
    lane.server.close();
  }
  return observations;
}
