import { setImmediate as nextTask } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { StatsMerger } from '../../../../proxy/telemetry/stats-merger.ts';
import { StatsStore } from '../../../../proxy/telemetry/stats-store.ts';
import { TagExtractor } from '../../../../proxy/telemetry/tag-extractor.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

function makeThreads(count: number, now = () => 0) {
  const merger = new StatsMerger({
    tagExtractor: new TagExtractor({ useAllDefaultTags: true, tags: [] }),
    histogramBounds: () => [1, 10],
  });
  let blocks = 0;
  const stores = Array.from({ length: count }, () => {
    const sink = merger.createSink();
    const addBlock: typeof sink.addBlock = (block, cells) => {
      blocks++;
      sink.addBlock(block, cells);
    };
    return new StatsStore({ isIncluded: () => true, sink: { ...sink, addBlock }, now });
  });
  return { merger, stores, countBlocks: () => blocks };
}

const find = (merger: StatsMerger, name: string) => merger.snapshot().find(metric => metric.name === name);
const namesOf = (merger: StatsMerger) => merger.snapshot().map(({ name }) => name);

t.test('what a released scope made is gone, and starts from zero when it is made again', async t => {
  const { merger, stores } = makeThreads(1);
  stores[0].counter('stays').inc();
  const scope = stores[0].createScope();
  scope.counter('cluster.a.c').add(5);
  scope.gauge('cluster.a.g').set(5);
  scope.histogram('cluster.a.h').record(5000);
  t.equal(find(merger, 'cluster.a.h')?.histogram?.count, 1);
  scope.release();
  t.same(namesOf(merger), ['stays']);
  const again = stores[0].createScope();
  again.counter('cluster.a.c').inc();
  t.equal(find(merger, 'cluster.a.c')?.value, 1);
});

t.test('a metric stays as long as one of its scopes', async t => {
  const { merger, stores } = makeThreads(1);
  const [first, second] = [stores[0].createScope(), stores[0].createScope()];
  first.counter('c').add(2);
  t.equal(second.counter('c'), first.counter('c'), 'both have the same one');
  first.release();
  second.counter('c').inc();
  t.equal(find(merger, 'c')?.value, 3);
  second.release();
  t.equal(find(merger, 'c'), undefined);
});

t.test('a counter and a histogram never go back while another thread has them', async t => {
  const { merger, stores } = makeThreads(2);
  const scopes = stores.map(store => store.createScope());
  for (const scope of scopes) {
    scope.counter('c').add(2);
    scope.gauge('g').add(2);
    scope.histogram('h').record(5);
  }
  scopes[0].release();
  t.match(find(merger, 'c'), { value: 4, used: true });
  t.equal(find(merger, 'g')?.value, 2, 'the gauge shows what there is');
  t.match(find(merger, 'h')?.histogram, { count: 2, sum: 10, cumulative: { buckets: [5], counts: [2] } });
  merger.flushIntervals();
  t.equal(find(merger, 'h')?.histogram?.interval.count, 2);
  merger.flushIntervals();
  t.equal(find(merger, 'h')?.histogram?.interval.count, 0);
  scopes[1].release();
  t.same(namesOf(merger), []);
});

t.test('declared names stay as long as a scope that declares them, and keep what was counted', async t => {
  const { merger, stores } = makeThreads(2);
  const [main, other, worker] = [stores[0].createScope(), stores[0].createScope(), stores[1].createScope()];
  main.declare('tls_inspector.', 'tls-inspector');
  other.declare('tls_inspector.', 'tls-inspector');
  worker.counter('tls_inspector.tls_found').add(3);
  t.equal(namesOf(merger).length, 8);
  worker.release();
  t.match(find(merger, 'tls_inspector.tls_found'), { value: 3, used: true });
  main.release();
  t.equal(namesOf(merger).length, 8);
  other.release();
  t.same(namesOf(merger), []);
});

t.test('a family that is declared and taken back between two readings leaves nothing', async t => {
  const { merger, stores } = makeThreads(1);
  const scope = stores[0].createScope();
  scope.declare('cluster.a.', 'cluster');
  scope.release();
  t.same(namesOf(merger), []);
});

t.test('who still holds a metric of a released scope may write to it, unseen', async t => {
  const { merger, stores } = makeThreads(1);
  const scope = stores[0].createScope();
  const counter = scope.counter('c');
  scope.release();
  counter.inc();
  scope.counter('late').inc();
  scope.declare('cluster.late.', 'cluster');
  t.same(namesOf(merger), []);
});

t.test('a thousand scopes that come and go need the memory of a few', async t => {
  let nowMs = 0;
  const { merger, stores, countBlocks } = makeThreads(1, () => nowMs);
  let atStart = 0;
  for (let i = 0; i < 1000; i++) {
    const scope = stores[0].createScope();
    for (let c = 0; c < 60; c++) scope.counter(`cluster.${i}.c${c}`).inc();
    scope.histogram(`cluster.${i}.h`).record(12_345);
    scope.declare(`cluster.${i}.`, 'cluster');
    if (i % 100 === 0) merger.snapshot();
    scope.release();
    if (i % 50 !== 49) continue;
    // Finalizers run in tasks of their own.
    collectGarbage();
    await nextTask();
    await nextTask();
    nowMs += 10_000;
    if (i === 199) atStart = countBlocks();
  }
  t.same(namesOf(merger), []);
  t.ok(countBlocks() <= atStart, `${countBlocks()} blocks, ${atStart} after 200`);
});

t.test('memory that is used again begins with nothing in it', async t => {
  let nowMs = 0;
  const { merger, stores, countBlocks } = makeThreads(1, () => nowMs);
  const countFilled = (round: number): number => {
    let filled = 0;
    for (let i = 0; i < 400; i++) {
      const scope = stores[0].createScope();
      const histogram = scope.histogram(`h${round}.${i}`);
      filled += find(merger, `h${round}.${i}`)?.histogram?.count ?? 0;
      histogram.record(77);
      scope.release();
    }
    return filled;
  };
  t.equal(countFilled(0), 0);
  const before = countBlocks();
  collectGarbage();
  await nextTask();
  await nextTask();
  nowMs += 10_000;
  t.equal(countFilled(1), 0);
  t.ok(countBlocks() <= before + 1, 'and most of it was used again');
});
