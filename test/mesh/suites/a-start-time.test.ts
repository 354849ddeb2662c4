/** The time until a pod is ready, beside that of the real pilot-agent and Envoy. */
import { get } from 'node:http';
import t from 'tap';
import { run } from '../cluster/command.ts';
import { apply, getObject } from '../cluster/kubectl.ts';
import { makeNamespace, requireMode } from '../fixtures/mesh.ts';
import { testIn } from '../fixtures/modes.ts';
import { sidecarStartMs } from '../fixtures/proxies.ts';
import { type App, workload } from '../fixtures/pods.ts';
import { subject } from '../fixtures/subject.ts';

const startsPerKind = 7;
const allowedRatio = 1.5;
const pollPauseMs = 20;

t.comment(`mode: ${requireMode()}, subject: ${subject}`);

/** Whether the readiness page answers 200; null after the time limit of one poll. */
function isReady(ip: string): Promise<boolean> {
  return new Promise(resolve => {
    const request = get({ host: ip, port: 15021, path: '/healthz/ready', timeout: 1000, agent: false }, response => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    request.on('error', () => resolve(false));
    request.on('timeout', () => request.destroy());
  });
}

/** Milliseconds from the container's start, as containerd tells it, to the first 200. */
async function measureStart(namespace: string, app: App): Promise<number> {
  apply([workload(namespace, app)]);
  let ip: string | undefined;
  const end = Date.now() + 60_000;
  while (Date.now() < end) {
    ip ??= getObject('-n', namespace, 'pod', app.name).status.podIP;
    if (ip && (await isReady(ip))) break;
    await new Promise(resolve => setTimeout(resolve, pollPauseMs));
  }
  const ready = Date.now();
  const startedAt = sidecarStartMs(namespace, app.name);
  run('kubectl', ['-n', namespace, 'delete', 'pod', app.name, '--grace-period=1', '--wait=false']);
  return ready - startedAt;
}

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[values.length >> 1];
}

testIn('bare', 'the time from container start to the first 200 is near that of Envoy', async t => {
  const namespace = makeNamespace(t, 'mesh-start');
  const times: Record<'subject' | 'envoy', number[]> = { subject: [], envoy: [] };
  for (let count = 0; count < startsPerKind; count++) {
    times.envoy.push(await measureStart(namespace, { name: `envoy-${count}`, sidecar: 'envoy' }));
    times.subject.push(await measureStart(namespace, { name: `subject-${count}`, sidecar: subject }));
  }
  const ratio = median(times.subject) / median(times.envoy);
  t.comment(`Envoy ${times.envoy.join(' ')} ms; subject ${times.subject.join(' ')} ms; ratio ${ratio.toFixed(2)}`);
  t.ok(ratio <= allowedRatio, `at most ${allowedRatio} times`);
});
