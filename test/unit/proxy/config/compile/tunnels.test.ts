/** What HBONE is configured with: internal listeners and addresses, CONNECT, tunnels, filter state. */
import t from 'tap';
import { any, type ClusterMessage, compile, httpListenerOf, listenerOf, refuses, router, tcpProxy } from './fixture.ts';

const internal = { address: null, internal_listener: {} };
const rawBuffer = {
  name: 'raw',
  typed_config: any('envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer', {}),
};

t.test('an internal listener has its name for an address, and no socket', async t => {
  const { model } = compile.listener(listenerOf(internal));
  t.strictSame(model.addresses, [{ kind: 'internal', listener: 'l', endpointId: '' }]);
  t.equal(model.bindToPort, false);
});

t.test('an internal listener takes nothing that only sockets have', async t => {
  const yes = { value: true };
  for (const [field, value] of [
    ['bind_to_port', yes],
    ['transparent', yes],
    ['freebind', yes],
    ['tcp_fast_open_queue_length', { value: 1 }],
    ['connection_balance_config', { exact_balance: {} }],
  ] as const) {
    refuses(t, () => compile.listener(listenerOf({ ...internal, [field]: value })), field, 'internal address is not compatible');
  }
});

const tunnelOf = (tunneling_config: object) => () => {
  const config = { stat_prefix: 'tcp', cluster: 'a', tunneling_config };
  const typed_config = any('envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy', config);
  const { model } = compile.listener(listenerOf({ filter_chains: [{ filters: [{ ...tcpProxy, typed_config }] }] }));
  return model.filterChains[0].filters[0].config as { tunneling?: object };
};

t.test('a tunnel asks by CONNECT unless told otherwise', async t => {
  t.strictSame(tunnelOf({ hostname: 'a:1' })().tunneling, {
    hostname: 'a:1',
    usePost: false,
    postPath: '/',
    headersToAdd: [],
    propagateResponseHeaders: false,
    propagateResponseTrailers: false,
  });
});

t.test('a tunnel needs a host name that is a format, and a path only with POST', async t => {
  const path = 'filter_chains[0].filters[0].typed_config.tunneling_config';
  refuses(t, tunnelOf({ hostname: '' }), `${path}.hostname`, 'value length must be at least 1');
  refuses(t, tunnelOf({ hostname: '%NONE%' }), `${path}.hostname`, 'NONE');
  refuses(t, tunnelOf({ hostname: 'a', post_path: '/x' }), `${path}.post_path`, "Can't set a post path");
  refuses(
    t,
    tunnelOf({ hostname: 'a', headers_to_add: [{ header: { key: 'host', value: 'b' } }] }),
    `${path}.headers_to_add[0].header.key`,
    'may not be modified',
  );
});

const routeOf = (upgrade: object) => () => {
  const routes = [{ match: { connect_matcher: {} }, route: { cluster: 'a', upgrade_configs: [upgrade] } }];
  const { model } = compile.route({ name: 'r', virtual_hosts: [{ name: 'v', domains: ['*'], routes }] });
  return model.virtualHosts[0].routes[0].action;
};

t.test('only CONNECT ends at a route', async t => {
  const proxyProtocol = { proxy_protocol_config: { version: 1 }, allow_post: true };
  t.match(routeOf({ upgrade_type: 'CONNECT', connect_config: proxyProtocol })(), {
    connect: { proxyProtocol: 'v2', allowPost: true },
  });
  t.notOk('connect' in routeOf({ upgrade_type: 'CONNECT' })());
  refuses(
    t,
    routeOf({ upgrade_type: 'websocket', connect_config: {} }),
    'virtual_hosts[0].routes[0].route.upgrade_configs[0]',
    'Non-CONNECT upgrade type websocket has ConnectConfig',
  );
});

const clusterOf = (changes: ClusterMessage) => () => compile.cluster({ name: 'c', ...changes }).model;

const upstreamOf = (kind: object) => {
  const type = 'envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport';
  const typed_config = any(type, { passthrough_metadata: [{ kind, name: 'n' }], transport_socket: rawBuffer });
  return clusterOf({ transport_socket: { name: 'internal', typed_config } });
};

t.test('metadata of hosts and clusters comes along, that of requests cannot', async t => {
  t.strictSame(upstreamOf({ cluster: {} })().transportSocket, {
    kind: 'raw-buffer',
    internalUpstream: { metadata: [{ source: 'cluster', namespace: 'n' }] },
  });
  t.throws(upstreamOf({ request: {} }), /passthrough_metadata\[0\]\.kind/);
});

t.test('the destination may stand in metadata', async t => {
  const metadata_key = { key: 'k', path: [{ key: 'a' }, { key: 'b' }] };
  const model = clusterOf({ type: 4, lb_policy: 6, original_dst_lb_config: { metadata_key } })();
  t.match(model.discovery, { metadataKey: { namespace: 'k', path: ['a', 'b'] } });
});

const stateOf = (value: object) => () => {
  const message = { on_request_headers: [{ object_key: 'envoy.string', ...value }] };
  const typed_config = any('envoy.extensions.filters.http.set_filter_state.v3.Config', message as never);
  const { model } = compile.listener(httpListenerOf({ http_filters: [{ name: 'state', typed_config }, router] }));
  const { httpFilters } = model.filterChains[0].filters[0].config as { httpFilters: readonly { config: unknown }[] };
  return httpFilters[0].config;
};
const text = { format_string: { text_format_source: { inline_string: '%REQ(a)%' } } };

t.test('objects of filter state are made by what their key or their factory says', async t => {
  const expected = { kind: 'text', format: '%REQ(a)%', omitEmpty: false, sharing: 'once', skipIfEmpty: false };
  t.strictSame(stateOf({ object_key: 'x', factory_key: 'istio.hashable_string', ...text, shared_with_upstream: 1 })(), {
    onRequestHeaders: [{ key: 'x', ...expected }],
  });
  const path = 'filter_chains[0].filters[0].typed_config.http_filters[0].typed_config.on_request_headers[0]';
  refuses(t, stateOf({ object_key: 'x', ...text }), `${path}.object_key`, "'x' does not have an object factory");
  refuses(t, stateOf({ object_key: 'toString', ...text }), `${path}.object_key`, 'does not have an object factory');
  refuses(t, stateOf({}), `${path}.format_string`, 'value is required');
});
