/** What istioctl shows: every type is in sync, and a proxy's configuration reads as its Envoy twin's. */
import { isDeepStrictEqual } from 'node:util';
import t from 'tap';
import { run, tryRun, waitFor } from '../cluster/command.ts';
import { images } from '../cluster/layout.ts';
import { removedPaths } from '../fixtures/config-differences.ts';
import { deploy, makeNamespace, podIp, requireMode } from '../fixtures/mesh.ts';
import { testIn } from '../fixtures/modes.ts';
import { istioctl, revisionFlags, syncStates } from '../fixtures/proxies.ts';
import { type App, istioObject, service } from '../fixtures/pods.ts';
import { normalizeConfig, replaceNames } from '../fixtures/proxy-config.ts';
import { subject } from '../fixtures/subject.ts';

const mode = requireMode();
t.comment(`mode: ${mode}, subject: ${subject}`);
const namespace = makeNamespace(t, 'mesh-istioctl');
const ours: App = { name: 'twin-a', label: 'twin', sidecar: subject };
const twin: App = { name: 'twin-b', label: 'twin', sidecar: mode === 'bare' ? 'envoy' : subject };
deploy(
  namespace,
  [ours, twin],
  [
    service(namespace, 'twin'),
    istioObject('networking', 'DestinationRule', namespace, 'twin', {
      host: 'twin',
      subsets: [{ name: 'v1', labels: { version: 'v1' } }],
    }),
    istioObject('networking', 'VirtualService', namespace, 'twin', {
      hosts: ['twin'],
      http: [
        { match: [{ uri: { prefix: '/v1' } }], route: [{ destination: { host: 'twin', subset: 'v1' } }] },
        { route: [{ destination: { host: 'twin' } }] },
      ],
    }),
  ],
);

t.test('proxy-status shows every type as SYNCED', async t => {
  const states = await waitFor('every type to be in sync', () => {
    const found = syncStates(namespace, ours.name);
    return found.size >= 4 && [...found.values()].every(({ status }) => status === 'SYNCED') ? found : null;
  });
  t.same([...states.keys()].sort(), ['CDS', 'EDS', 'LDS', 'RDS']);
});

testIn('default', 'proxy-status of the pod reports a match', async t => {
  const { stdout, code } = tryRun('istioctl', ['proxy-status', `${ours.name}.${namespace}`, ...revisionFlags('proxy-status')]);
  t.equal(code, 0);
  for (const type of ['Clusters', 'Listeners', 'Routes']) t.match(stdout, new RegExp(`${type} Match`));
});

/** Reads both until they are equal, a few times: a push of something else in the mesh reaches one twin before the other. */
async function readUntilEqual<T>(read: () => [T, T]): Promise<[T, T]> {
  for (let attempt = 1; ; attempt++) {
    const both = read();
    if (attempt === 5 || isDeepStrictEqual(both[0], both[1])) return both;
    await new Promise(resolve => setTimeout(resolve, 2000));
  }
}

for (const section of ['bootstrap', 'cluster', 'listener', 'route', 'endpoint', 'secret', 'all'] as const) {
  testIn('bare', `proxy-config ${section} equals the Envoy twin's`, async t => {
    const names: Record<string, string> = {};
    for (const app of [ours, twin]) {
      names[podIp(namespace, app.name)] = '<ip>';
      names[app.name] = '<pod>';
      if (app.sidecar !== 'none') names[images[app.sidecar]] = '<image>';
    }
    const removed = removedPaths[section] ?? [];
    const read = (app: App): unknown =>
      normalizeConfig(istioctl('proxy-config', section, `${app.name}.${namespace}`), { names, removed });
    const [own, expected] = await readUntilEqual(() => [read(ours), read(twin)]);
    t.same(own, expected, 'JSON');
    if (section === 'bootstrap') return;
    const table = (app: App): string[] =>
      replaceNames(run('istioctl', ['proxy-config', section, `${app.name}.${namespace}`]), names)
        .split('\n')
        .map(line => line.replace(/\s+$/, '').replace(/\s{2,}/g, '  '))
        // Serial numbers and times of the certificates; a version that the real agent and image get at their release only, and the build
        // (with its TLS library) of the proxy program.
        .filter(line => !/\d{4}-\d\d-\d\dT|^(Istio|Istio Proxy|Envoy) Version: /.test(line))
        .sort();
    const [ownTable, expectedTable] = await readUntilEqual(() => [table(ours), table(twin)]);
    t.same(ownTable, expectedTable, 'table');
  });
}
