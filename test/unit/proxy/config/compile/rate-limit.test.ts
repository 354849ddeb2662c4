import t from 'tap';
import type { RouteMessage } from './fixture.ts';
import { any, compile, httpListenerOf, listenerOf, refuses, router, routeOf } from './fixture.ts';

const local = 'envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit';
const token_bucket = { max_tokens: 1, fill_interval: { seconds: 1, nanos: 0 } };
type Chain = ReturnType<typeof compile.listener>['model']['filterChains'][0];

const filterOf = (config: Parameters<typeof any<typeof local>>[1]) => ({
  name: 'limit',
  typed_config: any(local, { stat_prefix: 'l', token_bucket, ...config }),
});
const listenerWith = (config: Parameters<typeof any<typeof local>>[1] = {}) =>
  httpListenerOf({ http_filters: [filterOf(config), router] });
const bucketOf = ({ filters }: Chain) =>
  (filters[0].config as { httpFilters: { config: { bucket: { id: string } } }[] }).httpFilters[0].config.bucket.id;
const at = 'filter_chains[0].filters[0].typed_config.http_filters[0].typed_config';

t.test('a bucket that cannot work is refused', async t => {
  const refusesBucket = (changes: object, field: string, reason: string) =>
    refuses(
      t,
      () => compile.listener(listenerWith({ token_bucket: { ...token_bucket, ...changes } })),
      `${at}.token_bucket.${field}`,
      reason,
    );
  refusesBucket({ max_tokens: 0 }, 'max_tokens', 'greater than 0');
  refusesBucket({ tokens_per_fill: { value: 0 } }, 'tokens_per_fill', 'greater than 0');
  refusesBucket({ fill_interval: null }, 'fill_interval', 'required');
  refusesBucket({ fill_interval: { seconds: 0, nanos: 49_000_000 } }, 'fill_interval', '>= 50ms');
});

t.test('descriptors are refused twice, or for every value', async t => {
  const descriptor = (value: string) => ({ entries: [{ key: 'k', value }], token_bucket });
  const refused = (descriptors: ReturnType<typeof descriptor>[], path: string, reason: string) =>
    refuses(t, () => compile.listener(listenerWith({ descriptors })), `${at}.${path}`, reason);
  refused([descriptor('v'), descriptor('v')], 'descriptors[1]', 'duplicate descriptor');
  refused([descriptor('')], 'descriptors[0].entries[0].value', 'not implemented');
});

t.test('a route must say how large its bucket is', async t => {
  const typed_per_filter_config = { limit: any(local, { stat_prefix: 'l' }) };
  const [virtualHost] = routeOf({}).virtual_hosts ?? [];
  const config: RouteMessage = { name: 'r', virtual_hosts: [{ ...virtualHost, typed_per_filter_config }] };
  const path = 'virtual_hosts[0].typed_per_filter_config["limit"].token_bucket';
  refuses(t, () => compile.route(config), path, 'must be set');
});

t.test('the place of a chain among the others does not change its bucket, its match does', async t => {
  const chainOf = (port: number) => ({
    ...(listenerWith().filter_chains ?? [])[0],
    filter_chain_match: { destination_port: { value: port } },
  });
  const compileChains = (...ports: number[]) =>
    compile.listener(listenerOf({ filter_chains: ports.map(chainOf) })).model.filterChains;
  const [eighty] = compileChains(80);
  const [first, second] = compileChains(79, 80);
  t.equal(bucketOf(second), bucketOf(eighty));
  t.not(bucketOf(first), bucketOf(eighty));
});
