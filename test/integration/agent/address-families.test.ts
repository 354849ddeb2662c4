/** Agent and proxy in pods of IPv6 only and of both families: who listens where, names, probes and metrics. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { namespaceObstacle } from '../iptables/original.ts';
import { waitFor } from '../wait.ts';
import { startAgent } from './agent-process.ts';

const root = join(import.meta.dirname, '../../..');
const skip = namespaceObstacle() ?? false;
const namespace = `agentfamily${process.pid}`;
const inside = ['ip', 'netns', 'exec', namespace] as const;
const ports = { istiod: 15012, application: 8080, status: 15020, admin: 15000 } as const;
const startTimeoutMs = 60_000;
const requestTimeoutMs = 10_000;
/** Agent and proxy run as root here. */
const initArguments = '-p 15001 -z 15006 -u 0 -m REDIRECT -i * -x  -b * -d 15090,15021,15020'.split(' ');

function run(command: readonly string[], env: Record<string, string> = {}): string {
  const { status, stdout, stderr } = spawnSync(command[0], command.slice(1), {
    encoding: 'utf8',
    env: { PATH: process.env.PATH, ...env },
  });
  if (status !== 0) throw new Error(`${command.join(' ')}: ${stderr}${stdout}`);
  return stdout;
}

/** A namespace with these addresses and nameservers of the same families, and the redirection of a pod. */
function makePod(t: Test, addresses: readonly string[]): void {
  const folder = `/etc/netns/${namespace}`;
  mkdirSync(folder, { recursive: true });
  const nameservers = addresses.map(address => `nameserver ${address.replace(/9$/, '53')}\n`).join('');
  // `ip netns exec` puts them in the place of the machine's.
  writeFileSync(join(folder, 'hosts'), '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n');
  writeFileSync(join(folder, 'resolv.conf'), `search n.svc.cluster.local svc.cluster.local\n${nameservers}options ndots:5\n`);
  run(['ip', 'netns', 'add', namespace]);
  t.teardown(() => {
    run(['ip', 'netns', 'del', namespace]);
    rmSync(folder, { recursive: true });
  });
  run(['ip', '-n', namespace, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'node']);
  for (const device of ['lo', 'eth0', 'node']) run(['ip', '-n', namespace, 'link', 'set', device, 'up']);
  for (const address of addresses) {
    const isV6 = address.includes(':');
    run(['ip', '-n', namespace, 'addr', 'add', `${address}/${isV6 ? 64 : 24}`, 'dev', 'eth0', ...(isV6 ? ['nodad'] : [])]);
  }
  run([...inside, process.execPath, join(root, 'iptables/main.ts'), ...initArguments], {
    ISTIO_META_DNS_CAPTURE: 'true',
    ISTIO_DUAL_STACK: String(addresses.length > 1),
  });
}

/** Starts what the pod meets; resolves to the root certificate of its istiod. */
async function startPeer(t: Test): Promise<string> {
  const script = join(import.meta.dirname, 'pod-peer.ts');
  const [command, ...args] = [...inside, process.execPath, script, String(ports.istiod), String(ports.application)];
  const peer = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'], env: { PATH: process.env.PATH } });
  t.teardown(() => peer.stdin.end());
  const [line] = (await once(peer.stdout, 'data')) as [Buffer];
  return line.toString().replaceAll('|', '\n');
}

/** Status and body of a request of the pod's application; null if there is no answer. */
function ask(url: string): { readonly status: number; readonly body: string } | null {
  const script = `process.setgid(1000); process.setuid(1000);
    fetch(${JSON.stringify(url)}).then(async r => console.log(JSON.stringify({ status: r.status, body: await r.text() })))`;
  const [command, ...args] = [...inside, process.execPath, '-e', script];
  const { stdout } = spawnSync(command, args, { encoding: 'utf8', timeout: requestTimeoutMs, env: { PATH: process.env.PATH } });
  return stdout === '' ? null : JSON.parse(stdout);
}

/** The addresses of a name as an application gets them. */
function lookUp(database: 'ahostsv4' | 'ahostsv6', name: string): readonly string[] {
  const asApplication = ['setpriv', '--reuid=1000', '--regid=1000', '--clear-groups', 'getent', database, name];
  const output = run([...inside, ...asApplication]);
  return [...new Set(output.split('\n').flatMap(line => (line.includes('STREAM') ? [line.split(' ')[0]] : [])))];
}

