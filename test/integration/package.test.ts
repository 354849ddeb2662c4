/** The packed package, installed elsewhere with whatever Node the machine has: every bin runs on the Node it brings. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { findFreePort, startProxy } from '../support/proxy-process.ts';

const root = join(import.meta.dirname, '..', '..');

/** Without this project's node_modules/.bin, which npm puts first. */
const path = (process.env.PATH ?? '')
  .split(':')
  .filter(folder => !folder.includes('node_modules'))
  .join(':');
const env = { ...process.env, PATH: path };

t.test('a packed and installed package', { timeout: 300_000 }, async t => {
  const folder = t.testdir();
  const packed = join(folder, 'packed');
  const installed = join(folder, 'installed');
  mkdirSync(packed);
  mkdirSync(installed);
  const npm = (cwd: string, ...args: string[]) =>
    execFileSync('npm', args, { cwd, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  const tarball = JSON.parse(npm(root, 'pack', '--json', '--ignore-scripts', '--pack-destination', packed))[0].filename;
  writeFileSync(join(installed, 'package.json'), '{"private":true}');
  npm(installed, 'install', '--no-audit', '--no-fund', join(packed, tarball));
  const bin = (name: string) => join(installed, 'node_modules', '.bin', name);

  t.notMatch(
    spawnSync('node', ['--version'], { env, encoding: 'utf8' }).stdout,
    process.version,
    'the machine has another Node first',
  );
  const agent = spawnSync(bin('pilot-agent'), ['version', '--short'], { env, encoding: 'utf8' });
  t.match({ status: agent.status, stdout: agent.stdout }, { status: 0, stdout: /1\.31\.\d/ });
  const proxy = spawnSync(bin('sidecar-proxy'), ['--version'], { env, encoding: 'utf8' });
  t.match({ status: proxy.status, stdout: proxy.stdout }, { status: 0, stdout: /version: / });

  const port = await findFreePort();
  const bootstrap = {
    static_resources: {
      listeners: [
        {
          name: 'direct',
          address: { socket_address: { address: '127.0.0.1', port_value: port } },
          filter_chains: [
            {
              filters: [
                {
                  name: 'envoy.filters.network.http_connection_manager',
                  typed_config: {
                    '@type':
                      'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
                    stat_prefix: 'direct',
                    route_config: {
                      virtual_hosts: [
                        {
                          name: 'all',
                          domains: ['*'],
                          routes: [
                            { match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: 'installed' } } },
                          ],
                        },
                      ],
                    },
                    http_filters: [
                      {
                        name: 'envoy.filters.http.router',
                        typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
                      },
                    ],
                  },
                },
              ],
            },
          ],
        },
      ],
    },
  };
  const running = await startProxy({ name: 'installed', command: bin('sidecar-proxy'), bootstrap, folder });
  t.teardown(() => running.stop());
  t.equal(await (await fetch(`http://127.0.0.1:${port}/`)).text(), 'installed');
});
