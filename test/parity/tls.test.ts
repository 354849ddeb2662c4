/** Envoy and this proxy as server and client of each other: each must say, log and count what Envoy does in its place. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { findEnvoy } from '../support/envoy-binary.ts';
import { findFreePort, getAdmin, ownCommand, type ProxyProcess, startProxy } from '../support/proxy-process.ts';
import { commonContext, makeCertificates, type Scenario, scenarios } from './tls-scenarios.ts';

const envoy = findEnvoy();
const typeUrl = (name: string): string => `type.googleapis.com/envoy.extensions.${name}`;
const kinds = ['envoy', 'own'] as const;
type Kind = (typeof kinds)[number];

const command = (kind: Kind) => (kind === 'envoy' ? { command: envoy as string } : ownCommand());
/** The name of a scenario in the configuration. */
const key = (scenario: Scenario): string => scenario.name.toLowerCase().replace(/\W+/g, '-');

function transportSocket(context: object, role: 'Downstream' | 'Upstream'): object {
  const message = { '@type': typeUrl(`transport_sockets.tls.v3.${role}TlsContext`), ...context };
  return { transport_socket: { name: 'envoy.transport_sockets.tls', typed_config: message } };
}

function fileLog(path: string, format: string): object {
  const log_format = { text_format_source: { inline_string: `${format}\n` } };
  const message = { '@type': typeUrl('access_loggers.file.v3.FileAccessLog'), path, log_format };
  return { name: 'envoy.access_loggers.file', typed_config: message };
}

function manager(routes: object[], accessLog: object[] = []): object {
  return {
    name: 'envoy.filters.network.http_connection_manager',
    typed_config: {
      '@type': typeUrl('filters.network.http_connection_manager.v3.HttpConnectionManager'),
      stat_prefix: 'http',
      access_log: accessLog,
      http_filters: [{ name: 'envoy.filters.http.router', typed_config: { '@type': typeUrl('filters.http.router.v3.Router') } }],
      route_config: { virtual_hosts: [{ name: 'all', domains: ['*'], routes }] },
    },
  };
}

const logPath = (folder: string, kind: Kind, name: string): string => join(folder, `${kind}-${name}.log`);
const readLines = (path: string): string[] => readFileSync(path, 'utf8').trim().split('\n');

function serverListener(folder: string, kind: Kind, scenario: Scenario, port: number): object {
  const context = scenario.server && {
    common_tls_context: commonContext(folder, scenario.server, 'server'),
    require_client_certificate: scenario.server?.isOptional !== true,
  };
  return {
    name: key(scenario),
    stat_prefix: key(scenario),
    address: { socket_address: { address: '127.0.0.1', port_value: port } },
    access_log: [fileLog(logPath(folder, kind, key(scenario)), '%DOWNSTREAM_TRANSPORT_FAILURE_REASON%')],
    filter_chains: [
      {
        filters: [manager([{ match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: 'ok' } } }])],
        ...(context && transportSocket(context, 'Downstream')),
      },
    ],
  };
}

function clientCluster(folder: string, name: string, scenario: Scenario, port: number): object {
  const context = scenario.client && { common_tls_context: commonContext(folder, scenario.client, 'client'), sni: 'server.test' };
  const address = { socket_address: { address: '127.0.0.1', port_value: port } };
  return {
    name,
    type: 'STATIC',
    connect_timeout: '5s',
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }] },
    ...(context && transportSocket(context, 'Upstream')),
  };
}

const clientFormat = '%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_TRANSPORT_FAILURE_REASON%';

/** Status and body. */
function request(port: number, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const outgoing = get({ host: '127.0.0.1', port, path, agent: false }, response => {
      let body = '';
      response.on('data', chunk => (body += chunk));
      response.on('end', () => resolve(`${response.statusCode} ${body}`));
    });
    outgoing.on('error', reject);
  });
}

/** Envoy's alone: its library tells the signature of each handshake, and it dates each certificate. */
const notCounted = /^(?:certificate|sigalgs)\./;

