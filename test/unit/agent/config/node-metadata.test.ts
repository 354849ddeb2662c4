import t from 'tap';
import { readEnvironment } from '../../../../agent/config/environment.ts';
import { buildNode, mergeMetadata, type NodeSources } from '../../../../agent/config/node-metadata.ts';
import { buildProxyConfig } from '../../../../agent/config/proxy-config.ts';
import { nameServiceCluster } from '../../../../agent/config/service-cluster.ts';

const proxyConfig = buildProxyConfig({
  meshFile: '',
  environment: '',
  annotations: {},
  serviceCluster: 'istio-proxy',
  concurrency: 0,
  cpuLimit: 0,
});

function sourcesOf(variables: Record<string, string>, more: Partial<NodeSources> = {}): NodeSources {
  return {
    id: 'sidecar~10.0.0.1~a.b~b.svc.cluster.local',
    environment: readEnvironment(variables),
    proxyConfig,
    addresses: ['10.0.0.1'],
    podLabels: null,
    podAnnotations: null,
    pilotSubjectAltNames: [],
    stsPort: 0,
    outlierLogPath: '',
    credentialSocketExists: false,
    servesOnlyFiles: false,
    ...more,
  };
}

t.test('booleans travel as the text "true", and false ones as they were given', async t => {
  const metadata = mergeMetadata(buildNode(sourcesOf({ ISTIO_META_ENABLE_HBONE: '1', ISTIO_META_DNS_CAPTURE: '0' })));
  t.match(metadata, { ENABLE_HBONE: 'true', DNS_CAPTURE: '0', METADATA_DISCOVERY: 'true' });
  t.throws(() => buildNode(sourcesOf({ ISTIO_META_ENABLE_HBONE: 'maybe' })), /ENABLE_HBONE/);
});

t.test('reports its own release unless told another', async t => {
  t.match(mergeMetadata(buildNode(sourcesOf({}))), { ISTIO_VERSION: /^1\.31\./ });
  t.match(mergeMetadata(buildNode(sourcesOf({ ISTIO_META_ISTIO_VERSION: '1.20.0' }))), { ISTIO_VERSION: '1.20.0' });
});

t.test('pod labels lose the hash of their replica set and win over static ones', async t => {
  const variables = { ISTIO_METAJSON_LABELS: '{"app":"static","zone":"z"}' };
  const node = buildNode(sourcesOf(variables, { podLabels: { app: 'pod', 'pod-template-hash': 'x' } }));
  t.same(node.typed.LABELS, { app: 'pod', zone: 'z' });
  t.same(node.typed.STATIC_LABELS, { app: 'static', zone: 'z' });
});

t.test('locality comes from the label, with dots for slashes', async t => {
  const node = buildNode(sourcesOf({}, { podLabels: { 'istio-locality': 'r.z.s' } }));
  t.same(node.locality, { region: 'r', zone: 'z', subZone: 's' });
});

t.test('the service cluster falls back from application to workload to namespace', async t => {
  const name = (variables: Record<string, string>, more: Partial<NodeSources> = {}): string =>
    nameServiceCluster(proxyConfig, buildNode(sourcesOf(variables, more)));
  t.equal(name({ POD_NAMESPACE: 'ns' }, { podLabels: { app: 'a' } }), 'a.ns');
  t.equal(name({ POD_NAMESPACE: 'ns', ISTIO_META_WORKLOAD_NAME: 'w' }), 'w.ns');
  t.equal(name({ POD_NAMESPACE: 'ns' }), 'istio-proxy.ns');
  t.equal(name({}), 'istio-proxy');
});
