import t from 'tap';
import type { BalancedHost } from '../../../../../proxy/upstream/load-balancer/balanced-host.ts';
import { BoundedLoad } from '../../../../../proxy/upstream/load-balancer/bounded-load.ts';
import { MersenneTwister } from '../../../../../proxy/upstream/load-balancer/mersenne-twister.ts';

t.test('the Mersenne Twister gives the published sequence', async t => {
  const random = new MersenneTwister(5489);
  t.equal(random.next(), 3_499_211_612);
  for (let i = 2; i < 10_000; i++) random.next();
  t.equal(random.next(), 4_123_659_995, 'the ten thousandth value, which the C++ standard names');
});

function makeHosts(loads: readonly number[]): BalancedHost[] {
  return loads.map((activeRequests, index) => ({
    weight: 1,
    health: 'healthy',
    activeRequests,
    addressText: `h${index}`,
    hostname: '',
    healthySinceMs: 0,
  }));
}

/** Always asks for the first host; a factor of 100 percent. */
function pick(loads: readonly number[], hash: bigint): string {
  const hosts = makeHosts(loads);
  const total = loads.reduce((sum, load) => sum + load, 0);
  const weighted = hosts.map(host => ({ host, weight: 1 / hosts.length }));
  return new BoundedLoad({ pick: () => hosts[0] }, weighted, 100, () => total).pick(hash, 0)?.addressText ?? 'none';
}

t.test('a host within its share keeps its keys', async t => {
  for (let hash = 0n; hash < 20n; hash++) t.equal(pick([1, 1, 1, 1], hash), 'h0');
});

t.test('a host beyond its share passes each key on, always to the same other one', async t => {
  const targets = Array.from({ length: 50 }, (_, hash) => pick([9, 0, 0, 0], BigInt(hash)));
  t.notOk(targets.includes('h0'));
  t.same([...new Set(targets)].sort(), ['h1', 'h2', 'h3'], 'another one for another key');
  t.same(
    Array.from({ length: 50 }, (_, hash) => pick([9, 0, 0, 0], BigInt(hash))),
    targets,
  );
});

t.test('hosts that are full are passed over', async t => {
  for (let hash = 0n; hash < 20n; hash++) t.equal(pick([9, 9, 1, 9], hash), 'h2');
});
