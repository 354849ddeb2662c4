import t from 'tap';
import { any, type ClusterMessage, compile, refuses, tcpProxy } from './fixture.ts';

const optionsName = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
const seconds = (count: number) => ({ seconds: count, nanos: 0 });

t.test("a bare cluster has Envoy's defaults", async t => {
  const { model, edsServiceName } = compile.cluster({ name: 'c' });
  t.equal(edsServiceName, null);
  t.match(model, {
    name: 'c',
    statName: 'c',
    discovery: { kind: 'static' },
    connectTimeoutMs: 5000,
    transportSocket: { kind: 'raw-buffer' },
    outlierDetection: null,
    maxRequestsPerConnection: 0,
    protocol: { kind: 'http1', idleTimeoutMs: 3_600_000 },
    loadBalancer: { policy: 'round-robin', choiceCount: 2, healthyPanicThreshold: 50, minimumRingSize: 1024 },
  });
  const limits = { maxConnections: 1024, maxPendingRequests: 1024, maxRequests: 1024, maxRetries: 3, retryBudget: null };
  t.match(model.circuitBreakers, [limits, limits]);
});

t.test('thresholds belong to their priority, and 2^32-1 is kept', async t => {
  const thresholds = [
    { priority: 1, max_requests: { value: 7 } },
    { priority: 0, max_requests: { value: 4_294_967_295 } },
  ];
  const [normal, high] = compile.cluster({ name: 'c', circuit_breakers: { thresholds } }).model.circuitBreakers;
  t.equal(normal.maxRequests, 4_294_967_295);
  t.equal(high.maxRequests, 7);
});

t.test('endpoints by discovery are subscribed by service name, else by cluster name', async t => {
  const eds = (service_name: string): ClusterMessage => ({
    name: 'c',
    type: 3,
    eds_cluster_config: { service_name, eds_config: { ads: {}, resource_api_version: 2, initial_fetch_timeout: seconds(0) } },
  });
  t.match(compile.cluster(eds('s')), { edsServiceName: 's', edsSource: { source: { kind: 'ads' }, initialFetchTimeoutMs: 0 } });
  t.equal(compile.cluster(eds('')).edsServiceName, 'c');
  refuses(t, () => compile.cluster({ name: 'c', type: 3 }), 'eds_cluster_config', 'required');
  const eds_config = { path_config_source: { path: '/nonexistent/eds.json' } };
  const at = 'eds_cluster_config.eds_config.path_config_source.path';
  refuses(
    t,
    () => compile.cluster({ name: 'c', type: 3, eds_cluster_config: { eds_config } }),
    at,
    'must refer to an existing path',
  );
});

t.test('an original destination cluster takes no other balancer and no endpoints', async t => {
  t.match(compile.cluster({ name: 'c', type: 4, lb_policy: 6 }).model.discovery, {
    kind: 'original-dst',
    cleanupIntervalMs: 5000,
  });
  refuses(t, () => compile.cluster({ name: 'c', type: 4 }), 'lb_policy', "Only 'CLUSTER_PROVIDED'");
  refuses(t, () => compile.cluster({ name: 'c', lb_policy: 6 }), 'lb_policy', "only with cluster type 'ORIGINAL_DST'");
  const load_assignment = { cluster_name: 'c' };
  refuses(t, () => compile.cluster({ name: 'c', type: 4, lb_policy: 6, load_assignment }), 'load_assignment', 'must have no');
});

t.test('names of hosts are for DNS clusters', async t => {
  const load_assignment = {
    cluster_name: 'c',
    endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 'a.b', port_value: 1 } } } }] }],
  };
  const at = 'load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.address';
  refuses(t, () => compile.cluster({ name: 'c', load_assignment }), at, 'malformed IP address');
  const dns = compile.cluster({ name: 'c', type: 1, load_assignment }).model;
  t.match(dns.loadAssignment?.localities[0].hosts[0], { address: { address: 'a.b' }, weight: 1, health: 'unknown' });
  refuses(t, () => compile.cluster({ name: 'c', type: 2 }), 'load_assignment', 'single lb_endpoint', 'LOGICAL_DNS');
});

t.test('the protocol comes from the typed options', async t => {
  const protocolOf = (message: object): unknown =>
    compile.cluster({ name: 'c', typed_extension_protocol_options: { [optionsName]: any(optionsName, message) } }).model.protocol;
  t.match(protocolOf({ explicit_http_config: { http_protocol_options: {} } }), { kind: 'http1' });
  t.match(protocolOf({ explicit_http_config: { http2_protocol_options: {} } }), { kind: 'http2' });
  t.match(protocolOf({ use_downstream_protocol_config: {} }), { kind: 'downstream' });
  const at = `typed_extension_protocol_options["${optionsName}"]`;
  refuses(t, () => protocolOf({}), at, 'upstream_protocol_options is required');
  refuses(
    t,
    () => protocolOf({ explicit_http_config: { http3_protocol_options: {} } }),
    `${at}.explicit_http_config.http3_protocol_options`,
    'not implemented',
  );
});

