/** Each half with the other's original: pilot-agent runs this proxy, this agent runs Envoy. Both do what a sidecar does. */
import t from 'tap';
import { run, waitFor } from '../cluster/command.ts';
import { startLoad } from '../fixtures/load.ts';
import { callEcho, deploy, exec, makeNamespace, requireMode } from '../fixtures/mesh.ts';
import { type App, istioObject, service } from '../fixtures/pods.ts';
import { adminPage, syncStates, waitForCluster } from '../fixtures/proxies.ts';

t.comment(`mode: ${requireMode()}`);
const namespace = makeNamespace(t, 'mesh-halves');
const lifetimeSeconds = 40;
/** A certificate is renewed at half of its life. */
const loadSeconds = 30;
const shortLived = JSON.stringify({
  proxyMetadata: { SECRET_TTL: `${lifetimeSeconds}s`, SECRET_GRACE_PERIOD_RATIO: '0.5' },
});
const halves = ['halfProxy', 'halfAgent'] as const;
type Half = (typeof halves)[number];

const nameOf = (role: string, half: Half): string => `${role}-${half === 'halfProxy' ? 'proxy' : 'agent'}`;
const otherOf = (half: Half): Half => (half === 'halfProxy' ? 'halfAgent' : 'halfProxy');

function appsOf(half: Half): readonly App[] {
  const annotations = { 'proxy.istio.io/config': shortLived };
  const server = { label: nameOf('server', half), sidecar: half, annotations };
  return [
    { name: nameOf('client', half), sidecar: half, annotations },
    { name: nameOf('stays', half), ...server },
    { name: nameOf('goes', half), ...server, native: true, lingerSeconds: 5 },
  ];
}

const apps = halves.flatMap(appsOf);
deploy(namespace, apps, [
  ...halves.map(half => service(namespace, nameOf('server', half))),
  istioObject('security', 'PeerAuthentication', namespace, 'default', { mtls: { mode: 'STRICT' } }),
]);

/** The programs of a pod's sidecar, without their paths and arguments. */
function programsOf(pod: string): string {
  const script = 'for file in /proc/[0-9]*/cmdline; do tr "\\0" " " <$file; echo; done';
  return exec(namespace, pod, 'istio-proxy', ['sh', '-c', script]).stdout;
}

const serialOf = (pod: string): string =>
  /"serial_number": "(\w+)"[\s\S]{0,200}spiffe/.exec(adminPage(namespace, pod, 'certs'))?.[1] ?? '';

for (const half of halves) {
  const [client, , goes] = appsOf(half);
  const what = half === 'halfProxy' ? 'this proxy under pilot-agent' : 'Envoy under this agent';

  t.test(`${what} is what runs`, async t => {
    const programs = programsOf(client.name);
    const [own, original] = half === 'halfProxy' ? ['proxy-start.cjs', 'pilot-agent proxy'] : ['agent-start.cjs', 'envoy -c'];
    t.match(programs, own, 'a half of this project');
    t.match(programs, new RegExp(`^\\S*${original}`, 'm'), 'and an original');
  });

  t.test(`${what} is in sync`, async t => {
    const states = await waitFor('every type to be in sync', () => {
      const found = syncStates(namespace, client.name);
      return found.size >= 4 && [...found.values()].every(({ status }) => status === 'SYNCED') ? found : null;
    });
    t.same([...states.keys()].sort(), ['CDS', 'EDS', 'LDS', 'RDS']);
  });

  t.test(`${what} speaks with its identity to the other combination`, async t => {
    const [reply] = callEcho(namespace, client.name, `http://${nameOf('server', otherOf(half))}/`);
    t.equal(reply?.status, 200, reply?.text);
    t.match(reply?.requestHeaders.get('x-forwarded-client-cert'), `spiffe://cluster.local/ns/${namespace}/`);
  });

  t.test(`${what}: no request fails while its certificate is renewed and a pod of it ends`, async t => {
    const caller = nameOf('client', otherOf(half));
    const name = nameOf('server', half);
    await waitForCluster(namespace, caller, `outbound|80||${name}.${namespace}.svc.cluster.local`, 2);
    const before = serialOf(nameOf('stays', half));
    const load = startLoad(namespace, caller, { url: `http://${name}:81/?delay=100ms`, rate: 50, seconds: loadSeconds });
    run('kubectl', ['-n', namespace, 'delete', 'pod', goes.name, '--wait=false']);
    const report = await load;
    t.equal(report.failed, 0, JSON.stringify(report.codes));
    t.ok(report.total > 10 * loadSeconds, `${report.total} requests`);
    const after = await waitFor('another certificate', () => {
      const serial = serialOf(nameOf('stays', half));
      return ['', before].includes(serial) ? null : serial;
    });
    t.not(after, before);
  });
}
