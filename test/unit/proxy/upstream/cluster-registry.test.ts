import t from 'tap';
import type { HostSetModel, LoadAssignmentModel } from '../../../../proxy/config/model/cluster.ts';
import { ClusterRegistry } from '../../../../proxy/upstream/cluster-registry.ts';
import type { NameResolver } from '../../../../proxy/upstream/dns-resolver.ts';
import {
  allocateClusterCounters,
  allocateHostCounters,
  HostField,
  RowAllocator,
} from '../../../../proxy/upstream/shared-counters.ts';
import { WorkerClusters } from '../../../../proxy/upstream/worker-clusters.ts';
import type { MainToWorker } from '../../../../proxy/workers/messages.ts';
import {
  makeCluster,
  makeContext,
  makeHost,
  makeLoadBalancer,
  makeOutlierDetection,
  makeStats,
  makeUpstream,
} from './upstream-fixture.ts';

function assign(...addresses: string[]): LoadAssignmentModel {
  const hosts = addresses.map(address => makeHost(address));
  const locality = { region: '', zone: '', subZone: '', priority: 0, weight: 0, hosts };
  return { clusterName: 'app', overprovisioningFactor: 140, localities: [locality] };
}

function setUp(parts: { resolve?: NameResolver; now?: () => number } = {}) {
  const hostBuffer = allocateHostCounters(2);
  const clusterBuffer = allocateClusterCounters(2);
  const messages: MainToWorker[] = [];
  const stats = makeStats();
  const workers = [0, 1].map(workerIndex => {
    const upstream = makeUpstream({ workerIndex, hostBuffer, clusterBuffer });
    return { upstream, clusters: new WorkerClusters(upstream.services) };
  });
  const deliver = (message: MainToWorker) => {
    messages.push(message);
    for (const { clusters } of workers) {
      if (message.type === 'cluster') clusters.onCluster(message.name, message.row, message.model);
      else if (message.type === 'hosts') clusters.onHosts(message.cluster, message.hosts);
      else if (message.type === 'cluster-removed') clusters.onRemoved(message.name);
      else if (message.type === 'host-ejected') clusters.onEjected(message.cluster, message.slot, true);
      else if (message.type === 'host-returned') clusters.onEjected(message.cluster, message.slot, false);
    }
  };
  const registry = new ClusterRegistry({
    broadcast: deliver,
    hostCounters: hostBuffer,
    clusterCounters: clusterBuffer,
    stats,
    random: () => 0,
    ...parts,
  });
  const hosts = () => {
    const last = messages.findLast(message => message.type === 'hosts');
    const set = last?.type === 'hosts' ? (JSON.parse(last.hosts) as HostSetModel) : null;
    return set?.localities.flatMap(locality => locality.hosts) ?? [];
  };
  return { registry, workers, messages, hosts, stats };
}

t.test('hosts keep their slot and their worker-side object while their address stays', async t => {
  const { registry, workers, hosts, stats } = setUp();
  registry.update(makeCluster({ discovery: { kind: 'eds', serviceName: 'app' } }));
  t.equal(registry.isWarm('app'), true);
  registry.setLoadAssignment('app', assign('10.0.0.1', '10.0.0.2'));
  const slot = hosts()[1].slot;
  const find = () => {
    const seen = new Map<string, unknown>();
    for (let i = 0; i < 4; i++) {
      const host = workers[0].clusters.find('app')?.chooseHost(makeContext());
      if (host) seen.set(host.addressText, host);
    }
    return seen;
  };
  const before = find();
  registry.setLoadAssignment('app', assign('10.0.0.2', '10.0.0.3'));
  t.equal(hosts()[0].slot, slot);
  const after = find();
  t.same([...after.keys()].sort(), ['10.0.0.2:80', '10.0.0.3:80']);
  t.equal(after.get('10.0.0.2:80'), before.get('10.0.0.2:80'));
  t.equal(stats.gauge('cluster.app.membership_total').value, 2);
  t.equal(stats.counter('cluster.app.membership_change').value, 2);
  registry.remove('app');
  t.equal(workers[0].clusters.find('app'), null);
});

