import t from 'tap';
import { renderPrometheus } from '../../../../proxy/telemetry/prometheus-text.ts';
import { createStatsMatcher } from '../../../../proxy/telemetry/stats-matcher.ts';
import { StatsMerger } from '../../../../proxy/telemetry/stats-merger.ts';
import { StatsStore } from '../../../../proxy/telemetry/stats-store.ts';
import { TagExtractor } from '../../../../proxy/telemetry/tag-extractor.ts';

const bounds = [0.5, 1, 5];

function makeThreads(count: number, extractor = new TagExtractor({ useAllDefaultTags: true, tags: [] })) {
  const histogramBounds = () => bounds;
  const merger = new StatsMerger({ tagExtractor: extractor, histogramBounds });
  const isIncluded = () => true;
  const stores = Array.from({ length: count }, () => new StatsStore({ isIncluded, sink: merger.createSink() }));
  return { merger, stores };
}

const find = (merger: StatsMerger, name: string) => merger.snapshot().find(metric => metric.name === name);

t.test('threads are summed, gauges that are only set are not', async t => {
  const { merger, stores } = makeThreads(3);
  for (const [i, store] of stores.entries()) {
    store.counter('c').add(i + 1);
    store.gauge('added').inc();
    store.gauge('set').set(1);
    store.histogram('h').record(i);
  }
  t.match(find(merger, 'c'), { value: 6, used: true });
  t.match(find(merger, 'added'), { value: 3, used: true });
  t.match(find(merger, 'set'), { value: 1, used: true });
  t.match(find(merger, 'h')?.histogram, { count: 3, sum: 3, cumulative: { buckets: [0, 1, 2], counts: [1, 1, 1] } });
});

t.test('a counter is used once anything was added, also zero', async t => {
  const { merger, stores } = makeThreads(1);
  stores[0].counter('untouched');
  stores[0].counter('zero').add(0);
  t.match(find(merger, 'untouched'), { value: 0, used: false });
  t.match(find(merger, 'zero'), { value: 0, used: true });
});

t.test('reset shows zero and counts on', async t => {
  const { merger, stores } = makeThreads(1);
  stores[0].counter('c').add(5);
  merger.resetCounters();
  t.equal(find(merger, 'c')?.value, 0);
  stores[0].counter('c').inc();
  t.equal(find(merger, 'c')?.value, 1);
});

t.test('more metrics than a block holds keep their values', async t => {
  const { merger, stores } = makeThreads(1);
  for (let i = 0; i < 20_000; i++) stores[0].counter(`c${i}`).add(i);
  t.equal(find(merger, 'c19999')?.value, 19_999);
  t.equal(find(merger, 'c1')?.value, 1);
});

t.test('a name that the matcher rejects does not exist', async t => {
  const merger = new StatsMerger({
    tagExtractor: new TagExtractor({ useAllDefaultTags: false, tags: [] }),
    histogramBounds: () => bounds,
  });
  const patterns = [
    { kind: 'prefix', value: 'istio', ignoreCase: false },
    { kind: 'regex', value: 'vhost\\..*\\.route\\..*', ignoreCase: false },
  ] as const;
  const isIncluded = createStatsMatcher({ kind: 'inclusion', patterns });
  const store = new StatsStore({ isIncluded, sink: merger.createSink() });
  store.counter('http.x').inc();
  store.histogram('http.h').record(1);
  store.counter('istio_x').inc();
  store.counter('vhost.a.route.b.c').inc();
  t.same(
    merger.snapshot().map(({ name }) => name),
    ['istio_x', 'vhost.a.route.b.c'],
  );
});

