/** A thousand services of ten endpoints appear at once: no worker stalls; and one endpoint's change costs what one endpoint costs. */
import t, { type Test } from 'tap';
import { waitFor } from '../cluster/command.ts';
import { apply, getObject, type KubernetesObject } from '../cluster/kubectl.ts';
import { createAll, disconnect, merge, remove } from '../fixtures/bulk-objects.ts';
import { type Consumption, openConsumption } from '../fixtures/cgroups.ts';
import { loopWatchAnnotations, readTurns, type Turns } from '../fixtures/loop-watch.ts';
import { deploy, makeNamespace, requireMode } from '../fixtures/mesh.ts';
import { PodNetwork, type Reply, type Request } from '../fixtures/pod-network.ts';
import { type App, istioObject } from '../fixtures/pods.ts';
import { subject } from '../fixtures/subject.ts';

t.comment(`mode: ${requireMode()}, subject: ${subject}`);
const serviceCount = 1000;
const endpointCount = 10;
const visibleBefore = 10;
const changes = 20;
const changePauseMs = 400;
const askPauseMs = 10;
/** What a change may cost more where there are a hundred times as many services; the machine's noise is half of it. */
const allowedExtraMs = 20;
/** The longest that a worker may be away from its connections, by its own doing. */
const allowedTurnMs = 50;
/** The most that it may work at a stretch: with an eighth of a processor it is back in time. */
const allowedTurnCpuMs = 20;
/** Where others hold up even what a thread waits for, the push is repeated, but not for ever. */
const attempts = 3;

const namespace = makeNamespace(t, 'mesh-thousand');
const watched = subject !== 'envoy';
const pods = ['own', 'twin'] as const;
type Pod = (typeof pods)[number];
const apps: App[] = [
  { name: 'own', sidecar: subject, ...(watched ? { annotations: loopWatchAnnotations } : {}) },
  { name: 'twin', sidecar: 'envoy' },
];
const nameOf = (index: number): string => `service-${index}`;

/** Other pods of the mesh need not know. */
const labels = (index: number): object => ({ 'kubernetes.io/service-name': nameOf(index) });
const hidden = { 'networking.istio.io/exportTo': '.' };

function makeService(index: number): KubernetesObject {
  const ports = [
    { name: 'http', port: 80, targetPort: 8080 },
    { name: 'tcp', port: 9000, targetPort: 9090 },
  ];
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: nameOf(index), namespace, annotations: hidden },
    spec: { ports },
  };
}

/** Addresses that nobody has and nobody calls; `version` changes one of them. */
function makeSlice(index: number, version = 0): KubernetesObject {
  const address = (endpoint: number): string => `10.250.${index % 250}.${(Math.floor(index / 250) * 50 + endpoint + 1) % 256}`;
  const addresses = Array.from({ length: endpointCount }, (_, endpoint) => address(endpoint));
  addresses[0] = `10.251.${index % 250}.${version + 1}`;
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: nameOf(index), namespace, labels: labels(index) },
    addressType: 'IPv4',
    ports: [
      { name: 'http', port: 8080, protocol: 'TCP' },
      { name: 'tcp', port: 9090, protocol: 'TCP' },
    ],
    endpoints: addresses.map(one => ({ addresses: [one], conditions: { ready: true } })),
  };
}

/** What answers without a server: requests that meet the push. */
const alive = 'alive.test';
const visibleServices = Array.from({ length: visibleBefore }, (_, index) => `./${nameOf(index)}.${namespace}.svc.cluster.local`);
/** As long as it is there, the sidecar of this pod sees no more than some services. */
const few = (pod: Pod): KubernetesObject =>
  istioObject('networking', 'Sidecar', namespace, `few-${pod}`, {
    workloadSelector: { labels: { app: pod } },
    egress: [{ hosts: [`./${alive}`, 'istio-system/*', ...visibleServices] }],
  });
apply([
  istioObject('networking', 'VirtualService', namespace, 'alive', {
    hosts: [alive],
    exportTo: ['.'],
    http: [{ directResponse: { status: 200, body: { string: 'alive' } } }],
  }),
  ...pods.map(few),
]);
const indexes = Array.from({ length: serviceCount }, (_, index) => index);
await createAll(indexes.map(makeService));
await createAll(indexes.map(index => makeSlice(index)));
t.teardown(disconnect);
deploy(namespace, apps);
const address: string = getObject('-n', namespace, 'service', nameOf(0)).spec.clusterIP;

const networks = new Map(pods.map(pod => [pod, PodNetwork.enter(t, namespace, pod)]));
const consumptions = new Map(pods.map(pod => [pod, openConsumption(namespace, pod)]));
const ask = (pod: Pod, request: Request): Promise<Reply> => (networks.get(pod) as PodNetwork).perform(request);
const consume = (pod: Pod): Consumption => (consumptions.get(pod) as () => Consumption)();

/** Asked from the pod's network, but by a process that the sidecar's control group does not pay for. */
async function readAdmin(pod: Pod, path: string): Promise<string> {
  return (await ask(pod, { address: '127.0.0.1', port: 15000, path, headers: { host: 'admin' } })).body;
}

/** All services are in use. Reads a page of few bytes, unlike that of all endpoints. */
async function hasAll(pod: Pod): Promise<boolean> {
  const page = await readAdmin(pod, '/stats?filter=^cluster_manager.(active|warming)_clusters$');
  const read = (name: string): number => Number(new RegExp(`${name}_clusters: (\\d+)`).exec(page)?.[1]);
  // A cluster waits for its endpoints before it is active.
  return read('active') >= 2 * serviceCount && read('warming') === 0;
}

