import t from 'tap';
import type { SubsetsModel } from '../../../../../proxy/config/model/cluster.ts';
import { type SubsetHost, SubsetBalancer } from '../../../../../proxy/upstream/load-balancer/subset-balancer.ts';
import { makeLoadBalancer } from '../upstream-fixture.ts';

function host(name: string, metadata: { [key: string]: unknown }, health: SubsetHost['health'] = 'healthy'): SubsetHost {
  return {
    weight: 1,
    health,
    activeRequests: 0,
    addressText: name,
    hostname: '',
    healthySinceMs: 0,
    metadata: { 'envoy.lb': metadata },
  };
}

const hosts = [
  host('old', { version: 'v1', stage: 'prod' }),
  host('new', { version: 'v2', stage: 'prod' }),
  host('test', { version: 'v2', stage: 'test', tags: ['a', 'b'] }),
  host('down', { version: 'v3', stage: 'prod' }, 'unhealthy'),
];

const selector = { singleHostPerSubset: false, fallback: 'not-defined', fallbackKeys: [] } as const;

function choose(parts: Partial<SubsetsModel>, criteria: { [key: string]: unknown } | null) {
  const events = new Set<string>();
  const model: SubsetsModel = {
    fallback: 'no-fallback',
    defaultSubset: {},
    selectors: [{ ...selector, keys: ['version'] }],
    localityWeightAware: false,
    scaleLocalityWeight: false,
    panicModeAny: false,
    listAsAny: false,
    allowRedundantKeys: false,
    metadataFallback: false,
    ...parts,
  };
  const options = {
    model: makeLoadBalancer({ healthyPanicThreshold: 0 }),
    overprovisioningFactor: 140,
    clock: { random: () => 0, now: () => 0 },
    onEvent: (event: string) => events.add(event),
    clusterActiveRequests: () => 0,
    localCluster: null,
  };
  const balancer = new SubsetBalancer([{ localities: [{ weight: 0, hosts }] }], options, model);
  const chosen = new Set<string>();
  for (let i = 0; i < 20; i++) chosen.add(balancer.pick(criteria, inner => inner.pick(null, null, 0))?.addressText ?? 'none');
  return { hosts: [...chosen].sort(), events: [...events] };
}

t.test('hosts whose metadata has the values of the route serve', async t => {
  t.same(choose({}, { version: 'v2' }), { hosts: ['new', 'test'], events: ['lb_subsets_selected'] });
  t.same(choose({}, { version: 'v3' }).hosts, ['none'], 'a subset that is there but down is not replaced');
});

t.test('without a subset the fallback of the cluster holds', async t => {
  const unknown = { version: 'v9' };
  t.same(choose({}, unknown), { hosts: ['none'], events: [] });
  t.same(choose({ fallback: 'any-endpoint' }, unknown), { hosts: ['new', 'old', 'test'], events: ['lb_subsets_fallback'] });
  t.same(choose({ fallback: 'any-endpoint' }, null).hosts, ['new', 'old', 'test']);
  const byDefault = { fallback: 'default-subset', defaultSubset: { stage: 'test' } } as const;
  t.same(choose(byDefault, unknown).hosts, ['test']);
  t.same(choose({ ...byDefault, defaultSubset: { stage: 'none' }, panicModeAny: true }, unknown), {
    hosts: ['new', 'old', 'test'],
    events: ['lb_subsets_fallback_panic'],
  });
});

t.test('a selector has a fallback of its own', async t => {
  const selectors = (fallback: SubsetsModel['selectors'][0]['fallback']) => [
    { ...selector, keys: ['stage', 'version'], fallback, fallbackKeys: ['stage'] },
    { ...selector, keys: ['stage'] },
  ];
  const criteria = { version: 'v9', stage: 'test' };
  t.same(choose({ selectors: selectors('keys-subset') }, criteria).hosts, ['test']);
  t.same(choose({ fallback: 'any-endpoint', selectors: selectors('no-fallback') }, criteria).hosts, ['none']);
});

t.test('a list can stand for any of its values, and a request can bring a list of criteria', async t => {
  t.same(choose({ listAsAny: true, selectors: [{ ...selector, keys: ['tags'] }] }, { tags: 'b' }).hosts, ['test']);
  const criteria = { fallback_list: [{ version: 'v9' }, { version: 'v1' }] };
  t.same(choose({ metadataFallback: true }, criteria).hosts, ['old']);
});

t.test('a subset of one host is its first, and keys that no selector has can be allowed', async t => {
  const single = { selectors: [{ ...selector, keys: ['version'], singleHostPerSubset: true }] };
  t.same(choose(single, { version: 'v2' }).hosts, ['new']);
  t.same(choose({}, { version: 'v1', extra: 1 }).hosts, ['none']);
  t.same(choose({ allowRedundantKeys: true }, { version: 'v1', extra: 1 }).hosts, ['old']);
});
