/** Istio's standard metrics on both sides, with every label, through the proxy's endpoint and the agent's. */
import t, { type Test } from 'tap';
import { run, waitFor } from '../cluster/command.ts';
import { apply } from '../cluster/kubectl.ts';
import { callEcho, deploy, makeNamespace, podIp, requireMode, testIn } from '../fixtures/mesh.ts';
import { metricPorts, type Series, scrape } from '../fixtures/metrics.ts';
import { type App, appPorts, istioObject, service } from '../fixtures/pods.ts';
import { waitForCluster } from '../fixtures/proxies.ts';
import { subject } from '../fixtures/subject.ts';

t.comment(`mode: ${requireMode()}, subject: ${subject}`);

const namespace = 'mesh-metrics';
const client: App = { name: 'client', sidecar: subject };
const server: App = { name: 'server', sidecar: subject };
const plain: App = { name: 'plain', sidecar: 'none' };
const requests = 20;
const connections = 5;

type Labels = Readonly<Record<string, string>>;

const principal = `spiffe://cluster.local/ns/${namespace}/sa/default`;

const workloadOf = (side: 'source' | 'destination', name: string): Labels => ({
  [`${side}_workload`]: name,
  [`${side}_canonical_service`]: name,
  [`${side}_canonical_revision`]: 'v1',
  [`${side}_workload_namespace`]: namespace,
  [`${side}_app`]: name,
  [`${side}_version`]: 'v1',
  [`${side}_cluster`]: 'Kubernetes',
});

const serviceOf = (name: string): Labels => ({
  destination_service: `${name}.${namespace}.svc.cluster.local`,
  destination_service_name: name,
  destination_service_namespace: namespace,
});

/** Between the two sidecars, as the reporter sees it. */
const meshLabels = (reporter: 'source' | 'destination'): Labels => ({
  reporter,
  ...workloadOf('source', 'client'),
  ...workloadOf('destination', 'server'),
  ...serviceOf('server'),
  source_principal: principal,
  destination_principal: principal,
  response_flags: '-',
  connection_security_policy: reporter === 'source' ? 'unknown' : 'mutual_tls',
});

const httpLabels = (reporter: 'source' | 'destination', code = '200'): Labels => ({
  ...meshLabels(reporter),
  request_protocol: 'http',
  response_code: code,
  grpc_response_status: '',
});

/** The label set of the one series of that name that has all of `wanted`, and its value; null if there is none. */
function findSeries(all: readonly Series[], name: string, wanted: Labels): Series | null {
  const keys = Object.keys(wanted);
  return all.find(series => series.name === name && keys.every(key => series.labels[key] === wanted[key])) ?? null;
}

/** Scrapes until a series is there. */
function awaitSeries(pod: string, name: string, wanted: Labels): Promise<Series> {
  return waitFor(`${name} ${JSON.stringify(wanted)} of ${pod}`, async () =>
    findSeries(await scrape(namespace, pod, metricPorts.proxy), name, wanted),
  );
}

const bothSides = [
  ['client', 'source'],
  ['server', 'destination'],
] as const;
const bothPorts = Object.entries(metricPorts);

async function checkHttp(t: Test): Promise<void> {
  callEcho(namespace, 'client', 'http://server/', '--count', String(requests));
  callEcho(namespace, 'client', 'http://server/?codes=418');
  for (const [pod, reporter] of bothSides) {
    await awaitSeries(pod, 'istio_requests_total', httpLabels(reporter, '418'));
    for (const [endpoint, port] of bothPorts) {
      const all = await scrape(namespace, pod, port);
      const total = findSeries(all, 'istio_requests_total', httpLabels(reporter));
      t.same(total?.labels, httpLabels(reporter), `${pod} ${endpoint}: exactly these labels`);
      t.equal(total?.value, requests, `${pod} ${endpoint}: istio_requests_total`);
      t.equal(total?.type, 'counter');
      t.equal(findSeries(all, 'istio_requests_total', httpLabels(reporter, '418'))?.value, 1, 'another code is another series');
      for (const name of ['istio_request_duration_milliseconds', 'istio_request_bytes', 'istio_response_bytes']) {
        const count = findSeries(all, `${name}_count`, httpLabels(reporter));
        t.equal(count?.value, requests, `${pod} ${endpoint}: ${name}`);
        t.equal(count?.type, 'histogram');
        t.equal(findSeries(all, `${name}_bucket`, { ...httpLabels(reporter), le: '+Inf' })?.value, requests);
      }
      for (const name of ['istio_request_bytes', 'istio_response_bytes']) {
        const perRequest = (findSeries(all, `${name}_sum`, httpLabels(reporter))?.value ?? 0) / requests;
        t.ok(perRequest > 50 && perRequest < 10_000, `${pod} ${endpoint}: ${name} is ${perRequest} per request`);
      }
    }
  }
}