const hostPattern = /^outbound\|80\|\|service-\d+\.[^:]*::\d+\.[^:]+:8080::health_flags::healthy$/gm;
const countEndpoints = async (pod: Pod): Promise<number> => (await readAdmin(pod, '/clusters')).match(hostPattern)?.length ?? 0;
const isThere = async (pod: Pod, address: string): Promise<boolean> =>
  (await readAdmin(pod, '/clusters')).includes(`::${address}:8080::`);

const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms));

let version = 0;

/** CPU time of both sidecars in one window of time, begun with `work`. */
async function spend(work: () => Promise<void>): Promise<number[]> {
  const before = pods.map(pod => consume(pod).cpuMs);
  await work();
  await pause(changePauseMs);
  return pods.map((pod, index) => consume(pod).cpuMs - before[index]);
}

const takeMedian = (values: readonly number[]): number => [...values].sort((one, other) => one - other)[values.length >> 1];

/**
 * CPU time per change of one endpoint, beyond what the sidecars take when nothing changes, in a typical one of many windows: none
 * that a push of others fell into. Windows with and without a change alternate, as a sidecar that was busy becomes quiet meanwhile.
 */
async function measureChanges(): Promise<number[]> {
  const idle: number[][] = [];
  const busy: number[][] = [];
  for (let count = 0; count < changes; count++) {
    idle.push(await spend(async () => {}));
    const change = async (): Promise<void> => {
      version++;
      await merge(makeSlice(0), { endpoints: makeSlice(0, version).endpoints });
    };
    busy.push(await spend(change));
  }
  for (const pod of pods) await waitFor('the last change', () => isThere(pod, `10.251.0.${version + 1}`));
  const typical = (windows: readonly number[][], index: number): number => takeMedian(windows.map(spent => spent[index]));
  return pods.map((_, index) => Math.max(0, typical(busy, index) - typical(idle, index)));
}

/** Requests one after the other until `until` ends, each on a connection of its own; the longest, and how many were not answered. */
async function askOn(pod: Pod, until: Promise<unknown>): Promise<{ count: number; failed: number; longestMs: number }> {
  const seen = { count: 0, failed: 0, longestMs: 0 };
  let isOver = false;
  const end = (): void => {
    isOver = true;
  };
  until.then(end, end);
  while (!isOver) {
    const { status, elapsedMs = 0 } = await ask(pod, { address, port: 80, headers: { host: alive } });
    seen.count++;
    if (status !== 200) seen.failed++;
    seen.longestMs = Math.max(seen.longestMs, elapsedMs);
    await pause(askPauseMs);
  }
  return seen;
}

function waitForEndpoints(pod: Pod, services: number): Promise<unknown> {
  return waitFor(`endpoints in ${pod}`, async () => (await countEndpoints(pod)) === services * endpointCount, 60_000);
}

/**
 * Shows all services to one sidecar, while requests come to it and nobody else in the mesh gets them. Prints what it took, and gives
 * the turns of our workers.
 */
async function pushAll(t: Test, pod: Pod): Promise<Turns[]> {
  const before = consume(pod);
  const sinceMs = Date.now();
  await remove(few(pod));
  const pushed = waitFor(`all services in ${pod}`, () => hasAll(pod), 60_000);
  const { count, failed, longestMs } = await askOn(pod, pushed);
  await pushed;
  const turns = pod === 'own' ? readTurns(namespace, pod, sinceMs) : [];
  const after = consume(pod);
  await waitForEndpoints(pod, serviceCount);
  for (const { thread, longestMs, longestOwnMs, busiestMs } of turns)
    t.comment(`${thread}: longest turn ${longestMs} ms, ${longestOwnMs} ms if nobody else had run, ${busiestMs} ms of CPU`);
  const [memory, later] = [before, after].map(({ memoryMb }) => `${memoryMb.toFixed(0)} MB`);
  t.comment(`${pod}: ${memory}, then ${later}; ${(after.cpuMs - before.cpuMs).toFixed(0)} ms of CPU`);
  t.comment(`${pod}: ${count} requests meanwhile, the longest took ${longestMs} ms`);
  t.equal(failed, 0, `${pod}: each was answered`);
  return turns.filter(({ thread }) => thread.includes('wrk'));
}

const isShort = ({ longestOwnMs, busiestMs }: Turns): boolean => longestOwnMs < allowedTurnMs && busiestMs < allowedTurnCpuMs;

t.test('a thousand services at once', async t => {
  for (const pod of pods) await waitForEndpoints(pod, visibleBefore);
  const costsOfFew = await measureChanges();
  let turns = await pushAll(t, 'own');
  await pushAll(t, 'twin');
  const costsOfMany = await measureChanges();
  for (const [index, pod] of pods.entries()) {
    const [one, other] = [costsOfFew[index], costsOfMany[index]];
    const name = `${pod}: ${one.toFixed(1)} ms of CPU for one endpoint's change with ${visibleBefore} services, ${other.toFixed(1)} with ${serviceCount}`;
    t.ok(other < one + allowedExtraMs, name);
  }
  if (!watched) return;
  for (let attempt = 1; attempt < attempts && !turns.every(isShort); attempt++) {
    apply([few('own')]);
    await waitForEndpoints('own', visibleBefore);
    turns = await pushAll(t, 'own');
  }
  t.ok(turns.length > 0, 'workers were watched');
  for (const { thread, longestOwnMs, busiestMs } of turns) {
    t.ok(longestOwnMs < allowedTurnMs, `${thread}: no turn of ${allowedTurnMs} ms of its own`);
    t.ok(busiestMs < allowedTurnCpuMs, `${thread}: no turn of ${allowedTurnCpuMs} ms of CPU`);
  }
});
