import t from 'tap';
import { compileListener } from '../../../../../proxy/config/compile/listener.ts';
import type { HttpConnectionManagerModel } from '../../../../../proxy/config/model/http-connection-manager.ts';
import { any, compile, context, httpListenerOf, listenerOf, refuses, router, tcpProxy } from './fixture.ts';

function managerOf(changes: Parameters<typeof httpListenerOf>[0]): HttpConnectionManagerModel {
  const { model } = compile.listener(httpListenerOf(changes));
  return model.filterChains[0].filters[0].config as HttpConnectionManagerModel;
}

t.test("a bare listener has Envoy's defaults", async t => {
  const { model, routeNames, secrets } = compile.listener(listenerOf());
  t.match(model, {
    name: 'l',
    addresses: [{ kind: 'socket', address: '0.0.0.0', port: 80 }],
    bindToPort: true,
    useOriginalDst: false,
    transparent: false,
    trafficDirection: 'unspecified',
    listenerFiltersTimeoutMs: 15_000,
    continueOnListenerFiltersTimeout: false,
    perConnectionBufferLimitBytes: 1_048_576,
    defaultFilterChain: null,
  });
  t.strictSame([routeNames, secrets], [[], []]);
});

t.test('a listener filter timeout of zero stays zero', async t => {
  const timeout = { seconds: 0, nanos: 0 };
  t.equal(compile.listener(listenerOf({ listener_filters_timeout: timeout })).model.listenerFiltersTimeoutMs, 0);
});

t.test('what makes a listener unusable is refused with its path', async t => {
  const refused = (changes: Parameters<typeof listenerOf>[0], path: string, reason: string): void =>
    refuses(t, () => compile.listener(listenerOf(changes)), path, reason);
  refused({ filter_chains: [] }, 'filter_chains', 'no filter chains specified');
  refused(
    { address: { socket_address: { address: 'a.b', port_value: 1 } } },
    'address.socket_address.address',
    'malformed IP address: a.b',
  );
  refused({ address: { socket_address: { address: '::1', port_value: 70_000 } } }, 'address.socket_address.port_value', 'range');
  refused(
    { address: { envoy_internal_address: { server_listener_name: 'x' } } },
    'address',
    'an internal address cannot be bound',
  );
  refused({ internal_listener: {} }, 'address', 'internal address is not compatible with address');
  refused({ internal_listener: {}, address: null, name: '' }, 'name', 'at least 1');
  refused({ internal_listener: {}, address: null, freebind: { value: true } }, 'freebind', 'not compatible');
  refused({ socket_options: [{ level: 6, name: 4 }] }, 'socket_options[0].value', 'required');
});

t.test('options of the listening socket, and fast open as one of them', async t => {
  const { model } = compile.listener(
    listenerOf({
      socket_options: [
        { level: 6, name: 4, int_value: 7, state: 0 },
        { level: 1, name: 9, buf_value: Buffer.from([1, 0, 0, 0]), state: 1 },
      ],
      tcp_fast_open_queue_length: { value: 5 },
    } as never),
  );
  t.strictSame(model.socketOptions, [
    { level: 6, name: 4, value: 7, state: 'prebind' },
    { level: 1, name: 9, value: 'AQAAAA==', state: 'bound' },
    { level: 6, name: 23, value: 5, state: 'listening' },
  ]);
});

t.test('a filter of unknown type is refused by its URL', async t => {
  const typed_config = { type_url: 'type.googleapis.com/foo.Bar', value: new Uint8Array() };
  const run = () => compile.listener(listenerOf({ filter_chains: [{ filters: [{ name: 'x', typed_config }] }] }));
  refuses(t, run, 'filter_chains[0].filters[0]', "'x' with type URL: 'type.googleapis.com/foo.Bar' (network filter is unknown)");
});

t.test('a TypedStruct of unknown type is refused by the URL inside', async t => {
  const typed_config = any('udpa.type.v1.TypedStruct', { type_url: 'type.googleapis.com/foo.Bar' });
  const run = () => compile.listener(httpListenerOf({ http_filters: [{ name: 'x', typed_config }, router] }));
  refuses(t, run, 'filter_chains[0].filters[0].typed_config.http_filters[0]', 'foo.Bar');
});

t.test('a TypedStruct of a known type compiles like the message itself', async t => {
  const value = { fields: { statPrefix: { stringValue: 'tcp' }, cluster: { stringValue: 'a' } } };
  const typed_config = any('xds.type.v3.TypedStruct', {
    type_url: 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
    value: value as never,
  });
  const chain = (filter: typeof tcpProxy) => listenerOf({ filter_chains: [{ filters: [filter] }] });
  const [direct, struct] = [tcpProxy, { ...tcpProxy, typed_config }].map(filter => compile.listener(chain(filter)).model);
  t.strictSame(struct.filterChains, direct.filterChains);
});

t.test('exactly the last filter of a chain is terminal', async t => {
  const twice = listenerOf({ filter_chains: [{ filters: [tcpProxy, tcpProxy] }] });
  refuses(t, () => compile.listener(twice), 'filter_chains[0].filters', 'must be the last filter in a network filter chain');
  refuses(
    t,
    () =>
      compile.listener(
        httpListenerOf({ http_filters: [], upgrade_configs: [{ upgrade_type: 'websocket', filters: [router, router] }] }),
      ),
    'filter_chains[0].filters[0].typed_config.upgrade_configs[0].filters',
    'must be the last filter in a http filter chain',
  );
});

