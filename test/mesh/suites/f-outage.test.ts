/** istiod is gone, or cannot be reached: traffic goes on, and what changed meanwhile arrives soon after its return. */
import t from 'tap';
import { run, tryRun, waitFor } from '../cluster/command.ts';
import { getObject } from '../cluster/kubectl.ts';
import { containerdSocket } from '../cluster/layout.ts';
import { startLoad } from '../fixtures/load.ts';
import { deploy, makeNamespace, podIp, requireMode, waitReady } from '../fixtures/mesh.ts';
import { scrape } from '../fixtures/metrics.ts';
import { type App, service } from '../fixtures/pods.ts';
import { adminPage, sidecarStatus, syncStates, waitForCluster } from '../fixtures/proxies.ts';
import { subject } from '../fixtures/subject.ts';

const outageSeconds = 60;
const returnLimitMs = 30_000;
/** Thirty seconds of silence and ten for the answer. */
const keepaliveLimitMs = 40_000;
/** A second istiod may be there, of another revision. */
const istiodLabels = 'app=istiod,istio.io/rev=default';

t.comment(`mode: ${requireMode()}, subject: ${subject}`);
const namespace = makeNamespace(t, 'mesh-outage');
const client: App = { name: 'client', sidecar: subject };
const server: App = { name: 'server', sidecar: subject, replicas: 2, lingerSeconds: 5 };
// Pods without a sidecar start although istiod is away: they are the endpoints that change.
const plain: App = { name: 'plain', sidecar: 'none', replicas: 1 };
deploy(namespace, [client, server, plain], [service(namespace, 'server'), service(namespace, 'plain')]);
const plainCluster = `outbound|80||plain.${namespace}.svc.cluster.local`;
await waitForCluster(namespace, 'client', plainCluster, 1);

function scalePlain(replicas: number): void {
  run('kubectl', ['-n', namespace, 'scale', 'deployment/plain', `--replicas=${replicas}`]);
  run('kubectl', ['-n', namespace, 'rollout', 'status', 'deployment/plain', '--timeout=60s']);
}

function scaleIstiod(replicas: number): void {
  run('kubectl', ['-n', 'istio-system', 'scale', 'deployment/istiod', `--replicas=${replicas}`]);
}

const troubleNames = ['istio_agent_istiod_connection_failures', 'istio_agent_istiod_connection_terminations'];

/** How often the agent of the client lost istiod, or did not reach it. */
async function countTroubles(): Promise<number> {
  const counts = (await scrape(namespace, 'client', 15020)).filter(({ name }) => troubleNames.includes(name));
  return counts.reduce((sum, { value }) => sum + value, 0);
}

t.test('without istiod traffic goes on, and changes arrive within 30 s of its return', async t => {
  // The injection webhook of an absent istiod would hold up every new pod of this namespace.
  run('kubectl', ['label', 'namespace', namespace, 'istio-injection-']);
  t.teardown(() => void run('kubectl', ['label', 'namespace', namespace, 'istio-injection=enabled', '--overwrite']));
  t.teardown(() => scaleIstiod(1));
  const load = startLoad(namespace, 'client', { url: 'http://server:81/', rate: 200, seconds: outageSeconds + 20 });
  const troubles = await countTroubles();
  scaleIstiod(0);
  await waitFor(
    'istiod to be gone',
    () => getObject('-n', 'istio-system', 'pods', '-l', istiodLabels).items.length === 0,
    60_000,
  );
  await waitFor('the loss to be noticed', async () => (await countTroubles()) > troubles, keepaliveLimitMs);
  scalePlain(3);
  await new Promise(resolve => setTimeout(resolve, outageSeconds * 1000 - 20_000));
  scaleIstiod(1);
  run('kubectl', ['-n', 'istio-system', 'rollout', 'status', 'deployment/istiod', '--timeout=120s']);
  const returned = Date.now();
  await waitForCluster(namespace, 'client', plainCluster, 3);
  t.ok(Date.now() - returned < returnLimitMs, `changes arrived ${Date.now() - returned} ms after the return`);
  const report = await load;
  t.equal(report.failed, 0, JSON.stringify(report.codes));
  t.equal(sidecarStatus(namespace, 'client').restartCount, 0);
});

t.test('an unreachable istiod is noticed by keepalive within 40 s, and changes arrive after it is back', async t => {
  await waitFor('the connection', () => syncStates(namespace, 'client').size > 0, 60_000);
  const istiod: string = getObject('-n', 'istio-system', 'pods', '-l', istiodLabels).items[0].status.podIP;
  const rule = ['-s', podIp(namespace, 'client'), '-d', istiod, '-j', 'DROP'];
  // Pods share a bridge: what passes between them is seen by iptables only if it is routed, so it is dropped inside istiod's namespace.
  const container: string = getObject('-n', 'istio-system', 'pods', '-l', istiodLabels).items[0].status.containerStatuses[0]
    .containerID;
  const pid = containerPid(container);
  const inIstiod = (...args: string[]): void => void run('nsenter', ['-t', String(pid), '-n', 'iptables', ...args]);
  const troubles = await countTroubles();
  inIstiod('-I', 'INPUT', ...rule);
  const dropped = Date.now();
  t.teardown(() => void tryRun('nsenter', ['-t', String(pid), '-n', 'iptables', '-D', 'INPUT', ...rule]));
  const load = startLoad(namespace, 'client', { url: 'http://server:81/', rate: 200, seconds: 45 });
  await waitFor('keepalive', async () => (await countTroubles()) > troubles, keepaliveLimitMs + 5000);
  t.ok(Date.now() - dropped < keepaliveLimitMs, `noticed after ${Date.now() - dropped} ms`);
  scalePlain(2);
  inIstiod('-D', 'INPUT', ...rule);
  const returned = Date.now();
  await waitFor('the new endpoints', () => healthyHosts() === 2, returnLimitMs + 5000);
  t.ok(Date.now() - returned < returnLimitMs, `changes arrived ${Date.now() - returned} ms after the return`);
  const report = await load;
  t.equal(report.failed, 0, JSON.stringify(report.codes));
  waitReady(namespace, [client]);
});

function healthyHosts(): number {
  const lines = adminPage(namespace, 'client', 'clusters').split('\n');
  return lines.filter(line => line.startsWith(`${plainCluster}::`) && line.includes('::health_flags::healthy')).length;
}

function containerPid(containerId: string): number {
  const { stdout } = tryRun('ctr', ['-a', containerdSocket, '-n', 'k8s.io', 'tasks', 'ls']);
  const id = containerId.replace('containerd://', '');
  const line = stdout.split('\n').find(text => text.startsWith(id));
  if (!line) throw new Error(`no task of container ${id}`);
  return Number(line.trim().split(/\s+/)[1]);
}
