/**
 * Active health checks: Envoy and this proxy send the same checks, come to the same state of the host, count the same, and serve
 * a request alike.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import t from 'tap';
import { findEnvoy } from '../support/envoy-binary.ts';
import { getAdmin, ownCommand, startProxy } from '../support/proxy-process.ts';
import { buildBootstrap, laneName } from './bootstrap.ts';
import { CheckedHost } from './checked-host.ts';
import { readListenerPorts } from './comparison.ts';
import { type HealthCase, healthCases } from './health-cases.ts';

const deadlineMs = 20_000;
const basis = {
  timeout: '30s',
  interval: '0.02s',
  no_traffic_interval: '0.02s',
  unhealthy_threshold: 1,
  healthy_threshold: 1,
};
const shownStats = /\.(?:health_check\.\w+|membership_(?:healthy|degraded|excluded|total)|lb_healthy_panic): /;

function buildLane({ name, check, cluster, endpoint }: HealthCase, port: number) {
  const address = { socket_address: { address: '127.0.0.1', port_value: port } };
  const lbEndpoints = [{ endpoint: { address, ...endpoint } }];
  return {
    case: {
      name,
      cluster: {
        common_lb_config: { healthy_panic_threshold: { value: 0 } },
        health_checks: [{ ...basis, ...check }],
        load_assignment: { cluster_name: '$lane', endpoints: [{ lb_endpoints: lbEndpoints }] },
        ...cluster,
      },
    },
    logPath: '/dev/null',
    upstreamPort: port,
    secondUpstreamPort: 0,
  };
}

interface Seen {
  readonly checks: readonly string[];
  readonly connections: number;
  readonly flags: string;
  readonly json: object;
  readonly status: number;
  readonly stats: readonly string[];
}

function ask(port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ port, host: '127.0.0.1', headers: { 'x-status': '200' }, agent: false }, response => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    outgoing.on('error', reject);
    outgoing.end();
  });
}

/** Until no host waits for a check any more and the counts have come to rest. */
async function settle(hosts: readonly CheckedHost[], adminPort: number): Promise<string> {
  const deadline = Date.now() + deadlineMs;
  const isReached = () => hosts.every(({ checks, expectedChecks }) => checks.length >= expectedChecks);
  while (!isReached() && Date.now() < deadline) await wait(20);
  let stats = '';
  for (;;) {
    const next = (await getAdmin(adminPort, '/stats'))
      .split('\n')
      .filter(line => shownStats.test(line))
      .join('\n');
    if (next === stats || Date.now() > deadline) return next;
    stats = next;
    await wait(300);
  }
}

async function runAll(name: string, command: { command: string; args?: string[] }, folder: string): Promise<Seen[]> {
  const hosts = healthCases.map(healthCase => new CheckedHost(healthCase));
  const ports = await Promise.all(hosts.map(host => host.listen()));
  const lanes = healthCases.map((healthCase, index) => buildLane(healthCase, ports[index]));
  const proxy = await startProxy({ name, ...command, bootstrap: buildBootstrap(lanes), folder });
  try {
    const stats = (await settle(hosts, proxy.adminPort)).split('\n');
    const text = (await getAdmin(proxy.adminPort, '/clusters')).split('\n');
    const { cluster_statuses: statuses } = JSON.parse(await getAdmin(proxy.adminPort, '/clusters?format=json'));
    const listeners = await readListenerPorts(proxy);
    const seen: Seen[] = [];
    for (const [index, host] of hosts.entries()) {
      const lane = laneName(index);
      const json = statuses.find((status: { name: string }) => status.name === lane)?.host_statuses?.[0]?.health_status;
      const isHttp2 = healthCases[index].answers.some(answer => 'http2' in answer);
      seen.push({
        checks: host.checks.map(check => check.replaceAll(lane, '$lane')),
        connections: host.connections,
        flags: text.find(line => line.startsWith(`${lane}::`) && line.includes('::health_flags::'))?.replace(/.*::/, '') ?? '',
        json: json ?? {},
        status: isHttp2 ? 0 : await ask(listeners.get(lane) as number),
        stats: stats.filter(line => line.startsWith(`cluster.${lane}.`)).map(line => line.slice(lane.length + 9)),
      });
    }
    return seen;
  } finally {
    await proxy.stop();
    for (const host of hosts) host.close();
  }
}

const envoy = findEnvoy();
const options = { skip: envoy === null && 'no Envoy binary (npm run mesh -- tools)', timeout: 120_000 };

t.test('active health checks', options, async t => {
  const folder = mkdtempSync(join(tmpdir(), 'parity-health-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const expected = await runAll('envoy', { command: envoy as string }, folder);
  const actual = await runAll('own', ownCommand(), folder);
  for (const [index, { name, differs }] of healthCases.entries()) {
    const compared = (seen: Seen) => ({ ...seen, stats: seen.stats.filter(line => !differs?.test(line)) });
    t.same(compared(actual[index]), compared(expected[index]), name);
  }
});
