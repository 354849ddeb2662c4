/** Endpoints and routes change under load: no request fails; a changed route is in use soon after istiod has pushed it. */
import { spawn } from 'node:child_process';
import t, { type Test } from 'tap';
import { run, waitFor } from '../cluster/command.ts';
import { revision } from '../cluster/istio.ts';
import { apply, getObject } from '../cluster/kubectl.ts';
import { type LoadOptions, startLoad } from '../fixtures/load.ts';
import { deploy, makeNamespace, requireMode, waitReady } from '../fixtures/mesh.ts';
import { testIn } from '../fixtures/modes.ts';
import { type App, istioObject, service } from '../fixtures/pods.ts';
import { sidecarPid, waitForCluster } from '../fixtures/proxies.ts';
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

type Source = { readonly pod: string; readonly load: Omit<LoadOptions, 'url'> };

/** From one replica to five and down to two, while requests go on; failed requests by source. */
async function scaleUpAndDown(t: Test, app: App, sources: readonly Source[], seconds: number): Promise<number[]> {
  scale(app, 1);
  waitReady(namespace, [app]);
  const cluster = `outbound|81||${app.name}.${namespace}.svc.cluster.local`;
  for (const { pod } of sources) await waitForCluster(namespace, pod, cluster);
  let running = sources.length;
  const loads = sources.map(({ pod, load }) =>
    startLoad(namespace, pod, { ...load, url: `http://${app.name}:81/`, seconds }).finally(() => running--),
  );
  scale(app, 5);
  for (const { pod } of sources) await waitForCluster(namespace, pod, cluster, 5);
  scale(app, 2);
  await waitFor('two pods to be left', () => {
    const { items } = getObject('-n', namespace, 'pods', '-l', `app=${app.name}`);
    return items.length === 2;
  });
  t.equal(running, sources.length, 'all of it happened under load');
  const reports = await Promise.all(loads);
  for (const [index, { codes, total, meanBodyBytes }] of reports.entries()) {
    const { pod, load } = sources[index];
    t.comment(`${pod}: ${JSON.stringify(codes)}`);
    t.ok(total > 500, `${total} requests`);
    if (codes['200'] === total) t.equal(meanBodyBytes, load.payloadBytes ?? 0, 'every body is whole');
  }
  return reports.map(({ failed }) => failed);
}

t.test('scaling 1 -> 5 -> 2 fails no request where applications serve on for a while', async t => {
  const sources: Source[] = [
    { pod: 'client', load: { rate: 100, connections: 8 } },
    { pod: 'client', load: { rate: 100, connections: 8, fresh: true, payloadBytes: 10_240 } },
  ];
  t.same(await scaleUpAndDown(t, lingering, sources, 40), [0, 0]);
});

testIn('bare', 'with applications that die at once, not more requests fail than through Envoy', async t => {
  const load = { rate: 100, connections: 8 };
  const sources: Source[] = ['client', 'client-twin'].map(pod => ({ pod, load }));
  const [own, twin] = await scaleUpAndDown(t, abrupt, sources, 30);
  // Which requests meet a dying pod is chance for both alike: two standard deviations of the difference of two such counts.
  const tolerance = 2 * Math.sqrt(own + twin);
  t.ok(own <= twin + tolerance, `${own} failed, ${twin} through Envoy`);
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

/** When istiod began the push that brought a change, in milliseconds of its clock, which is this machine's. */
function findPushMs(changedMs: number, seenMs: number): number {
  const pod = getObject('-n', 'istio-system', 'pods', '-l', `app=istiod,istio.io/rev=${revision || 'default'}`).items[0];
  const lines = run('kubectl', ['-n', 'istio-system', 'logs', pod.metadata.name, '--since=30s']).split('\n');
  const pushes = lines
    .filter(line => line.includes('Push debounce stable'))
    .map(line => ({ line, timeMs: Date.parse(line.split('\t')[0]) }))
    .filter(({ timeMs }) => timeMs >= changedMs && timeMs <= seenMs);
  // The log names one change of each push, which another of the same moment may have displaced.
  const push = pushes.find(({ line }) => line.includes(`/${namespace}/server`)) ?? pushes.at(-1);
  if (!push) throw new Error('istiod logged no push');
  return push.timeMs;
}

/** Asks from the pod's network until a reply has the header; prints when that was. */
const asker = `
  import { get, Agent } from 'node:http';
  const [host, port, value] = process.argv.slice(1);
  const agent = new Agent({ keepAlive: true });
  const ask = () => get({ host, port, agent, headers: { host: 'server' } }, response => {
    response.resume();
    if (response.headers['x-change'] === value) { console.log(Date.now()); process.exit(); }
    response.on('end', () => setTimeout(ask, 5));
  }).on('error', () => setTimeout(ask, 5));
  ask();`;

/** From istiod's push to the first reply with the new header, seen by a client that asks every few milliseconds. */
async function measureChange(pod: string, value: string): Promise<number> {
  const address = getObject('-n', namespace, 'service', 'server').spec.clusterIP;
  const command = [process.execPath, '--input-type=module', '-e', asker, address, '80', value];
  const child = spawn('nsenter', ['-t', String(sidecarPid(namespace, pod)), '-n', ...command], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const seen = new Promise<number>((resolve, reject) => {
    let text = '';
    child.stdout.on('data', chunk => (text += chunk));
    child.on('close', () => (text === '' ? reject(new Error('the asker saw no change')) : resolve(Number(text))));
  });
  const changedMs = Date.now();
  setHeader(value);
  const limit = setTimeout(() => child.kill(), 20_000);
  const seenMs = await seen.finally(() => clearTimeout(limit));
  return seenMs - findPushMs(changedMs, seenMs);
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
