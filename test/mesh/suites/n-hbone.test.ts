/**
 * HBONE between sidecars, with an istiod that has ambient enabled: requests and connections travel in CONNECT over mutual TLS to port
 * 15008. Between this image and itself only: a stock Envoy refuses the listeners, which name Istio's own extensions.
 */
import t from 'tap';
import { run, tryRun, waitFor } from '../cluster/command.ts';
import { installIstio } from '../cluster/istio.ts';
import { apply } from '../cluster/kubectl.ts';
import { callEcho, deploy, namespaceOf } from '../fixtures/mesh.ts';
import { type App, service } from '../fixtures/pods.ts';
import { adminPage } from '../fixtures/proxies.ts';
import { subject } from '../fixtures/subject.ts';

const revision = 'hbone';
const namespace = namespaceOf('mesh-hbone');
const annotations = { 'proxy.istio.io/config': JSON.stringify({ proxyMetadata: { ISTIO_META_ENABLE_HBONE: 'true' } }) };
const apps: App[] = ['client', 'server'].map(name => ({ name, sidecar: subject, annotations }));
const objects = [
  { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, labels: { 'istio.io/rev': revision } } },
  service(namespace, 'server'),
];

t.teardown(() => {
  tryRun('kubectl', ['delete', 'namespace', namespace, '--wait=false']);
  const kinds = 'mutatingwebhookconfigurations,validatingwebhookconfigurations,all';
  tryRun('kubectl', ['-n', 'istio-system', 'delete', kinds, '-l', `istio.io/rev=${revision}`, '--wait=false']);
});

await installIstio('bare', {
  revision,
  settings: ['pilot.env.PILOT_ENABLE_AMBIENT=true', 'pilot.env.PILOT_PREFER_SENDING_HBONE=true'],
});
run('kubectl', ['delete', 'namespace', namespace, '--ignore-not-found', '--timeout=60s']);
apply(objects);
// The rollout is over a moment before the address of the injector works.
const isDeployed = (): boolean => {
  try {
    deploy(namespace, apps);
    return true;
  } catch (error) {
    if (String(error).includes('failed calling webhook')) return false;
    throw error;
  }
};
await waitFor('pods to be injected', isDeployed, 120_000, 2000);

const clustersOf = (pod: string): string => adminPage(namespace, pod, 'clusters');

t.test('HTTP, TCP and server-first TCP go by CONNECT', async t => {
  const tunnel = (port: number): string => `outbound|${port}||server.${namespace}.svc.cluster.local::envoy://connect_originate/`;
  // A new istiod takes its time to know which pods take tunnels.
  const areTunnelled = (): boolean => {
    const text = clustersOf('client');
    return [80, 9090, 9091].every(port => text.includes(tunnel(port)));
  };
  await waitFor('endpoints behind the tunnel', areTunnelled, 120_000, 1000);
  const [http] = callEcho(namespace, 'client', 'http://server/path', '-H', 'x-test: yes');
  t.equal(http?.status, 200, 'HTTP');
  t.equal(http?.fields.get('Hostname'), 'server');
  t.equal(http?.requestHeaders.get('x-test'), 'yes');
  const [tcp] = callEcho(namespace, 'client', 'tcp://server:9090', '--msg', 'over tcp');
  t.match(tcp?.text, /body over tcp/, 'TCP');
  const [first] = callEcho(namespace, 'client', 'tcp://server:9091', '--server-first', '--msg', 'second');
  t.match(first?.text, /body second/, 'TCP where the server speaks first');
  const lines = clustersOf('client').split('\n');
  for (const port of [80, 9090, 9091]) {
    const counted = lines.find(line => line.startsWith(tunnel(port)) && line.includes('::rq_total::'));
    t.match(counted, /::rq_total::[1-9]/, `port ${port}: into the tunnel`);
  }
});