t.test('load is shared between workers and shown to the admin', async t => {
  const { registry, workers } = setUp();
  registry.update(makeCluster({ loadAssignment: assign('10.0.0.1') }));
  const [first, second] = workers.map(({ clusters }) => clusters.find('app')?.chooseHost(makeContext()));
  first?.beginRequest();
  second?.beginRequest();
  second?.countOutcome(false);
  t.equal(first?.activeRequests, 2);
  const { counters } = registry.list()[0].hosts[0];
  t.equal(counters.requestsActive, 2);
  t.equal(counters.requestsTotal, 2);
  t.equal(counters.requestsFailed, 1);
});

t.test('limits hold over all workers', async t => {
  const { registry, workers, stats } = setUp();
  const limits = { ...makeCluster().circuitBreakers[0], maxRequests: 1 };
  registry.update(makeCluster({ circuitBreakers: [limits, limits], loadAssignment: assign('10.0.0.1') }));
  const [first, second] = workers.map(({ clusters }) => clusters.find('app')?.resources);
  t.equal(first?.tryRequest(0), true);
  t.equal(second?.tryRequest(0), false);
  t.equal(second?.tryRequest(1), true, 'priority high counts by itself');
  registry.refreshStats();
  t.equal(stats.gauge('cluster.app.circuit_breakers.default.rq_open').value, 1);
  first?.releaseRequest(0);
  t.equal(second?.tryRequest(0), true);
});

t.test('a changed cluster keeps serving its hosts, and rotates its connections', async t => {
  const { registry, workers } = setUp();
  registry.update(makeCluster({ discovery: { kind: 'eds', serviceName: 'app' } }));
  registry.setLoadAssignment('app', assign('10.0.0.1'));
  t.ok(workers[0].clusters.find('app')?.chooseHost(makeContext()));
  registry.update(makeCluster({ discovery: { kind: 'eds', serviceName: 'app' }, connectTimeoutMs: 5 }));
  t.equal(workers[0].clusters.find('app')?.chooseHost(makeContext())?.addressText, '10.0.0.1:80');
});

t.test('names are resolved, a failure keeps the last addresses, and warming waits for the first answer', async t => {
  let answer: string[] | Error = ['10.1.0.1', '10.1.0.2'];
  let asked = 0;
  const resolve: NameResolver = async () => {
    asked++;
    if (answer instanceof Error) throw answer;
    return answer.map(address => ({ address, ttlMs: Number.POSITIVE_INFINITY }));
  };
  const { registry, hosts, stats } = setUp({ resolve });
  t.teardown(() => registry.stop());
  const discovery = { kind: 'strict-dns', refreshRateMs: 5, jitterMs: 0, respectTtl: true, family: 'v4-only' } as const;
  registry.update(makeCluster({ discovery, loadAssignment: assign('app.example') }));
  t.equal(registry.isWarm('app'), false);
  // The registry's timers do not keep the process alive.
  const alive = setInterval(() => {}, 1000);
  t.teardown(() => clearInterval(alive));
  await new Promise<void>(done => registry.onWarm('app', done));
  t.same(
    hosts().map(host => [host.address, host.hostname]),
    [
      [{ kind: 'socket', address: '10.1.0.1', port: 80 }, 'app.example'],
      [{ kind: 'socket', address: '10.1.0.2', port: 80 }, 'app.example'],
    ],
  );
  answer = new Error('server failure');
  while (stats.counter('cluster.app.update_failure').value === 0) await new Promise(resume => setImmediate(resume));
  t.equal(hosts().length, 2);
  answer = ['10.1.0.3'];
  while (hosts().length !== 1) await new Promise(resume => setImmediate(resume));
  t.ok(asked >= 3);
});

