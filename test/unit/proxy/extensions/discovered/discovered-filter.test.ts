import t from 'tap';
import type { FilterModel } from '../../../../../proxy/config/model/listener.ts';
import {
  createDiscoveredHttpFilter,
  createDiscoveredNetworkFilter,
} from '../../../../../proxy/extensions/discovered/discovered-filter.ts';
import { ExtensionConfigs } from '../../../../../proxy/extensions/discovered/extension-configs.ts';
import type { HttpFilter, LocalReply } from '../../../../../proxy/http/filter.ts';
import type { NetworkFilter } from '../../../../../proxy/network/filter.ts';
import { ResponseFlag } from '../../../../../proxy/telemetry/response-flags.ts';

const fallback: FilterModel = { kind: 'known', name: 'ext', config: 'default' };

function setUp(hasFallback = false) {
  const extensionConfigs = new ExtensionConfigs();
  const built: unknown[] = [];
  const build = (config: unknown) => {
    built.push(config);
    return () => ({ config }) as never;
  };
  const services = { extensionConfigs, httpFilters: { known: build } };
  const config = { name: 'ext', fallback: hasFallback ? fallback : null, hasFallback };
  const context = { services } as never;
  const http = createDiscoveredHttpFilter({ ...config, category: 'http_filter' }, context);
  const network = createDiscoveredNetworkFilter(() => ({ known: build }))({ ...config, category: 'network_filter' }, context);
  return { extensionConfigs, built, http, network };
}

const model = (config: string): string => JSON.stringify({ kind: 'known', name: 'ext', config });

t.test('requests are answered with 500 and connections closed while there is no configuration', async t => {
  const { http, network } = setUp();
  const replies: LocalReply[] = [];
  (http({ sendLocalReply: (reply: LocalReply) => replies.push(reply) } as never) as HttpFilter).onRequestHeaders?.(
    null as never,
    true,
  );
  t.match(replies, [{ status: 500, flags: ResponseFlag.noFilterConfigFound }]);
  const closed: string[] = [];
  (network({ connection: { close: (type: string) => closed.push(type) } } as never) as NetworkFilter).onNewConnection?.();
  t.same(closed, ['no-flush']);
});

t.test('each configuration is built once and serves what begins after it, until it is gone', async t => {
  const { extensionConfigs, built, http, network } = setUp(true);
  t.match(http({} as never), { config: 'default' });
  extensionConfigs.update('http_filter', 'ext', model('one'));
  t.match([http({} as never), http({} as never)], [{ config: 'one' }, { config: 'one' }]);
  extensionConfigs.update('network_filter', 'ext', model('two'));
  t.match([http({} as never), network({} as never)], [{ config: 'one' }, { config: 'two' }]);
  extensionConfigs.update('http_filter', 'ext', undefined);
  t.match(http({} as never), { config: 'default' });
  t.same(built, ['default', 'one', 'two', 'default']);
});

t.test('a filter with nothing to do lets everything pass', async t => {
  const { extensionConfigs, http, network } = setUp();
  extensionConfigs.update('http_filter', 'ext', 'null');
  extensionConfigs.update('network_filter', 'ext', 'null');
  t.equal(http({} as never), null);
  t.same(network({} as never), {});
});
