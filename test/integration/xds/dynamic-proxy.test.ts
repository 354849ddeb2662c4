import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, get, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { findFreePort, getAdmin, ownCommand, type ProxyProcess, startProxy } from '../../support/proxy-process.ts';
import { ControlPlane } from '../control-plane.ts';
import { waitFor } from '../wait.ts';
import { makeAdsBootstrap, makeAssignment, makeEdsCluster, makeListener, makeRoutes } from './resources.ts';

function startUpstream(t: Test, name: string): Promise<number> {
  const server: Server = createServer((_request, response) => response.end(name));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return new Promise(resolve => server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)));
}

/** The status and body of a request, or the error code of a refused connection. */
function request(port: number): Promise<string> {
  return new Promise(resolve => {
    const outgoing = get({ host: '127.0.0.1', port, path: '/', agent: false }, response => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', chunk => {
        body += chunk;
      });
      response.on('end', () => resolve(`${response.statusCode} ${body}`));
    });
    outgoing.on('error', (error: NodeJS.ErrnoException) => resolve(String(error.code)));
  });
}

interface Fixture {
  readonly plane: ControlPlane;
  readonly proxy: ProxyProcess;
  readonly port: number;
  readonly upstreams: readonly number[];
}

async function setUp(t: Test, apiType: 'GRPC' | 'DELTA_GRPC'): Promise<Fixture> {
  const folder = mkdtempSync(join(tmpdir(), 'dynamic-'));
  const socketPath = join(folder, 'XDS');
  const plane = new ControlPlane({ address: socketPath });
  const upstreams = [await startUpstream(t, 'one'), await startUpstream(t, 'two')];
  const port = await findFreePort();
  plane.set('cluster', 'a', makeEdsCluster('a'));
  plane.set('cluster', 'b', makeEdsCluster('b'));
  plane.set('endpoints', 'a', makeAssignment('a', [upstreams[0]]));
  plane.set('endpoints', 'b', makeAssignment('b', [upstreams[1]]));
  plane.set('listener', 'web', makeListener('web', port, 'routes'));
  plane.set('route', 'routes', makeRoutes('routes', 'a'));
  await plane.start();
  const proxy = await startProxy({ name: 'proxy', ...ownCommand(), bootstrap: makeAdsBootstrap(socketPath, apiType), folder });
  t.teardown(async () => {
    await proxy.stop();
    plane.stop();
    rmSync(folder, { recursive: true });
  });
  return { plane, proxy, port, upstreams };
}

const counter = async (proxy: ProxyProcess, name: string): Promise<number> => {
  const text = await getAdmin(proxy.adminPort, `/stats?filter=^${name}$`);
  return Number(text.split(': ')[1]);
};

for (const apiType of ['DELTA_GRPC', 'GRPC'] as const) {
  t.test(`${apiType}: pushes of every type change what is served`, async t => {
    const { plane, proxy, port, upstreams } = await setUp(t, apiType);
    t.equal(await request(port), '200 one');

    plane.set('route', 'routes', makeRoutes('routes', 'b'));
    plane.push();
    await waitFor(async () => (await request(port)) === '200 two');

    plane.set('endpoints', 'b', makeAssignment('b', [upstreams[0]]));
    plane.push();
    await waitFor(async () => (await request(port)) === '200 one');

    plane.set('cluster', 'b', makeEdsCluster('b', 2));
    plane.push();
    await waitFor(async () => (await counter(proxy, 'cluster_manager.cluster_modified')) === 1);
    await waitFor(async () => (await counter(proxy, 'cluster_manager.warming_clusters')) === 0);
    t.equal(await request(port), '200 one');

    plane.remove('listener', 'web');
    plane.push();
    await waitFor(async () => (await request(port)) === 'ECONNREFUSED');
    t.strictSame(plane.rejections, []);
  });

  t.test(`${apiType}: a bad listener is refused by name, the good ones of the push apply, the old one serves`, async t => {
    const { plane, proxy, port } = await setUp(t, apiType);
    const otherPort = await findFreePort();
    plane.set('listener', 'web', makeListener('web', port, 'routes', 'acme.unknown'));
    plane.set('listener', 'other', makeListener('other', otherPort, 'routes'));
    plane.push();
    await waitFor(() => plane.rejections.length === 1);
    t.match(plane.rejections[0], /^Error adding\/updating listener\(s\) web: .*http_filters\[0\].*acme\.Unknown/);
    await waitFor(async () => (await request(otherPort)) === '200 one');
    t.equal(await request(port), '200 one');
    t.equal(await counter(proxy, 'listener_manager.lds.update_rejected'), 1);
    const dump = JSON.parse(await getAdmin(proxy.adminPort, '/config_dump?resource=dynamic_listeners'));
    const web = dump.configs.find((config: { name: string }) => config.name === 'web');
    t.match(web.error_state.details, /acme\.Unknown/);
    t.ok(web.active_state);
  });

  t.test(`${apiType}: traffic goes on without a control plane, and changes arrive after its return`, async t => {
    const { plane, proxy, port } = await setUp(t, apiType);
    plane.stop();
    await waitFor(async () => (await counter(proxy, 'cluster_manager.cds.update_failure')) > 0);
    t.equal(await request(port), '200 one');
    plane.set('route', 'routes', makeRoutes('routes', 'b'));
    await plane.start();
    await waitFor(async () => (await request(port)) === '200 two', 20_000);
  });
}

t.test('names that nothing refers to are unsubscribed', async t => {
  const { plane, port } = await setUp(t, 'DELTA_GRPC');
  plane.set('listener', 'web', makeListener('web', port, 'others'));
  plane.set('route', 'others', makeRoutes('others', 'b'));
  plane.push();
  await waitFor(async () => (await request(port)) === '200 two');
  plane.remove('cluster', 'a');
  plane.push();
  const unsubscribed = (): string[] => plane.requests.flatMap(({ request }) => request.resource_names_unsubscribe ?? []);
  await waitFor(() => unsubscribed().length === 2);
  t.strictSame(unsubscribed(), ['routes', 'a']);
});
