import t from 'tap';
import { RouteSubscriptionStats, SubscriptionStats } from '../../../../proxy/xds/discovery-stats.ts';
import { type CompiledListener, ListenerDiscovery } from '../../../../proxy/xds/listener-discovery.ts';
import { ListenerManagerStats } from '../../../../proxy/xds/manager-stats.ts';
import { ResourceStore } from '../../../../proxy/xds/resource-store.ts';
import { RouteDiscovery } from '../../../../proxy/xds/route-discovery.ts';
import { SecretStore } from '../../../../proxy/xds/secret-store.ts';
import { FakeSource, makeStats } from './fakes.ts';

/** A text lists the names of its routes, or is `bad`, or `elsewhere`: the name of routes from a source that does not exist. */
function compile(bytes: Uint8Array): CompiledListener {
  const [name, text] = Buffer.from(bytes).toString().split('=');
  if (text === 'bad') throw new Error('address: value is required');
  const routeNames = text.split(',').filter(Boolean);
  const routeSources: CompiledListener['routeSources'] = text === 'elsewhere' ? { elsewhere: {} as never } : {};
  return {
    model: { name, hash: text, filterChains: [], defaultFilterChain: null } as never,
    routeNames,
    routeSources,
    secrets: [],
    inlineSecrets: [],
  };
}

function setUp(update: (name: string) => void = () => {}) {
  const stats = makeStats();
  const resources = new ResourceStore();
  const events: string[] = [];
  const routeSource = new FakeSource();
  const routes = new RouteDiscovery({
    resources,
    source: routeSource,
    compile: bytes => {
      const name = Buffer.from(bytes).toString();
      if (name === 'bad') throw new Error('virtual_hosts[0].domains: value is required');
      return { name } as never;
    },
    routes: { update: model => events.push(`routes ${model.name}`), remove: name => events.push(`forget routes ${name}`) },
    makeStats: scope => new RouteSubscriptionStats(stats, scope),
  });
  const secrets = new SecretStore({
    resolve: bytes => bytes,
    resources,
    compile: () => {
      throw new Error('no secrets here');
    },
    aggregated: () => null,
    openSource: () => new FakeSource(),
    onSecret: () => {},
  });
  const discovery = new ListenerDiscovery({
    resources,
    compile,
    listeners: {
      update: model => {
        update(model.name);
        events.push(`update ${model.name} ${model.hash}`);
      },
      remove: name => events.push(`remove ${name}`),
    },
    routes: source => (source === undefined ? routes : null),
    extensions: () => null,
    secrets,
    stats: new ListenerManagerStats(stats, 2, 1000),
    subscriptionStats: new SubscriptionStats(stats, 'listener_manager.lds.'),
  });
  const source = new FakeSource();
  source.subscribe({ typeUrl: '', names: 'wildcard', handler: discovery });
  const give = (listeners: { readonly [name: string]: string }, removed: readonly string[] = []): string | null =>
    source.give(Object.fromEntries(Object.entries(listeners).map(([name, text]) => [name, `${name}=${text}`])), removed);
  return { discovery, events, resources, stats, routeSource, give };
}

t.test('a listener waits for its routes, and the old one serves meanwhile', async t => {
  const { give, events, routeSource, resources } = setUp();
  give({ a: '' });
  give({ a: '80,81' });
  t.strictSame(events, ['update a ']);
  t.strictSame([...routeSource.names], ['80', '81']);
  routeSource.give({ '80': '80' });
  t.equal(events.at(-1), 'routes 80');
  t.ok(resources.get('listener', 'a')?.warming);
  routeSource.give({ '81': '81' });
  t.strictSame(events.slice(2), ['routes 81', 'update a 80,81']);
});

t.test('routes that no listener uses are unsubscribed and forgotten', async t => {
  const { give, events, routeSource, resources } = setUp();
  give({ a: '80', b: '80' });
  routeSource.give({ '80': '80' });
  give({}, ['a']);
  t.ok(routeSource.names.has('80'));
  give({ b: '' });
  t.notOk(routeSource.names.has('80'));
  t.ok(events.includes('forget routes 80'));
  t.equal(resources.get('route', '80'), undefined);
});