/** `address:port` of everything that listens on these ports, TCP and UDP. */
function listListeners(): readonly string[] {
  const lines = run([...inside, 'ss', '-Hltun']).split('\n');
  const found = lines.flatMap(line => {
    const [protocol, , , , address = ''] = line.split(/\s+/);
    return /:(15000|15004|15020|15021|15053|15090)$/.test(address) ? [`${protocol} ${address}`] : [];
  });
  return [...new Set(found)].toSorted();
}

const v6Localhost = ['tcp [::1]:15000', 'tcp [::1]:15004'];
const v4Localhost = ['tcp 127.0.0.1:15000', 'tcp 127.0.0.1:15004'];
const v4Names = ['tcp 127.0.0.1:15053', 'udp 127.0.0.1:15053'];
const v6Names = ['tcp [::1]:15053', 'udp [::1]:15053'];
const v4Proxy = ['tcp 0.0.0.0:15021', 'tcp 0.0.0.0:15090'];
const v6Proxy = ['tcp [::]:15021', 'tcp [::]:15090'];

for (const { name, addresses, dualStack, listeners, source } of [
  {
    name: 'IPv6 only',
    addresses: ['fd00:9::9'],
    dualStack: false,
    listeners: [...v6Localhost, ...v6Names, 'tcp *:15020', ...v6Proxy],
    source: '::6',
  },
  {
    name: 'both families, IPv4 first',
    addresses: ['10.9.7.9', 'fd00:9::9'],
    dualStack: true,
    listeners: [...v4Localhost, ...v4Names, ...v6Names, 'tcp *:15020', ...v4Proxy, ...v6Proxy],
    source: '127.0.0.6',
  },
  {
    name: 'both families, IPv6 first',
    addresses: ['fd00:9::9', '10.9.7.9'],
    dualStack: true,
    listeners: [...v6Localhost, ...v4Names, ...v6Names, 'tcp *:15020', ...v4Proxy, ...v6Proxy],
    source: '::6',
  },
]) {
  t.test(`a pod of ${name}`, { skip }, async t => {
    makePod(t, addresses);
    const rootCertificate = await startPeer(t);
    const agent = await startAgent(t, {
      command: [...inside, process.execPath, join(root, 'agent/main.ts')],
      files: { 'root.pem': rootCertificate },
      config: {
        discoveryAddress: `localhost:${ports.istiod}`,
        binaryPath: join(root, 'bin/sidecar-proxy'),
        statusPort: ports.status,
        proxyAdminPort: ports.admin,
        concurrency: 1,
      },
      variables: {
        INSTANCE_IP: addresses[0],
        POD_NAME: 'pod',
        POD_NAMESPACE: 'n',
        ISTIO_META_DNS_CAPTURE: 'true',
        ISTIO_DUAL_STACK: String(dualStack),
        ISTIO_KUBE_APP_PROBERS: JSON.stringify({
          '/app-health/app/livez': { httpGet: { path: '/', port: ports.application }, timeoutSeconds: 5 },
        }),
      },
    });
    const origin = (address: string, port: number): string =>
      `http://${address.includes(':') ? `[${address}]` : address}:${port}`;
    const ready = (): boolean => ask(`${origin(addresses[0], 15021)}/healthz/ready`)?.status === 200;
    await waitFor(() => ready(), startTimeoutMs).catch(error => t.comment(`${error.message}: ${agent.log()}`));
    t.strictSame(listListeners(), listeners.toSorted(), 'who listens where');
    // Without an address of that family glibc does not ask.
    if (dualStack) t.strictSame(lookUp('ahostsv4', 'web'), ['10.0.0.1'], 'IPv4 addresses of a name');
    t.strictSame(lookUp('ahostsv6', 'web'), ['fd00::1'], 'IPv6 addresses of a name');
    for (const address of addresses) {
      const probe = ask(`${origin(address, ports.status)}/app-health/app/livez`);
      t.match(probe?.status, 200, `a probe by way of ${address}`);
      t.equal(probe?.body.replace('::ffff:', ''), source, 'which the application sees come from where nothing is captured');
    }
    const metrics = ask(`${origin(addresses[0], ports.status)}/stats/prometheus`)?.body ?? '';
    t.match(metrics, 'envoy_server_live', "the proxy's metrics");
    t.match(metrics, 'istio_agent_', "the agent's metrics");
    const request = [...inside, process.execPath, join(root, 'agent/main.ts'), 'request', 'GET', 'server_info'];
    t.match(run(request), '"state": "LIVE"', 'the admin interface by pilot-agent request');
  });
}
