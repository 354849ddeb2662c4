import t, { type Test } from 'tap';
import type { LoadBalancerModel } from '../../../../proxy/config/model/cluster.ts';
import { WorkerCluster } from '../../../../proxy/upstream/worker-cluster.ts';
import { makeCluster, makeContext, makeHost, makeLoadBalancer, makeUpstream } from './upstream-fixture.ts';

function setUp(t: Test, parts: Partial<LoadBalancerModel> = {}) {
  const upstream = makeUpstream();
  t.teardown(() => upstream.closeAll());
  const cluster = new WorkerCluster(makeCluster({ loadBalancer: makeLoadBalancer(parts) }), 0, upstream.services);
  const hosts = [makeHost('10.0.0.1'), makeHost('10.0.0.2'), makeHost('10.0.0.3', { health: 'draining' })];
  const locality = { region: '', zone: '', subZone: '', priority: 0, weight: 0 };
  cluster.setHosts({
    cluster: 'app',
    overprovisioningFactor: 140,
    localities: [{ ...locality, hosts: hosts.map((host, slot) => ({ ...host, slot })) }],
  });
  const choose = (address: string, strict = false) =>
    cluster.chooseHost(makeContext({ overrideHost: { address, strict } }))?.addressText ?? null;
  return { cluster, choose };
}

t.test('the host that is asked for serves, every time', async t => {
  const { choose } = setUp(t);
  t.same(
    [1, 2, 3].map(() => choose('10.0.0.2:80', true)),
    ['10.0.0.2:80', '10.0.0.2:80', '10.0.0.2:80'],
  );
});

t.test('another serves for one that is gone, unless the request is strict', async t => {
  const { choose } = setUp(t);
  t.match(choose('10.0.0.9:80'), /10\.0\.0\.[12]:80/);
  t.equal(choose('10.0.0.9:80', true), null);
});

t.test('a host in another state than the cluster allows is not chosen', async t => {
  t.equal(setUp(t).choose('10.0.0.3:80', true), null);
  t.equal(setUp(t, { overrideHostStatus: ['healthy', 'draining'] }).choose('10.0.0.3:80', true), '10.0.0.3:80');
  const { cluster, choose } = setUp(t);
  cluster.setEjected(1, true);
  t.equal(choose('10.0.0.2:80', true), null);
});
