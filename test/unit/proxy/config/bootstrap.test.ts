import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { decodeMessage, encodeMessage } from '../../../../protos/messages.ts';
import { decodeDiscoveryFile, loadBootstrap } from '../../../../proxy/config/bootstrap-file.ts';
import { compileBootstrap } from '../../../../proxy/config/compile/bootstrap.ts';
import type { BootstrapModel } from '../../../../proxy/config/model/bootstrap.ts';
import { context, refuses } from './compile/fixture.ts';

const folder = mkdtempSync(join(tmpdir(), 'bootstrap-test-'));

function fileOf(name: string, content: string | Buffer): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

const load = (configPath: string, configYaml = '', allowUnknownStaticFields = false) =>
  loadBootstrap({ configPath, configYaml, allowUnknownStaticFields });

async function compileText(json: object): Promise<BootstrapModel> {
  return compileBootstrap((await load(fileOf('c.json', JSON.stringify(json)))).message, context).model;
}

t.test('JSON, YAML and protobuf say the same', async t => {
  const json = { node: { id: 'a', metadata: { X: [1, 'b', null, true] } }, stats_config: { use_all_default_tags: false } };
  const fromJson = await load(fileOf('a.json', JSON.stringify(json)));
  const yaml = 'node:\n  id: a\n  metadata: {X: [1, b, null, true]}\nstatsConfig: {useAllDefaultTags: false}\n';
  t.strictSame((await load(fileOf('a.yaml', yaml))).bytes, fromJson.bytes);
  t.strictSame((await load(fileOf('a.pb', fromJson.bytes))).bytes, fromJson.bytes);
});

t.test('--config-yaml is merged over the file: scalars replace, lists append, messages merge', async t => {
  const path = fileOf(
    'm.json',
    JSON.stringify({ node: { id: 'a', cluster: 'c' }, static_resources: { clusters: [{ name: 'one' }] } }),
  );
  const { message } = await load(path, 'node: {id: b}\nstatic_resources: {clusters: [{name: two}]}');
  t.match(message.node, { id: 'b', cluster: 'c' });
  t.strictSame(
    message.static_resources?.clusters.map(({ name }) => name),
    ['one', 'two'],
  );
});

t.test('an unknown field is an error that names it, unless static fields may be unknown', async t => {
  const path = fileOf('u.json', '{"node": {"id": "a", "foo": 1}}');
  await t.rejects(load(path), { message: /reason INVALID_ARGUMENT: node\.foo: no such field: 'foo'.*has unknown fields/ });
  t.strictSame((await load(path, '', true)).unknownFields, ['node.foo']);
});

t.test('what cannot be read says why, as Envoy does', async t => {
  await t.rejects(load(''), { message: /At least one of --config-path or --config-yaml/ });
  await t.rejects(load('/nonexistent'), { message: 'Invalid path: /nonexistent' });
  await t.rejects(load(fileOf('s.json', '{"node":')), { message: /Unable to parse JSON as proto \(INVALID_ARGUMENT/ });
  await t.rejects(load(fileOf('s.yaml', 'node: {id: x\n')), { message: /Unable to convert YAML as JSON/ });
  await t.rejects(load(fileOf('t.json', '{"node":{"id":5}}')), { message: /node\.id: invalid value 5 for type string/ });
  await t.rejects(load(fileOf('e.json', '{"static_resources":{"clusters":[{"type":"FOO"}]}}')), {
    message: /static_resources\.clusters\[0\]\.type: invalid value "FOO" for enum type/,
  });
  const unknownAny = '{"bootstrap_extensions":[{"typed_config":{"@type":"type.googleapis.com/foo.Bar"}}]}';
  await t.rejects(load(fileOf('y.json', unknownAny)), { message: /could not find @type 'type.googleapis.com\/foo.Bar'/ });
});

t.test('two members of a oneof are refused', async t => {
  const path = fileOf('o.json', '{"admin":{"address":{"pipe":{"path":"x"},"socketAddress":{"address":"::"}}}}');
  await t.rejects(load(path), { message: /oneof field 'address' is already set by 'pipe'/ });
});

t.test('an empty bootstrap compiles', async t => {
  t.match(await compileText({}), {
    admin: null,
    ads: null,
    globalConnectionLimit: 0,
    stats: { useAllDefaultTags: true, matcher: { kind: 'all' } },
  });
});

t.test('static resources stay encoded and their names are unique', async t => {
  const { staticClusters } = await compileText({ static_resources: { clusters: [{ name: 'a' }] } });
  t.equal(decodeMessage('envoy.config.cluster.v3.Cluster', staticClusters[0].bytes).name, 'a');
  const twice = { static_resources: { clusters: [{ name: 'a' }, { name: 'a' }] } };
  await t.rejects(compileText(twice), { message: /clusters\[1\]\.name: cluster manager: duplicate cluster 'a'/ });
});

t.test('a stream over a cluster that does not exist is refused', async t => {
  const grpc_services = [{ envoy_grpc: { cluster_name: 'xds' } }];
  const dynamic_resources = { ads_config: { api_type: 'DELTA_GRPC', transport_api_version: 'V3', grpc_services } };
  await t.rejects(compileText({ dynamic_resources }), { message: /Unknown gRPC client cluster 'xds'/ });
  const { ads } = await compileText({ dynamic_resources, static_resources: { clusters: [{ name: 'xds' }] } });
  t.match(ads, { protocol: 'delta', cluster: 'xds' });
});

t.test('runtime layers are flat, and one may be for the admin', async t => {
  const layers = [
    { name: 'a', static_layer: { x: { y: 1 }, 'p.q': '7', z: true } },
    { name: 'b', admin_layer: {} },
  ];
  t.strictSame((await compileText({ layered_runtime: { layers } })).runtimeLayers, [
    { name: 'a', kind: 'static', values: { 'x.y': 1, 'p.q': '7', z: true } },
    { name: 'b', kind: 'admin', values: {} },
  ]);
  const disk = [{ name: 'd', disk_layer: { symlink_root: '/x' } }];
  await t.rejects(compileText({ layered_runtime: { layers: disk } }), { message: /layers\[0\]\.disk_layer: is not implemented/ });
});

t.test('the limit of connections comes from the overload manager, and other monitors are refused', async t => {
  const type = 'type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig';
  const monitor = (limit: number) => ({ name: 'm', typed_config: { '@type': type, max_active_downstream_connections: limit } });
  t.equal(
    (await compileText({ overload_manager: { resource_monitors: [monitor(2_147_483_647)] } })).globalConnectionLimit,
    2_147_483_647,
  );
  await t.rejects(compileText({ overload_manager: { resource_monitors: [monitor(0)] } }), { message: /greater than 0/ });
  await t.rejects(compileText({ overload_manager: { resource_monitors: [{ name: 'heap' }] } }), { message: /'heap'/ });
});

t.test('discovery files ignore what they do not know', async t => {
  const cluster = { '@type': 'type.googleapis.com/envoy.config.cluster.v3.Cluster', name: 'a', foo: 1 };
  const response = await decodeDiscoveryFile('x.json', Buffer.from(JSON.stringify({ version_info: '1', resources: [cluster] })));
  t.strictSame(Buffer.from(response.resources[0].value), encodeMessage('envoy.config.cluster.v3.Cluster', { name: 'a' }));
});

t.test('fields that are not implemented are refused with their path', async t => {
  const { message } = await load(fileOf('h.json', '{"header_prefix":"x-foo"}'));
  refuses(t, () => compileBootstrap(message, context), 'header_prefix', 'not implemented');
});