t.test('protocol options of an unknown name are refused', async t => {
  const typed_extension_protocol_options = { x: any(optionsName, { use_downstream_protocol_config: {} }) };
  refuses(
    t,
    () => compile.cluster({ name: 'c', typed_extension_protocol_options }),
    'typed_extension_protocol_options["x"]',
    "name: 'x'",
  );
});

t.test('what is not implemented or makes no sense is refused with its path', async t => {
  const refused = (changes: ClusterMessage, path: string, reason: string | RegExp): void =>
    refuses(t, () => compile.cluster({ name: 'c', ...changes }), path, reason);
  refused({ name: '' }, 'name', 'at least 1');
  refused({ connect_timeout: seconds(0) }, 'connect_timeout', 'greater than 0s');
  refused({ connect_timeout: seconds(-1) }, 'connect_timeout', 'Expected positive duration');
  refused({ lb_policy: 7 }, 'lb_policy', 'not implemented');
  refused({ lb_policy: 4 }, 'lb_policy', 'enum');
  refused({ health_checks: [{}, {}] }, 'health_checks', 'Multiple');
  refused({ maglev_lb_config: { table_size: { value: 65_536 } } }, 'maglev_lb_config.table_size', 'prime');
  refused({ ring_hash_lb_config: { hash_function: 1 } }, 'ring_hash_lb_config.hash_function', 'XX_HASH');
  refused({ outlier_detection: { max_ejection_percent: { value: 101 } } }, 'outlier_detection.max_ejection_percent', 'range');
  refused({ filters: [tcpProxy] }, 'filters[0]', 'cannot be an upstream network filter');
});

t.test("outlier detection has Envoy's defaults, and the longest ejection is never below the base", async t => {
  const detection = (message: object) => compile.cluster({ name: 'c', outlier_detection: message }).model.outlierDetection;
  t.match(detection({}), {
    consecutive5xx: 5,
    intervalMs: 10_000,
    baseEjectionTimeMs: 30_000,
    maxEjectionTimeMs: 300_000,
    maxEjectionPercent: 10,
  });
  t.match(detection({ base_ejection_time: seconds(400) }), { maxEjectionTimeMs: 400_000 });
});

t.test('every source address is bound, the others only to any port', async t => {
  const upstream_bind_config = {
    source_address: { address: '127.0.0.6', port_value: 0 },
    extra_source_addresses: [{ address: { address: '::6', port_value: 0 } }],
  };
  t.strictSame(compile.cluster({ name: 'c', upstream_bind_config }).model.bindAddresses, ['127.0.0.6', '::6']);
  const fixed = { source_address: { address: '127.0.0.6', port_value: 5 } };
  refuses(
    t,
    () => compile.cluster({ name: 'c', upstream_bind_config: fixed }),
    'upstream_bind_config.source_address.port_value',
    'only 0',
  );
});

t.test('an assignment keeps localities, weights and health, and its limits', async t => {
  const endpoint = { address: { socket_address: { address: '2001:db8:0::1', port_value: 80 } } };
  const of = (locality: object) => compile.endpoints({ cluster_name: 'c', endpoints: [locality] });
  const model = of({
    locality: { region: 'r', zone: 'z' },
    priority: 1,
    load_balancing_weight: { value: 3 },
    lb_endpoints: [{ endpoint, health_status: 3, load_balancing_weight: { value: 2 } }],
  });
  t.match(model, {
    overprovisioningFactor: 140,
    localities: [
      {
        region: 'r',
        zone: 'z',
        subZone: '',
        priority: 1,
        weight: 3,
        hosts: [{ address: { address: '2001:db8::1' }, health: 'draining', weight: 2 }],
      },
    ],
  });
  refuses(t, () => of({ priority: 129 }), 'endpoints[0].priority', 'range');
  refuses(
    t,
    () => of({ lb_endpoints: [{ endpoint, load_balancing_weight: { value: 0 } }] }),
    'endpoints[0].lb_endpoints[0].load_balancing_weight',
    'greater',
  );
  refuses(
    t,
    () => of({ lb_endpoints: [{ endpoint_name: 'x' }] }),
    'endpoints[0].lb_endpoints[0].endpoint_name',
    'not implemented',
  );
});
