import t from 'tap';
import type { Test } from 'tap';
import type { ClusterModel, LoadAssignmentModel } from '../../../../proxy/config/model/cluster.ts';
import { DnsCluster } from '../../../../proxy/upstream/dns-cluster.ts';
import type { ResolvedAddress } from '../../../../proxy/upstream/dns-resolver.ts';
import { makeHost } from './upstream-fixture.ts';

type DnsDiscovery = Extract<ClusterModel['discovery'], { kind: 'strict-dns' | 'logical-dns' }>;

const assignment: LoadAssignmentModel = {
  clusterName: 'app',
  overprovisioningFactor: 140,
  localities: [{ region: '', zone: '', subZone: '', priority: 0, weight: 0, hosts: [makeHost('app.example')] }],
};

const slow: DnsDiscovery = {
  kind: 'strict-dns',
  refreshRateMs: 60_000,
  jitterMs: 0,
  respectTtl: false,
  family: 'v4-only',
};

/** Answers one lookup after the other; later ones never end. */
function start(t: Test, discovery: DnsDiscovery, answers: (readonly ResolvedAddress[] | Error)[]) {
  const published: LoadAssignmentModel[] = [];
  let lookups = 0;
  const cluster = new DnsCluster(discovery, assignment, {
    resolve: async () => {
      const answer = answers[lookups++];
      if (answer === undefined) return new Promise(() => {});
      if (answer instanceof Error) throw answer;
      return answer;
    },
    onHosts: resolved => published.push(resolved),
    onAttempt() {},
    onWarm() {},
  });
  // The timers of a cluster do not keep the process alive.
  const alive = setInterval(() => {}, 1000);
  t.teardown(() => {
    clearInterval(alive);
    cluster.stop();
  });
  const awaitLookups = async (count: number): Promise<void> => {
    while (lookups < count) await new Promise(resume => setTimeout(resume, 1));
  };
  return { published, awaitLookups };
}

const record = (address: string, ttlMs = Number.POSITIVE_INFINITY): ResolvedAddress => ({ address, ttlMs });
const failure = new Error('server failure');

t.test('failed lookups come sooner than the refresh rate where that is configured', async t => {
  const { awaitLookups, published } = start(t, { ...slow, failureRefresh: { baseMs: 1, maxMs: 2 } }, [
    failure,
    failure,
    failure,
    [record('10.0.0.1')],
  ]);
  await awaitLookups(4);
  await new Promise(resume => setImmediate(resume));
  t.equal(published.length, 1);
});

t.test('the time to live decides only where it is respected and is more than nothing', async t => {
  const respected = start(t, { ...slow, respectTtl: true }, [[record('10.0.0.1', 2)]]);
  await respected.awaitLookups(2);
  const ignored = start(t, { ...slow, refreshRateMs: 1 }, [[record('10.0.0.1', 60_000)]]);
  await ignored.awaitLookups(2);
  const none = start(t, { ...slow, refreshRateMs: 1, respectTtl: true }, [[record('10.0.0.1', 0)]]);
  await none.awaitLookups(2);
  t.pass();
});

t.test('a logical name is one host, which changes with the order of its addresses; no answer changes nothing', async t => {
  const logical: DnsDiscovery = { ...slow, kind: 'logical-dns', refreshRateMs: 1 };
  const { published, awaitLookups } = start(t, logical, [
    [record('10.0.0.1'), record('10.0.0.2')],
    [record('10.0.0.1'), record('10.0.0.2')],
    [],
    [record('10.0.0.2'), record('10.0.0.1')],
  ]);
  await awaitLookups(5);
  const seen = published.map(({ localities }) =>
    localities[0].hosts.map(host =>
      [host.address, ...host.additionalAddresses].map(each => (each as { address: string }).address),
    ),
  );
  t.same(seen, [[['10.0.0.1', '10.0.0.2']], [['10.0.0.2', '10.0.0.1']]]);
});
