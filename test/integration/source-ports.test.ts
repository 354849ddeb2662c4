/**
 * Inbound connections leave from one address, 127.0.0.6. A local port is taken only together with the destination, so one source
 * address serves as many connections to each application as there are ports; here there are few.
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { findEnvoy } from '../support/envoy-binary.ts';
import { ownCommand } from '../support/proxy-process.ts';
import { namespaceObstacle } from './iptables/original.ts';

const folder = mkdtempSync(join(tmpdir(), 'source-ports-'));
const localPorts = { first: 40_000, last: 40_099 };
const connectionsEach = 80;
const appPorts = [9001, 9002, 9003];
const listenerPorts = [9101, 9102, 9103];
const sourceAddress = '127.0.0.6';

const address = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });

function buildBootstrap(): object {
  const listeners = listenerPorts.map((port, index) => ({
    name: `l${index}`,
    address: address(port),
    filter_chains: [
      {
        filters: [
          {
            name: 'envoy.filters.network.tcp_proxy',
            typed_config: {
              '@type': 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
              stat_prefix: 'tcp',
              cluster: `app${index}`,
            },
          },
        ],
      },
    ],
  }));
  const clusters = appPorts.map((port, index) => ({
    name: `app${index}`,
    type: 'STATIC',
    upstream_bind_config: { source_address: { address: sourceAddress, port_value: 0 } },
    load_assignment: {
      cluster_name: `app${index}`,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: address(port) } }] }],
    },
  }));
  return { static_resources: { listeners, clusters } };
}

/** One for each proxy: ports that rest after a connection are missing in the next run. */
function makeNamespace(t: Test, name: string): string {
  const namespace = `srcports-${name}-${process.pid}`;
  execFileSync('ip', ['netns', 'add', namespace]);
  t.teardown(() => execFileSync('ip', ['netns', 'del', namespace]));
  const inNamespace = (...args: string[]) => execFileSync('ip', ['netns', 'exec', namespace, ...args]);
  inNamespace('ip', 'link', 'set', 'lo', 'up');
  inNamespace('sysctl', '-qw', `net.ipv4.ip_local_port_range=${localPorts.first} ${localPorts.last}`);
  return namespace;
}

async function holdConnections(t: Test, name: string, command: string, args: readonly string[]): Promise<unknown> {
  const namespace = makeNamespace(t, name);
  const file = join(folder, `${name}.json`);
  writeFileSync(file, JSON.stringify(buildBootstrap()));
  const run = ['netns', 'exec', namespace];
  const proxyArgs = [...args, '-c', file, '--concurrency', '1', '--disable-hot-restart', '-l', 'error'];
  const proxy = spawn('ip', [...run, command, ...proxyArgs], { stdio: 'ignore' });
  const exited = new Promise(resolve => proxy.once('exit', resolve));
  t.teardown(() => proxy.kill('SIGKILL'));
  const script = join(import.meta.dirname, 'source-ports', 'applications.ts');
  const ports = `${appPorts}:${listenerPorts}`;
  const child = spawn('ip', [...run, process.execPath, script, ports, String(connectionsEach)]);
  let output = '';
  child.stdout.on('data', chunk => {
    output += chunk;
  });
  await new Promise(resolve => child.once('exit', resolve));
  proxy.kill('SIGTERM');
  await exited;
  return JSON.parse(output);
}

t.test('ports of a source address', { skip: namespaceObstacle() ?? false, timeout: 120_000 }, async t => {
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const expected = { served: appPorts.length * connectionsEach, sources: [sourceAddress] };
  const own = ownCommand();
  t.same(await holdConnections(t, 'own', own.command, own.args), expected, 'each application has its connections');
  const envoy = findEnvoy();
  if (envoy !== null) t.same(await holdConnections(t, 'envoy', envoy, []), expected, 'as with Envoy');
});