t.test('a run of failures over two workers ejects a host, which returns after its time', async t => {
  let now = 0;
  const { registry, workers, hosts, stats } = setUp({ now: () => now });
  t.teardown(() => registry.stop());
  const outlierDetection = makeOutlierDetection({ consecutive5xx: 4, maxEjectionPercent: 50, intervalMs: 5 });
  registry.update(makeCluster({ outlierDetection, loadAssignment: assign('10.0.0.1', '10.0.0.2') }));
  const relay = () => {
    for (const { upstream } of workers) {
      for (const report of upstream.reports.splice(0)) {
        if (report.type === 'host-result') registry.onHostResult(report.cluster, report.slot, report.result);
      }
    }
  };
  const choose = (worker: number) => workers[worker].clusters.find('app')?.chooseHost(makeContext());
  const bad = choose(0);
  const twin = [choose(1), choose(1)].find(host => host?.addressText === bad?.addressText);
  const fail = { kind: 'response', status: 503 } as const;
  bad?.reportResult(fail);
  bad?.reportResult({ kind: 'response', status: 200 });
  for (const host of [bad, twin, bad]) host?.reportResult(fail);
  relay();
  t.equal(stats.gauge('cluster.app.outlier_detection.ejections_active').value, 0, 'a success ends a run');
  twin?.reportResult(fail);
  relay();
  t.equal(stats.counter('cluster.app.outlier_detection.ejections_enforced_consecutive_5xx').value, 1);
  for (let i = 0; i < 4; i++) t.not(choose(i % 2)?.addressText, bad?.addressText);
  t.equal(registry.list()[0].hosts.filter(host => host.ejected).length, 1);
  const other = choose(0);
  for (let i = 0; i < 4; i++) other?.reportResult(fail);
  relay();
  t.equal(stats.counter('cluster.app.outlier_detection.ejections_overflow').value, 1, 'no more than half may be out');
  now = 31_000;
  const alive = setInterval(() => {}, 1000);
  t.teardown(() => clearInterval(alive));
  while (stats.gauge('cluster.app.outlier_detection.ejections_active').value !== 0)
    await new Promise(resume => setImmediate(resume));
  t.equal(hosts().length, 2);
  t.equal(new Set([choose(0)?.addressText, choose(0)?.addressText]).size, 2);
});

t.test('a freed row rests, and is skipped while it is still counted on', async t => {
  let now = 0;
  const busy = new Set([0]);
  const rows = new RowAllocator(
    3,
    row => !busy.has(row),
    () => now,
    1000,
  );
  t.same([rows.take(), rows.take()], [0, 1]);
  rows.give(0);
  rows.give(1);
  t.equal(rows.take(), 2);
  t.equal(rows.take(), -1);
  now = 2000;
  t.equal(rows.take(), -1, 'row 0 is still in use');
  t.equal(rows.take(), 1);
  t.equal(HostField.requestsActive, 0);
});

t.test('hosts that workers made for original destinations are those of their last reports', async t => {
  const { registry } = setUp();
  registry.update(makeCluster());
  registry.onDynamicHosts(0, 'app', ['10.0.0.1:80', '10.0.0.2:80']);
  registry.onDynamicHosts(1, 'app', ['10.0.0.2:80', '10.0.0.3:80']);
  t.same(registry.list()[0].dynamicHosts, ['10.0.0.1:80', '10.0.0.2:80', '10.0.0.3:80']);
  registry.onDynamicHosts(0, 'app', []);
  t.same(registry.list()[0].dynamicHosts, ['10.0.0.2:80', '10.0.0.3:80']);
  registry.onDynamicHosts(0, 'gone', ['10.0.0.1:80']);
});

t.test('with slow start, workers hear when each host joined', async t => {
  let now = 1000;
  const { registry, hosts } = setUp({ now: () => now });
  const slowStart = { windowMs: 60_000, aggression: 1, minWeightPercent: 10 };
  registry.update(makeCluster({ loadBalancer: makeLoadBalancer({ slowStart }), discovery: { kind: 'eds', serviceName: 'app' } }));
  registry.setLoadAssignment('app', assign('10.0.0.1'));
  now = 5000;
  registry.setLoadAssignment('app', assign('10.0.0.1', '10.0.0.2'));
  t.same(
    hosts().map(({ addedAtMs }) => addedAtMs),
    [1000, 5000],
  );
});