t.test('bad routes are refused by name, and the last good ones stay', async t => {
  const { give, events, routeSource, resources } = setUp();
  give({ a: '80' });
  routeSource.give({ '80': '80' });
  const error = routeSource.give({ '80': 'bad' });
  t.match(error, /80: virtual_hosts\[0\].domains/);
  t.equal(resources.get('route', '80')?.active?.bytes.toString(), '80');
  t.equal(events.filter(event => event.startsWith('routes')).length, 1);
});

t.test('the NACK names each bad listener; good ones apply', async t => {
  const { give, events, stats } = setUp();
  const error = give({ a: 'bad', b: '', c: 'bad' });
  t.equal(error, 'Error adding/updating listener(s) a: address: value is required\nc: address: value is required\n');
  t.strictSame(events, ['update b ']);
  t.equal(stats.counter('listener_manager.listener_create_failure').value, 2);
});

t.test('an address that cannot be bound refuses the listener and holds nothing back', async t => {
  const { give, discovery, resources } = setUp(name => {
    if (name === 'a') throw new Error("cannot bind '0.0.0.0:80': Permission denied");
  });
  let initialized = 0;
  discovery.whenInitialized(0, () => initialized++);
  t.match(give({ a: '', b: '' }), /listener\(s\) a: cannot bind '0.0.0.0:80': Permission denied/);
  t.equal(initialized, 1);
  t.match(resources.get('listener', 'a')?.failure?.details, /Permission denied/);
  t.equal(resources.get('listener', 'a')?.active, null);
});

t.test('a removal while warming gives up the routes', async t => {
  const { give, events, routeSource } = setUp();
  give({ a: '80' });
  give({}, ['a']);
  t.equal(routeSource.names.size, 0);
  t.notOk(events.some(event => event.startsWith('update')));
});

t.test('the first update may be late: then the time limit initializes', async t => {
  const { discovery, stats } = setUp();
  await new Promise<void>(resolve => discovery.whenInitialized(1, resolve));
  t.equal(stats.counter('listener_manager.lds.init_fetch_timeout').value, 1);
});

t.test('listeners of the first update that are removed before their routes are there are not waited for', async t => {
  const { discovery, give, routeSource, events } = setUp();
  let initialized = false;
  discovery.whenInitialized(0, () => {
    initialized = true;
  });
  give({ a: '80', b: '81' });
  give({}, ['b']);
  t.notOk(initialized);
  routeSource.give({ '80': '80' });
  t.ok(initialized);
  t.strictSame(events, ['forget routes 81', 'routes 80', 'update a 80']);
});

t.test('a listener of the first update that is replaced before its routes are there is waited for in its new form', async t => {
  const { discovery, give, routeSource, events } = setUp();
  let initialized = 0;
  discovery.whenInitialized(0, () => initialized++);
  give({ a: '80' });
  give({ a: '81' });
  give({ a: '82' });
  routeSource.give({ '80': '80', '81': '81' });
  t.equal(initialized, 0);
  routeSource.give({ '82': '82' });
  t.equal(initialized, 1);
  t.strictSame(
    events.filter(event => event.startsWith('update')),
    ['update a 82'],
  );
});

t.test('a bad replacement does not end the wait for a listener of the first update', async t => {
  const { discovery, give, routeSource } = setUp();
  let initialized = 0;
  discovery.whenInitialized(0, () => initialized++);
  give({ a: '80' });
  t.match(give({ a: 'bad' }), /address: value is required/);
  t.equal(initialized, 0);
  routeSource.give({ '80': '80' });
  t.equal(initialized, 1);
});

t.test('the start goes on when the first routes are refused: the listener serves without them', async t => {
  const { discovery, give, routeSource, events } = setUp();
  let initialized = 0;
  discovery.whenInitialized(0, () => initialized++);
  give({ a: 'x' });
  t.match(routeSource.give({ x: 'bad' }), /x: virtual_hosts/);
  t.equal(initialized, 1);
  t.strictSame(events, ['update a x']);
});

t.test('a listener whose routes have no source is refused, now and when it is sent again, and holds nothing back', async t => {
  const { discovery, give, resources } = setUp();
  let initialized = 0;
  discovery.whenInitialized(0, () => initialized++);
  t.match(give({ a: 'elsewhere' }), /a: listener a: no source of routes is configured/);
  t.equal(initialized, 1);
  t.strictSame(discovery.pending, []);
  t.match(give({ a: 'elsewhere' }), /no source of routes/);
  t.match(resources.get('listener', 'a')?.failure?.details, /no source of routes/);
});
