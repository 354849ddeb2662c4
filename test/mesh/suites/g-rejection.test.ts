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

const inClient = { workloadSelector: { labels: { app: 'client' } } };
const serverDomain = `server.${namespace}.svc.cluster.local`;

function patch(name: string, applyTo: string, match: object, operation: string, value: object): KubernetesObject {
  const configPatches = [{ applyTo, match: { context: 'SIDECAR_OUTBOUND', ...match }, patch: { operation, value } }];
  return istioObject('networking', 'EnvoyFilter', namespace, name, { ...inClient, configPatches }, 'v1alpha3');
}

function listenerPatch(name: string, config: object): KubernetesObject {
  const match = { listener: { filterChain: { filter: { name: 'envoy.filters.network.http_connection_manager' } } } };
  return patch(name, 'HTTP_FILTER', match, 'INSERT_BEFORE', { name: 'test.filter', typed_config: config });
}

function clusterPatch(name: string, config: object): KubernetesObject {
  const match = { cluster: { service: serverDomain } };
  return patch(name, 'CLUSTER', match, 'MERGE', { filters: [{ name: 'test.filter', typed_config: config }] });
}

function routePatch(name: string, config: object): KubernetesObject {
  const match = { routeConfiguration: { vhost: { name: `${serverDomain}:80` } } };
  return patch(name, 'VIRTUAL_HOST', match, 'MERGE', { typed_per_filter_config: { 'test.filter': config } });
}

/** The client's types in ERROR, with what is told of them. */
function readErrors(): Map<string, string> {
  const states = [...syncStates(namespace, 'client')].filter(([, { status }]) => status === 'ERROR');
  return new Map(states.map(([type, { error }]) => [type, error]));
}

/** Waits for an error of the type. One answer of istiod is judged: an ACK of something else takes the error away again. */
function waitForError(type: string): Promise<Map<string, string>> {
  return waitFor(`${type} in ERROR`, () => {
    const errors = readErrors();
    // istiod notes the state a moment before the reason.
    return errors.get(type)?.includes('"details"') ? errors : null;
  });
}

type Case = {
  name: string;
  type: 'LDS' | 'CDS' | 'RDS';
  object: (name: string, config: object) => KubernetesObject;
  config: object;
  /** What the error tells: resource, field path and reason; Envoy tells no path. */
  reason: RegExp;
};

const unknownType = {
  '@type': 'type.googleapis.com/xds.type.v3.TypedStruct',
  type_url: 'type.googleapis.com/no.such.Filter',
  value: {},
};
const unknownCases: readonly Case[] = [
  {
    name: 'unknown-listener',
    type: 'LDS',
    object: listenerPatch,
    config: unknownType,
    reason: /\d+_\d+.*no\.such\.Filter/,
  },
  {
    name: 'unknown-cluster',
    type: 'CDS',
    object: clusterPatch,
    config: unknownType,
    reason: /outbound\|80\|\|server.*no\.such\.Filter/,
  },
  { name: 'unknown-route', type: 'RDS', object: routePatch, config: unknownType, reason: /no\.such\.Filter/ },
];

/** Filters that Envoy has and this proxy has not. */
const missingCases: readonly Case[] = [
  {
    name: 'missing-listener',
    type: 'LDS',
    object: listenerPatch,
    config: {
      '@type': 'type.googleapis.com/envoy.extensions.filters.http.tap.v3.Tap',
      common_config: { admin_config: { config_id: 'test' } },
    },
    reason: /\d+_\d+.*filters\[\d\]\.typed_config\.http_filters\[\d\]: Didn't find a registered implementation.*tap\.v3\.Tap/,
  },
  {
    name: 'missing-cluster',
    type: 'CDS',
    object: clusterPatch,
    config: { '@type': 'type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo' },
    reason: /outbound\|80\|\|server[^,]*: filters\[0\]: Didn't find a registered implementation.*echo\.v3\.Echo/,
  },
  {
    name: 'missing-route',
    type: 'RDS',
    object: routePatch,
    config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.buffer.v3.BufferPerRoute', disabled: true },
    reason: /virtual_hosts\[\d+\]\.typed_per_filter_config\[.*not implemented/,
  },
];

for (const { name, type, object, config, reason } of [...unknownCases, ...(subject === 'envoy' ? [] : missingCases)]) {
  t.test(`${name}: exactly ${type} is in ERROR, through two more pushes, and traffic goes on`, async t => {
    apply([object(name, config)]);
    t.teardown(() => void run('kubectl', ['-n', namespace, 'delete', 'envoyfilter', name, '--ignore-not-found']));
    const errors = await waitForError(type);
    t.same([...errors.keys()], [type], 'no other type');
    t.match(errors.get(type), reason, 'with resource and reason');
    for (const round of [1, 2]) {
      const extra = `extra-${name}-${round}`;
      const cluster = `outbound|80||${extra}.${namespace}.svc.cluster.local`;
      const match = { cluster: { service: `${extra}.${namespace}.svc.cluster.local` } };
      apply([
        { ...service(namespace, extra), spec: { ...(service(namespace, 'server').spec as object) } },
        // For a new service alone istiod sends only its cluster; and an ACK of that takes the error of another away.
        patch('harmless', 'CLUSTER', match, 'MERGE', { connect_timeout: `${round}s` }),
      ]);
      await waitForCluster(namespace, 'client', cluster, 1);
      t.same([...(await waitForError(type)).keys()], [type], `still so after push ${round}`);
      t.equal(callEcho(namespace, 'client', 'http://server/')[0]?.status, 200, 'the old configuration serves');
      // A new service is a new virtual host of the rejected route, and a new cluster beside the rejected one.
      if (type !== 'RDS') {
        t.equal(callEcho(namespace, 'client', `http://${extra}/`)[0]?.status, 200, 'the other resources are updated');
      }
    }
    run('kubectl', ['-n', namespace, 'delete', 'envoyfilter', name]);
    await waitFor('the error to go', () => readErrors().size === 0);
  });
}
