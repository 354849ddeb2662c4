import t from 'tap';
import {
  createPeerMetadataFilter,
  type PeerMetadataModel,
} from '../../../../../../proxy/extensions/filters/http/peer-metadata/filter.ts';
import type { FilterFactoryContext, HttpFilterCallbacks } from '../../../../../../proxy/http/filter.ts';
import { HeaderMap } from '../../../../../../proxy/http/header-map.ts';
import { encodeMetadataHeader } from '../../../../../../proxy/telemetry/peer-metadata.ts';
import { makeRequestHeaders, makeStreamInfo } from '../../../telemetry/fixture.ts';

const node = (name: string) => ({
  id: `sidecar~1~${name}`,
  cluster: 'c',
  locality: { region: '', zone: '', subZone: '' },
  metadata: { WORKLOAD_NAME: name },
});
const client: PeerMetadataModel = {
  downstreamDiscovery: false,
  upstreamDiscovery: true,
  downstreamPropagation: null,
  upstreamPropagation: { skipExternalClusters: false },
  additionalLabels: [],
};
const server: PeerMetadataModel = {
  downstreamDiscovery: true,
  upstreamDiscovery: false,
  downstreamPropagation: { skipExternalClusters: false },
  upstreamPropagation: null,
  additionalLabels: [],
};

function setUp(model: PeerMetadataModel, cluster: { name: string; metadata: object } | null = null) {
  const info = makeStreamInfo();
  const clusters = { find: (name: string) => (cluster?.name === name ? { model: cluster } : null) };
  const context = { node: node('own'), services: { clusters } } as unknown as FilterFactoryContext;
  const route = cluster === null ? null : { compiled: { action: { clusterName: cluster.name } } };
  const filter = createPeerMetadataFilter(model, context)({ streamInfo: info, route } as unknown as HttpFilterCallbacks)!;
  return { filter, info };
}

const peerHeaders = {
  'x-envoy-peer-metadata-id': 'sidecar~1~peer',
  'x-envoy-peer-metadata': encodeMetadataHeader(node('peer'), []),
};
const ownHeaders = {
  'x-envoy-peer-metadata-id': 'sidecar~1~own',
  'x-envoy-peer-metadata': encodeMetadataHeader(node('own'), []),
};
const entriesOf = (headers: HeaderMap) =>
  Object.fromEntries(headers.entries.flatMap((name, i) => (i % 2 === 0 ? [[name, headers.entries[i + 1]]] : [])));

t.test('the client tells who it is, reads who answered, and hides it from the application', async t => {
  const { filter, info } = setUp(client);
  const request = makeRequestHeaders();
  filter.onRequestHeaders!(request, true);
  t.same(entriesOf(request), ownHeaders);
  const response = new HeaderMap();
  for (const [name, value] of Object.entries(peerHeaders)) response.add(name, value);
  response.add('x-app', '1');
  filter.onResponseHeaders!(response, true);
  t.same(entriesOf(response), { 'x-app': '1' });
  t.match(info.getFilterState('upstream_peer'), { workload: 'peer' });
});

t.test('the server reads, strips, and answers only those who told', async t => {
  const { filter, info } = setUp(server);
  const request = makeRequestHeaders(peerHeaders);
  filter.onRequestHeaders!(request, true);
  t.same(entriesOf(request), {});
  t.match(info.getFilterState('downstream_peer'), { workload: 'peer' });
  const response = new HeaderMap();
  filter.onResponseHeaders!(response, true);
  t.same(entriesOf(response), ownHeaders);

  const silent = setUp(server);
  silent.filter.onRequestHeaders!(makeRequestHeaders(), true);
  const plain = new HeaderMap();
  silent.filter.onResponseHeaders!(plain, true);
  t.same(entriesOf(plain), {});

  const idOnly = setUp(server);
  idOnly.filter.onRequestHeaders!(makeRequestHeaders({ 'x-envoy-peer-metadata-id': 'x' }), true);
  const half = new HeaderMap();
  idOnly.filter.onResponseHeaders!(half, true);
  t.same(entriesOf(half), { 'x-envoy-peer-metadata-id': ownHeaders['x-envoy-peer-metadata-id'] });
});

t.test('a forged or broken header names no peer and is stripped', async t => {
  const { filter, info } = setUp(server);
  const request = makeRequestHeaders({ 'x-envoy-peer-metadata': '%%%', 'x-envoy-peer-metadata-id': 'y' });
  filter.onRequestHeaders!(request, true);
  t.same(entriesOf(request), {});
  t.match(info.getFilterState('downstream_peer'), {});
});

t.test('external clusters are told nothing where the configuration says so', async t => {
  const skipping = { ...client, upstreamPropagation: { skipExternalClusters: true } };
  const cases: [PeerMetadataModel, { name: string; metadata: object }, boolean][] = [
    [skipping, { name: 'PassthroughCluster', metadata: {} }, false],
    [skipping, { name: 'x', metadata: { istio: { external: true } } }, false],
    [skipping, { name: 'x', metadata: {} }, true],
    [client, { name: 'PassthroughCluster', metadata: {} }, true],
    [client, { name: 'x', metadata: { istio: { disable_mx: true } } }, false],
  ];
  for (const [model, cluster, told] of cases) {
    const request = makeRequestHeaders();
    setUp(model, cluster).filter.onRequestHeaders!(request, true);
    t.equal(request.has('x-envoy-peer-metadata'), told, JSON.stringify(cluster));
  }
});
