/** Istio's standard metrics on both sides, with every label, through the proxy's endpoint and the agent's. */
import t, { type Test } from 'tap';
import { run, waitFor } from '../cluster/command.ts';
import { apply } from '../cluster/kubectl.ts';
import { callEcho, deploy, makeNamespace, namespaceOf, podIp, requireMode } from '../fixtures/mesh.ts';
import { testIn } from '../fixtures/modes.ts';
import { metricPorts, type Series, scrape } from '../fixtures/metrics.ts';
import { type App, appPorts, istioObject, service } from '../fixtures/pods.ts';
import { waitForCluster } from '../fixtures/proxies.ts';
import { subject } from '../fixtures/subject.ts';

t.comment(`mode: ${requireMode()}, subject: ${subject}`);

const namespace = namespaceOf('mesh-metrics');
const client: App = { name: 'client', sidecar: subject };
const server: App = { name: 'server', sidecar: subject };
const plain: App = { name: 'plain', sidecar: 'none' };

type Labels = Readonly<Record<string, string>>;

const principal = `spiffe://cluster.local/ns/${namespace}/sa/default`;

/** A workload that told who it is, or that this proxy is. */
const workloadOf = (side: 'source' | 'destination', name: string): Labels => ({
  [`${side}_workload`]: name,
  [`${side}_canonical_service`]: name,
  [`${side}_canonical_revision`]: 'v1',
  [`${side}_workload_namespace`]: namespace,
  [`${side}_principal`]: principal,
  [`${side}_app`]: name,
  [`${side}_version`]: 'v1',
  [`${side}_cluster`]: 'Kubernetes',
});

/** A workload that only the endpoint's metadata name. */
const silentWorkload = (name: string): Labels => ({
  ...workloadOf('destination', name),
  destination_principal: 'unknown',
  destination_app: 'unknown',
  destination_version: 'unknown',
});

const unknownWorkload = (side: 'source' | 'destination'): Labels => {
  const known = Object.keys(workloadOf(side, ''));
  return { ...Object.fromEntries(known.map(label => [label, 'unknown'])), [`${side}_canonical_revision`]: 'latest' };
};

const serviceOf = (name: string): Labels => ({
  destination_service: `${name}.${namespace}.svc.cluster.local`,
  destination_service_name: name,
  destination_service_namespace: namespace,
});

const unknownService = (name: string, host: string): Labels => ({
  destination_service: host,
  destination_service_name: name,
  destination_service_namespace: 'unknown',
});

/** Between the two sidecars, as the reporter sees it. */
const meshLabels = (reporter: 'source' | 'destination'): Labels => ({
  reporter,
  ...workloadOf('source', 'client'),
  ...workloadOf('destination', 'server'),
  ...serviceOf('server'),
  response_flags: '-',
  connection_security_policy: reporter === 'source' ? 'unknown' : 'mutual_tls',
});

const ofHttp = (responseCode: number, flags = '-'): Labels => ({
  request_protocol: 'http',
  response_code: String(responseCode),
  grpc_response_status: '',
  response_flags: flags,
});
const ofTcp: Labels = { request_protocol: 'tcp', response_flags: '-' };

/** From the client without mutual TLS: the client's own certificate is not used either. */
const fromClient: Labels = {
  reporter: 'source',
  ...workloadOf('source', 'client'),
  source_principal: 'unknown',
  connection_security_policy: 'unknown',
};

/** The series of that name with exactly these labels. */
function findSeries(all: readonly Series[], name: string, wanted: Labels): Series | undefined {
  const keys = Object.keys(wanted);
  return all.find(series => series.name === name && Object.keys(series.labels).length === keys.length && isLike(series, wanted));
}

const countLike = ({ labels }: Series, wanted: Labels): number =>
  Object.keys(wanted).filter(key => labels[key] === wanted[key]).length;
const isLike = (series: Series, wanted: Labels): boolean => countLike(series, wanted) === Object.keys(wanted).length;

/** The labels of the series of that name that come closest to those that are wanted. */
function closestLabels(all: readonly Series[], name: string, wanted: Labels): Labels | undefined {
  const named = all.filter(series => series.name === name);
  return named.sort((a, b) => countLike(b, wanted) - countLike(a, wanted))[0]?.labels;
}

type Expectation = readonly [name: string, value: number, type: string, labels?: Labels];

