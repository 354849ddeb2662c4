import t from 'tap';
import type { Test } from 'tap';
import type { Connection } from '../../../../../proxy/network/connection.ts';
import { FilterStatus } from '../../../../../proxy/network/filter.ts';
import { WorkerCluster } from '../../../../../proxy/upstream/worker-cluster.ts';
import { makeCluster, makeContext, makeHost, makeLimits, makeUpstream, plainOptions } from '../upstream-fixture.ts';
import type { ClusterModel } from '../../../../../proxy/config/model/cluster.ts';
import type { UpstreamServices } from '../../../../../proxy/upstream/worker-cluster.ts';

function setUp(t: Test, parts: Partial<ClusterModel> = {}, services: Partial<UpstreamServices> = {}) {
  const upstream = makeUpstream();
  t.teardown(() => upstream.closeAll());
  const cluster = new WorkerCluster(makeCluster(parts), 0, { ...upstream.services, ...services });
  const hosts = [{ ...makeHost('10.0.0.1'), slot: 0 }];
  const locality = { region: '', zone: '', subZone: '', priority: 0, weight: 0, hosts };
  cluster.setHosts({ cluster: 'app', overprovisioningFactor: 140, localities: [locality] });
  const host = cluster.chooseHost(makeContext());
  if (host === null) throw new Error('no host');
  const ready: Connection[] = [];
  const failures: string[] = [];
  const open = () =>
    host.connect(plainOptions, {
      onPoolReady: connection => ready.push(connection),
      onPoolFailure: (reason, transport) => failures.push(`${reason} ${transport}`.trim()),
    });
  return { ...upstream, host, ready, failures, open };
}

t.test('a connection is handed out once established and accounted until it ends', async t => {
  const { connections, ready, open, gauge, counter, host } = setUp(t);
  open();
  t.equal(ready.length, 0);
  connections[0].establish();
  const events: string[] = [];
  ready[0].callbacks = { onData: data => events.push(data.toString()), onClose: event => events.push(event) };
  t.equal(host.activeRequests, 1);
  ready[0].write(Buffer.from('hello'), false);
  t.equal(connections[0].written, 'hello');
  connections[0].callbacks.onData(Buffer.from('hi'), false);
  connections[0].end('remote-close');
  t.same(events, ['hi', 'remote-close']);
  t.equal(host.activeRequests, 0);
  t.equal(gauge('cluster.app.upstream_cx_active'), 0);
  t.equal(counter('cluster.app.upstream_cx_tx_bytes_total'), 5);
  t.equal(counter('cluster.app.upstream_cx_destroy_remote_with_active_rq'), 1);
});

t.test('a failed connect is reported, a cancelled one is not', async t => {
  const { connections, failures, open, gauge } = setUp(t);
  open();
  connections[0].end('remote-close', 'delayed connect error: Connection refused');
  t.same(failures, ['remote-connection-failure delayed connect error: Connection refused']);
  open()?.cancel();
  t.equal(connections[1].state, 'closed');
  t.equal(failures.length, 1);
  t.equal(gauge('cluster.app.upstream_rq_pending_active'), 0);
});

t.test('the limit of connections refuses at once', async t => {
  const { failures, open, connections, counter } = setUp(t, {
    circuitBreakers: [makeLimits({ maxConnections: 1 }), makeLimits()],
  });
  open();
  open();
  t.same(failures, ['overflow']);
  t.equal(connections.length, 1);
  t.equal(counter('cluster.app.upstream_cx_overflow'), 1);
});

t.test('bytes pass the upstream network filters of the cluster, both ways', async t => {
  const model = { kind: 'k', name: 'n', config: null };
  const { connections, ready, open } = setUp(
    t,
    { filters: [model] },
    {
      buildNetworkFilters: models =>
        models.map(() => callbacks => ({
          onData(data, endStream) {
            callbacks.passReadData(Buffer.from(`<${data}`), endStream);
            return FilterStatus.stop;
          },
          onWrite(data, endStream) {
            callbacks.passWriteData(Buffer.from(`>${data}`), endStream);
            return FilterStatus.stop;
          },
        })),
    },
  );
  open();
  connections[0].establish();
  const received: string[] = [];
  ready[0].callbacks = { onData: data => received.push(data.toString()), onClose() {} };
  ready[0].write(Buffer.from('out'), false);
  connections[0].callbacks.onData(Buffer.from('in'), false);
  t.equal(connections[0].written, '>out');
  t.same(received, ['<in']);
});
