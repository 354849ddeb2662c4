import t from 'tap';
import { ClusterDiscovery, type CompiledCluster } from '../../../../proxy/xds/cluster-discovery.ts';
import { SubscriptionStats } from '../../../../proxy/xds/discovery-stats.ts';
import { EndpointDiscovery } from '../../../../proxy/xds/endpoint-discovery.ts';
import { ClusterManagerStats } from '../../../../proxy/xds/manager-stats.ts';
import { ResourceStore } from '../../../../proxy/xds/resource-store.ts';
import { SecretStore } from '../../../../proxy/xds/secret-store.ts';
import { FakeSource, makeStats } from './fakes.ts';

/** A text is `static`, `eds`, `secret`, or `bad`, with a suffix that makes it differ. */
function compile(bytes: Uint8Array): CompiledCluster {
  const [name, text] = Buffer.from(bytes).toString().split('=');
  if (text.startsWith('bad')) throw new Error('lb_policy: is not implemented');
  return {
    model: { name, statName: name, hash: text } as never,
    edsServiceName: text.startsWith('eds') ? name : null,
    secrets: text.startsWith('secret') ? [{ key: 'k', name: 'default', source: { cluster: 'sds' }, kind: 'certificate' }] : [],
    inlineSecrets: [],
  };
}

function setUp() {
  const stats = makeStats();
  const resources = new ResourceStore();
  const events: string[] = [];
  const endpointSource = new FakeSource();
  const secretSource = new FakeSource();
  const endpoints = new EndpointDiscovery({
    resources,
    source: endpointSource,
    compile: bytes => {
      const clusterName = Buffer.from(bytes).toString();
      if (clusterName === 'bad') throw new Error('endpoints[0]: malformed IP address');
      return { clusterName } as never;
    },
    makeStats: name => new SubscriptionStats(stats, `cluster.${name}.`),
  });
  const secrets = new SecretStore({
    resolve: bytes => bytes,
    resources,
    compile: (_bytes, { key }) => ({ key, certificate: null, validation: null, ticketKeys: '' }),
    aggregated: () => null,
    openSource: () => secretSource,
    onSecret: () => {},
  });
  const discovery = new ClusterDiscovery({
    resources,
    compile,
    clusters: {
      update: model => events.push(`update ${model.name} ${model.hash}`),
      setLoadAssignment: (name, model) => events.push(`endpoints ${name} ${model.clusterName}`),
      confirmLoadAssignment: name => events.push(`same endpoints ${name}`),
      remove: name => events.push(`remove ${name}`),
      onWarm: (_name, callback) => callback(),
    },
    endpoints: () => endpoints,
    secrets,
    stats: new ClusterManagerStats(stats),
    subscriptionStats: new SubscriptionStats(stats, 'cluster_manager.cds.'),
  });
  const source = new FakeSource();
  source.subscribe({ typeUrl: '', names: 'wildcard', handler: discovery });
  const give = (clusters: { readonly [name: string]: string }, removed: readonly string[] = []): string | null =>
    source.give(Object.fromEntries(Object.entries(clusters).map(([name, text]) => [name, `${name}=${text}`])), removed);
  return { discovery, events, resources, stats, endpointSource, secretSource, give };
}

t.test('a static cluster is active at once, one with discovered endpoints when they came', async t => {
  const { give, events, endpointSource, resources } = setUp();
  t.equal(give({ a: 'static', b: 'eds' }), null);
  t.strictSame(events, ['update a static']);
  t.strictSame([...endpointSource.names], ['b']);
  t.ok(resources.get('cluster', 'b')?.warming);
  endpointSource.give({ b: 'x' });
  t.strictSame(events.slice(1), ['update b eds', 'endpoints b x']);
  t.equal(resources.get('cluster', 'b')?.warming, null);
  endpointSource.give({ b: 'y' });
  t.strictSame(events.slice(3), ['endpoints b y']);
});

t.test('the good clusters of a response apply, the bad one is named and keeps its old version', async t => {
  const { give, events, resources, stats } = setUp();
  give({ a: 'static', b: 'static' });
  const error = give({ a: 'bad', b: 'static2' });
  t.equal(error, 'Error adding/updating cluster(s) a: lb_policy: is not implemented');
  t.strictSame(events, ['update a static', 'update b static', 'update b static2']);
  t.equal(resources.get('cluster', 'a')?.active?.bytes.toString(), 'a=static');
  t.match(resources.get('cluster', 'a')?.failure, { details: 'lb_policy: is not implemented', versionInfo: '1' });
  t.equal(stats.counter('cluster_manager.cds.update_rejected').value, 1);
  t.equal(stats.counter('cluster_manager.cds.update_success').value, 1);
});