t.test("Istio's tag regexes extract what its bootstrap says", async t => {
  const extractor = new TagExtractor({
    useAllDefaultTags: false,
    tags: [
      { name: 'cluster_name', regex: '^cluster(\\.(.+);)', fixedValue: null },
      {
        name: 'http_conn_manager_prefix',
        regex: '^http\\.(((?:[_.[:digit:]\\w]*|[_\\[\\]aAbBcCdDeEfF[:digit:]\\w\\:]*));\\.)',
        fixedValue: null,
      },
      { name: 'response_code', regex: '_rq(_(\\d{3}))$', fixedValue: null },
      { name: 'response_code_class', regex: '_rq(_(\\dxx))$', fixedValue: null },
      { name: 'pod', regex: null, fixedValue: 'p' },
    ],
  });
  t.same(extractor.extract('cluster.outbound|80||a.b;.upstream_rq_200'), {
    tagExtractedName: 'cluster.upstream_rq',
    tags: [
      ['pod', 'p'],
      ['cluster_name', 'outbound|80||a.b'],
      ['response_code', '200'],
    ],
  });
  t.same(extractor.extract('http.inbound_0.0.0.0_80;.downstream_rq_2xx'), {
    tagExtractedName: 'http.downstream_rq',
    tags: [
      ['pod', 'p'],
      ['http_conn_manager_prefix', 'inbound_0.0.0.0_80'],
      ['response_code_class', '2xx'],
    ],
  });
  t.throws(() => new TagExtractor({ useAllDefaultTags: false, tags: [{ name: 'x', regex: null, fixedValue: null }] }));
});

t.test('each alternative of a tag regex counts', async t => {
  const regex = '^cluster\\.(a)|^http(\\.b)';
  const extractor = new TagExtractor({ useAllDefaultTags: false, tags: [{ name: 'x', regex, fixedValue: null }] });
  t.same(extractor.extract('cluster.a').tags, [['x', 'a']]);
  t.same(extractor.extract('listener.a').tags, []);
});

t.test('Prometheus text: grouped, sorted token by token, escaped, histograms cumulative', async t => {
  const { merger, stores } = makeThreads(1);
  const [store] = stores;
  store.counter('cluster_manager.cluster_added').inc();
  store.counter('cluster.b.upstream_rq_200').add(2);
  store.counter('cluster.a.upstream_rq_200').inc();
  store.gauge('server.live').set(1);
  store.counter('istiocustom.istio_requests_total.x', 'istiocustom.istio_requests_total', [['v', 'a"b\\c\nd']]).inc();
  store.counter('istiocustom.1digit').inc();
  const histogram = store.histogram('cluster.a.upstream_rq_time');
  for (const value of [0, 1, 3, 100]) histogram.record(value);
  const text = [...renderPrometheus(merger.snapshot(), { histograms: 'buckets', textReadouts: false })].join('');
  t.equal(
    text,
    `# TYPE envoy_cluster_upstream_rq counter
envoy_cluster_upstream_rq{envoy_response_code="200",envoy_cluster_name="a"} 1
envoy_cluster_upstream_rq{envoy_response_code="200",envoy_cluster_name="b"} 2
# TYPE envoy_cluster_manager_cluster_added counter
envoy_cluster_manager_cluster_added{} 1
# TYPE istio_requests_total counter
istio_requests_total{v="a\\"b\\\\c\\nd"} 1
# TYPE envoy_server_live gauge
envoy_server_live{} 1
# TYPE envoy_cluster_upstream_rq_time histogram
envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="a",le="0.5"} 1
envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="a",le="1"} 2
envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="a",le="5"} 3
envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="a",le="+Inf"} 4
envoy_cluster_upstream_rq_time_sum{envoy_cluster_name="a"} 104
envoy_cluster_upstream_rq_time_count{envoy_cluster_name="a"} 4
`,
  );
});

t.test('names of a declared family exist, unused, unless the matcher leaves them out; what is counted is not lost', async t => {
  const tagExtractor = new TagExtractor({ useAllDefaultTags: true, tags: [] });
  const isIncluded = (name: string) => !name.includes('paused');
  const merger = new StatsMerger({ tagExtractor, histogramBounds: () => bounds, isIncluded });
  const store = new StatsStore({ isIncluded, sink: merger.createSink() });
  store.counter('tcp.a.downstream_cx_total').add(3);
  store.declare('tcp.a.', 'tcp-proxy');
  store.declare('tcp.a.', 'tcp-proxy');
  t.match(find(merger, 'tcp.a.downstream_cx_total'), { value: 3, used: true });
  t.match(find(merger, 'tcp.a.idle_timeout'), { value: 0, used: false, tags: [['envoy.tcp_prefix', 'a']] });
  t.equal(find(merger, 'tcp.a.downstream_flow_control_paused_reading_total'), undefined);
  store.counter('tcp.a.idle_timeout').inc();
  t.match(find(merger, 'tcp.a.idle_timeout'), { value: 1, used: true });
});
