/** The same traffic, the same statistics: those of the proxy and of the Envoy twin, by name, label and type. */
import t, { type Test } from 'tap';
import { waitFor } from '../cluster/command.ts';
import { callEcho, deploy, makeNamespace, podIp, requireMode } from '../fixtures/mesh.ts';
import { testIn } from '../fixtures/modes.ts';
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
  {
    pattern: /(^|[._"])admin[._"]/,
    reason: 'the admin API is not a listener of the data path',
  },
  {
    pattern: /ssl[._](curves|sigalgs)/,
    reason: 'Node.js tells them on one side or not at all, and has no post-quantum group by default',
  },
  { pattern: /\.ssl\.session_reused$/, reason: 'each worker keeps sessions of its own: which one connects is chance' },
  {
    pattern: /^cluster\.agent;?\.upstream_(cx_destroy(_remote)?|cx_length_ms|rq_per_cx)$/,
    reason: 'the agent closes idle connections, the original keeps them',
  },
  {
    pattern: /^cluster\.PassthroughCluster;?\.upstream_cx_destroy_(local|remote)/,
    reason: 'which of two ends closes first is chance',
  },
  { pattern: /\.circuit_breakers\.high\.cx_pool_open$/, reason: 'Envoy touches it when it drops an idle pool' },
  { pattern: /\.tracing\.random_sampling$/, reason: 'one request in a hundred' },
  {
    pattern:
      /^cluster_manager\.cluster_(modified|removed)$|^listener_manager\.(listener_(modified|removed|in_place)|total_\w+_draining)/,
    reason: 'a pod that started later got fewer changes',
  },
  { pattern: /watchdog_(mega_)?miss$/, reason: 'how busy the machine is' },
  {
    pattern: /^cluster\.prometheus_stats;?\.upstream_flow_control_/,
    reason: 'compression goes on beside the stream, which waits for it',
  },
];
const isExcused = (name: string): boolean => differences.some(({ pattern }) => pattern.test(name));

const filters = [
  '',
  '&filter=cluster\\.outbound.*other',
  '&filter=^http\\.',
  '&filter=^listener\\.',
  '&filter=^(tcp|server|cluster_manager)',
];
/** What the traffic alone decides: here the values are the same, too. */
const counted =
  '&filter=^(cluster\\.(in|out)bound\\|80(80)?\\|\\|(other.*)?|http\\.(in|out)bound.*)_rq_([1-5]|total|completed|http1)';
/** Longer than applications keep idle connections. */
const settleMs = 60_000;

/** Every pod has its own address, and the order of events decides which worker counts. */
const normalize = (text: string, address: string): string => text.replaceAll(address, '<ip>').replace(/worker_\d+/g, 'worker_N');

const nameOf = (line: string): string => line.slice(0, line.indexOf(': '));

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

/** What one of the two has alone, in few lines: a difference of thousands takes a reporter minutes. */
function listDifferences(own: readonly string[], twin: readonly string[]): string[] {
  const [ownSet, twinSet] = [new Set(own), new Set(twin)];
  const extra = own.filter(line => !twinSet.has(line)).map(line => `only here: ${line}`);
  const missing = twin.filter(line => !ownSet.has(line)).map(line => `only in the twin: ${line}`);
  return [...extra, ...missing].slice(0, 50);
}

/** The last connections end, and the last pushes come, a little later at one of the two. */
async function compare(
  t: Test,
  what: string,
  read: (pod: string) => Promise<string[]> | string[],
  suffix: string,
): Promise<void> {
  let differing: string[] = [];
  let count = 0;
  const isEqual = async (): Promise<boolean> => {
    const [own, twin] = [await read(`own${suffix}`), await read(`twin${suffix}`)];
    count = own.length;
    differing = listDifferences(own, twin);
    return differing.length === 0;
  };
  await waitFor(what, isEqual, settleMs, 1000).catch(() => null);
  t.equal(differing.join('\n'), '', `${what} of own${suffix}: as of the twin`);
  t.not(count, 0, `${what} of own${suffix}: there is something`);
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
  const readSeries = async (pod: string): Promise<string[]> =>
    describe(await scrape(namespace, pod, metricPorts.proxy), podIp(namespace, pod));
  const readText = (pod: string, filter: string): string[] => {
    const text = normalize(adminPage(namespace, pod, `stats?usedonly${filter}`), podIp(namespace, pod));
    return text.split('\n').filter(line => !isExcused(nameOf(line)));
  };
  for (const suffix of ['', '-open']) {
    await compare(t, '15090', readSeries, suffix);
    for (const filter of filters) await compare(t, `/stats?usedonly${filter}`, pod => readText(pod, filter).map(nameOf), suffix);
    await compare(t, `/stats?usedonly${counted}`, pod => readText(pod, counted), suffix);
  }
});
