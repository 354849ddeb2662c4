import t from 'tap';
import type { BalancedHost } from '../../../../../proxy/upstream/load-balancer/balanced-host.ts';
import { createBalancer } from '../../../../../proxy/upstream/load-balancer/load-balancer.ts';
import { computePriorityLoad } from '../../../../../proxy/upstream/load-balancer/priority-load.ts';
import { hashText } from '../../../../../proxy/upstream/load-balancer/xxhash64.ts';
import { Random } from '../../../../support/random.ts';
import { makeLoadBalancer } from '../upstream-fixture.ts';

const seed = Number(process.env.TEST_SEED ?? Date.now() % 2 ** 31);
t.comment(`seed ${seed}`);

function host(name: string, parts: Partial<BalancedHost> = {}): BalancedHost {
  return { weight: 1, health: 'healthy', activeRequests: 0, addressText: name, hostname: '', healthySinceMs: -1e9, ...parts };
}

function balance(localities: { weight: number; hosts: BalancedHost[] }[][], parts: Parameters<typeof makeLoadBalancer>[0]) {
  const random = new Random(seed);
  let panics = 0;
  const balancer = createBalancer(
    localities.map(list => ({ localities: list })),
    {
      model: makeLoadBalancer(parts),
      overprovisioningFactor: 140,
      clock: { random: () => random.next(), now: () => 0 },
      onEvent: event => {
        if (event === 'lb_healthy_panic') panics++;
      },
      clusterActiveRequests: () => 0,
      localCluster: null,
    },
  );
  const count = (picks: number, hash: bigint | null = null, tried: number[] | null = null) => {
    const counts: Record<string, number> = {};
    for (let i = 0; i < picks; i++) {
      const name = balancer.pick(hash, tried, 0)?.addressText ?? 'none';
      counts[name] = (counts[name] ?? 0) + 1;
    }
    return counts;
  };
  return { balancer, count, panics: () => panics };
}

t.test('xxHash64 gives the published values', async t => {
  t.equal(hashText('').toString(16), 'ef46db3751d8e999');
  t.equal(hashText('abc').toString(16), '44bc2cf5ad770999');
  t.equal(hashText('Nobody inspects the spammish repetition').toString(16), 'fbcea83c8a378bf1');
});

t.test('round robin takes turns; unequal weights are exact', async t => {
  t.same(balance([[{ weight: 0, hosts: [host('a'), host('b'), host('c')] }]], {}).count(30), { a: 10, b: 10, c: 10 });
  const weighted = balance([[{ weight: 0, hosts: [host('a', { weight: 3 }), host('b')] }]], {}).count(400);
  t.ok(Math.abs(weighted.a - 300) <= 2, JSON.stringify(weighted));
});

t.test('least request avoids the loaded host, with and without weights', async t => {
  const busy = host('busy', { activeRequests: 50 });
  const { count } = balance([[{ weight: 0, hosts: [busy, host('b'), host('c')] }]], { policy: 'least-request' });
  const picks = count(900);
  t.ok((picks.busy ?? 0) < 200, `only two draws of the busy host choose it: ${JSON.stringify(picks)}`);
  const weighted = balance([[{ weight: 0, hosts: [host('busy', { activeRequests: 9, weight: 2 }), host('b')] }]], {
    policy: 'least-request',
  }).count(600);
  t.ok(weighted.busy < 120, `weight 2 / (9 + 1) against 1: ${JSON.stringify(weighted)}`);
});

t.test('unhealthy hosts are left out until too few are left', async t => {
  const sick = host('sick', { health: 'unhealthy' });
  t.same(balance([[{ weight: 0, hosts: [host('a'), host('b'), sick] }]], {}).count(10), { a: 5, b: 5 });
  const panic = balance([[{ weight: 0, hosts: [host('a'), sick, host('sick2', { health: 'unhealthy' })] }]], {});
  t.equal(Object.keys(panic.count(30)).length, 3);
  t.equal(panic.panics(), 30);
  const calm = balance([[{ weight: 0, hosts: [host('a'), sick, host('sick2', { health: 'unhealthy' })] }]], {
    healthyPanicThreshold: 0,
  });
  t.same(calm.count(10), { a: 10 });
  t.same(balance([[{ weight: 0, hosts: [sick] }]], { healthyPanicThreshold: 0 }).count(2), { none: 2 });
  t.same(balance([[]], {}).count(2), { none: 2 });
});

t.test('load spills to the next priority by the share of healthy hosts', async t => {
  const half = { total: 10, healthy: 5, degraded: 0 };
  const full = { total: 10, healthy: 10, degraded: 0 };
  t.same(computePriorityLoad([half, full], 140, 50).healthy, [70, 30]);
  t.same(computePriorityLoad([full, full], 140, 50).healthy, [100, 0]);
  t.match(computePriorityLoad([{ total: 10, healthy: 0, degraded: 5 }, full], 140, 0), {
    healthy: [0, 100],
    degraded: [0, 0],
    panic: [false, false],
  });
  t.same(computePriorityLoad([{ total: 0, healthy: 0, degraded: 0 }], 140, 0).healthy, [100]);
  t.match(
    computePriorityLoad(
      [
        { total: 3, healthy: 0, degraded: 0 },
        { total: 1, healthy: 0, degraded: 0 },
      ],
      140,
      50,
    ),
    {
      healthy: [75, 25],
      degraded: [0, 0],
      panic: [true, true],
    },
  );
});

t.test('a tried priority is avoided while another has hosts', async t => {
  const { count } = balance([[{ weight: 0, hosts: [host('first')] }], [{ weight: 0, hosts: [host('second')] }]], {});
  t.same(count(5), { first: 5 });
  t.same(count(5, null, [0]), { second: 5 });
  t.same(count(5, null, [0, 1]), { first: 5 });
});

t.test('localities share by weight and health', async t => {
  const far = { weight: 1, hosts: [host('far')] };
  const near = { weight: 3, hosts: [host('near')] };
  t.same(balance([[far, near]], { localityWeighted: true }).count(400), { far: 100, near: 300 });
  const broken = { weight: 3, hosts: [host('near', { health: 'unhealthy' })] };
  t.same(balance([[far, broken]], { localityWeighted: true, healthyPanicThreshold: 0 }).count(4), { far: 4 });
});

t.test('ring hash and maglev keep a hash on its host when others leave', async t => {
  for (const policy of ['ring-hash', 'maglev'] as const) {
    const hosts = Array.from({ length: 10 }, (_, i) => host(`10.0.0.${i}:80`));
    const before = balance([[{ weight: 0, hosts }]], { policy }).balancer;
    const after = balance([[{ weight: 0, hosts: hosts.slice(1) }]], { policy }).balancer;
    const used = new Set<string>();
    let moved = 0;
    for (let i = 0; i < 500; i++) {
      const hash = hashText(`user-${i}`);
      const first = before.pick(hash, null, 0)?.addressText ?? '';
      used.add(first);
      t.equal(before.pick(hash, null, 0)?.addressText, first);
      if (first !== hosts[0].addressText && after.pick(hash, null, 0)?.addressText !== first) moved++;
    }
    t.equal(used.size, 10, policy);
    t.ok(moved <= 60, `${policy}: ${moved} moved`);
  }
});

t.test('a warming host gets less', async t => {
  const slowStart = { windowMs: 1000, aggression: 1, minWeightPercent: 10 };
  const picks = balance([[{ weight: 0, hosts: [host('old'), host('new', { healthySinceMs: -200 })] }]], { slowStart }).count(600);
  t.ok(picks.new > 60 && picks.new < 140, JSON.stringify(picks));
});
