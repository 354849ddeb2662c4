import t from 'tap';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { waitFor } from '../wait.ts';
import { type AgentSetup, startAgent } from './agent-process.ts';

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
  t.match(agent.log(), /Error: failed to listen on status port \d+: the port is in use by another process/);
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
  [
    'a root certificate that is none',
    { files: { 'root.pem': 'no certificate' } },
    /Error: failed to read root certificates of istiod from .*: there is no PEM certificate in it/,
  ],
  [
    "a bootstrap template that is not Istio's",
    { files: { 'own.json': '{"node": {"id": "{{ .nodeID }}"}}' }, variables: { ISTIO_BOOTSTRAP: 'own.json' } },
    /Error: the bootstrap template own.json .* is not supported: .*customConfigFile.*bootstrapOverride/,
  ],
  ['a root certificate that is missing', { variables: { XDS_ROOT_CA: '/nonexistent' } }, /Error: .*does not exist \/nonexistent/],
] as const) {
  t.test(`${what} ends the agent with 255 and one clear line`, async t => {
    const agent = await startAgent(t, setup as AgentSetup);
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
