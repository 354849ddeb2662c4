/** Pods end under load without cutting requests off; a killed proxy, agent or worker restarts the container at once. */
import { readdirSync, readFileSync } from 'node:fs';
import t from 'tap';
import { run, waitFor } from '../cluster/command.ts';
import { apply } from '../cluster/kubectl.ts';
import { images } from '../cluster/layout.ts';
import { startLoad } from '../fixtures/load.ts';
import { callEcho, deploy, makeNamespace, requireMode } from '../fixtures/mesh.ts';
import { type App, service } from '../fixtures/pods.ts';
import { containerEndMs, sidecarId, sidecarPid, sidecarStartMs, sidecarStatus, waitForCluster } from '../fixtures/proxies.ts';
import { subject } from '../fixtures/subject.ts';

/** From the kill to the end of the whole container. */
const endLimitMs = 1000;
/** For filling the heap of a worker, and for the proxy to end of it. */
const fillLimitMs = 5000;
/** From the kill to the start of the next container: the kubelet looks once in a second, and then prepares it. */
const restartLimitMs = 3000;

t.comment(`mode: ${requireMode()}, subject: ${subject}`);
const namespace = makeNamespace(t, 'mesh-termination');
const client: App = { name: 'client', sidecar: subject };
const stays: App = { name: 'stays', label: 'server', sidecar: subject };
deploy(namespace, [client, stays], [service(namespace, 'server')]);

for (const native of [false, true]) {
  t.test(`a ${native ? 'native' : 'classic'} pod that is deleted under load finishes its requests`, async t => {
    const goes: App = {
      name: `goes-${native ? 'native' : 'classic'}`,
      label: 'server',
      sidecar: subject,
      native,
      lingerSeconds: 5,
    };
    deploy(namespace, [goes]);
    await waitForCluster(namespace, 'client', `outbound|80||server.${namespace}.svc.cluster.local`, 2);
    const load = startLoad(namespace, 'client', { url: 'http://server:81/?delay=200ms', rate: 100, seconds: 15 });
    run('kubectl', ['-n', namespace, 'delete', 'pod', goes.name, '--wait=false']);
    const report = await load;
    t.equal(report.failed, 0, JSON.stringify(report.codes));
    t.ok(report.total > 1000, `${report.total} requests`);
  });
}

/** A Job of one request: to the server, or to a classic sidecar, which has to be told that its application is done. */
function applyJob(name: string, native: boolean): void {
  const request = native ? ['http://server/'] : ['-X', 'POST', 'http://localhost:15020/quitquitquit'];
  const annotations = {
    'sidecar.istio.io/proxyImage': images[subject as Exclude<typeof subject, 'none'>],
    'sidecar.istio.io/nativeSidecar': String(native),
    'proxy.istio.io/config': JSON.stringify({ holdApplicationUntilProxyStarts: true }),
  };
  const command = ['/usr/local/bin/fortio', 'curl', ...request];
  const app = { name: 'app', image: images.echo, imagePullPolicy: 'Never', command };
  const template = { metadata: { annotations }, spec: { restartPolicy: 'Never', containers: [app] } };
  apply([{ apiVersion: 'batch/v1', kind: 'Job', metadata: { name, namespace }, spec: { backoffLimit: 0, template } }]);
}

for (const native of [false, true]) {
  const kind = native ? 'native' : 'classic';
  t.test(`a Job with a ${kind} sidecar completes when its application has`, async () => {
    applyJob(`job-${kind}`, native);
    run('kubectl', ['-n', namespace, 'wait', '--for=condition=Complete', `job/job-${kind}`, '--timeout=90s']);
  });
}

