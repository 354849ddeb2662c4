import t from 'tap';
import { HeaderMap } from '../../../../../proxy/http/header-map.ts';
import { IstioMetrics } from '../../../../../proxy/telemetry/istio/istio-metrics.ts';
import type { IstioStatsModel } from '../../../../../proxy/telemetry/istio/model.ts';
import { toCelPeer, toWorkloadMetadata } from '../../../../../proxy/telemetry/peer-metadata.ts';
import { renderPrometheus } from '../../../../../proxy/telemetry/prometheus-text.ts';
import { ResponseFlag } from '../../../../../proxy/telemetry/response-flags.ts';
import type { StreamInfo } from '../../../../../proxy/telemetry/stream-info.ts';
import { makeRequestHeaders, makeStats, makeStreamInfo, makeTls } from '../fixture.ts';

const plain: IstioStatsModel = {
  reporter: 'by-direction',
  disableHostHeaderFallback: false,
  tcpReportingDurationMs: 5000,
  metrics: [],
  definitions: [],
};
const workload = (name: string, app: string) => ({
  NAME: `${name}-pod`,
  NAMESPACE: 'default',
  WORKLOAD_NAME: name,
  CLUSTER_ID: 'test-cluster',
  ISTIO_VERSION: '1.31.0',
  LABELS: {
    app,
    version: 'v1',
    role: 'x',
    'service.istio.io/canonical-name': app,
    'service.istio.io/canonical-revision': 'version-1',
  },
});
const productpage = workload('productpage-v1', 'productpage');
const ratings = workload('ratings-v1', 'ratings');
const serverCluster = {
  name: 'outbound|9080|http|server.default.svc.cluster.local',
  metadata: { istio: { services: [{ host: 'server.default.svc.cluster.local', name: 'server', namespace: 'default' }] } },
};

function setUp(direction: 'inbound' | 'outbound', metadata: object, model: Partial<IstioStatsModel> = {}) {
  const { store, merger } = makeStats();
  const node = { id: 'n', cluster: 'c', locality: { region: '', zone: '', subZone: '' }, metadata: metadata as never };
  const metrics = new IstioMetrics({ ...plain, ...model }, { stats: store, node, trafficDirection: direction });
  return {
    metrics,
    merger,
    text: () => [...renderPrometheus(merger.snapshot(), { histograms: 'buckets', textReadouts: false })].join(''),
    /** Labels and value of the only series of a metric. */
    series: (name: string) => {
      const found = merger.snapshot().filter(metric => metric.tagExtractedName === `istiocustom.istio_${name}`);
      return found.map(({ tags, value, histogram }) => ({ tags, value: histogram?.count ?? value, sum: histogram?.sum }));
    },
  };
}

function makeInfo(overrides: Partial<StreamInfo> = {}, connection = {}): StreamInfo {
  const info = makeStreamInfo(connection);
  info.responseCode = 200;
  info.endMonotonicMs = info.startMonotonicMs + 12.9;
  info.wireBytesReceived = 100;
  info.wireBytesSent = 200;
  return Object.assign(info, overrides);
}

function setPeer(info: StreamInfo, side: 'upstream' | 'downstream', metadata: object): void {
  const peer = toWorkloadMetadata(metadata as never, []);
  info.setFilterState(`${side}_peer`, toCelPeer(peer));
  info.setFilterState(`${side}_peer_obj`, peer);
}

const contextOf = (info: StreamInfo, headers: HeaderMap | null = makeRequestHeaders()) => ({
  info,
  requestHeaders: headers,
  responseHeaders: null,
  responseTrailers: null,
});

const cluster = serverCluster as never;
const clusterView = { name: serverCluster.name, model: cluster };

t.test('a client counts a request with the labels of the reference, in their order', async t => {
  const { metrics, series } = setUp('outbound', productpage);
  const info = makeInfo({ cluster: clusterView });
  setPeer(info, 'upstream', ratings);
  metrics.recordRequest(contextOf(info), false);
  metrics.recordRequest(contextOf(info), false);
  t.same(series('requests_total'), [
    {
      value: 2,
      sum: undefined,
      tags: [
        ['reporter', 'source'],
        ['source_workload', 'productpage-v1'],
        ['source_canonical_service', 'productpage'],
        ['source_canonical_revision', 'version-1'],
        ['source_workload_namespace', 'default'],
        ['source_principal', 'unknown'],
        ['source_app', 'productpage'],
        ['source_version', 'v1'],
        ['source_cluster', 'test-cluster'],
        ['destination_workload', 'ratings-v1'],
        ['destination_workload_namespace', 'default'],
        ['destination_principal', 'unknown'],
        ['destination_app', 'ratings'],
        ['destination_version', 'v1'],
        ['destination_service', 'server.default.svc.cluster.local'],
        ['destination_canonical_service', 'ratings'],
        ['destination_canonical_revision', 'version-1'],
        ['destination_service_name', 'server'],
        ['destination_service_namespace', 'default'],
        ['destination_cluster', 'test-cluster'],
        ['request_protocol', 'http'],
        ['response_code', '200'],
        ['grpc_response_status', ''],
        ['response_flags', '-'],
        ['connection_security_policy', 'unknown'],
      ],
    },
  ]);
  t.match(series('request_duration_milliseconds'), [{ value: 2, sum: 24 }]);
  t.match(series('request_bytes'), [{ value: 2, sum: 200 }]);
  t.match(series('response_bytes'), [{ value: 2, sum: 400 }]);
});

