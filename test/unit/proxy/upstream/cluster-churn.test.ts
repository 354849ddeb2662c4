import { setImmediate as nextTask } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { StatsMerger } from '../../../../proxy/telemetry/stats-merger.ts';
import { StatsStore } from '../../../../proxy/telemetry/stats-store.ts';
import { TagExtractor } from '../../../../proxy/telemetry/tag-extractor.ts';
import { ClusterRegistry } from '../../../../proxy/upstream/cluster-registry.ts';
import { allocateClusterCounters, allocateHostCounters } from '../../../../proxy/upstream/shared-counters.ts';
import { WorkerClusters } from '../../../../proxy/upstream/worker-clusters.ts';
import { makeCluster, makeUpstream } from './upstream-fixture.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** A main thread and a worker with all statistics. */
function setUp() {
  const clock = { nowMs: 0 };
  const now = (): number => clock.nowMs;
  let blocks = 0;
  const merger = new StatsMerger({
    tagExtractor: new TagExtractor({ useAllDefaultTags: true, tags: [] }),
    histogramBounds: () => [1],
  });
  const makeStore = (): StatsStore => {
    const sink = merger.createSink();
    const addBlock: typeof sink.addBlock = (block, cells) => {
      blocks++;
      sink.addBlock(block, cells);
    };
    return new StatsStore({ isIncluded: () => true, sink: { ...sink, addBlock }, now });
  };
  const [hostBuffer, clusterBuffer] = [allocateHostCounters(1), allocateClusterCounters(1)];
  const { services } = makeUpstream({ workerIndex: 0, hostBuffer, clusterBuffer });
  const worker = new WorkerClusters({ ...services, stats: makeStore() });
  const registry = new ClusterRegistry({
    broadcast: message => {
      if (message.type === 'cluster') worker.onCluster(message.name, message.row, message.model);
      else if (message.type === 'cluster-removed') worker.onRemoved(message.name);
    },
    hostCounters: hostBuffer,
    clusterCounters: clusterBuffer,
    stats: makeStore(),
    now,
  });
  return { clock, merger, registry, worker, countBlocks: () => blocks };
}

t.test('a thousand clusters that come, serve and go leave no statistics and no memory behind', async t => {
  const { clock, merger, registry, worker, countBlocks } = setUp();
  let blocksOfFew = 0;
  for (let i = 0; i < 1000; i++) {
    const name = `cluster-${i}`;
    registry.update(makeCluster({ name, statName: name }));
    worker.find(name)?.stats.addUpstreamBytes(100, 100);
    if (i % 100 === 0) t.ok(merger.snapshot().length > 100, 'it shows');
    registry.remove(name);
    if (i % 50 !== 49) continue;
    // Finalizers run in tasks of their own.
    collectGarbage();
    await nextTask();
    await nextTask();
    clock.nowMs += 60_000;
    if (i === 199) blocksOfFew = countBlocks();
  }
  t.same(merger.snapshot(), []);
  t.ok(countBlocks() <= blocksOfFew, `${countBlocks()} blocks of shared memory, ${blocksOfFew} after 200 clusters`);
});

t.test('a changed cluster counts on, one that is added again begins at zero', async t => {
  const { merger, registry, worker } = setUp();
  const serve = (): void => worker.find('app')?.stats.addUpstreamBytes(0, 10);
  const received = () => merger.valueOf('counter', 'cluster.app.upstream_cx_rx_bytes_total');
  registry.update(makeCluster());
  serve();
  registry.update(makeCluster({ connectTimeoutMs: 7 }));
  t.equal(received(), 10);
  serve();
  t.equal(received(), 20);
  registry.remove('app');
  registry.update(makeCluster());
  t.equal(received(), 0);
  serve();
  t.equal(received(), 10);
});
