import protobuf from 'protobufjs/light.js';
import t from 'tap';
import { findType, reflectedRoot } from '../../../../../protos/messages.ts';
import { coreFields } from '../../../../../proxy/config/compile/core-fields.ts';
import { classify, FieldChecker, isWalked } from '../../../../../proxy/config/compile/field-table.ts';
import { collectFields, extensions } from '../../../../../proxy/extensions/compile-manifest.ts';
import { refuses } from './fixture.ts';

const table = collectFields();

const resources = [
  'envoy.config.bootstrap.v3.Bootstrap',
  'envoy.config.listener.v3.Listener',
  'envoy.config.route.v3.RouteConfiguration',
  'envoy.config.cluster.v3.Cluster',
  'envoy.config.endpoint.v3.ClusterLoadAssignment',
  'envoy.extensions.transport_sockets.tls.v3.Secret',
];

/** Messages behind an Any that compile functions open by themselves. */
const opened = [
  'envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport',
  'envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport',
  'envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer',
  'envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
  'envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
  'envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
  'envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig',
  'envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig',
  'envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate',
  'envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig',
  'envoy.extensions.internal_redirect.allow_listed_routes.v3.AllowListedRoutesConfig',
  'envoy.extensions.internal_redirect.previous_routes.v3.PreviousRoutesConfig',
  'envoy.extensions.internal_redirect.safe_cross_scheme.v3.SafeCrossSchemeConfig',
  'envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin',
  'envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest',
  'envoy.extensions.load_balancing_policies.random.v3.Random',
  'envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash',
  'envoy.extensions.load_balancing_policies.maglev.v3.Maglev',
  'envoy.extensions.load_balancing_policies.cluster_provided.v3.ClusterProvided',
  'envoy.extensions.load_balancing_policies.subset.v3.Subset',
  'envoy.extensions.load_balancing_policies.wrr_locality.v3.WrrLocality',
  'envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig',
  'envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter',
  'envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig',
  'envoy.extensions.bootstrap.internal_listener.v3.InternalListener',
  'envoy.config.route.v3.FilterConfig',
];

/** Every message that the walk can reach: through implemented fields only. */
function reachableMessages(): ReadonlyMap<string, protobuf.Type> {
  reflectedRoot().resolveAll();
  const definitions = [...Object.values(extensions).flat(), ...extensions.httpFilters.flatMap(filter => filter.perRoute)];
  const compiled = definitions.filter(each => !each.unchecked);
  // An extension's own lines name what it opens by itself.
  const queue: string[] = [...resources, ...opened, ...compiled.flatMap(each => [each.message, ...Object.keys(each.fields)])];
  const reached = new Map<string, protobuf.Type>();
  for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
    const type = findType(name);
    if (type === null) throw new Error(`no such message: ${name}`);
    if (reached.has(name) || !isWalked(type)) continue;
    reached.set(name, type);
    for (const field of type.fieldsArray) {
      const implemented = table[name]?.implemented.includes(field.name) ?? false;
      if (implemented && field.resolvedType instanceof protobuf.Type) queue.push(field.resolvedType.fullName.slice(1));
    }
  }
  return reached;
}

const reachable = reachableMessages();

t.test('every field of every compiled message is in exactly one class', async t => {
  t.ok(reachable.size > 100, `${reachable.size} messages are walked`);
  for (const [name, type] of reachable) {
    const classes = table[name];
    if (classes === undefined) {
      t.fail(`${name} has no line in the field table`);
      continue;
    }
    const all = [...classes.implemented, ...Object.keys(classes.ignored), ...classes.rejected].sort();
    t.strictSame(all, type.fieldsArray.map(field => field.name).sort(), name);
  }
});

t.test('the field table of the resources names only messages that are compiled', async t => {
  for (const name of Object.keys(coreFields)) t.ok(reachable.has(name), name);
});

t.test('no field of security or TLS is without effect', async t => {
  for (const [name, { ignored }] of Object.entries(table)) {
    if (/\.tls\.|\.rbac\.|\.jwt_authn\.|\.ext_authz\./.test(name)) t.strictSame(Object.keys(ignored), [], name);
  }
});

t.test('every ignored field has a reason', async t => {
  for (const [name, { ignored }] of Object.entries(table)) {
    for (const [field, reason] of Object.entries(ignored)) t.match(reason, /\w+ \w+/, `${name}.${field}`);
  }
});

const cidr = 'envoy.config.core.v3.CidrRange';
const noFindings = { onIgnored: () => {}, onUnknown: () => {} };

t.test('a set field of the class rejected is refused with its path', async t => {
  const checker = new FieldChecker({ [cidr]: classify({ implemented: 'prefix_len', rejected: 'address_prefix' }) });
  const type = findType(cidr)!;
  const check = (): void => checker.check(type, type.create({ address_prefix: '::' }), 'ranges[3]', noFindings);
  refuses(t, check, 'ranges[3].address_prefix', 'is not implemented');
});

t.test('a field with its default value is not set', async t => {
  const checker = new FieldChecker({ [cidr]: classify({ implemented: 'prefix_len', rejected: 'address_prefix' }) });
  const type = findType(cidr)!;
  t.doesNotThrow(() => checker.check(type, type.create({ address_prefix: '' }), '', noFindings));
});

t.test('a field in no class is refused like one that is rejected', async t => {
  const checker = new FieldChecker({ [cidr]: classify({ implemented: 'prefix_len' }) });
  const type = findType(cidr)!;
  refuses(t, () => checker.check(type, type.create({ address_prefix: '::' }), '', noFindings), 'address_prefix', 'implemented');
});

t.test('an enum value that does not exist is refused', async t => {
  const type = findType('envoy.config.listener.v3.Listener')!;
  const checker = new FieldChecker(table);
  refuses(t, () => checker.check(type, type.create({ traffic_direction: 9 }), '', noFindings), 'traffic_direction', 'enum');
});

t.test('fields that the descriptors do not know are counted', async t => {
  const type = findType('envoy.config.core.v3.Locality')!;
  const reader = protobuf.Reader.create(Uint8Array.of(0xf8, 0x7f, 1));
  reader.discardUnknown = false;
  const counts: number[] = [];
  const findings = { onIgnored: () => {}, onUnknown: (_: string, count: number) => counts.push(count) };
  new FieldChecker(table).check(type, type.decode(reader), '', findings);
  t.strictSame(counts, [1]);
});
