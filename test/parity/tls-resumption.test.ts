/** Sessions between Envoy and this proxy, in both roles: resumed as between two Envoys, by whichever worker takes the connection. */
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { httpFilter, makeCertificates, staticCluster, staticListener } from '../integration/static-bootstrap.ts';
import { findEnvoy } from '../support/envoy-binary.ts';
import { findFreePort, getAdmin, ownCommand, type ProxyProcess, startProxy } from '../support/proxy-process.ts';

const envoy = findEnvoy();
const skip = envoy === null && 'no Envoy binary (npm run mesh -- tools)';
const requests = 30;
type Kind = 'envoy' | 'own';
const command = (kind: Kind) => (kind === 'envoy' ? { command: envoy as string } : ownCommand());

const stat = async (proxy: ProxyProcess, name: string): Promise<number> =>
  Number((await getAdmin(proxy.adminPort, `/stats?filter=${encodeURIComponent(`^${name}$`)}`)).split(': ')[1] ?? 0);

function request(port: number, agent: Agent): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const outgoing = get({ host: '127.0.0.1', port, agent }, response => {
      response.resume().on('end', () => resolve(response.statusCode));
    });
    outgoing.on('error', reject);
  });
}

for (const version of ['TLSv1_2', 'TLSv1_3']) {
  for (const [client, server] of [
    ['envoy', 'own'],
    ['own', 'envoy'],
    ['own', 'own'],
  ] as const) {
    t.test(`${client} as client of ${server}, ${version}: every connection but the first resumes`, { skip }, async t => {
      const folder = mkdtempSync(join(tmpdir(), 'resumption-'));
      t.teardown(() => rmSync(folder, { recursive: true, force: true }));
      const tls = makeCertificates(folder);
      const [serverPort, clientPort] = [await findFreePort(), await findFreePort()];
      const answer = { match: { prefix: '/' }, direct_response: { status: 200 } };
      const answering = { route_config: { virtual_hosts: [{ name: 'all', domains: ['*'], routes: [answer] }] } };
      const listener = staticListener({
        port: serverPort,
        filter: httpFilter('x', answering),
        tls,
        extra: { stat_prefix: 'server' },
      });
      const cluster = JSON.parse(JSON.stringify(staticCluster('server', serverPort, tls)));
      // One request per connection.
      cluster.max_requests_per_connection = 1;
      cluster.transport_socket.typed_config.common_tls_context.tls_params = {
        tls_minimum_protocol_version: version,
        tls_maximum_protocol_version: version,
      };
      const start = async (name: string, kind: Kind, resources: object, concurrency: number): Promise<ProxyProcess> => {
        const bootstrap = { node: { id: 'x', cluster: 'x' }, static_resources: resources };
        const proxy = await startProxy({ name, ...command(kind), bootstrap, folder, concurrency });
        t.teardown(() => proxy.stop());
        return proxy;
      };
      const serverProxy = await start('server', server, { listeners: [listener] }, 2);
      const resources = {
        listeners: [staticListener({ port: clientPort, filter: httpFilter('server') })],
        clusters: [cluster],
      };
      const clientProxy = await start('client', client, resources, 1);
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      for (let i = 0; i < requests; i++) t.equal(await request(clientPort, agent), 200);
      agent.destroy();
      t.equal(await stat(clientProxy, 'cluster.server.ssl.handshake'), requests);
      t.equal(await stat(clientProxy, 'cluster.server.ssl.session_reused'), requests - 1);
      t.equal(await stat(serverProxy, 'listener.server.ssl.session_reused'), requests - 1);
    });
  }
}