/** Children of a process, the youngest last. */
function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(Number)
    .filter(child => {
      try {
        return Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${child}/status`, 'utf8'))?.[1]) === pid;
      } catch {
        return false;
      }
    })
    .sort((one, other) => one - other);
}

type Victim = {
  name: string;
  annotations?: Readonly<Record<string, string>>;
  /** Does it; gives the time, in milliseconds of the wall clock, from which on the container has to end. */
  strike: (agent: number, pod: string) => Promise<number>;
};

/** Fills the heap of a worker thread, through the inspector that the pod's annotation opened. */
async function fillWorkerHeap(agent: number, pod: string): Promise<number> {
  // The second: the agent's own comes first.
  const address = await waitFor('the inspector', () => {
    const log = run('kubectl', ['-n', namespace, 'logs', pod, '-c', 'istio-proxy']);
    return [...log.matchAll(/Debugger listening on (ws:\S+)/g)][1]?.[1] ?? null;
  });
  const script = `
    const socket = new WebSocket(${JSON.stringify(address)});
    const send = (method, params) => socket.send(JSON.stringify({ id: 1, method, params }));
    socket.onopen = () => send('NodeWorker.enable', { waitForDebuggerOnStart: false });
    socket.onclose = () => process.exit();
    let struck = false;
    socket.onmessage = ({ data }) => {
      const { method, params } = JSON.parse(data);
      if (method !== 'NodeWorker.attachedToWorker' || struck) return;
      struck = true;
      const expression = 'globalThis.held = []; for (;;) held.push(new Array(10000).fill(0.5))';
      const message = JSON.stringify({ id: 1, method: 'Runtime.evaluate', params: { expression } });
      send('NodeWorker.sendMessageToWorker', { sessionId: params.sessionId, message });
    };`;
  run('nsenter', ['-t', String(agent), '-n', process.execPath, '--input-type=module', '-e', script], {
    timeoutMs: fillLimitMs,
  });
  // The inspector's connection ends with the proxy.
  return Date.now();
}

const kill = (find: (agent: number) => number | undefined) => async (agent: number) => {
  const pid = find(agent);
  if (pid === undefined) throw new Error('the agent has no child');
  process.kill(pid, 'SIGKILL');
  return Date.now();
};
const victims: readonly Victim[] = [
  { name: 'proxy', strike: kill(agent => childrenOf(agent)[0]) },
  { name: 'agent', strike: kill(agent => agent) },
];
const outOfMemory: Victim = {
  name: 'worker',
  annotations: {
    'sidecar.istio.io/proxyMemoryLimit': '256Mi',
    'proxy.istio.io/config': JSON.stringify({ proxyMetadata: { NODE_OPTIONS: '--inspect=127.0.0.1:0' } }),
  },
  strike: fillWorkerHeap,
};
const withWorkers = subject === 'sidecar' ? [outOfMemory] : [];

for (const { name, annotations, strike } of [...victims, ...withWorkers]) {
  const what = name === 'worker' ? 'a worker out of memory' : `SIGKILL of the ${name}`;
  t.test(`${what}: the container restarts, and nothing of the old one is left`, async t => {
    const target: App = { name: `victim-${name}`, sidecar: subject, annotations };
    deploy(namespace, [target], [service(namespace, target.name)]);
    await waitForCluster(namespace, 'client', `outbound|80||${target.name}.${namespace}.svc.cluster.local`);
    const agent = sidecarPid(namespace, target.name);
    const family = [agent, ...childrenOf(agent)];
    const old = sidecarId(namespace, target.name);
    const struckMs = await strike(agent, target.name);
    const endedMs = await waitFor('the end of the container', () => containerEndMs(old), 20_000, 20);
    t.ok(endedMs - struckMs < endLimitMs, `ended after ${Math.round(endedMs - struckMs)} ms`);
    await waitFor('the restart', () => sidecarStatus(namespace, target.name).restartCount === 1, 20_000, 100);
    const startedMs = await waitFor(
      'the new container',
      () => (sidecarId(namespace, target.name) === old ? null : sidecarStartMs(namespace, target.name) || null),
      20_000,
      100,
    );
    t.ok(startedMs - struckMs < restartLimitMs, `started again after ${Math.round(startedMs - struckMs)} ms`);
    const left = family.filter(pid => {
      try {
        return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
      } catch {
        return false;
      }
    });
    t.same(left, [], 'no process of the old container');
    if (name === 'worker') {
      const log = run('kubectl', ['-n', namespace, 'logs', target.name, '-c', 'istio-proxy', '--previous']);
      t.match(log, /memory limit/, 'the log tells why');
    }
    run('kubectl', ['-n', namespace, 'wait', '--for=condition=Ready', `pod/${target.name}`, '--timeout=60s']);
    await waitFor('traffic', () => callEcho(namespace, 'client', `http://${target.name}/`)[0]?.status === 200);
  });
}
