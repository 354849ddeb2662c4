import { setTimeout as wait } from 'node:timers/promises';
import t from 'tap';
import type { ClusterModel, LoadAssignmentModel } from '../../../../../proxy/config/model/cluster.ts';
import type { HealthCheckModel } from '../../../../../proxy/config/model/health-check.ts';
import { ClusterRegistry } from '../../../../../proxy/upstream/cluster-registry.ts';
import { allocateClusterCounters, allocateHostCounters } from '../../../../../proxy/upstream/shared-counters.ts';
import { WorkerClusters } from '../../../../../proxy/upstream/worker-clusters.ts';
import type { MainToWorker } from '../../../../../proxy/workers/messages.ts';
import {
  makeCluster,
  makeContext,
  makeHost,
  makeLoadBalancer,
  makeOutlierDetection,
  makeStats,
  makeUpstream,
} from '../upstream-fixture.ts';

const healthCheck: HealthCheckModel = {
  timeoutMs: 60_000,
  intervalMs: 1,
  noTrafficIntervalMs: 1,
  noTrafficHealthyIntervalMs: 1,
  unhealthyIntervalMs: 1,
  unhealthyEdgeIntervalMs: 1,
  healthyEdgeIntervalMs: 1,
  initialJitterMs: 0,
  intervalJitterMs: 0,
  intervalJitterPercent: 0,
  unhealthyThreshold: 1,
  healthyThreshold: 1,
  reuseConnection: true,
  alpnProtocols: null,
  transportSocketMatch: null,
  check: { kind: 'tcp', send: '', receive: [] },
};

function assign(...addresses: string[]): LoadAssignmentModel {
  const hosts = addresses.map(address => makeHost(address));
  const locality = { region: '', zone: '', subZone: '', priority: 0, weight: 0, hosts };
  return { clusterName: 'app', overprovisioningFactor: 140, localities: [locality] };
}

const checked: Partial<ClusterModel> = {
  healthCheck,
  loadBalancer: makeLoadBalancer({ healthyPanicThreshold: 0 }),
  discovery: { kind: 'eds', serviceName: 'app' },
};

/** A main thread with two workers, of which the first one checks. */
function setUp() {
  const hostBuffer = allocateHostCounters(2);
  const clusterBuffer = allocateClusterCounters(2);
  const stats = makeStats();
  const workers = [0, 1].map(workerIndex => {
    const upstream = makeUpstream({ workerIndex, hostBuffer, clusterBuffer });
    return { upstream, clusters: new WorkerClusters(upstream.services) };
  });
  const deliver = (message: MainToWorker) => {
    for (const { clusters } of workers) {
      if (message.type === 'cluster') clusters.onCluster(message.name, message.row, message.model, message.isChecked);
      else if (message.type === 'hosts') clusters.onHosts(message.cluster, message.hosts);
      else if (message.type === 'cluster-removed') clusters.onRemoved(message.name);
      else if (message.type === 'host-health') clusters.onHealth(message.cluster, message.slot, message.flags);
      else if (message.type === 'host-ejected') clusters.onEjected(message.cluster, message.slot, true);
      else if (message.type === 'host-returned') clusters.onEjected(message.cluster, message.slot, false);
    }
  };
  const options = { broadcast: deliver, hostCounters: hostBuffer, clusterCounters: clusterBuffer, stats, random: () => 0 };
  const registry = new ClusterRegistry(options);
  const report = () => {
    for (const message of workers[0].upstream.reports.splice(0)) {
      if (message.type === 'host-health') registry.onHostHealth(message.cluster, message.slot, message.flags);
      else if (message.type === 'hosts-checked') registry.onHostsChecked(message.cluster);
    }
  };
  const { connections } = workers[0].upstream;
  /** Answers the next check of the host; `isHeard`: the main thread hears at once what follows from it. */
  const answer = async (address: string, isWell: boolean, isHeard = true) => {
    const find = () => connections.findIndex(({ options: { address: to } }) => to.kind === 'socket' && to.address === address);
    while (find() === -1) await wait(1);
    const [connection] = connections.splice(find(), 1);
    if (isWell) connection.establish();
    else connection.end('remote-close');
    if (isHeard) report();
  };
  const choose = (worker: number) => workers[worker].clusters.find('app')?.chooseHost(makeContext())?.addressText ?? 'none';
  const flags = () => registry.list()[0].hosts.map(({ model }) => model.healthFlags);
  return { registry, workers, answer, choose, flags, stats };
}

