/** Statistics come and go with clusters and listeners, as Envoy's do. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { findEnvoy } from '../../support/envoy-binary.ts';
import { findFreePort, getAdmin, ownCommand, startProxy } from '../../support/proxy-process.ts';
import { ControlPlane } from '../control-plane.ts';
import { waitFor } from '../wait.ts';
import { makeAdsBootstrap, makeAssignment, makeEdsCluster, makeListener, makeRoutes } from './resources.ts';

async function startUpstream(t: Test): Promise<number> {
  const server = createServer((_request, response) => response.end('ok'));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

/** The status of a request, or 0 where there is no answer. */
function request(port: number): Promise<number> {
  return new Promise(resolve => {
    const outgoing = get({ host: '127.0.0.1', port, path: '/', agent: false }, response => {
      response.resume().on('end', () => resolve(response.statusCode ?? 0));
    });
    outgoing.on('error', () => resolve(0));
  });
}

async function checkRemoval(t: Test, command: string, args: readonly string[]): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'removal-'));
  const plane = new ControlPlane({ address: join(folder, 'XDS') });
  const upstreamPort = await startUpstream(t);
  const port = await findFreePort();
  const add = (): void => {
    plane.set('cluster', 'guest', makeEdsCluster('guest'));
    plane.set('endpoints', 'guest', makeAssignment('guest', [upstreamPort]));
    plane.set('listener', 'door', makeListener('door', port, 'routes'));
    plane.set('route', 'routes', makeRoutes('routes', 'guest'));
  };
  add();
  await plane.start();
  const bootstrap = makeAdsBootstrap(join(folder, 'XDS'), 'DELTA_GRPC');
  const proxy = await startProxy({ name: 'proxy', command, args: [...args, '--drain-time-s', '1'], bootstrap, folder });
  t.teardown(async () => {
    await proxy.stop();
    plane.stop();
    rmSync(folder, { recursive: true });
  });
  const scopes = `cluster.guest.|http.door.|listener.127.0.0.1_${port}.`.replaceAll('.', '\\.');
  const list = (filter: string): Promise<string> =>
    getAdmin(proxy.adminPort, `/stats?filter=${encodeURIComponent(`^(${filter})`)}`);
  const completed = 'cluster.guest.upstream_rq_completed';

  t.equal(await request(port), 200);
  await waitFor(async () => (await list(completed)) === `${completed}: 1\n`);
  t.match(await list(scopes), /http\.door\.rds\.routes\.config_reload: 1\n/, 'routes are below their connection manager');
  plane.remove('listener', 'door');
  plane.remove('cluster', 'guest');
  plane.push();
  await waitFor(async () => (await list(scopes)) === '');
  t.match(await list('cluster_manager.cluster_removed'), ': 1\n');
  add();
  plane.push();
  await waitFor(async () => (await request(port)) === 200);
  await waitFor(async () => (await list(completed)) === `${completed}: 1\n`);
}

t.test('what is removed is gone from the statistics, and begins at zero when it comes back', t => {
  const { command, args } = ownCommand();
  return checkRemoval(t, command, args);
});

const envoy = findEnvoy();
t.test('so it is in Envoy', { skip: envoy === null && 'no Envoy binary (npm run mesh -- tools)' }, t =>
  checkRemoval(t, envoy as string, []),
);
