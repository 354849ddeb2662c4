import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { encodeMessage } from '../../../protos/messages.ts';
import type { ClusterModel } from '../../../proxy/config/model/cluster.ts';
import { JitteredBackoff } from '../../../proxy/xds/backoff.ts';
import { discoveryServices } from '../../../proxy/xds/discovery-services.ts';
import { DiscoveryStream } from '../../../proxy/xds/discovery-stream.ts';
import { discoveryTypeUrls } from '../../../proxy/xds/discovery-types.ts';
import { createGrpcTarget } from '../../../proxy/xds/grpc-target.ts';
import type { Gradual } from '../../../proxy/xds/gradual.ts';
import { accepted, type DiscoveryUpdate, type UpdateOutcome } from '../../../proxy/xds/subscription.ts';
import { ControlPlane } from '../control-plane.ts';
import { waitFor } from '../wait.ts';

function makeCluster(path: string): ClusterModel {
  const hosts = [{ address: { kind: 'pipe', path } }];
  return {
    name: 'xds',
    transportSocket: { kind: 'raw-buffer' },
    tcpKeepalive: null,
    loadAssignment: { localities: [{ hosts }] },
  } as never;
}

async function setUp(t: Test, protocol: 'delta' | 'sotw') {
  const folder = mkdtempSync(join(tmpdir(), 'xds-'));
  const address = join(folder, 'XDS');
  const plane = new ControlPlane({ address });
  await plane.start();
  const stream = new DiscoveryStream({
    target: createGrpcTarget(makeCluster(address), () => null),
    service: discoveryServices.aggregated,
    protocol,
    node: { id: 'sidecar~1.1.1.1~a.b~b.svc.cluster.local', cluster: 'a.b' },
    nodeOnFirstMessageOnly: true,
    stats: null,
    clusterStats: null,
    backoff: new JitteredBackoff(20, 100),
  });
  t.teardown(() => {
    stream.stop();
    plane.stop();
    rmSync(folder, { recursive: true });
  });
  return { plane, stream };
}

function makeHandler(rejects: (name: string) => string | null = () => null) {
  const updates: DiscoveryUpdate[] = [];
  return {
    updates,
    failures: 0,
    onConnectionFailure() {
      this.failures++;
    },
    *onUpdate(update: DiscoveryUpdate): Gradual<UpdateOutcome> {
      yield;
      updates.push(update);
      const problems = update.resources.flatMap(({ name }) => rejects(name) ?? []);
      return problems.length === 0 ? accepted : { rejected: new Set(), error: problems.join(', ') };
    },
  };
}

const cluster = (name: string): Buffer => encodeMessage('envoy.config.cluster.v3.Cluster', { name });

for (const protocol of ['delta', 'sotw'] as const) {
  t.test(`${protocol}: subscribes, acknowledges, and tells the node once per stream`, async t => {
    const { plane, stream } = await setUp(t, protocol);
    plane.set('cluster', 'a', cluster('a'));
    const handler = makeHandler();
    stream.subscribe({ typeUrl: discoveryTypeUrls.cluster, names: 'wildcard', handler });
    await waitFor(() => plane.requests.length === 2);
    t.equal(handler.updates[0].resources[0].name, 'a');
    t.equal(plane.requests[0].request.node?.cluster, 'a.b');
    t.equal(plane.requests[1].request.node ?? null, null);
    t.match(plane.requests[1].request.response_nonce, /^n/);
  });

  t.test(`${protocol}: a refused response is answered with the reason`, async t => {
    const { plane, stream } = await setUp(t, protocol);
    plane.set('cluster', 'bad', cluster('bad'));
    stream.subscribe({ typeUrl: discoveryTypeUrls.cluster, names: 'wildcard', handler: makeHandler(name => `${name}: no`) });
    await waitFor(() => plane.rejections.length === 1);
    t.strictSame(plane.rejections, ['bad: no']);
  });

  t.test(`${protocol}: comes back after the stream ends, with what it accepted`, async t => {
    const { plane, stream } = await setUp(t, protocol);
    plane.set('cluster', 'a', cluster('a'));
    const handler = makeHandler();
    stream.subscribe({ typeUrl: discoveryTypeUrls.cluster, names: 'wildcard', handler });
    await waitFor(() => plane.requests.length === 2);
    plane.closeStreams();
    await waitFor(() => plane.requests.some(seen => seen.stream === 2));
    const first = plane.requests.find(seen => seen.stream === 2)?.request;
    t.equal(handler.failures, 1);
    t.equal(first?.response_nonce, '');
    t.equal(first?.node?.cluster, 'a.b');
    if (protocol === 'delta') t.strictSame(first?.initial_resource_versions, { a: '' });
    else t.equal(first?.version_info, 'v1');
  });

  t.test(`${protocol}: names that are added later are asked for`, async t => {
    const { plane, stream } = await setUp(t, protocol);
    plane.set('route', '80', encodeMessage('envoy.config.route.v3.RouteConfiguration', { name: '80' }));
    plane.set('route', '81', encodeMessage('envoy.config.route.v3.RouteConfiguration', { name: '81' }));
    const handler = makeHandler();
    const subscription = stream.subscribe({ typeUrl: discoveryTypeUrls.route, names: ['80'], handler });
    await waitFor(() => handler.updates.length === 1);
    subscription.updateNames(['81'], []);
    await waitFor(() => handler.updates.length === 2);
    t.ok(handler.updates[1].resources.some(({ name }) => name === '81'));
  });
}

t.test('a server that is not there yet is found when it comes', async t => {
  const { plane, stream } = await setUp(t, 'delta');
  plane.stop();
  const handler = makeHandler();
  stream.subscribe({ typeUrl: discoveryTypeUrls.cluster, names: 'wildcard', handler });
  await waitFor(() => handler.failures >= 2);
  plane.set('cluster', 'a', cluster('a'));
  await plane.start();
  await waitFor(() => handler.updates.length === 1);
  t.equal(handler.updates[0].resources[0].name, 'a');
});

t.test('a response of 20 MB is no problem', async t => {
  const { plane, stream } = await setUp(t, 'delta');
  plane.set(
    'cluster',
    'big',
    encodeMessage('envoy.config.cluster.v3.Cluster', { name: 'big', alt_stat_name: 'x'.repeat(20 << 20) }),
  );
  const handler = makeHandler();
  stream.subscribe({ typeUrl: discoveryTypeUrls.cluster, names: 'wildcard', handler });
  await waitFor(() => handler.updates.length === 1);
  t.ok(handler.updates[0].resources[0].bytes.length > 20 << 20);
});
