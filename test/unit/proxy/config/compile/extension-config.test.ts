import t from 'tap';
import { encodeMessage } from '../../../../../protos/messages.ts';
import { compileExtensionConfig } from '../../../../../proxy/config/compile/extension-config.ts';
import { any, compile, context, httpListenerOf, refuses, router } from './fixture.ts';

const cors = 'envoy.extensions.filters.http.cors.v3.Cors';
const faultType = 'envoy.extensions.filters.http.fault.v3.HTTPFault';
const wasmType = 'envoy.extensions.filters.http.wasm.v3.Wasm';
const at = 'filter_chains[0].filters[0].typed_config.http_filters[0]';

const extensionOf = (typed_config: ReturnType<typeof any> | null) =>
  compileExtensionConfig(
    encodeMessage('envoy.config.core.v3.TypedExtensionConfig', { name: 'ext', typed_config }),
    'http_filter',
    context,
  );

const discovered = (changes: object) => ({
  name: 'ext',
  config_discovery: {
    config_source: { ads: {}, resource_api_version: 2, initial_fetch_timeout: { seconds: 0, nanos: 0 } },
    type_urls: [`type.googleapis.com/${faultType}`],
    ...changes,
  },
});

t.test('a discovered configuration compiles to the model of its filter', async t => {
  const { model, typeName } = extensionOf(any(cors, {}));
  t.match(model, { kind: 'envoy.filters.http.cors', name: 'ext' });
  t.equal(typeName, cors);
});

t.test('a filter that is not implemented is refused by the name of its type', async t => {
  refuses(
    t,
    () => extensionOf({ type_url: `type.googleapis.com/${wasmType}`, value: new Uint8Array() }),
    'typed_config',
    wasmType,
  );
  refuses(t, () => extensionOf(null), 'typed_config', 'required');
  refuses(t, () => extensionOf(router.typed_config), 'typed_config', 'terminal');
});

t.test('a listener tells which configurations its filters wait for', async t => {
  const { model, extensions } = compile.listener(httpListenerOf({ http_filters: [discovered({}), router] as never }));
  t.same(extensions, [
    {
      name: 'ext',
      category: 'http_filter',
      typeNames: [faultType],
      source: { source: { kind: 'ads' }, initialFetchTimeoutMs: 0 },
      isAwaited: true,
    },
  ]);
  const { httpFilters } = model.filterChains[0].filters[0].config as { httpFilters: unknown[] };
  t.same(httpFilters[0], {
    kind: 'discovered',
    name: 'ext',
    config: { name: 'ext', category: 'http_filter', fallback: null, hasFallback: false },
  });
});

t.test('a default serves until the configuration arrives, at once if so configured', async t => {
  const changes = { default_config: any(cors, {}), apply_default_config_without_warming: true };
  const { model, extensions } = compile.listener(httpListenerOf({ http_filters: [discovered(changes), router] as never }));
  t.equal(extensions[0].isAwaited, false);
  const { httpFilters } = model.filterChains[0].filters[0].config as { httpFilters: unknown[] };
  t.match(httpFilters[0], { config: { fallback: { kind: 'envoy.filters.http.cors' }, hasFallback: true } });
  const withFilters = (http_filters: object[]) => () => compile.listener(httpListenerOf({ http_filters: http_filters as never }));
  refuses(t, withFilters([discovered({ type_urls: [] }), router]), `${at}.config_discovery.type_urls`, 'at least 1');
  refuses(
    t,
    withFilters([discovered({ apply_default_config_without_warming: true }), router]),
    `${at}.config_discovery.default_config`,
    'must be set',
  );
});

t.test('the router cannot be disabled, other filters can', async t => {
  const withFilters = (http_filters: object[]) => compile.listener(httpListenerOf({ http_filters: http_filters as never }));
  const { model } = withFilters([{ name: 'cors', disabled: true, typed_config: any(cors, {}) }, router]);
  t.match(model.filterChains[0].filters[0].config, { httpFilters: [{ name: 'cors', disabled: true }, { name: router.name }] });
  refuses(
    t,
    () => withFilters([{ ...router, disabled: true }]),
    'filter_chains[0].filters[0].typed_config.http_filters',
    'cannot be disabled',
  );
});
