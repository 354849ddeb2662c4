import t from 'tap';
import type { Test } from 'tap';
import type { Address } from '../../../../../proxy/config/model/address.ts';
import type { HostModel } from '../../../../../proxy/config/model/cluster.ts';
import { orderAddresses } from '../../../../../proxy/upstream/pool/connection-race.ts';
import { WorkerCluster } from '../../../../../proxy/upstream/worker-cluster.ts';
import { makeCluster, makeContext, makeHost, makeUpstream, plainOptions } from '../upstream-fixture.ts';

const at = (address: string): Address => ({ kind: 'socket', address, port: 80 });
const textOf = (address: Address): string => (address.kind === 'socket' ? address.address : '');

function setUp(t: Test) {
  const upstream = makeUpstream();
  t.teardown(() => upstream.closeAll());
  const cluster = new WorkerCluster(makeCluster(), 0, upstream.services);
  const host: HostModel = makeHost('10.0.0.1', { additionalAddresses: [at('fd00::1'), at('10.0.0.2')] });
  const locality = { region: '', zone: '', subZone: '', priority: 0, weight: 0, hosts: [{ ...host, slot: 0 }] };
  cluster.setHosts({ cluster: 'app', overprovisioningFactor: 140, localities: [locality] });
  const events: string[] = [];
  const handle = cluster.chooseHost(makeContext())?.connect(plainOptions, {
    onPoolReady: connection => {
      events.push('ready');
      connection.writeLatin1('hello', false);
    },
    onPoolFailure: (reason, text) => events.push(`${reason} ${text}`),
  });
  return { ...upstream, events, handle, tried: () => upstream.connections.map(({ options }) => textOf(options.address)) };
}

t.test('the families take turns, beginning with the first address or as configured', async t => {
  const addresses = [at('10.0.0.1'), at('10.0.0.2'), at('fd00::1'), at('fd00::2'), at('10.0.0.3')];
  const order = (firstFamily: 'default' | 'v6', firstFamilyCount: number): string =>
    orderAddresses(addresses, { firstFamily, firstFamilyCount }).map(textOf).join(' ');
  t.equal(order('default', 1), '10.0.0.1 fd00::1 10.0.0.2 fd00::2 10.0.0.3');
  t.equal(order('v6', 2), 'fd00::1 fd00::2 10.0.0.1 10.0.0.2 10.0.0.3');
});

t.test('an address that fails is followed by the next at once, and the last failure is the one that counts', async t => {
  const { connections, events, tried, counter } = setUp(t);
  t.same(tried(), ['10.0.0.1']);
  connections[0].end('remote-close', 'first');
  t.same(tried(), ['10.0.0.1', 'fd00::1']);
  connections[1].end('remote-close', 'second');
  t.same(events, []);
  connections[2].end('remote-close', 'third');
  t.same(events, ['remote-connection-failure third']);
  t.equal(counter('cluster.app.upstream_cx_total'), 1);
  t.equal(counter('cluster.app.upstream_cx_connect_fail'), 1);
});

t.test('an address that does not answer gets company, and the first connection closes the others', async t => {
  const { connections, events, tried } = setUp(t);
  while (tried().length < 3) await new Promise(resume => setTimeout(resume, 5));
  connections[1].establish();
  t.same(events, ['ready']);
  t.equal(connections[1].written, 'hello');
  t.same(
    connections.map(({ state }) => state),
    ['closed', 'open', 'closed'],
  );
});

t.test('giving up closes every attempt and starts no other', async t => {
  const { connections, handle, events, gauge } = setUp(t);
  handle?.cancel();
  t.equal(connections.length, 1);
  t.equal(connections[0].state, 'closed');
  t.same(events, []);
  t.equal(gauge('cluster.app.upstream_cx_active'), 0);
});
