import t from 'tap';
import type { ExtensionReference } from '../../../../proxy/config/compile/scope.ts';
import { ExtensionDiscovery } from '../../../../proxy/xds/extension-discovery.ts';
import { ResourceStore } from '../../../../proxy/xds/resource-store.ts';
import { FakeSource, makeStats } from './fakes.ts';

const reference: ExtensionReference = {
  name: 'ext',
  category: 'http_filter',
  typeNames: ['acme.Filter'],
  source: { source: { kind: 'ads' }, initialFetchTimeoutMs: 0 },
  isAwaited: true,
};

/** A resource is its name, `=`, and a configuration; `Other...` is of another type. */
function setUp() {
  const stats = makeStats();
  const source = new FakeSource();
  const events: string[] = [];
  const resources = new ResourceStore();
  const discovery = new ExtensionDiscovery({
    resources,
    source,
    compile: bytes => {
      const text = Buffer.from(bytes).toString().split('=')[1];
      if (text === 'bad') throw new Error('typed_config: is bad');
      return { model: { kind: text, name: 'ext', config: null }, typeName: text === 'Other' ? 'acme.Other' : 'acme.Filter' };
    },
    extensions: {
      update: (category, name, model) => events.push(`${category} ${name} ${model?.kind}`),
      remove: (category, name) => events.push(`${category} ${name} gone`),
    },
    stats,
  });
  const counter = (name: string) => stats.counter(`extension_config_discovery.http_filter.ext.${name}`).value;
  return {
    discovery,
    source,
    events,
    resources,
    counter,
    watch: () => discovery.watch({ ...reference }, () => events.push('ready')),
  };
}

t.test('a configuration goes to the workers, and whoever waits goes on; the same again does nothing', async t => {
  const { source, events, counter, watch } = setUp();
  watch();
  t.equal(source.give({ ext: 'ext=one' }), null);
  t.equal(source.give({ ext: 'ext=one' }), null);
  t.same(events.slice(0, 2), ['http_filter ext one', 'ready']);
  t.equal(events.filter(event => event !== 'ready').length, 1);
  t.equal(counter('config_reload'), 1);
  t.equal(counter('update_success'), 2);
});

t.test('a refused one is named, keeps what was there, and ends the wait', async t => {
  const { source, events, counter, resources, watch } = setUp();
  watch();
  t.match(source.give({ ext: 'ext=bad' }), /ext: typed_config: is bad/);
  t.match(source.give({ ext: 'ext=Other' }), /type URL acme.Other but expect acme.Filter/);
  t.ok(events.every(event => event === 'ready'));
  t.equal(counter('config_fail'), 2);
  t.equal(counter('update_rejected'), 2);
  t.match(resources.get('extension', 'ext')?.failure?.details, /acme.Other/);
});

t.test('the last watcher that leaves takes the configuration with it', async t => {
  const { source, events, watch, resources } = setUp();
  const [first, second] = [watch(), watch()];
  source.give({ ext: 'ext=one' });
  events.length = 0;
  first();
  t.same(events, []);
  second();
  t.same(events, ['http_filter ext gone']);
  t.equal(resources.get('extension', 'ext'), undefined);
});

t.test('a removed configuration is gone from the workers', async t => {
  const { source, events, watch } = setUp();
  watch();
  source.give({ ext: 'ext=one' });
  source.give({}, ['ext']);
  t.ok(events.includes('http_filter ext gone'));
});
