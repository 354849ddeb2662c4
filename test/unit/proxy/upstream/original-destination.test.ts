import t from 'tap';
import { StreamInfo } from '../../../../proxy/telemetry/stream-info.ts';
import { WorkerCluster } from '../../../../proxy/upstream/worker-cluster.ts';
import { makeConnectionInfo, makeRequest } from '../router/route-models.ts';
import { makeCluster, makeContext, makeUpstream } from './upstream-fixture.ts';

interface Discovery {
  portOverride?: number;
  useHttpHeader?: string;
  metadataKey?: { namespace: string; path: string[] };
  cleanupIntervalMs?: number;
}

function setUp(parts: Discovery = {}) {
  const upstream = makeUpstream();
  const discovery = { kind: 'original-dst', portOverride: 0, useHttpHeader: '', cleanupIntervalMs: 60_000, ...parts } as const;
  const cluster = new WorkerCluster(makeCluster({ discovery, bindAddresses: ['127.0.0.6', '::6'] }), 0, upstream.services);
  return { ...upstream, cluster };
}

const localAddress = { kind: 'socket', address: '10.2.0.1', port: 9000 } as const;
const restored = makeConnectionInfo({ localAddress, localAddressRestored: true });

t.test('the host is the address the client wanted, one object per address', async t => {
  const { cluster } = setUp();
  t.teardown(() => cluster.destroy());
  const host = cluster.chooseHost(makeContext({ downstream: restored }));
  t.equal(host?.addressText, '10.2.0.1:9000');
  t.equal(cluster.chooseHost(makeContext({ downstream: restored })), host);
  t.same(cluster.findBindAddress(localAddress), { kind: 'socket', address: '127.0.0.6', port: 0 });
});

t.test('an address that was not restored has no host', async t => {
  const { cluster, counter } = setUp();
  t.teardown(() => cluster.destroy());
  t.equal(cluster.chooseHost(makeContext({ downstream: makeConnectionInfo() })), null);
  t.equal(counter('cluster.app.upstream_cx_none_healthy'), 1);
});

t.test('a header may name the address, and the port may be fixed', async t => {
  const { cluster, counter } = setUp({ useHttpHeader: 'x-envoy-original-dst-host', portOverride: 81 });
  t.teardown(() => cluster.destroy());
  const ask = (value: string) =>
    cluster.chooseHost(makeContext({ headers: makeRequest('GET', 'h', '/', { 'x-envoy-original-dst-host': value }) }))
      ?.addressText;
  t.equal(ask('10.3.0.1:80'), '10.3.0.1:81');
  t.equal(ask('[fd00::1]:80'), '[fd00::1]:81');
  t.equal(ask('name:80'), undefined);
  t.equal(counter('cluster.app.original_dst_host_invalid'), 1);
});

t.test('unused hosts are forgotten and the main thread is told', async t => {
  const { cluster, reports } = setUp({ cleanupIntervalMs: 20 });
  t.teardown(() => cluster.destroy());
  cluster.chooseHost(makeContext({ downstream: restored }));
  const told = () => reports.map(report => (report.type === 'dynamic-hosts' ? report.addresses.join() : '?'));
  while (told().at(-1) !== '') await new Promise(resume => setImmediate(resume));
  t.ok(told().includes('10.2.0.1:9000'));
});

t.test('metadata of the request, or of its connection, may name the address', async t => {
  const { cluster, counter } = setUp({ metadataKey: { namespace: 'n', path: ['a'] }, portOverride: 81 });
  t.teardown(() => cluster.destroy());
  const ask = (metadata: StreamInfo['dynamicMetadata'], ofConnection: object | null = null): string | undefined => {
    const passthrough = ofConnection === null ? null : { metadata: { n: { ...ofConnection } }, filterState: null };
    const downstream = { ...restored, passthrough };
    const info = new StreamInfo(downstream, 0, 0);
    info.dynamicMetadata = metadata;
    return cluster.chooseHost(makeContext({ downstream, info }))?.addressText;
  };
  t.equal(ask({ n: { a: '10.3.0.1:80' } }), '10.3.0.1:81');
  t.equal(ask({ n: { a: ['10.3.0.2:80', '10.3.0.3:80'] } }), '10.3.0.2:81');
  t.equal(ask(null, { a: '10.3.0.4:80' }), '10.3.0.4:81');
  t.equal(ask({ n: { b: '10.3.0.1:80' } }), '10.2.0.1:81', 'else the address the client wanted');
  t.equal(ask({ n: { a: 'name:80' } }), '10.2.0.1:81');
  t.equal(counter('cluster.app.original_dst_host_invalid'), 1);
});

t.test('filter state that names the address comes first', async t => {
  const { cluster } = setUp({ useHttpHeader: 'x-envoy-original-dst-host' });
  t.teardown(() => cluster.destroy());
  const info = new StreamInfo(restored, 0, 0);
  info.setFilterState('envoy.network.transport_socket.original_dst_address', '10.3.0.5:80');
  const headers = makeRequest('GET', 'h', '/', { 'x-envoy-original-dst-host': '10.3.0.6:80' });
  t.equal(cluster.chooseHost(makeContext({ downstream: restored, info, headers }))?.addressText, '10.3.0.5:80');
});
