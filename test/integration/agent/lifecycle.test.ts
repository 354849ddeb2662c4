import t from 'tap';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { waitFor } from '../wait.ts';
import { type AgentSetup, startAgent } from './agent-process.ts';

/** For what should happen at once, on a busy machine. */
const patienceMs = 30_000;

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
  await agent.serving();
  agent.child.kill('SIGKILL');
  await waitFor(() => !isAlive(pid), patienceMs);
});

t.test('an agent ends with 0 when its proxy is killed, and says why', async t => {
  const agent = await startAgent(t);
  const pid = await agent.proxyPid();
  await agent.serving();
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
    await waitFor(() => !isAlive(pid), patienceMs);
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
  [
    'a configuration path that is no folder',
    { config: { configPath: 'root.pem' } },
    /Error: failed to listen on Unix socket root.pem\/XDS: /,
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

/** The proxy's admin interface: notes what it is asked, and tells that it is live with so many connections. */
async function startAdmin(t: { teardown(handler: () => void): void }) {
  const admin = { connections: 0, asked: [] as string[], port: 0 };
  const server = createHttpServer((request, response) => {
    const { method, url = '' } = request;
    admin.asked.push(`${method} ${url}`);
    if (url.includes('downstream_cx_active')) response.end(`listener.0.0.0.0_8080.downstream_cx_active: ${admin.connections}\n`);
    else if (url.includes('server')) response.end('listener_manager.workers_started: 1\nserver.state: 0\n');
    else if (url.startsWith('/stats')) {
      response.end('cluster_manager.cds.update_success: 1\nlistener_manager.lds.update_success: 1\n');
    } else response.end('OK\n');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  admin.port = (server.address() as AddressInfo).port;
  return admin;
}

const drainsOf = (admin: { asked: readonly string[] }): readonly string[] => admin.asked.filter(text => text.includes('/drain'));

t.test('SIGTERM drains inbound and serves on, not ready, for as long as the drain takes or the proxy lives', async t => {
  const admin = await startAdmin(t);
  const agent = await startAgent(t, { config: { proxyAdminPort: admin.port } });
  const pid = await agent.proxyPid();
  await agent.serving();
  const ready = (): Promise<number> => fetch(`http://127.0.0.1:${agent.statusPort}/healthz/ready`).then(({ status }) => status);
  await waitFor(async () => (await ready()) === 200, patienceMs);
  agent.child.kill('SIGTERM');
  await waitFor(() => drainsOf(admin).length > 0, patienceMs);
  t.strictSame(drainsOf(admin), ['POST /drain_listeners?inboundonly&graceful']);
  t.equal(await ready(), 503);
  t.ok(isAlive(pid));
  process.kill(pid, 'SIGKILL');
  t.equal(await agent.exitCode(), 0);
  t.match(agent.log(), 'Graceful termination logic ended prematurely, envoy process terminated early');
});

t.test('after the drain period the proxy is ended, and the agent ends with 0', async t => {
  const admin = await startAdmin(t);
  const agent = await startAgent(t, { config: { proxyAdminPort: admin.port, terminationDrainDuration: '1s' } });
  const pid = await agent.proxyPid();
  await agent.serving();
  const startMs = performance.now();
  agent.child.kill('SIGTERM');
  t.equal(await agent.exitCode(), 0);
  t.ok(performance.now() - startMs >= 950, `${performance.now() - startMs} ms`);
  t.notOk(isAlive(pid));
});

t.test('after /drain the listeners stay open, and SIGTERM ends at once', async t => {
  const admin = await startAdmin(t);
  const agent = await startAgent(t, { config: { proxyAdminPort: admin.port } });
  const pid = await agent.proxyPid();
  await agent.serving();
  const answer = await fetch(`http://127.0.0.1:${agent.statusPort}/drain`, { method: 'POST' });
  t.equal(await answer.text(), 'OK');
  await waitFor(() => drainsOf(admin).length > 0, patienceMs);
  t.ok(isAlive(pid));
  agent.child.kill('SIGTERM');
  t.equal(await agent.exitCode(), 0);
  t.strictSame(drainsOf(admin), ['POST /drain_listeners?inboundonly&graceful&skip_exit']);
  t.match(agent.log(), 'Agent already drained, exiting immediately');
});

t.test('/quitquitquit ends at once, without draining', async t => {
  const admin = await startAdmin(t);
  const agent = await startAgent(t, { config: { proxyAdminPort: admin.port } });
  await agent.proxyPid();
  await agent.serving();
  const answer = await fetch(`http://127.0.0.1:${agent.statusPort}/quitquitquit`, { method: 'POST' });
  t.equal(await answer.text(), 'OK');
  t.equal(await agent.exitCode(), 0);
  t.strictSame(drainsOf(admin), []);
});

t.test('with EXIT_ON_ZERO_ACTIVE_CONNECTIONS the proxy ends when the last connection has, not before', async t => {
  const admin = await startAdmin(t);
  admin.connections = 2;
  const variables = { EXIT_ON_ZERO_ACTIVE_CONNECTIONS: 'true', MINIMUM_DRAIN_DURATION: '200ms' };
  const agent = await startAgent(t, { variables, config: { proxyAdminPort: admin.port } });
  const pid = await agent.proxyPid();
  await agent.serving();
  agent.child.kill('SIGTERM');
  await waitFor(() => agent.log().includes('There are still 2 active connections'), patienceMs);
  t.ok(isAlive(pid));
  t.strictSame(drainsOf(admin), ['POST /drain_listeners?inboundonly&graceful']);
  admin.connections = 0;
  t.equal(await agent.exitCode(), 0);
  t.notOk(isAlive(pid));
  t.match(agent.log(), 'There are no more active connections. terminating proxy...');
});