/** Counters of TLS that are not 0, below `prefix`. */
async function readTlsStats(proxy: ProxyProcess, prefix: string): Promise<{ [name: string]: number }> {
  const text = await getAdmin(proxy.adminPort, `/stats?usedonly&filter=${encodeURIComponent(`^${prefix}\\.ssl\\.`)}`);
  const stats: { [name: string]: number } = {};
  for (const line of text.trim().split('\n')) {
    const [name, value] = line.split(': ');
    const short = name.slice(prefix.length + '.ssl.'.length);
    if (Number(value) > 0 && !notCounted.test(short)) stats[short] = Number(value);
  }
  return stats;
}

t.test('TLS parity with Envoy', { skip: envoy === null && 'no Envoy binary (npm run mesh -- tools)' }, async t => {
  const folder = mkdtempSync(join(tmpdir(), 'tls-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  makeCertificates(folder);
  const selected = scenarios.filter(({ name }) => name.includes(process.env.PARITY_CASE ?? ''));
  const proxies: ProxyProcess[] = [];
  t.teardown(() => Promise.all(proxies.map(proxy => proxy.stop())));
  const start = async (name: string, kind: Kind, resources: object): Promise<ProxyProcess> => {
    const bootstrap = { node: { id: 'tls', cluster: 'tls' }, static_resources: resources };
    const proxy = await startProxy({ name, ...command(kind), bootstrap, folder });
    proxies.push(proxy);
    return proxy;
  };

  const clusters: object[] = [];
  const servers = {} as Record<Kind, ProxyProcess>;
  for (const kind of kinds) {
    const listeners: object[] = [];
    for (const scenario of selected) {
      const port = await findFreePort();
      listeners.push(serverListener(folder, kind, scenario, port));
      clusters.push(clientCluster(folder, `${key(scenario)}_${kind}`, scenario, port));
    }
    servers[kind] = await start(`server-${kind}`, kind, { listeners });
  }

  const answers = {} as Record<Kind, Record<Kind, string[]>>;
  const clients = {} as Record<Kind, ProxyProcess>;
  for (const kind of kinds) {
    const port = await findFreePort();
    const routes = selected.flatMap(scenario =>
      kinds.map(server => ({ match: { path: `/${key(scenario)}_${server}` }, route: { cluster: `${key(scenario)}_${server}` } })),
    );
    const listener = {
      name: 'in',
      address: { socket_address: { address: '127.0.0.1', port_value: port } },
      filter_chains: [{ filters: [manager(routes, [fileLog(logPath(folder, kind, 'client'), clientFormat)])] }],
    };
    clients[kind] = await start(`client-${kind}`, kind, { listeners: [listener], clusters });
    answers[kind] = { envoy: [], own: [] };
    for (const server of kinds) {
      for (const scenario of selected) answers[kind][server].push(await request(port, `/${key(scenario)}_${server}`));
    }
  }

  for (const [i, scenario] of selected.entries()) {
    const { name } = scenario;
    const expected = answers.envoy.envoy[i];
    t.equal(answers.own.envoy[i], expected, `${name}: what our client says of Envoy`);
    t.equal(answers.envoy.own[i], expected, `${name}: what Envoy says of our server`);
    t.equal(answers.own.own[i], expected, `${name}: what our client says of our server`);
    const clientStats = (kind: Kind, server: Kind) => readTlsStats(clients[kind], `cluster.${key(scenario)}_${server}`);
    t.same(await clientStats('own', 'envoy'), await clientStats('envoy', 'envoy'), `${name}: our client's counters`);
    const serverStats = (kind: Kind) => readTlsStats(servers[kind], `listener.${key(scenario)}`);
    t.same(await serverStats('own'), await serverStats('envoy'), `${name}: our server's counters`);
  }
  for (const proxy of [...Object.values(clients), ...Object.values(servers)]) await proxy.stop();
  for (const scenario of selected) {
    const [expected, own] = kinds.map(kind => readLines(logPath(folder, kind, key(scenario))));
    t.same(own, expected, `${scenario.name}: our server's log`);
  }
  const [expected, own] = kinds.map(kind => readLines(logPath(folder, kind, 'client')));
  for (const [i, { name }] of selected.entries()) {
    t.equal(own[i], expected[i], `${name}: our client's log of Envoy`);
    t.equal(expected[selected.length + i], expected[i], `${name}: Envoy's log of our server`);
  }
});