async function checkTcp(t: Test): Promise<void> {
  for (let i = 0; i < connections; i++) callEcho(namespace, 'client', `tcp://server:${appPorts.tcp}`);
  for (const [pod, reporter] of bothSides) {
    const labels: Labels = { ...meshLabels(reporter), request_protocol: 'tcp' };
    await waitFor(`closed connections of ${pod}`, async () => {
      const all = await scrape(namespace, pod, metricPorts.proxy);
      return findSeries(all, 'istio_tcp_connections_closed_total', labels)?.value === connections;
    });
    for (const [endpoint, port] of bothPorts) {
      const all = await scrape(namespace, pod, port);
      const opened = findSeries(all, 'istio_tcp_connections_opened_total', labels);
      t.same(opened?.labels, labels, `${pod} ${endpoint}: exactly these labels`);
      t.equal(opened?.value, connections, `${pod} ${endpoint}: opened`);
      t.equal(findSeries(all, 'istio_tcp_connections_closed_total', labels)?.value, connections, `${pod} ${endpoint}: closed`);
      for (const name of ['istio_tcp_sent_bytes_total', 'istio_tcp_received_bytes_total']) {
        t.ok((findSeries(all, name, labels)?.value ?? 0) > 0, `${pod} ${endpoint}: ${name}`);
      }
    }
  }
}

async function checkFailures(t: Test): Promise<void> {
  const only = { prefix: '/only' };
  apply([
    istioObject('networking', 'VirtualService', namespace, 'narrow', {
      hosts: ['narrow'],
      http: [{ match: [{ uri: only }], route: [{ destination: { host: 'server' } }] }],
    }),
  ]);
  await waitFor('the narrow route', () => callEcho(namespace, 'client', 'http://narrow/')[0]?.status === 404);
  const unrouted = await awaitSeries('client', 'istio_requests_total', { response_code: '404', response_flags: 'NR' });
  t.match(unrouted.labels, { reporter: 'source', destination_workload: 'unknown', destination_service_name: 'narrow' });
  t.equal(callEcho(namespace, 'client', 'http://dead/')[0]?.status, 503);
  const failed = await awaitSeries('client', 'istio_requests_total', { response_code: '503', destination_service_name: 'dead' });
  t.match(failed.labels, { ...workloadOf('destination', 'plain'), ...serviceOf('dead'), destination_principal: 'unknown' });
  t.match(failed.labels.response_flags, /\bUF\b/);
}

async function checkOutsiders(t: Test): Promise<void> {
  callEcho(namespace, 'client', 'http://plain/', '--count', '3');
  const toPlain = await awaitSeries('client', 'istio_requests_total', {
    destination_service_name: 'plain',
    response_code: '200',
  });
  t.match(toPlain, { value: 3, labels: { ...workloadOf('destination', 'plain'), destination_principal: 'unknown' } });
  callEcho(namespace, 'plain', 'http://server/', '--count', '4');
  const fromPlain = await awaitSeries('server', 'istio_requests_total', { source_workload: 'unknown', response_code: '200' });
  t.match(fromPlain, {
    value: 4,
    labels: {
      ...workloadOf('destination', 'server'),
      ...serviceOf('server'),
      source_principal: 'unknown',
      source_canonical_service: 'unknown',
      source_canonical_revision: 'latest',
      connection_security_policy: 'none',
    },
  });
}

async function checkUnknownDestinations(t: Test): Promise<void> {
  const ip = podIp(namespace, 'plain');
  callEcho(namespace, 'client', `http://${ip}:${appPorts.fortio}/`, '--count', '2');
  const passed = await awaitSeries('client', 'istio_requests_total', { destination_service_name: 'PassthroughCluster' });
  t.match(passed, {
    value: 2,
    labels: { response_code: '200', destination_workload: 'unknown', destination_principal: 'unknown' },
  });
  callEcho(namespace, 'client', `tcp://${ip}:${appPorts.tcp}`);
  await awaitSeries('client', 'istio_tcp_connections_closed_total', { destination_service_name: 'PassthroughCluster' });
  apply([istioObject('networking', 'Sidecar', namespace, 'default', { outboundTrafficPolicy: { mode: 'REGISTRY_ONLY' } })]);
  t.teardown(() => void run('kubectl', ['-n', namespace, 'delete', 'sidecar', 'default']));
  const call = () => callEcho(namespace, 'client', `http://${podIp(namespace, 'server')}:80/`, '-H', 'Host: unknown.example');
  await waitFor('the black hole', () => call()[0]?.status === 502);
  const lost = await awaitSeries('client', 'istio_requests_total', { destination_service_name: 'BlackHoleCluster' });
  t.match(lost.labels, { response_code: '502', destination_workload: 'unknown' });
}

testIn('default', "Istio's standard metrics", async t => {
  makeNamespace(t, namespace);
  const dead = service(namespace, 'dead');
  const ports = [{ name: 'http', port: 80, targetPort: 9999 }];
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
