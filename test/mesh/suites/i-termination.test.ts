/** Pods end under load without cutting requests off; a killed proxy, agent or worker restarts the container at once. */
import { readdirSync, readFileSync } from 'node:fs';
import t from 'tap';
import { run, waitFor } from '../cluster/command.ts';
import { startLoad } from '../fixtures/load.ts';
import { callEcho, deploy, makeNamespace, requireMode } from '../fixtures/mesh.ts';
import { type App, service } from '../fixtures/pods.ts';
import { sidecarPid, sidecarStartMs, sidecarStatus, waitForCluster } from '../fixtures/proxies.ts';
import { subject } from '../fixtures/subject.ts';

/** From the kill to the start of the next container. The kubelet itself takes most of it. */
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

const victims: readonly { name: string; find: (agent: number) => number }[] = [
  {
    name: 'proxy',
    find: agent => {
      const [proxy] = childrenOf(agent);
      if (proxy === undefined) throw new Error('the agent has no child');
      return proxy;
    },
  },
  { name: 'agent', find: agent => agent },
];

for (const { name, find } of victims) {
  t.test(`SIGKILL of the ${name}: the container restarts, and nothing of the old one is left`, async t => {
    const target: App = { name: `victim-${name}`, sidecar: subject };
    deploy(namespace, [target], [service(namespace, target.name)]);
    await waitForCluster(namespace, 'client', `outbound|80||${target.name}.${namespace}.svc.cluster.local`);
    const agent = sidecarPid(namespace, target.name);
    const family = [agent, ...childrenOf(agent)];
    const killed = Date.now();
    process.kill(find(agent), 'SIGKILL');
    await waitFor('the restart', () => sidecarStatus(namespace, target.name).restartCount === 1, 20_000, 100);
    await waitFor('the new container', () => sidecarStartMs(namespace, target.name) > killed, 20_000, 100);
    const startedAfterMs = Math.round(sidecarStartMs(namespace, target.name) - killed);
    t.ok(startedAfterMs < restartLimitMs, `started again after ${startedAfterMs} ms`);
    const left = family.filter(pid => {
      try {
        return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
      } catch {
        return false;
      }
    });
    t.same(left, [], 'no process of the old container');
    run('kubectl', ['-n', namespace, 'wait', '--for=condition=Ready', `pod/${target.name}`, '--timeout=60s']);
    await waitFor('traffic', () => callEcho(namespace, 'client', `http://${target.name}/`)[0]?.status === 200);
  });
}
