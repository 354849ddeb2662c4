/** Configuration that cannot be used: the type is in ERROR with resource and reason, the old one serves, the rest is updated. */
import t from 'tap';
import { run, waitFor } from '../cluster/command.ts';
import { apply, type KubernetesObject } from '../cluster/kubectl.ts';
import { callEcho, deploy, makeNamespace, requireMode } from '../fixtures/mesh.ts';
import { syncStates, waitForCluster } from '../fixtures/proxies.ts';
import { istioObject, service } from '../fixtures/pods.ts';
import { subject } from '../fixtures/subject.ts';

t.comment(`mode: ${requireMode()}, subject: ${subject}`);
const namespace = makeNamespace(t, 'mesh-rejection');
deploy(
  namespace,
  [
    { name: 'client', sidecar: subject },
    { name: 'server', sidecar: subject },
  ],
  [service(namespace, 'server')],
);

const unknownType = {
  '@type': 'type.googleapis.com/xds.type.v3.TypedStruct',
  type_url: 'type.googleapis.com/no.such.Filter',
  value: {},
};
const inClient = { workloadSelector: { labels: { app: 'client' } } };

function filterPatch(name: string, config: object): KubernetesObject {
  const listener = { filterChain: { filter: { name: 'envoy.filters.network.http_connection_manager' } } };
  return istioObject(
    'networking',
    'EnvoyFilter',
    namespace,
    name,
    {
      ...inClient,
      configPatches: [
        {
          applyTo: 'HTTP_FILTER',
          match: { context: 'SIDECAR_OUTBOUND', listener },
          patch: { operation: 'INSERT_BEFORE', value: { name: 'test.filter', typed_config: config } },
        },
      ],
    },
    'v1alpha3',
  );
}

function clusterPatch(name: string, config: object): KubernetesObject {
  return istioObject(
    'networking',
    'EnvoyFilter',
    namespace,
    name,
    {
      ...inClient,
      configPatches: [
        {
          applyTo: 'CLUSTER',
          match: { context: 'SIDECAR_OUTBOUND', cluster: { service: `server.${namespace}.svc.cluster.local` } },
          patch: { operation: 'MERGE', value: { filters: [{ name: 'test.filter', typed_config: config }] } },
        },
      ],
    },
    'v1alpha3',
  );
}

/** The types in ERROR, of the client. */
function rejectedTypes(): string[] {
  return [...syncStates(namespace, 'client')].filter(([, { status }]) => status === 'ERROR').map(([type]) => type);
}

const cases: readonly { name: string; type: string; object: (name: string) => KubernetesObject; reason: RegExp }[] = [
  { name: 'unknown-listener', type: 'LDS', object: name => filterPatch(name, unknownType), reason: /no\.such\.Filter/ },
  { name: 'unknown-cluster', type: 'CDS', object: name => clusterPatch(name, unknownType), reason: /no\.such\.Filter/ },
];

for (const { name, type, object, reason } of cases) {
  t.test(`${name}: exactly ${type} is in ERROR, through two more pushes, and traffic goes on`, async t => {
    apply([object(name)]);
    t.teardown(() => void run('kubectl', ['-n', namespace, 'delete', 'envoyfilter', name, '--ignore-not-found']));
    await waitFor(`${type} in ERROR`, () => rejectedTypes().includes(type));
    t.same(rejectedTypes(), [type], 'no other type');
    t.match(syncStates(namespace, 'client').get(type)?.error, reason, 'with the reason');
    for (const round of [1, 2]) {
      const extra = `extra-${name}-${round}`;
      apply([service(namespace, extra)]);
      if (type !== 'CDS') await waitForCluster(namespace, 'client', `outbound|80||${extra}.${namespace}.svc.cluster.local`, 0);
      t.same(rejectedTypes(), [type], `still so after push ${round}`);
      t.equal(callEcho(namespace, 'client', 'http://server/')[0]?.status, 200, 'the old configuration serves');
    }
    run('kubectl', ['-n', namespace, 'delete', 'envoyfilter', name]);
    await waitFor('the error to go', () => rejectedTypes().length === 0);
  });
}
