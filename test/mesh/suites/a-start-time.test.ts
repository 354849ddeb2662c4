/** The time until a pod is ready, beside that of the real pilot-agent and Envoy. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { get } from 'node:http';
import { createInterface } from 'node:readline';
import t from 'tap';
import { environment, run, waitFor } from '../cluster/command.ts';
import { apply } from '../cluster/kubectl.ts';
import { makeNamespace, requireMode } from '../fixtures/mesh.ts';
import { testIn } from '../fixtures/modes.ts';
import { sidecarStartMs } from '../fixtures/proxies.ts';
import { type App, workload } from '../fixtures/pods.ts';
import { subject } from '../fixtures/subject.ts';

const startsPerKind = 7;
const allowedRatio = 1.5;
const pollPauseMs = 20;
const timeLimitMs = 60_000;
/** Of the processors' time. */
const quietShare = 0.75;
const quietCheckMs = 2000;

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

/** The pod's address as soon as it has one. By a watch: to ask again and again would take the processor's time from the start. */
async function watchAddress(namespace: string, pod: string): Promise<string> {
  const args = ['-n', namespace, 'get', 'pod', pod, '--watch', '-o', 'jsonpath={.status.podIP}{"\\n"}'];
  const watch = spawn('kubectl', args, { env: environment, stdio: ['ignore', 'pipe', 'inherit'], timeout: timeLimitMs });
  try {
    for await (const line of createInterface(watch.stdout)) if (line !== '') return line;
  } finally {
    watch.kill();
  }
  throw new Error(`${namespace}/${pod} got no address`);
}

/** Milliseconds from the container's start, as containerd tells it, to the first 200. */
async function measureStart(namespace: string, app: App): Promise<number> {
  apply([workload(namespace, app)]);
  const ip = await watchAddress(namespace, app.name);
  const ready = await waitFor(`${app.name} is ready`, async () => (await isReady(ip)) && Date.now(), timeLimitMs, pollPauseMs);
  // Kubernetes learns of a container later than its first answer comes.
  const startedAt = await waitFor('the start of the container', () => sidecarStartMs(namespace, app.name));
  run('kubectl', ['-n', namespace, 'delete', 'pod', app.name, '--grace-period=1']);
  return ready - startedAt;
}

/** Ticks of all processors since the machine's start, and those of them without work. */
function readTicks(): { all: number; idle: number } {
  const ticks = readFileSync('/proc/stat', 'utf8').split('\n')[0].trim().split(/\s+/).slice(1).map(Number);
  return { all: ticks.reduce((sum, one) => sum + one, 0), idle: ticks[3] };
}

/** Waits, not for ever, until what other suites left behind is gone: it would be measured, too. */
async function awaitQuiet(): Promise<void> {
  let before = readTicks();
  const isQuiet = (): boolean => {
    const now = readTicks();
    const share = (now.idle - before.idle) / Math.max(1, now.all - before.all);
    before = now;
    return share > quietShare;
  };
  await waitFor('the machine is quiet', isQuiet, timeLimitMs, quietCheckMs).catch(() => {});
}

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[values.length >> 1];
}

testIn('bare', 'the time from container start to the first 200 is near that of Envoy', async t => {
  const namespace = makeNamespace(t, 'mesh-start');
  await awaitQuiet();
  const times: Record<'subject' | 'envoy', number[]> = { subject: [], envoy: [] };
  for (let count = 0; count < startsPerKind; count++) {
    times.envoy.push(await measureStart(namespace, { name: `envoy-${count}`, sidecar: 'envoy' }));
    times.subject.push(await measureStart(namespace, { name: `subject-${count}`, sidecar: subject }));
  }
  const ratio = median(times.subject) / median(times.envoy);
  t.comment(
    `Envoy ${times.envoy.map(Math.round).join(' ')} ms; subject ${times.subject.map(Math.round).join(' ')} ms; ratio ${ratio.toFixed(2)}`,
  );
  t.ok(ratio <= allowedRatio, `at most ${allowedRatio} times`);
});