/** Waits until the proxy shows the first of these metrics, and expects all of them there and at the agent. */
async function expectMetrics(t: Test, pod: string, labels: Labels, expected: readonly Expectation[]): Promise<void> {
  const [first, value] = expected[0];
  const isThere = async (): Promise<boolean> =>
    findSeries(await scrape(namespace, pod, metricPorts.proxy), first, labels)?.value === value;
  await waitFor(`${first} of ${pod}`, isThere, 15_000).catch(() => null);
  for (const [endpoint, port] of Object.entries(metricPorts)) {
    const all = await scrape(namespace, pod, port);
    t.same(closestLabels(all, first, labels), labels, `${pod} ${endpoint}: the labels of ${first}`);
    const found = expected.map(([name, , , more]) => {
      const series = findSeries(all, name, { ...labels, ...more });
      return [name, series?.value, series?.type];
    });
    t.same(
      found,
      expected.map(([name, value, type]) => [name, value, type]),
      `${pod} ${endpoint}: values and types`,
    );
  }
}

/** Every metric of `count` requests with these labels. */
function expectRequests(t: Test, pod: string, labels: Labels, count: number): Promise<void> {
  const histograms = ['istio_request_duration_milliseconds', 'istio_request_bytes', 'istio_response_bytes'];
  return expectMetrics(t, pod, labels, [
    ['istio_requests_total', count, 'counter'],
    ...histograms.map((name): Expectation => [`${name}_count`, count, 'histogram']),
    ...histograms.map((name): Expectation => [`${name}_bucket`, count, 'histogram', { le: '+Inf' }]),
  ]);
}

/** `count` connections, opened and closed. */
function expectConnections(t: Test, pod: string, labels: Labels, count: number): Promise<void> {
  return expectMetrics(t, pod, labels, [
    ['istio_tcp_connections_closed_total', count, 'counter'],
    ['istio_tcp_connections_opened_total', count, 'counter'],
  ]);
}

async function sumOf(pod: string, name: string, labels: Labels): Promise<number> {
  return findSeries(await scrape(namespace, pod, metricPorts.proxy), name, labels)?.value ?? 0;
}

const bothSides = [
  ['client', 'source'],
  ['server', 'destination'],
] as const;

async function checkHttp(t: Test): Promise<void> {
  const requests = 20;
  callEcho(namespace, 'client', 'http://server/', '--count', String(requests));
  callEcho(namespace, 'client', 'http://server/?codes=418');
  for (const [pod, reporter] of bothSides) {
    const labels = { ...meshLabels(reporter), ...ofHttp(200) };
    await expectRequests(t, pod, labels, requests);
    await expectRequests(t, pod, { ...labels, ...ofHttp(418) }, 1);
    for (const name of ['istio_request_bytes', 'istio_response_bytes']) {
      const perRequest = (await sumOf(pod, `${name}_sum`, labels)) / requests;
      t.ok(perRequest > 50 && perRequest < 10_000, `${pod}: ${name} is ${perRequest} per request`);
    }
  }
}

async function checkTcp(t: Test): Promise<void> {
  const connections = 5;
  for (let i = 0; i < connections; i++) callEcho(namespace, 'client', `tcp://server:${appPorts.tcp}`);
  const bytes: number[] = [];
  for (const [pod, reporter] of bothSides) {
    const labels = { ...meshLabels(reporter), ...ofTcp };
    await expectConnections(t, pod, labels, connections);
    const sent = await sumOf(pod, 'istio_tcp_sent_bytes_total', labels);
    const received = await sumOf(pod, 'istio_tcp_received_bytes_total', labels);
    t.ok(sent > received && received > 0, `${pod}: the answer is longer than the question (${sent}, ${received})`);
    t.equal(received % connections, 0, `${pod}: the same for every connection`);
    bytes.push(received);
  }
  t.equal(bytes[1], bytes[0], 'both sides count the bytes of the application');
}

