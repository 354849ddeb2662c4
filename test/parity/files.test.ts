/** Everything dynamic from watched files: Envoy and this proxy follow the same files to the same answers. */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { waitFor } from '../integration/wait.ts';
import { findEnvoy } from '../support/envoy-binary.ts';
import { ownCommand, type ProxyProcess, startProxy } from '../support/proxy-process.ts';
import { readListenerPorts } from './comparison.ts';

const type = (name: string) => `type.googleapis.com/envoy.${name}`;

class Files {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  source(name: string): object {
    return { path_config_source: { path: join(this.#folder, `${name}.json`) }, resource_api_version: 'V3' };
  }

  /** Moves the new version into place, as both proxies expect it. */
  write(name: string, resource: object): void {
    const path = join(this.#folder, `${name}.json`);
    writeFileSync(`${path}.new`, JSON.stringify({ resources: [resource] }));
    renameSync(`${path}.new`, path);
  }

  writeEndpoints(port: number): void {
    const address = { socket_address: { address: '127.0.0.1', port_value: port } };
    this.write('eds', {
      '@type': type('config.endpoint.v3.ClusterLoadAssignment'),
      cluster_name: 'app',
      endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }],
    });
  }

  writeRoute(route: object): void {
    this.write('rds', {
      '@type': type('config.route.v3.RouteConfiguration'),
      name: 'routes',
      virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, ...route }] }],
    });
  }

  writeCluster(): void {
    this.write('cds', {
      '@type': type('config.cluster.v3.Cluster'),
      name: 'app',
      type: 'EDS',
      eds_cluster_config: { eds_config: this.source('eds') },
    });
  }

  writeListener(): void {
    const manager = {
      '@type': type('extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'),
      stat_prefix: 'web',
      rds: { route_config_name: 'routes', config_source: this.source('rds') },
      http_filters: [
        { name: 'envoy.filters.http.router', typed_config: { '@type': type('extensions.filters.http.router.v3.Router') } },
      ],
    };
    this.write('lds', {
      '@type': type('config.listener.v3.Listener'),
      name: 'web',
      address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
      filter_chains: [{ filters: [{ name: 'envoy.filters.network.http_connection_manager', typed_config: manager }] }],
    });
  }
}

async function serve(t: Test, body: string): Promise<number> {
  const server: Server = createServer((_request, response) => response.end(body));
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  return (server.address() as AddressInfo).port;
}

async function ask(proxy: ProxyProcess): Promise<string> {
  const port = (await readListenerPorts(proxy)).get('web');
  const response = await fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(5000) }).catch((error: Error) => error);
  return response instanceof Error ? response.message : `${response.status} ${await response.text()}`;
}

const envoy = findEnvoy();
t.test('resources from files', { skip: envoy === null && 'no Envoy binary (npm run mesh -- tools)' }, async t => {
  const folder = mkdtempSync(join(tmpdir(), 'parity-files-'));
  const files = new Files(folder);
  const [first, second] = [await serve(t, 'first'), await serve(t, 'second')];
  files.writeEndpoints(first);
  files.writeRoute({ route: { cluster: 'app' } });
  files.writeCluster();
  files.writeListener();
  const bootstrap = {
    node: { id: 'files', cluster: 'files' },
    dynamic_resources: { lds_config: files.source('lds'), cds_config: files.source('cds') },
  };
  const proxies = [
    await startProxy({ name: 'envoy', command: envoy as string, bootstrap, folder }),
    await startProxy({ name: 'own', ...ownCommand(), bootstrap, folder }),
  ];
  t.teardown(async () => {
    for (const proxy of proxies) await proxy.stop();
    rmSync(folder, { recursive: true });
  });
  const bothSay = async (answer: string) => {
    for (const proxy of proxies) await waitFor(async () => (await ask(proxy)) === answer);
    t.pass(answer);
  };
  await bothSay('200 first');
  files.writeEndpoints(second);
  await bothSay('200 second');
  files.writeRoute({ direct_response: { status: 404, body: { inline_string: 'gone' } } });
  await bothSay('404 gone');
});
