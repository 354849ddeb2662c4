/** istiod's authority is replaced by another one, as Istio's guide to rotating a root certificate does it: in three steps, under load. */
import t from 'tap';
import { CertificateAuthority } from '../../../demo/certificate-authority.ts';
import { run, tryRun, waitFor } from '../cluster/command.ts';
import { apply, getObject } from '../cluster/kubectl.ts';
import { startLoad } from '../fixtures/load.ts';
import { callEcho, deploy, exec, makeNamespace, podIp, requireMode } from '../fixtures/mesh.ts';
import { type App, appPorts, istioObject, service } from '../fixtures/pods.ts';
import { adminPage } from '../fixtures/proxies.ts';
import { subject } from '../fixtures/subject.ts';
import { issueCertificate, readMeshAuthority, request } from '../fixtures/tls-client.ts';

t.comment(`mode: ${requireMode()}, subject: ${subject}`);
const namespace = makeNamespace(t, 'mesh-trust');
const lifetimeSeconds = 40;
const shortLived = JSON.stringify({
  proxyMetadata: { SECRET_TTL: `${lifetimeSeconds}s`, SECRET_GRACE_PERIOD_RATIO: '0.5' },
});
const annotations = { 'proxy.istio.io/config': shortLived };
const clients: readonly App[] = [
  { name: 'client', sidecar: subject, annotations },
  ...(requireMode() === 'bare' ? [{ name: 'client-twin', sidecar: 'envoy', annotations } as const] : []),
];
const pods: readonly App[] = [...clients, { name: 'server', sidecar: subject, annotations }];
deploy(namespace, pods, [
  service(namespace, 'server'),
  istioObject('security', 'PeerAuthentication', namespace, 'default', { mtls: { mode: 'STRICT' } }),
]);

const former = readMeshAuthority();
const next = await CertificateAuthority.create({ name: 'next' });
const successor = { cert: next.rootCertificate, key: await next.exportKey() };
const bothRoots = `${former.cert.trimEnd()}\n${successor.cert}`;

const serialOf = (pod: string): string =>
  /"serial_number": "(\w+)"[\s\S]{0,200}spiffe/.exec(adminPage(namespace, pod, 'certs'))?.[1] ?? '';

async function restartIstiod(): Promise<void> {
  const listPods = (): string[] =>
    getObject('-n', 'istio-system', 'pods', '-l', 'app=istiod').items.map(
      (pod: { metadata: { name: string } }) => pod.metadata.name,
    );
  const before = listPods();
  run('kubectl', ['-n', 'istio-system', 'rollout', 'restart', 'deployment', '-l', 'app=istiod']);
  run('kubectl', ['-n', 'istio-system', 'rollout', 'status', 'deployment', '-l', 'app=istiod', '--timeout=120s']);
  await waitFor('the former istiod to be gone', () => !listPods().some(name => before.includes(name)), 90_000, 500);
}

/** What the sidecars know of istiod's own certificate comes by a mounted ConfigMap, which a change of the pod refreshes at once. */
async function waitForMountedRoots(roots: string): Promise<void> {
  for (const { name } of pods) {
    let attempt = 0;
    await waitFor(
      `the roots mounted into ${name}`,
      () => {
        run('kubectl', ['-n', namespace, 'annotate', 'pod', name, '--overwrite', `refreshed=${++attempt}`]);
        const { stdout } = exec(namespace, name, 'istio-proxy', ['cat', '/var/run/secrets/istio/root-cert.pem']);
        return stdout.replace(/\s/g, '') === roots.replace(/\s/g, '');
      },
      120_000,
      1000,
    );
  }
}

/** One step of the rotation: istiod signs with `authority` and announces `roots`; waits until every sidecar lives by it. */
async function takeStep(authority: { cert: string; key: string }, roots: string): Promise<void> {
  const encode = (text: string): string => Buffer.from(text).toString('base64');
  apply([
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'cacerts', namespace: 'istio-system' },
      data: {
        'ca-cert.pem': encode(authority.cert),
        'ca-key.pem': encode(authority.key),
        'cert-chain.pem': encode(authority.cert),
        'root-cert.pem': encode(roots),
      },
    },
  ]);
  await restartIstiod();
  await waitForMountedRoots(roots);
  const serials = new Map(pods.map(({ name }) => [name, serialOf(name)]));
  for (const { name } of pods) {
    await waitFor(
      `${name} to have a certificate of this step`,
      () => !['', serials.get(name)].includes(serialOf(name)),
      3 * lifetimeSeconds * 1000,
    );
  }
}

async function restoreAuthority(): Promise<void> {
  tryRun('kubectl', ['-n', 'istio-system', 'delete', 'secret', 'cacerts', '--ignore-not-found']);
  await restartIstiod();
}

/** Load over kept and over new connections from every client, until `done`. */
function startLoads(done: Promise<unknown>): Promise<Map<string, string[]>> {
  let ended = false;
  void done.finally(() => {
    ended = true;
  });
  const failures = new Map(clients.map(({ name }) => [name, [] as string[]]));
  const drive = async (name: string, fresh: boolean): Promise<void> => {
    while (!ended) {
      const load = await startLoad(namespace, name, { url: 'http://server:81/', rate: 25, connections: 4, seconds: 20, fresh });
      if (load.failed > 0) failures.get(name)?.push(`${fresh ? 'new' : 'kept'} connections: ${JSON.stringify(load.codes)}`);
    }
  };
  return Promise.all(clients.flatMap(({ name }) => [drive(name, false), drive(name, true)])).then(() => failures);
}

t.test('another authority takes over without a failed request, and the former one ends', async t => {
  t.teardown(restoreAuthority);
  const address = podIp(namespace, 'server');
  const friend = `spiffe://cluster.local/ns/${namespace}/sa/friend`;
  const old = await issueCertificate(former, 'url', friend);
  const first = await request(address, appPorts.http, old);
  t.equal(first.status, 200, 'the former authority is trusted');
  t.ok(first.session, 'and its clients are given sessions');
  t.ok((await request(address, appPorts.http, old, first.session)).resumed, 'which they resume');

  const rotation = (async () => {
    await takeStep(former, bothRoots);
    await takeStep(successor, bothRoots);
    await takeStep(successor, successor.cert);
  })();
  const failures = await startLoads(rotation);
  await rotation;
  for (const [name, texts] of failures) t.same(texts, [], `${name}: no request failed`);

  t.equal((await request(address, appPorts.http, old)).status, 0, 'the former authority is not trusted any more');
  const again = await request(address, appPorts.http, old, first.session);
  t.same([again.status, again.resumed], [0, false], 'and a session of its time is worth nothing');
  const fresh = await next.issue([{ type: 'url', value: friend }]);
  const accepted = await request(address, appPorts.http, { cert: fresh.certificate, key: fresh.privateKey });
  t.equal(accepted.status, 200, 'its successor is trusted');
  for (const { name } of clients) {
    const [reply] = callEcho(namespace, name, 'http://server/');
    t.match(reply?.requestHeaders.get('x-forwarded-client-cert'), /spiffe:/, `${name} speaks with its successor's certificate`);
  }
});
