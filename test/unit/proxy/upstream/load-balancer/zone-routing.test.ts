import t from 'tap';
import type { BalancedHost, BalancedLocality } from '../../../../../proxy/upstream/load-balancer/balanced-host.ts';
import { ZoneRouting } from '../../../../../proxy/upstream/load-balancer/zone-routing.ts';

const host: BalancedHost = {
  weight: 1,
  health: 'healthy',
  activeRequests: 0,
  addressText: '',
  hostname: '',
  healthySinceMs: 0,
};

/** Zones with these numbers of hosts; the first one is this proxy's. */
function zones(counts: { [zone: string]: number }): BalancedLocality<BalancedHost>[] {
  return Object.entries(counts).map(([name, count]) => ({
    name,
    isLocal: name === 'here',
    weight: 0,
    hosts: Array.from({ length: count }, () => host),
  }));
}

/** Shares of the zones over all points that chance can take. */
function measure(upstream: { [zone: string]: number }, proxies: { [zone: string]: number }, minClusterSize = 1) {
  const events: { [event: string]: number } = {};
  let draw = 0;
  const points = 100;
  const routing = ZoneRouting.create(zones(upstream), zones(proxies), {
    minClusterSize,
    // Even draws decide whether to stay, odd ones where to go: every pair of points once.
    random: () => {
      const index = draw++;
      return (index % 2 === 0 ? Math.floor(index / 2 / points) : Math.floor(index / 2) % points) / points;
    },
    onEvent: event => {
      events[event] = (events[event] ?? 0) + 1;
    },
  });
  if (routing === null) return { shares: null, events };
  const names = Object.keys(upstream);
  const shares: { [zone: string]: number } = Object.fromEntries(names.map(name => [name, 0]));
  for (let i = 0; i < points * points; i++) {
    draw = 2 * i;
    shares[names[routing.choose()]] += 100 / (points * points);
  }
  return { shares: Object.fromEntries(Object.entries(shares).map(([name, share]) => [name, Math.round(share)])), events };
}

t.test('everything stays where the own zone has its share of hosts or more', async t => {
  const { shares, events } = measure({ here: 2, there: 2 }, { here: 1, there: 1 });
  t.same(shares, { here: 100, there: 0 });
  t.equal(events.lb_zone_routing_all_directly, 10_000);
});

t.test('what the own zone cannot take goes to zones with more hosts than proxies, in proportion', async t => {
  const { shares } = measure({ here: 1, much: 6, little: 3 }, { here: 2, much: 1, little: 1 });
  // Proxies 50 %, 25 %, 25 %; hosts 10 %, 60 %, 30 %: a fifth stays, and 35 : 5 parts go elsewhere.
  t.same(shares, { here: 20, much: 70, little: 10 });
});

t.test('a zone without hosts sends everything away', async t => {
  t.same(measure({ a: 1, b: 1 }, { here: 1, a: 1 }).shares, { a: 0, b: 100 });
});

t.test('small clusters and unknown proxies are not routed by zone', async t => {
  t.same(measure({ here: 2, there: 2 }, { here: 1, there: 1 }, 6).events, {
    lb_recalculate_zone_structures: 1,
    lb_zone_cluster_too_small: 1,
  });
  t.same(measure({ here: 2, there: 2 }, { elsewhere: 1, there: 1 }).events, {
    lb_recalculate_zone_structures: 1,
    lb_local_cluster_not_ok: 1,
  });
  t.equal(measure({ here: 4 }, { here: 1, there: 1 }).shares, null, 'one zone only');
});
