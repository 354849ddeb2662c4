import t from 'tap';
import type { MessageName } from '../../../../../protos/messages.ts';
import { any, type ClusterMessage, compile, refuses } from './fixture.ts';

const packageOf = 'envoy.extensions.load_balancing_policies';
const policy = (name: string, message: object = {}) => ({
  typed_extension_config: { name, typed_config: any(`${packageOf}.${name}` as MessageName, message) },
});
const unknown = {
  typed_extension_config: {
    name: 'unknown',
    typed_config: { type_url: 'type.googleapis.com/acme.Policy', value: new Uint8Array() },
  },
};
const compiled = (...policies: object[]) =>
  compile.cluster({ name: 'c', load_balancing_policy: { policies } } as ClusterMessage).model.loadBalancer;
const at = 'load_balancing_policy.policies[0].typed_extension_config.typed_config';

t.test('the first known policy of the list counts, whatever lb_policy says', async t => {
  const { model } = compile.cluster({
    name: 'c',
    lb_policy: 3,
    load_balancing_policy: { policies: [unknown, policy('least_request.v3.LeastRequest', { choice_count: { value: 5 } })] },
  } as ClusterMessage);
  t.match(model.loadBalancer, { policy: 'least-request', choiceCount: 5, healthyPanicThreshold: 50 });
  refuses(t, () => compiled(unknown), 'load_balancing_policy', 'registered load balancer');
});

t.test('each policy has its options', async t => {
  const slow_start_config = { slow_start_window: { seconds: 10, nanos: 0 } };
  t.match(compiled(policy('round_robin.v3.RoundRobin', { slow_start_config })), {
    policy: 'round-robin',
    slowStart: { windowMs: 10_000 },
  });
  t.match(compiled(policy('random.v3.Random')), { policy: 'random', localityWeighted: false });
  t.match(compiled(policy('ring_hash.v3.RingHash', { minimum_ring_size: { value: 7 } })), {
    policy: 'ring-hash',
    minimumRingSize: 7,
  });
  t.match(compiled(policy('maglev.v3.Maglev', { consistent_hashing_lb_config: { use_hostname_for_hashing: true } })), {
    policy: 'maglev',
    maglevTableSize: 65_537,
    useHostnameForHashing: true,
  });
  refuses(t, () => compiled(policy('maglev.v3.Maglev', { table_size: { value: 8 } })), `${at}.table_size`, 'prime');
  refuses(t, () => compiled(policy('ring_hash.v3.RingHash', { hash_function: 2 })), `${at}.hash_function`, 'XX_HASH');
  t.equal(compiled(policy('least_request.v3.LeastRequest', { selection_method: 1 })).fullScan, true);
  const factor = (value: number) => policy('ring_hash.v3.RingHash', { hash_balance_factor: { value } });
  t.equal(compiled(factor(150)).hashBalanceFactor, 150);
  refuses(t, () => compiled(factor(99)), `${at}.hash_balance_factor`, 'range');
});

t.test('localities are weighed where the policy says so', async t => {
  const locality_lb_config = { locality_weighted_lb_config: {} };
  t.match(compiled(policy('round_robin.v3.RoundRobin', { locality_lb_config })), { localityWeighted: true });
  const endpoint_picking_policy = { policies: [policy('random.v3.Random')] };
  t.match(compiled(policy('wrr_locality.v3.WrrLocality', { endpoint_picking_policy })), {
    policy: 'random',
    localityWeighted: true,
  });
  const zone_aware_lb_config = { fail_traffic_on_panic: true };
  t.match(compiled(policy('random.v3.Random', { locality_lb_config: { zone_aware_lb_config } })), { failTrafficOnPanic: true });
});
