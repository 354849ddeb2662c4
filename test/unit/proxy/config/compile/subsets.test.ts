import t from 'tap';
import type { SubsetsModel } from '../../../../../proxy/config/model/cluster.ts';
import { compile, refuses } from './fixture.ts';

function subsets(config: object): SubsetsModel | undefined {
  return compile.cluster({ name: 'c', lb_subset_config: config }).model.loadBalancer.subsets;
}

const selectors = (...list: object[]) => ({ subset_selectors: list });

t.test('keys are sorted, and a configuration without selectors is none', async t => {
  t.same(subsets(selectors({ keys: ['b', 'a', 'b'] }))?.selectors[0].keys, ['a', 'b']);
  t.equal(subsets({ fallback_policy: 1 }), undefined);
});

t.test('a selector whose keys another one begins with has no fallback of its own', async t => {
  const both = subsets(selectors({ keys: ['a', 'b'], fallback_policy: 1 }, { keys: ['a'], fallback_policy: 1 }));
  t.same(
    both?.selectors.map(({ fallback }) => fallback),
    ['no-fallback', 'not-defined'],
  );
  const longerLast = subsets(selectors({ keys: ['a'], fallback_policy: 1 }, { keys: ['a', 'b'], fallback_policy: 1 }));
  t.same(
    longerLast?.selectors.map(({ fallback }) => fallback),
    ['no-fallback', 'no-fallback'],
  );
});

t.test('what makes no sense is refused with its path', async t => {
  const refused = (selector: object, reason: string, field = '.fallback_keys_subset') =>
    refuses(t, () => subsets(selectors(selector)), `lb_subset_config.subset_selectors[0]${field}`, reason);
  refused({ keys: ['a'], fallback_policy: 4 }, 'cannot be empty');
  refused({ keys: ['a'], fallback_policy: 4, fallback_keys_subset: ['b'] }, 'must be a subset');
  refused({ keys: ['a'], fallback_policy: 4, fallback_keys_subset: ['a'] }, 'cannot be equal');
  refused({ keys: ['a', 'b'], single_host_per_subset: true }, 'single', '');
  refuses(
    t,
    () => subsets({ ...selectors({ keys: ['a'] }), locality_weight_aware: true }),
    'lb_subset_config.locality_weight_aware',
    'locality_weighted_lb_config',
  );
});
