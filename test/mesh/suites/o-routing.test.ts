/** VirtualServices: what a client gets through this image, and what the server sees, is what they are through Envoy. */
import t from 'tap';
import { waitFor } from '../cluster/command.ts';
import { apply, getObject, type KubernetesObject } from '../cluster/kubectl.ts';
import { deploy, makeNamespace, podIp, requireMode } from '../fixtures/mesh.ts';
import { PodNetwork, type Request } from '../fixtures/pod-network.ts';
import { type App, istioObject, service } from '../fixtures/pods.ts';
import { routeGroups, served, to } from '../fixtures/route-scenarios.ts';
import { subject } from '../fixtures/subject.ts';
import { compareTwins, normalize, type Scenario, type Twins } from '../fixtures/twin-scenarios.ts';

t.comment(`mode: ${requireMode()}, subject: ${subject}`);
const namespace = makeNamespace(t, 'mesh-routing');
const apps: App[] = [
  { name: 'own', sidecar: subject },
  { name: 'twin', sidecar: 'envoy' },
  { name: 'server-v1', label: 'server', version: 'v1', sidecar: subject },
  { name: 'server-v2', label: 'server', version: 'v2', sidecar: 'envoy' },
  { name: 'outside', sidecar: 'none' },
];
deploy(namespace, apps, [
  service(namespace, 'server'),
  istioObject('networking', 'DestinationRule', namespace, 'server', {
    host: 'server',
    subsets: ['v1', 'v2'].map(version => ({ name: version, labels: { version } })),
  }),
]);

const address: string = getObject('-n', namespace, 'service', 'server').spec.clusterIP;
const twins: Twins = {
  own: PodNetwork.enter(t, namespace, 'own'),
  twin: PodNetwork.enter(t, namespace, 'twin'),
  names: new Map([
    [podIp(namespace, 'own'), '<client>'],
    [podIp(namespace, 'twin'), '<client>'],
  ]),
};

const virtualService = (name: string, spec: object): KubernetesObject =>
  istioObject('networking', 'VirtualService', namespace, name, { exportTo: ['.'], ...spec });

apply(routeGroups.map(({ host, http }) => virtualService(host, { hosts: [host], http })));

const ask = (host: string, request: Partial<Request> = {}): Request => ({
  address,
  port: 80,
  ...request,
  headers: { host, ...request.headers },
});

for (const { host, asked } of routeGroups) {
  t.test(host, async t => {
    const scenarios = asked.map(({ request, ...expected }): Scenario => ({ ...expected, command: ask(host, request) }));
    await compareTwins(t, twins, scenarios);
  });
}

t.test('a route may be left to another VirtualService', async t => {
  const host = 'delegates.test';
  const delegate = (prefix: string, name: string): object => ({ match: [{ uri: { prefix } }], delegate: { name, namespace } });
  apply([
    virtualService('root', {
      hosts: [host],
      http: [delegate('/one', 'one'), delegate('/none', 'missing'), { route: [to('v1')] }],
    }),
    virtualService('one', {
      http: [
        { match: [{ uri: { prefix: '/one/two' } }], route: [to('v2')] },
        { rewrite: { uri: '/rewritten' }, route: [to('v1')] },
      ],
    }),
  ]);
  await compareTwins(t, twins, [
    { name: 'a match of both', command: ask(host, { path: '/one/two/three' }), has: served('v2') },
    {
      name: 'a match of the root only',
      command: ask(host, { path: '/one/more' }),
      has: [...served('v1'), 'URL=/rewritten/more'],
    },
    { name: 'one that is missing', command: ask(host, { path: '/none' }), has: [...served('v1'), 'URL=/none'] },
    { name: 'the root itself', command: ask(host, { path: '/two' }), has: [...served('v1'), 'URL=/two'] },
  ]);
});

t.test('a mirror gets a copy of the request, and nobody its answer', async t => {
  const outside = PodNetwork.enter(t, namespace, 'outside');
  await outside.serve({ name: 'mirror', port: 7001, status: 500 });
  const copies = { destination: { host: 'mirror.test', port: { number: 80 } } };
  apply([
    istioObject('networking', 'ServiceEntry', namespace, 'mirror', {
      hosts: ['mirror.test'],
      exportTo: ['.'],
      ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
      resolution: 'STATIC',
      endpoints: [{ address: podIp(namespace, 'outside'), ports: { http: 7001 } }],
    }),
    virtualService('mirrored', {
      hosts: ['mirrored.test'],
      http: [
        { match: [{ uri: { prefix: '/never' } }], mirrors: [{ ...copies, percentage: { value: 0 } }], route: [to('v1')] },
        { mirrors: [copies], route: [to('v1')] },
      ],
    }),
  ]);
  const copyOf = async (path: string): Promise<string | null> => {
    const { body } = await outside.perform({ kind: 'received' });
    const start = body.indexOf(`GET ${path} `);
    return start === -1 ? null : body.slice(start, body.indexOf('\r\n\r\n', start));
  };
  const seen: string[] = [];
  for (const side of ['own', 'twin'] as const) {
    const client = twins[side];
    const path = `/copied-${side === 'own' ? 'ours' : side}`;
    await waitFor('a copy', async () => {
      const { status } = await client.perform(ask('mirrored.test', { path, headers: { 'x-mark': 'yes' } }));
      return status === 200 && (await copyOf(path)) !== null;
    });
    t.equal((await client.perform(ask('mirrored.test', { path: `/never${path}` }))).status, 200);
    seen.push(normalize((await copyOf(path))?.replace(path, '/copied') ?? '', twins.names));
    t.equal(await copyOf(`/never${path}`), null, `${side}: no copy where the share is nothing`);
  }
  t.equal(seen[0], seen[1], 'the copy is as from Envoy');
  t.match(seen[0], /^GET \/copied HTTP\/1.1\r\nhost: mirrored\.test\r\n/);
});