t.test('one worker checks, all of them hear, and the cluster is warm when every host was checked', async t => {
  const { registry, workers, answer, choose, stats } = setUp();
  t.teardown(() => registry.remove('app'));
  registry.update(makeCluster(checked));
  registry.setLoadAssignment('app', assign('10.0.0.1', '10.0.0.2'));
  let warm = false;
  registry.onWarm('app', () => {
    warm = true;
  });
  t.equal(choose(1), 'none', 'no host serves before its first check');
  await answer('10.0.0.1', true);
  t.equal(choose(0), '10.0.0.1:80');
  t.equal(choose(1), '10.0.0.1:80');
  t.equal(warm, false);
  await answer('10.0.0.2', false);
  t.equal(warm, true);
  t.equal(workers[1].upstream.connections.length, 0);
  t.equal(stats.gauge('cluster.app.membership_healthy').value, 1);
  await answer('10.0.0.1', false);
  t.equal(choose(1), 'none');
  t.equal(workers[0].upstream.gauge('cluster.app.health_check.healthy'), 0);
});

t.test('a host that discovery drops serves until a check fails', async t => {
  const { registry, answer, choose, stats } = setUp();
  t.teardown(() => registry.remove('app'));
  registry.update(makeCluster(checked));
  registry.setLoadAssignment('app', assign('10.0.0.1'));
  await answer('10.0.0.1', true);
  registry.setLoadAssignment('app', assign());
  t.equal(choose(1), '10.0.0.1:80');
  t.equal(registry.list()[0].hosts[0].model.isLeaving, true);
  await answer('10.0.0.1', false);
  t.equal(choose(1), 'none');
  t.equal(stats.gauge('cluster.app.membership_total').value, 0);
});

t.test('or leaves at once, if the cluster says so', async t => {
  const { registry, answer } = setUp();
  t.teardown(() => registry.remove('app'));
  registry.update(makeCluster({ ...checked, ignoreHealthOnHostRemoval: true }));
  registry.setLoadAssignment('app', assign('10.0.0.1'));
  await answer('10.0.0.1', true);
  registry.setLoadAssignment('app', assign());
  t.same(registry.list()[0].hosts, []);
});

t.test('hosts that serve unchecked go on while the first check of a changed cluster is under way', async t => {
  const { registry, answer, choose } = setUp();
  t.teardown(() => registry.remove('app'));
  const { healthCheck: _, ...unchecked } = checked;
  registry.update(makeCluster(unchecked));
  registry.setLoadAssignment('app', assign('10.0.0.1'));
  registry.update(makeCluster(checked));
  t.equal(choose(0), '10.0.0.1:80');
  t.equal(choose(1), '10.0.0.1:80');
  await answer('10.0.0.1', false);
  t.equal(choose(1), 'none');
});

t.test('a check that succeeds ends an ejection', async t => {
  const { registry, answer, choose, flags } = setUp();
  t.teardown(() => registry.remove('app'));
  registry.update(makeCluster({ ...checked, outlierDetection: makeOutlierDetection() }));
  registry.setLoadAssignment('app', assign('10.0.0.1'));
  await answer('10.0.0.1', true);
  registry.onHostResult('app', registry.list()[0].hosts[0].model.slot, 'consecutive-5xx');
  t.equal(choose(1), 'none');
  await answer('10.0.0.1', true);
  t.equal(choose(1), '10.0.0.1:80');
  t.same(flags(), [0]);
});

t.test('a result that comes before the one before it is known everywhere is not lost', async t => {
  const { registry, answer, choose } = setUp();
  t.teardown(() => registry.remove('app'));
  registry.update(makeCluster(checked));
  registry.setLoadAssignment('app', assign('10.0.0.1'));
  await answer('10.0.0.1', true, false);
  await answer('10.0.0.1', false);
  t.equal(choose(0), 'none');
  t.equal(choose(1), 'none');
});
