/** The same traffic, the same statistics: those of the proxy and of the Envoy twin, by name, label and type. */
import t, { type Test } from 'tap';
import { callEcho, deploy, makeNamespace, podIp, requireMode, testIn } from '../fixtures/mesh.ts';
import { metricPorts, type Series, scrape } from '../fixtures/metrics.ts';
import { type App, appPorts, service } from '../fixtures/pods.ts';
import { adminPage, waitForCluster } from '../fixtures/proxies.ts';
import { subject } from '../fixtures/subject.ts';

t.comment(`mode: ${requireMode()}, subject: ${subject}`);

/** Opens the statistics that Istio leaves out by default. */
const open = { 'sidecar.istio.io/statsInclusionPrefixes': 'cluster,http,listener,tcp,tls_inspector,http_inspector,vhost' };
const apps: App[] = [
  { name: 'own', sidecar: subject },
  { name: 'twin', sidecar: 'envoy' },
  { name: 'own-open', sidecar: subject, annotations: open },
  { name: 'twin-open', sidecar: 'envoy', annotations: open },
  { name: 'other', sidecar: 'envoy' },
];
const measured = ['own', 'twin', 'own-open', 'twin-open'];

/** Names that one of the two has on purpose, with the reason. */
const differences: readonly { readonly pattern: RegExp; readonly reason: string }[] = [
  { pattern: /(^|[._])(http[._])?admin[._]|="admin"/, reason: 'the admin API is not a listener of the data path' },
  {
    pattern: /ssl[._](curves|sigalgs|certificate|ciphers)/,
    reason: 'OpenSSL under Node.js tells less, and chooses other ciphers',
  },
  { pattern: /xds-grpc|sds-grpc/, reason: 'what a gRPC channel of Node.js does not tell' },
  { pattern: /wasm|workload_discovery|^envoy_server_worker|worker_\d/, reason: 'the number of workers' },
];
const isExcused = (name: string): boolean => differences.some(({ pattern }) => pattern.test(name));

/** Every pod has its own address, and the order of events decides which worker counts. */
const normalize = (text: string, address: string): string => text.replaceAll(address, '<ip>').replace(/worker_\d+/, 'worker_N');

function drive(namespace: string, pod: string): void {
  for (const path of ['/', '/?codes=503', '/?codes=404']) callEcho(namespace, pod, `http://other${path}`, '--count', '5');
  callEcho(namespace, pod, `tcp://other:${appPorts.tcp}`);
  callEcho(namespace, pod, `tcp://other:${appPorts.serverFirst}`);
  callEcho(namespace, pod, 'http://nowhere.example/');
  callEcho(namespace, pod, `http://${podIp(namespace, 'other')}:9999/`);
  callEcho(namespace, 'other', `http://${pod}/`, '--count', '5');
  callEcho(namespace, 'other', `http://${pod}/?codes=500`);
  callEcho(namespace, 'other', `tcp://${pod}:${appPorts.tcp}`);
}

/** Only what differs: a difference of thousands of lines takes a reporter minutes. */
function compare(t: Test, own: readonly string[], twin: readonly string[], what: string): void {
  const [ownSet, twinSet] = [new Set(own), new Set(twin)];
  t.not(own.length, 0, `${what}: there is something`);
  t.same(own.filter(line => !twinSet.has(line)).slice(0, 100), [], `${what}: nothing that the twin has not`);
  t.same(twin.filter(line => !ownSet.has(line)).slice(0, 100), [], `${what}: nothing is missing`);
}

function describe(series: readonly Series[], address: string): string[] {
  const lines = series.map(({ name, labels, type }) => `${name}${JSON.stringify(Object.entries(labels).sort())} ${type}`);
  return [...new Set(lines.filter(line => !isExcused(line)).map(line => normalize(line, address)))].sort();
}

testIn('bare', 'statistics are those of the Envoy twin', async t => {
  const namespace = makeNamespace(t, 'mesh-statistics');
  deploy(
    namespace,
    apps,
    apps.map(({ name }) => service(namespace, name)),
  );
  for (const pod of measured) {
    await waitForCluster(namespace, pod, `outbound|80||other.${namespace}.svc.cluster.local`);
    await waitForCluster(namespace, 'other', `outbound|80||${pod}.${namespace}.svc.cluster.local`);
  }
  for (const pod of measured) drive(namespace, pod);
  for (const suffix of ['', '-open']) {
    const [own, twin] = [`own${suffix}`, `twin${suffix}`];
    const [ownIp, twinIp] = [podIp(namespace, own), podIp(namespace, twin)];
    const series = await Promise.all([own, twin].map(pod => scrape(namespace, pod, metricPorts.proxy)));
    compare(t, describe(series[0], ownIp), describe(series[1], twinIp), `15090 of ${own}`);
    for (const filter of [
      '',
      '&filter=cluster\\.outbound.*other',
      '&filter=^http\\.',
      '&filter=^listener\\.',
      '&filter=^(tcp|server|cluster_manager)',
    ]) {
      const [ownNames, twinNames] = [own, twin].map(pod =>
        adminPage(namespace, pod, `stats?usedonly${filter}`)
          .split('\n')
          .map(line => normalize(line.slice(0, line.indexOf(': ')), podIp(namespace, pod)))
          .filter(name => !isExcused(name)),
      );
      compare(t, ownNames, twinNames, `/stats?usedonly${filter} of ${own}`);
    }
  }
});
