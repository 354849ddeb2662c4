/** Endpoints and routes change under load: no request fails; a changed route is in use soon after istiod has pushed it. */
import t from 'tap';
import { run, waitFor } from '../cluster/command.ts';
import { apply, getObject } from '../cluster/kubectl.ts';
import { startLoad } from '../fixtures/load.ts';
import { callEcho, deploy, makeNamespace, requireMode, testIn, waitReady } from '../fixtures/mesh.ts';
import { type App, istioObject, service } from '../fixtures/pods.ts';
import { waitForCluster } from '../fixtures/proxies.ts';
import { subject } from '../fixtures/subject.ts';

/** Beyond the median of the Envoy twin. */
const allowedExtraMs = 200;
const routeChanges = 7;

t.comment(`mode: ${requireMode()}, subject: ${subject}`);
const namespace = makeNamespace(t, 'mesh-scaling');
const client: App = { name: 'client', sidecar: subject };
const twin: App = { name: 'client-twin', sidecar: 'envoy' };
const lingering: App = { name: 'server', sidecar: subject, replicas: 1, lingerSeconds: 5 };
const abrupt: App = { name: 'abrupt', sidecar: subject, replicas: 1 };
deploy(namespace, [client, twin, lingering, abrupt], [service(namespace, 'server'), service(namespace, 'abrupt')]);

function scale(app: App, replicas: number): void {
  run('kubectl', ['-n', namespace, 'scale', `deployment/${app.name}`, `--replicas=${replicas}`]);
}

/** From one replica to five and down to two, while requests go on. */
async function scaleUpAndDown(app: App, pods: readonly string[], seconds: number): Promise<Record<string, number>> {
  scale(app, 1);
  waitReady(namespace, [app]);
  for (const pod of pods) await waitForCluster(namespace, pod, `outbound|81||${app.name}.${namespace}.svc.cluster.local`);
  const loads = pods.map(pod => startLoad(namespace, pod, { url: `http://${app.name}:81/`, rate: 200 / pods.length, seconds }));
  scale(app, 5);
  run('kubectl', ['-n', namespace, 'rollout', 'status', `deployment/${app.name}`, '--timeout=60s']);
  scale(app, 2);
  const reports = await Promise.all(loads);
  for (const [index, report] of reports.entries()) t.comment(`${pods[index]}: ${JSON.stringify(report.codes)}`);
  return Object.fromEntries(reports.map((report, index) => [pods[index], report.failed]));
}

t.test('scaling 1 -> 5 -> 2 fails no request where applications serve on for a while', async t => {
  const failed = await scaleUpAndDown(lingering, ['client'], 30);
  t.equal(failed.client, 0);
});

testIn('bare', 'with applications that die at once, not more requests fail than through Envoy', async t => {
  const failed = await scaleUpAndDown(abrupt, ['client', 'client-twin'], 25);
  t.ok(failed.client <= failed['client-twin'], JSON.stringify(failed));
});

t.test('changing routes under load fails no request', async t => {
  scale(lingering, 1);
  waitReady(namespace, [lingering]);
  const load = startLoad(namespace, 'client', { url: 'http://server:81/', rate: 200, seconds: 15 });
  for (let change = 0; change < 10; change++) {
    setHeader(`change-${change}`);
    await new Promise(resolve => setTimeout(resolve, 1000));
  }
  const report = await load;
  t.equal(report.failed, 0, JSON.stringify(report.codes));
});

/** A route that adds the header `x-change` to responses. */
function setHeader(value: string): void {
  apply([
    istioObject('networking', 'VirtualService', namespace, 'server', {
      hosts: ['server'],
      http: [{ headers: { response: { set: { 'x-change': value } } }, route: [{ destination: { host: 'server' } }] }],
    }),
  ]);
}

/** When istiod said that it pushes, in milliseconds of its clock, which is this machine's. */
function lastPushMs(): number {
  const pod = getObject('-n', 'istio-system', 'pods', '-l', 'app=istiod').items[0].metadata.name;
  const lines = run('kubectl', ['-n', 'istio-system', 'logs', pod, '--tail=200']).split('\n');
  const push = lines.findLast(line => /ads\s+Push debounce stable/.test(line));
  if (!push) throw new Error('istiod logged no push');
  return Date.parse(push.split('\t')[0]);
}

/** From istiod's push to the first reply with the new header, seen by a client that asks without pause. */
async function measureChange(pod: string, value: string): Promise<number> {
  // One process in the pod asks all the time: starting one per request would cost more than what is measured.
  const asking = startLoad(namespace, pod, { url: 'http://server:81/', rate: 50, connections: 1, seconds: 4 });
  setHeader(value);
  const seenAt = await waitFor(`${value} at ${pod}`, () => (hasRoute(pod, value) ? Date.now() : null), 20_000, 10);
  const latency = seenAt - lastPushMs();
  await asking;
  return latency;
}

function hasRoute(pod: string, value: string): boolean {
  return callEcho(namespace, pod, 'http://server/')[0]?.headers.get('x-change') === value;
}

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[values.length >> 1];
}

testIn('bare', 'a new route is in use as soon as with Envoy', async t => {
  const times: Record<string, number[]> = { client: [], 'client-twin': [] };
  for (let change = 0; change < routeChanges; change++) {
    for (const pod of ['client', 'client-twin']) times[pod].push(await measureChange(pod, `${pod}-${change}`));
  }
  t.comment(`milliseconds: ${JSON.stringify(times)}`);
  t.ok(median(times.client) <= median(times['client-twin']) + allowedExtraMs);
});
