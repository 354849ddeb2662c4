import t from 'tap';
import { shareTexts } from '../../../../common/shared-text.ts';
import type { RouteConfigModel } from '../../../../proxy/config/model/route.ts';
import { readRouteConfig, writeRouteConfig } from '../../../../proxy/router/route-config-text.ts';
import { RouteConfigs } from '../../../../proxy/router/route-configs.ts';
import {
  forwardTo,
  makeMatch,
  makeRequest,
  makeRoute,
  makeRouteConfig,
  makeStreamInfo,
  makeVirtualHost,
  prefix,
} from './route-models.ts';

const routesTo = (cluster: string) => [makeRoute(makeMatch(prefix('/')), forwardTo(cluster))];
/** Beside another text, as in a batch. */
const share = (model: RouteConfigModel) => shareTexts(['other', writeRouteConfig(model), 'more'])[1];

t.test('virtual hosts are read one by one, as they were written', async t => {
  const hosts = [
    makeVirtualHost('grün', ['a.example', '*.é.example'], routesTo('one')),
    makeVirtualHost('new\nline', ['b.example'], routesTo('two')),
    makeVirtualHost('empty', [], []),
  ];
  const { config, virtualHosts } = readRouteConfig(share(makeRouteConfig(hosts, { name: 'a\nb', ignorePathParameters: true })));
  t.match(config, { name: 'a\nb', ignorePathParameters: true });
  t.same(
    virtualHosts.map(({ domains }) => domains),
    hosts.map(({ domains }) => domains),
  );
  t.same(
    virtualHosts.map(({ read }) => read()),
    hosts,
  );
  t.same(readRouteConfig(share(makeRouteConfig([]))).virtualHosts, []);
});

t.test('who holds a name sees each configuration that comes for it, and none once it is removed', async t => {
  const configs = new RouteConfigs();
  const holder = configs.get('80');
  const target = (): string | undefined =>
    holder.current?.match(makeRequest('GET', 'a.example', '/'), makeStreamInfo())?.virtualHostName;
  t.equal(holder.current, null);
  configs.update('80', share(makeRouteConfig([makeVirtualHost('first', ['*'], routesTo('one'))])));
  t.equal(target(), 'first');
  t.equal(holder.current, holder.current, 'built once');
  configs.update('80', share(makeRouteConfig([makeVirtualHost('second', ['*'], routesTo('one'))])));
  t.equal(target(), 'second');
  configs.remove('80');
  t.equal(holder.current, null);
});
