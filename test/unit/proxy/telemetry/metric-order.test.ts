import t from 'tap';
import { MergedMetric } from '../../../../proxy/telemetry/merged-metric.ts';
import { MetricOrder } from '../../../../proxy/telemetry/metric-order.ts';
import { renderPrometheus } from '../../../../proxy/telemetry/prometheus-text.ts';
import { StatsMerger } from '../../../../proxy/telemetry/stats-merger.ts';
import { StatsStore } from '../../../../proxy/telemetry/stats-store.ts';
import { TagExtractor } from '../../../../proxy/telemetry/tag-extractor.ts';
import { collectByKind, renderStatsText } from '../../../../proxy/admin/stats-text.ts';

const makeMetric = (name: string) =>
  new MergedMetric('counter', name, null, tagExtractedName => ({ tagExtractedName, tags: [] }), []);

function setUp() {
  const tagExtractor = new TagExtractor({ useAllDefaultTags: true, tags: [] });
  const merger = new StatsMerger({ tagExtractor, histogramBounds: () => [1, 10] });
  return { merger, store: new StatsStore({ isIncluded: () => true, sink: merger.createSink() }) };
}

t.test('a dot sorts before everything, whatever is compared in groups', async t => {
  const wanted = [
    'a',
    'a.b',
    'a.b.c',
    'a.b.c.d',
    'a.b-c',
    'a.b-c.d',
    'a.b|80||x.y',
    'a-b',
    'a-b.c',
    'b',
    'b.0.1',
    'b.0.10',
    'b.00',
  ];
  const order = new MetricOrder();
  for (const name of wanted.toReversed()) order.add(makeMetric(name));
  t.same(
    [...order.sorted()].map(({ name }) => name),
    wanted,
  );
});

t.test('work goes on between any two families that are made and any two metrics that are shown', async t => {
  const { merger, store } = setUp();
  for (let i = 0; i < 100; i++) store.declare(`cluster.c${i}.`, 'cluster-traffic');
  const nulls = [...merger.list()].filter(metric => metric === null).length;
  t.equal(nulls, 100);
  t.equal([...merger.list()].filter(metric => metric === null).length, 0, 'they are made once');
  const options = { histograms: 'buckets', textReadouts: false } as const;
  const pieces = [...renderPrometheus(merger.list(), options), ...renderStatsText(merger.list(), 'summary')];
  const longest = Math.max(...pieces.map(piece => piece.split('\n').length));
  t.ok(longest < 400, `${longest} lines at once`);
  t.equal([...collectByKind(merger.list())].length, merger.snapshot().length);
});

t.test('a metric that goes while the list is read is not in the way', async t => {
  const { merger, store } = setUp();
  const scope = store.createScope();
  for (const name of ['x', 'y', 'z']) scope.counter(`gone.${name}`).inc();
  store.counter('stays.c').inc();
  const list = merger.list();
  t.equal(list.next().value?.name, 'gone.x');
  scope.release();
  t.same(
    [...list].map(metric => metric?.name),
    ['stays.c'],
  );
});

t.test('counters are exact far beyond 32 bits', async t => {
  const { merger, store } = setUp();
  for (let i = 0; i < 3; i++) store.counter('large').add(4_294_967_295);
  store.gauge('limit').set(4_294_967_295);
  t.equal([...renderStatsText(merger.list(), 'summary')].join(''), 'large: 12884901885\nlimit: 4294967295\n');
});