t.test('the names are those of Prometheus without prefix, and the build is told', async t => {
  const { metrics, text } = setUp('outbound', productpage);
  metrics.recordRequest(contextOf(makeInfo()), false);
  t.match(text(), /^# TYPE istio_requests_total counter\nistio_requests_total\{reporter="source",/);
  t.match(text(), '# TYPE istio_build gauge\nistio_build{component="proxy",tag="1.31.0"} 1\n');
  t.match(
    text(),
    '# TYPE istio_request_duration_milliseconds histogram\nistio_request_duration_milliseconds_bucket{reporter="source",',
  );
});

const tagsOf = (found: readonly { readonly tags: readonly (readonly [string, string])[] }[]) => Object.fromEntries(found[0].tags);

t.test('a server knows its peer by certificate and metadata', async t => {
  const { metrics, series } = setUp('inbound', ratings);
  const tls = makeTls('spiffe://cluster.local/ns/client-ns/sa/client', 'spiffe://cluster.local/ns/default/sa/server');
  const info = makeInfo({ cluster: clusterView }, { tls });
  setPeer(info, 'downstream', productpage);
  metrics.recordRequest(contextOf(info), false);
  t.match(tagsOf(series('requests_total')), {
    reporter: 'destination',
    source_workload: 'productpage-v1',
    source_workload_namespace: 'client-ns',
    source_principal: 'spiffe://cluster.local/ns/client-ns/sa/client',
    destination_workload: 'ratings-v1',
    destination_principal: 'spiffe://cluster.local/ns/default/sa/server',
    destination_service: 'server.default.svc.cluster.local',
    destination_service_namespace: 'default',
    connection_security_policy: 'mutual_tls',
  });
});

t.test('a server without peer or cluster metadata falls back', async t => {
  const { metrics, series } = setUp('inbound', ratings, { disableHostHeaderFallback: true });
  metrics.recordRequest(contextOf(makeInfo()), false);
  t.match(tagsOf(series('requests_total')), {
    source_workload: 'unknown',
    source_canonical_revision: 'latest',
    source_cluster: 'unknown',
    destination_service: 'ratings',
    destination_service_name: 'ratings',
    connection_security_policy: 'none',
  });
});

t.test('a client without metadata of its peer takes the endpoint', async t => {
  const { metrics, series } = setUp('outbound', productpage);
  const upstreamHost = { metadata: { istio: { workload: 'ratings-v1;default;ratings;version-1;server-cluster' } } } as never;
  metrics.recordRequest(contextOf(makeInfo({ cluster: clusterView, upstreamHost })), false);
  t.match(tagsOf(series('requests_total')), {
    destination_workload: 'ratings-v1',
    destination_app: 'unknown',
    destination_canonical_service: 'ratings',
    destination_cluster: 'server-cluster',
  });
});

t.test('passthrough, black hole and unknown hosts', async t => {
  const special = (name: string) => ({ name, model: { name, metadata: {} } as never });
  const cases: [Partial<StreamInfo>, string, string][] = [
    [{ cluster: special('PassthroughCluster'), routeName: 'allow_any' }, 'svc.ns:80', 'PassthroughCluster'],
    [{ routeName: 'block_all', responseCode: 502 }, 'svc.ns:80', 'BlackHoleCluster'],
    [{ cluster: special('InboundPassthroughCluster') }, 'svc.ns:80', 'InboundPassthroughCluster'],
    [{ cluster: special('other') }, 'svc.ns:80', 'svc.ns:80'],
  ];
  for (const [overrides, service, name] of cases) {
    const { metrics, series } = setUp('outbound', productpage);
    metrics.recordRequest(contextOf(makeInfo(overrides)), false);
    t.match(tagsOf(series('requests_total')), { destination_service: service, destination_service_name: name }, name);
  }
  const { metrics, series } = setUp('outbound', productpage);
  const info = makeInfo({ responseCode: 404 });
  info.setFlag(ResponseFlag.noRouteFound);
  metrics.recordRequest(contextOf(info, new HeaderMap()), false);
  t.match(tagsOf(series('requests_total')), {
    destination_service: 'unknown',
    destination_service_name: 'unknown',
    response_code: '404',
    response_flags: 'NR',
  });
});

t.test('gRPC requests have their protocol and status, messages only the labels of the parties', async t => {
  const { metrics, series } = setUp('outbound', productpage);
  metrics.recordRequest(contextOf(makeInfo({ cluster: clusterView, grpcStatus: 7 })), true);
  t.match(tagsOf(series('requests_total')), { request_protocol: 'grpc', grpc_response_status: '7' });
  const counters = metrics.findMessageMetrics(contextOf(makeInfo({ cluster: clusterView })));
  counters.requests?.add(3);
  const [{ tags, value }] = series('request_messages_total');
  t.equal(value, 3);
  t.equal(tags.at(-1)?.[0], 'destination_cluster');
});

t.test('streams that differ in one label are counted apart', async t => {
  const { metrics, series } = setUp('outbound', productpage);
  for (const responseCode of [200, 200, 404])
    metrics.recordRequest(contextOf(makeInfo({ cluster: clusterView, responseCode })), false);
  const flagged = makeInfo({ cluster: clusterView });
  flagged.setFlag(ResponseFlag.upstreamConnectionFailure);
  metrics.recordRequest(contextOf(flagged), false);
  t.same(
    series('requests_total').map(({ value }) => value),
    [2, 1, 1],
  );
});

t.test('overrides drop, remove, replace and add', async t => {
  const { metrics, series } = setUp('outbound', productpage, {
    metrics: [
      { name: 'request_bytes', drop: true, tagsToRemove: [], dimensions: [] },
      {
        name: '',
        drop: false,
        tagsToRemove: ['response_flags', 'nonsense'],
        dimensions: [
          { tag: 'added_failing', expression: 'request.nope' },
          { tag: 'added_method', expression: 'request.method' },
          { tag: 'added_role', expression: 'upstream_peer.labels["role"]' },
          { tag: 'added_text', expression: "'literal'" },
          { tag: 'added_unparsable', expression: '(((' },
          { tag: 'destination_version', expression: "'replaced'" },
        ],
      },
      { name: 'requests_total', drop: false, tagsToRemove: ['reporter'], dimensions: [] },
    ],
    definitions: [{ name: 'custom_count', value: "(request.method == 'GET') ? 2 : 0", type: 'counter' }],
  });
  const info = makeInfo({ cluster: clusterView });
  const peer = toWorkloadMetadata(ratings as never, ['role']);
  info.setFilterState('upstream_peer', toCelPeer(peer));
  info.setFilterState('upstream_peer_obj', peer);
  metrics.recordRequest(contextOf(info), false);
  const tags = tagsOf(series('requests_total'));
  t.match(tags, {
    added_failing: 'unknown',
    added_method: 'GET',
    added_role: 'x',
    added_text: 'literal',
    added_unparsable: 'unknown',
    destination_version: 'replaced',
  });
  t.notOk('response_flags' in tags);
  t.notOk('reporter' in tags);
  t.equal(tagsOf(series('response_bytes')).reporter, 'source');
  t.same(series('request_bytes'), []);
  t.match(series('custom_count'), [{ value: 2 }]);
});

t.test('TCP connections are counted by the same parties', async t => {
  const { metrics, series } = setUp('outbound', productpage);
  const info = makeInfo({
    cluster: clusterView,
    upstreamConnection: { tls: makeTls('spiffe://td/ns/srv/sa/s', 'spiffe://td/ns/cl/sa/c') } as never,
  });
  setPeer(info, 'upstream', ratings);
  const counters = metrics.findTcpMetrics(contextOf(info, null));
  counters.opened?.inc();
  t.equal(metrics.findTcpMetrics(contextOf(info, null)), counters);
  const tags = tagsOf(series('tcp_connections_opened_total'));
  t.match(tags, {
    request_protocol: 'tcp',
    source_principal: 'spiffe://td/ns/cl/sa/c',
    destination_principal: 'spiffe://td/ns/srv/sa/s',
    destination_workload_namespace: 'srv',
    connection_security_policy: 'unknown',
  });
  t.notOk('response_code' in tags);
});

t.test(
  'a peer and a service that are told anew are the ones that are known: nothing grows with connections or pushes',
  async t => {
    const { metrics } = setUp('outbound', productpage);
    const find = (peer: object) => {
      const info = makeInfo({ cluster: { name: serverCluster.name, model: structuredClone(cluster) as never } });
      setPeer(info, 'upstream', structuredClone(peer));
      return metrics.findTcpMetrics(contextOf(info, null));
    };
    const first = find(ratings);
    t.not(find(productpage), first);
    t.equal(find(ratings), first);
  },
);