t.test('an optional HTTP filter of unknown type is left out with a warning', async t => {
  const typed_config = { type_url: 'type.googleapis.com/foo.Bar', value: new Uint8Array() };
  const { model, warnings } = compile.listener(
    httpListenerOf({ http_filters: [{ name: 'x', typed_config, is_optional: true }, router] }),
  );
  const manager = model.filterChains[0].filters[0].config as HttpConnectionManagerModel;
  t.strictSame(
    manager.httpFilters.map(({ kind }) => kind),
    ['envoy.filters.http.router'],
  );
  t.match(warnings, [/foo\.Bar is left out/]);
});

t.test('chains that would match the same connections are refused', async t => {
  const chain = (server_names: string[]) => ({ filter_chain_match: { server_names }, filters: [tcpProxy] });
  const run = () => compile.listener(listenerOf({ filter_chains: [chain(['a', 'b']), chain(['B'])] }));
  refuses(t, run, 'filter_chains[1]', 'same matching rules');
  t.doesNotThrow(() => compile.listener(listenerOf({ filter_chains: [chain(['a']), chain(['b'])] })));
});

t.test('ranges are canonical and names of servers are lower case', async t => {
  const filter_chain_match = {
    prefix_ranges: [
      { address_prefix: '10.1.2.3', prefix_len: { value: 9 } },
      { address_prefix: '2001:DB8:0:0::ffff', prefix_len: { value: 33 } },
      { address_prefix: '1.2.3.4' },
    ],
    server_names: ['*.Example.com'],
  };
  const { match } = compile.listener(listenerOf({ filter_chains: [{ filter_chain_match, filters: [tcpProxy] }] })).model
    .filterChains[0];
  t.strictSame(match.prefixRanges, [
    { address: '10.0.0.0', prefixLength: 9 },
    { address: '2001:db8::', prefixLength: 33 },
    { address: '0.0.0.0', prefixLength: 0 },
  ]);
  t.strictSame(match.serverNames, ['*.example.com']);
});

t.test("a connection manager has Envoy's defaults", async t => {
  t.match(managerOf({}), {
    codecType: 'auto',
    serverName: 'envoy',
    generateRequestId: true,
    normalizePath: false,
    escapedSlashes: 'keep',
    forwardClientCert: 'sanitize',
    idleTimeoutMs: 3_600_000,
    streamIdleTimeoutMs: 300_000,
    requestTimeoutMs: 0,
    delayedCloseTimeoutMs: 1000,
    drainTimeoutMs: 5000,
    maxRequestHeadersBytes: 61_440,
    maxHeadersCount: 100,
    tracing: null,
    requestId: { packTraceReason: true, useForTraceSampling: true },
  });
});

t.test('routes by discovery are named, with their source', async t => {
  const rds = (config_source: object) =>
    httpListenerOf({ route_config: null as never, rds: { route_config_name: '80', config_source } });
  const { routeNames, routeSources } = compile.listener(rds({ ads: {}, resource_api_version: 2 }));
  t.strictSame(routeNames, ['80']);
  t.strictSame(routeSources, { 80: { source: { kind: 'ads' }, initialFetchTimeoutMs: 15_000 } });
  const at = 'filter_chains[0].filters[0].typed_config.rds.config_source';
  refuses(t, () => compile.listener(rds({})), at, 'config_source_specifier is required');
});

t.test('fields of the connection manager that are not implemented are refused', async t => {
  const at = 'filter_chains[0].filters[0].typed_config';
  refuses(t, () => managerOf({ proxy_status_config: {} }), `${at}.proxy_status_config`, 'not implemented');
  refuses(t, () => managerOf({ codec_type: 3 }), `${at}.codec_type`, 'HTTP3');
  refuses(t, () => managerOf({ stat_prefix: '' }), `${at}.stat_prefix`, 'at least 1');
});

t.test('security filters that are not implemented are accepted, denied and reported', async t => {
  const rules = { action: 0, policies: {} };
  const typed_config = any('envoy.extensions.filters.http.rbac.v3.RBAC', { rules });
  const { model, denials } = compile.listener(httpListenerOf({ http_filters: [{ name: 'rbac', typed_config }, router] }));
  const [rbac] = (model.filterChains[0].filters[0].config as HttpConnectionManagerModel).httpFilters;
  t.strictSame(rbac, {
    kind: 'envoy.filters.http.rbac',
    name: 'rbac',
    config: { deny: true, reason: 'envoy.filters.http.rbac is not implemented' },
  });
  t.match(denials, [/http_filters\[0\].*denies everything/]);
});

t.test('rules that only log or shadow deny nothing', async t => {
  for (const message of [{ shadow_rules: { action: 1 } }, { rules: { action: 2 } }]) {
    const typed_config = any('envoy.extensions.filters.network.rbac.v3.RBAC', { stat_prefix: 'tcp.', ...message });
    const filters = [{ name: 'rbac', typed_config }, tcpProxy];
    const { model, denials } = compile.listener(listenerOf({ filter_chains: [{ filters }] }));
    t.equal(model.filterChains[0].filters.length, 1);
    t.strictSame(denials, []);
  }
});

t.test('equal bytes give equal hashes, and a change of one chain leaves the hash of the others', async t => {
  const named = (name: string, port: number) => ({
    name,
    filter_chain_match: { destination_port: { value: port } },
    filters: [tcpProxy],
  });
  const before = compile.listener(listenerOf({ filter_chains: [named('a', 1), named('b', 2)] })).model;
  const after = compile.listener(listenerOf({ filter_chains: [named('a', 1), named('b', 3)] })).model;
  t.not(before.hash, after.hash);
  t.equal(before.filterChains[0].hash, after.filterChains[0].hash);
  t.not(before.filterChains[1].hash, after.filterChains[1].hash);
});

t.test('bytes that are no listener are refused', async t => {
  refuses(
    t,
    () => compileListener(Buffer.from([0x0a, 0xff]), context),
    '',
    'cannot be decoded as envoy.config.listener.v3.Listener',
  );
});