t.test('a bad cluster that is sent again is refused again; an equal good one costs nothing and ends the failure', async t => {
  const { give, events, resources } = setUp();
  give({ a: 'static' });
  t.match(give({ a: 'bad' }), /a: lb_policy/);
  t.match(give({ a: 'bad' }), /a: lb_policy/);
  t.equal(give({ a: 'static' }), null);
  t.equal(resources.get('cluster', 'a')?.failure, null);
  t.strictSame(events, ['update a static']);
});

t.test('a changed cluster serves in its old form until its new endpoints came', async t => {
  const { give, events, endpointSource } = setUp();
  give({ a: 'eds' });
  endpointSource.give({ a: 'x' });
  give({ a: 'eds2' });
  t.strictSame(events, ['update a eds', 'endpoints a x']);
  endpointSource.give({ a: 'x' });
  t.strictSame(events.slice(2), ['same endpoints a', 'update a eds2', 'endpoints a x']);
});

t.test('a changed cluster whose endpoints are not sent again takes the ones it knows', async t => {
  const { give, events, endpointSource } = setUp();
  give({ a: 'eds' });
  endpointSource.give({ a: 'x' });
  await new Promise<void>(resolve => {
    give({ a: 'eds2' });
    const timer = setInterval(() => {
      if (events.length < 4) return;
      clearInterval(timer);
      resolve();
    }, 5);
  });
  t.strictSame(events.slice(2), ['update a eds2', 'endpoints a x']);
});

t.test('a secret is waited for', async t => {
  const { give, events, secretSource } = setUp();
  give({ a: 'secret' });
  t.strictSame(events, []);
  secretSource.give({ default: 'x' });
  t.strictSame(events, ['update a secret']);
});

t.test('a removed cluster gives up its endpoints', async t => {
  const { give, events, endpointSource, resources, stats } = setUp();
  give({ a: 'eds', b: 'static' });
  endpointSource.give({ a: 'x' });
  give({}, ['a', 'unknown']);
  t.ok(events.includes('remove a'));
  t.equal(endpointSource.names.size, 0);
  t.equal(resources.get('cluster', 'a'), undefined);
  t.equal(resources.get('endpoints', 'a'), undefined);
  t.equal(stats.gauge('cluster_manager.active_clusters').value, 1);
});

t.test('it is initialized when the clusters of the first response are warm', async t => {
  const { give, discovery, endpointSource } = setUp();
  let initialized = 0;
  discovery.whenInitialized(0, () => initialized++);
  give({ a: 'static', b: 'eds' });
  t.equal(initialized, 0);
  endpointSource.give({ b: 'x' });
  t.equal(initialized, 1);
});

t.test('clusters of the first response that are removed before they are warm are not waited for', async t => {
  const { discovery, give, endpointSource } = setUp();
  let initialized = false;
  discovery.whenInitialized(0, () => {
    initialized = true;
  });
  give({ a: 'eds', b: 'eds' });
  give({}, ['b']);
  t.notOk(initialized);
  endpointSource.give({ a: 'x' });
  t.ok(initialized);
});

t.test('a cluster of the first response that is replaced before it is warm is waited for in its new form', async t => {
  const { discovery, give, endpointSource } = setUp();
  let initialized = false;
  discovery.whenInitialized(0, () => {
    initialized = true;
  });
  give({ a: 'eds' });
  give({ a: 'eds2' });
  t.notOk(initialized);
  endpointSource.give({ a: 'x' });
  t.ok(initialized);
});

t.test('an empty first response, or a bad one, initializes as well', async t => {
  for (const clusters of [{}, { a: 'bad' }] as { [name: string]: string }[]) {
    const { give, discovery } = setUp();
    let initialized = 0;
    discovery.whenInitialized(0, () => initialized++);
    give(clusters);
    t.equal(initialized, 1);
  }
});

t.test('a static cluster of the bootstrap wins over a discovered one', async t => {
  const { give, events, discovery } = setUp();
  discovery.prepareStatic(Buffer.from('a=static')).accept(() => {});
  t.equal(give({ a: 'static2' }), null);
  t.strictSame(events, ['update a static']);
  t.throws(() => discovery.prepareStatic(Buffer.from('a=static')), /duplicate cluster 'a'/);
});

t.test('the start goes on when the first endpoints are refused or removed: the cluster has none', async t => {
  for (const answer of ['bad', 'removed']) {
    const { discovery, give, endpointSource } = setUp();
    let initialized = 0;
    discovery.whenInitialized(0, () => initialized++);
    give({ a: 'eds' });
    t.equal(initialized, 0);
    if (answer === 'bad') endpointSource.give({ a: 'bad' });
    else endpointSource.give({}, ['a']);
    t.equal(initialized, 1, answer);
  }
});