async function checkFailures(t: Test): Promise<void> {
  apply([
    istioObject('networking', 'VirtualService', namespace, 'narrow', {
      hosts: ['narrow'],
      http: [{ match: [{ uri: { prefix: '/only' } }], route: [{ destination: { host: 'server' } }] }],
    }),
  ]);
  let unrouted = 0;
  await waitFor('the narrow route', () => {
    const isUnrouted = callEcho(namespace, 'client', 'http://narrow/')[0]?.status === 404;
    if (isUnrouted) unrouted++;
    return isUnrouted;
  });
  const nowhere = { ...fromClient, ...unknownWorkload('destination'), ...unknownService('narrow', 'narrow') };
  await expectRequests(t, 'client', { ...nowhere, ...ofHttp(404, 'NR') }, unrouted);
  t.equal(callEcho(namespace, 'client', 'http://dead/')[0]?.status, 503);
  const dead = { ...fromClient, ...silentWorkload('plain'), ...serviceOf('dead') };
  await expectRequests(t, 'client', { ...dead, ...ofHttp(503, 'URX,UF') }, 1);
}

async function checkOutsiders(t: Test): Promise<void> {
  callEcho(namespace, 'client', 'http://plain/', '--count', '3');
  const toPlain = { ...fromClient, ...silentWorkload('plain'), ...serviceOf('plain') };
  await expectRequests(t, 'client', { ...toPlain, ...ofHttp(200) }, 3);
  callEcho(namespace, 'plain', 'http://server/', '--count', '4');
  callEcho(namespace, 'plain', `tcp://server:${appPorts.tcp}`);
  const fromPlain = {
    reporter: 'destination',
    ...unknownWorkload('source'),
    ...workloadOf('destination', 'server'),
    ...serviceOf('server'),
    destination_principal: 'unknown',
    connection_security_policy: 'none',
  };
  await expectRequests(t, 'server', { ...fromPlain, ...ofHttp(200) }, 4);
  await expectConnections(t, 'server', { ...fromPlain, ...ofTcp }, 1);
}

async function checkUnknownDestinations(t: Test): Promise<void> {
  const [plainIp, serverIp] = ['plain', 'server'].map(pod => podIp(namespace, pod));
  const labels = { ...fromClient, ...unknownWorkload('destination') };
  callEcho(namespace, 'client', `http://${plainIp}:${appPorts.http}/`, '--count', '2');
  const passed = { ...labels, ...unknownService('PassthroughCluster', `${plainIp}:${appPorts.http}`) };
  await expectRequests(t, 'client', { ...passed, ...ofHttp(200) }, 2);
  callEcho(namespace, 'client', `tcp://${plainIp}:${appPorts.tcp}`);
  await expectConnections(t, 'client', { ...labels, ...unknownService('PassthroughCluster', 'unknown'), ...ofTcp }, 1);
  apply([istioObject('networking', 'Sidecar', namespace, 'default', { outboundTrafficPolicy: { mode: 'REGISTRY_ONLY' } })]);
  t.teardown(() => void run('kubectl', ['-n', namespace, 'delete', 'sidecar', 'default']));
  let lost = 0;
  await waitFor('the black hole', () => {
    const url = `http://${serverIp}:80/`;
    const isLost = callEcho(namespace, 'client', url, '-H', 'Host: unknown.example')[0]?.status === 502;
    if (isLost) lost++;
    return isLost;
  });
  const blackHole = { ...labels, ...unknownService('BlackHoleCluster', 'unknown.example') };
  await expectRequests(t, 'client', { ...blackHole, ...ofHttp(502) }, lost);
}

testIn('default', "Istio's standard metrics", async t => {
  makeNamespace(t, 'mesh-metrics');
  const dead = service(namespace, 'dead');
  const ports = [
    { name: 'http', port: 80, targetPort: 9999 },
    // Makes the proxies take any destination on this port for HTTP.
    { name: 'http-direct', port: appPorts.http },
  ];
  deploy(
    namespace,
    [client, server, plain],
    [
      service(namespace, 'server'),
      service(namespace, 'plain'),
      service(namespace, 'narrow'),
      { ...dead, spec: { selector: { app: 'plain' }, ports } },
    ],
  );
  await waitForCluster(namespace, 'client', `outbound|80||server.${namespace}.svc.cluster.local`);
  await waitForCluster(namespace, 'client', `outbound|80||dead.${namespace}.svc.cluster.local`);
  await t.test('HTTP requests', checkHttp);
  await t.test('TCP connections', checkTcp);
  await t.test('no route, and no connection', checkFailures);
  await t.test('peers without a sidecar', checkOutsiders);
  await t.test('passthrough and black hole', checkUnknownDestinations);
});
