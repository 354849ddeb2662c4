import t from 'tap';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { CertificateAuthority } from '../../../demo/certificate-authority.ts';
import { findFreePort } from '../../support/proxy-process.ts';
import { waitFor } from '../wait.ts';

const root = join(import.meta.dirname, '..', '..', '..');
const authority = await CertificateAuthority.create();

type Tap = { testdir(): string; teardown(handler: () => void): void };
type Setup = { readonly variables?: Record<string, string>; readonly config?: Record<string, unknown>; readonly args?: string[] };

/** An agent over a proxy that only sleeps and leaves its process id. */
async function startAgent(t: Tap, { variables = {}, config = {}, args = [] }: Setup = {}) {
  const folder = t.testdir();
  mkdirSync(join(folder, 'var/run/secrets'), { recursive: true });
  writeFileSync(join(folder, 'root.pem'), authority.rootCertificate);
  writeFileSync(join(folder, 'proxy'), `#!/bin/sh\necho $$ > ${folder}/pid\nexec sleep 600\n`);
  chmodSync(join(folder, 'proxy'), 0o755);
  const nowhere = `127.0.0.1:${await findFreePort()}`;
  const proxyConfig = {
    discoveryAddress: nowhere,
    binaryPath: join(folder, 'proxy'),
    statusPort: await findFreePort(),
    proxyAdminPort: await findFreePort(),
    terminationDrainDuration: '60s',
    ...config,
  };
  const child = spawn(process.execPath, [join(root, 'agent/main.ts'), 'proxy', 'sidecar', ...args], {
    cwd: folder,
    env: {
      PATH: process.env.PATH,
      PROXY_CONFIG: JSON.stringify(proxyConfig),
      XDS_ROOT_CA: join(folder, 'root.pem'),
      CA_ROOT_CA: join(folder, 'root.pem'),
      CLOUD_PLATFORM: 'none',
      INSTANCE_IP: '127.0.0.1',
      ECC_SIGNATURE_ALGORITHM: 'ECDSA',
      ...variables,
    },
  });
  let log = '';
  child.stdout.on('data', chunk => {
    log += chunk;
  });
  child.stderr.on('data', chunk => {
    log += chunk;
  });
  const closed = once(child, 'close') as Promise<[number | null]>;
  t.teardown(() => child.kill('SIGKILL'));
  const pidFile = join(folder, 'pid');
  return {
    child: child as ChildProcess,
    log: () => log,
    exitCode: async () => (await closed)[0],
    statusPort: proxyConfig.statusPort,
    wasStarted: () => existsSync(pidFile),
    async proxyPid(): Promise<number> {
      await waitFor(() => existsSync(pidFile) && readFileSync(pidFile, 'utf8').trim() !== '');
      return Number(readFileSync(pidFile, 'utf8'));
    },
  };
}

function isAlive(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

t.test('a proxy does not outlive an agent that is killed', async t => {
  const agent = await startAgent(t);
  const pid = await agent.proxyPid();
  await waitFor(() => agent.log().includes('Opening status port'));
  agent.child.kill('SIGKILL');
  await waitFor(() => !isAlive(pid));
});

t.test('an agent ends with 0 when its proxy is killed, and says why', async t => {
  const agent = await startAgent(t);
  const pid = await agent.proxyPid();
  await waitFor(() => agent.log().includes('Opening status port'));
  process.kill(pid, 'SIGKILL');
  t.equal(await agent.exitCode(), 0);
  t.match(agent.log(), 'Envoy exited with error: signal: killed');
});

t.test('a status port in use ends the agent with 255 and leaves no proxy', async t => {
  const taken = createServer().listen(0, '0.0.0.0');
  await once(taken, 'listening');
  t.teardown(() => taken.close());
  const agent = await startAgent(t, { config: { statusPort: (taken.address() as AddressInfo).port } });
  t.equal(await agent.exitCode(), 255);
  t.match(agent.log(), /Error: .*EADDRINUSE/);
  if (agent.wasStarted()) {
    const pid = await agent.proxyPid();
    await waitFor(() => !isAlive(pid));
  }
});

for (const [what, setup, message] of [
  [
    'a value of the wrong type in the proxy configuration',
    { variables: { PROXY_CONFIG: '{"statusPort": "many"}' } },
    /Error: .*statusPort/,
  ],
  ['a proxy configuration that is no YAML', { variables: { PROXY_CONFIG: '{' } }, /Error: /],
  ['a probe of no kind', { variables: { ISTIO_KUBE_APP_PROBERS: '{"/app-health/a/livez": {}}' } }, /Error: invalid prober type/],
  ['a flag of the wrong type', { args: ['--concurrency=many'] }, /Error: invalid argument "many" for "--concurrency" flag/],
  ['a root certificate that is missing', { variables: { XDS_ROOT_CA: '/nonexistent' } }, /Error: .*does not exist \/nonexistent/],
] as const) {
  t.test(`${what} ends the agent with 255 and one clear line`, async t => {
    const agent = await startAgent(t, setup as Setup);
    t.equal(await agent.exitCode(), 255);
    t.match(agent.log(), message);
    t.notMatch(agent.log(), /\n {4}at /, 'no stack trace');
  });
}

t.test('with EXIT_ON_ZERO_ACTIVE_CONNECTIONS the proxy ends when the last connection has, not before', async t => {
  let active = 2;
  const paths: string[] = [];
  const admin = createHttpServer((request, response) => {
    paths.push(`${request.method} ${request.url}`);
    response.end(request.url?.startsWith('/stats') ? `listener.0.0.0.0_8080.downstream_cx_active: ${active}\n` : 'OK\n');
  }).listen(0, '127.0.0.1');
  await once(admin, 'listening');
  t.teardown(() => admin.close());
  const variables = { EXIT_ON_ZERO_ACTIVE_CONNECTIONS: 'true', MINIMUM_DRAIN_DURATION: '200ms' };
  const agent = await startAgent(t, { variables, config: { proxyAdminPort: (admin.address() as AddressInfo).port } });
  const pid = await agent.proxyPid();
  await waitFor(() => agent.log().includes('Opening status port'));
  agent.child.kill('SIGTERM');
  await waitFor(() => agent.log().includes('There are still 2 active connections'));
  t.ok(isAlive(pid));
  t.equal(paths[0], 'POST /drain_listeners?inboundonly&graceful');
  active = 0;
  t.equal(await agent.exitCode(), 0);
  t.notOk(isAlive(pid));
  t.match(agent.log(), 'There are no more active connections. terminating proxy...');
});
