/** Where requests go: weights, matches, subsets; and less to a slow host, as with the Envoy twin. */
import t from 'tap';
import { run, waitFor } from '../cluster/command.ts';
import { apply } from '../cluster/kubectl.ts';
import { startLoad } from '../fixtures/load.ts';
import { callEcho, deploy, makeNamespace, podIp, requireMode } from '../fixtures/mesh.ts';
import { testIn } from '../fixtures/modes.ts';
import { adminPage, waitForCluster } from '../fixtures/proxies.ts';
import { type App, istioObject, service } from '../fixtures/pods.ts';
import { subject } from '../fixtures/subject.ts';

t.comment(`mode: ${requireMode()}, subject: ${subject}`);
const namespace = makeNamespace(t, 'mesh-balancing');
const host = `server.${namespace}.svc.cluster.local`;
const apps: App[] = [
  { name: 'client', sidecar: subject },
  { name: 'client-twin', sidecar: 'envoy' },
  { name: 'server-v1', label: 'server', version: 'v1', sidecar: subject },
  { name: 'server-v2', label: 'server', version: 'v2', sidecar: subject },
];
deploy(namespace, apps, [
  service(namespace, 'server'),
  istioObject('networking', 'DestinationRule', namespace, 'server', {
    host: 'server',
    subsets: ['v1', 'v2'].map(version => ({ name: version, labels: { version } })),
  }),
]);

const to = (subset: string, weight?: number): object => ({ destination: { host: 'server', subset }, weight });

function setRoutes(http: readonly object[]): void {
  apply([istioObject('networking', 'VirtualService', namespace, 'server', { hosts: ['server'], http })]);
}

/** How many of `count` replies each version gave. */
function countVersions(count: number, path = '/', ...flags: string[]): Record<string, number> {
  const versions: Record<string, number> = {};
  for (const reply of callEcho(namespace, 'client', `http://server${path}`, '--count', String(count), ...flags)) {
    const version = reply.fields.get('ServiceVersion') ?? 'none';
    versions[version] = (versions[version] ?? 0) + 1;
  }
  return versions;
}

t.test('prefix, header and subset decide', async t => {
  setRoutes([
    { match: [{ uri: { prefix: '/two' } }], route: [to('v2')] },
    { match: [{ headers: { 'x-version': { exact: 'two' } } }], route: [to('v2')] },
    { route: [to('v1')] },
  ]);
  await waitFor('the routes', () => countVersions(5).v1 === 5 && countVersions(5, '/two').v2 === 5);
  t.same(countVersions(20), { v1: 20 });
  t.same(countVersions(20, '/two/more'), { v2: 20 });
  t.same(countVersions(20, '/', '-H', 'x-version: two'), { v2: 20 });
  t.same(countVersions(20, '/', '-H', 'x-version: three'), { v1: 20 });
});

t.test('weights are kept', async t => {
  setRoutes([{ match: [{ uri: { prefix: '/marker' } }], route: [to('v2')] }, { route: [to('v1', 80), to('v2', 20)] }]);
  await waitFor('the routes', () => countVersions(5, '/marker').v2 === 5);
  const count = 500;
  const { v1 = 0, v2 = 0 } = countVersions(count);
  t.equal(v1 + v2, count);
  // Four standard deviations of a binomial distribution.
  const tolerance = 4 * Math.sqrt(count * 0.2 * 0.8);
  t.ok(Math.abs(v2 - count * 0.2) < tolerance, `${v2} of ${count} for a weight of 20`);
});

/** Requests of a client's proxy to the host at that address, by its own count. */
function countRequests(pod: string, address: string): number {
  const pattern = new RegExp(`^outbound\\|81\\|\\|${host}::${address}:\\d+::rq_total::(\\d+)$`, 'm');
  const match = pattern.exec(adminPage(namespace, pod, 'clusters'));
  if (!match) throw new Error(`${pod} does not know the host ${address}`);
  return Number(match[1]);
}

testIn('bare', 'a host ten times slower gets less, as with Envoy', async t => {
  const shares: Record<string, number> = {};
  run('kubectl', ['-n', namespace, 'delete', 'virtualservice', 'server']);
  apply([
    istioObject('networking', 'DestinationRule', namespace, 'server', {
      host: 'server',
      trafficPolicy: { loadBalancer: { simple: 'LEAST_REQUEST' } },
      subsets: ['v1', 'v2'].map(version => ({ name: version, labels: { version } })),
    }),
    istioObject(
      'networking',
      'EnvoyFilter',
      namespace,
      'slow',
      {
        workloadSelector: { labels: { app: 'server', version: 'v2' } },
        configPatches: [
          {
            applyTo: 'HTTP_FILTER',
            match: {
              context: 'SIDECAR_INBOUND',
              listener: { filterChain: { filter: { name: 'envoy.filters.network.http_connection_manager' } } },
            },
            patch: {
              operation: 'INSERT_FIRST',
              value: {
                name: 'envoy.filters.http.fault',
                typed_config: {
                  '@type': 'type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault',
                  delay: { fixed_delay: '0.020s', percentage: { numerator: 100 } },
                },
              },
            },
          },
        ],
      },
      'v1alpha3',
    ),
  ]);
  await waitFor('the slow host', () => adminPage(namespace, 'server-v2', 'config_dump').includes('0.020s'));
  const addresses = ['server-v1', 'server-v2'].map(pod => podIp(namespace, pod));
  for (const pod of ['client', 'client-twin']) {
    await waitForCluster(namespace, pod, `outbound|81||${host}`, 2);
    const before = addresses.map(address => countRequests(pod, address));
    const load = await startLoad(namespace, pod, { url: 'http://server:81/', rate: 400, seconds: 6, uniform: true });
    t.equal(load.failed, 0, `${pod}: no failed request`);
    const [fast, slow] = addresses.map((address, index) => countRequests(pod, address) - before[index]);
    t.ok(slow + fast > 1500, `${pod}: ${slow + fast} requests`);
    shares[pod] = slow / (slow + fast);
  }
  t.comment(`share of the slow host: ${JSON.stringify(shares)}`);
  t.ok(shares.client < 0.4, 'measurably less than half');
  t.ok(Math.abs(shares.client - shares['client-twin']) < 0.12, 'about as much as from Envoy');
});
