/** What is wrong around an agent is told in one line that says what to look at; nothing hangs. */
import { once } from 'node:events';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmdirSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { findFreePort } from '../../support/proxy-process.ts';
import { waitFor } from '../wait.ts';
import { meshAuthority, startAgent } from './agent-process.ts';
import { Istiod } from './istiod.ts';

const patienceMs = 30_000;
const skip = process.getuid?.() !== 0 && 'needs root for a file system of its own';

/** A folder on a file system without a free byte. */
function mountFull(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'full-'));
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=4k', 'tmpfs', path]);
  if (mounted.status !== 0) throw new Error(String(mounted.stderr));
  t.teardown(() => {
    spawnSync('umount', [path]);
    rmdirSync(path);
  });
  writeFileSync(join(path, 'filler'), Buffer.alloc(4096));
  return path;
}

t.test('a full disk ends the agent with the file that it could not write', { skip }, async t => {
  const agent = await startAgent(t, { config: { configPath: mountFull(t) } });
  t.equal(await agent.exitCode(), 255);
  t.match(agent.log(), /Error: failed to write the bootstrap file \S+envoy-rev.json: no space left on device/);
});

t.test('a DNS port in use ends the agent', async t => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  t.teardown(() => taken.close());
  const { port } = taken.address() as AddressInfo;
  const variables = { ISTIO_META_DNS_CAPTURE: 'true', DNS_PROXY_ADDR: `127.0.0.1:${port}` };
  const agent = await startAgent(t, { variables });
  t.equal(await agent.exitCode(), 255);
  t.match(
    agent.log(),
    `Error: failed to start the DNS server on port ${port}: the port is in use by another process of this pod`,
  );
});

t.test(
  'an unreachable authority is told with what to look at, asked again and again, and its certificate served then',
  async t => {
    const port = await findFreePort();
    const variables = { ISTIOD_SAN: 'istiod.istio-system.svc', CA_ADDR: `127.0.0.1:${port}` };
    const agent = await startAgent(t, { variables });
    const told =
      /failed to warm certificate: .*: UNAVAILABLE: .*ECONNREFUSED.* \(is istiod running, and may this pod reach it\?\)/;
    await waitFor(() => told.test(agent.log()), patienceMs);
    t.equal(agent.child.exitCode, null);
    const istiod = new Istiod({ authority: meshAuthority, port });
    await istiod.listen();
    t.teardown(() => istiod.stop());
    await waitFor(() => agent.log().includes('generated new workload certificate'), patienceMs);
  },
);

t.test(
  'certificates that cannot be written for applications are told, and the proxy is served all the same',
  { skip },
  async t => {
    const port = await findFreePort();
    const istiod = new Istiod({ authority: meshAuthority, port });
    await istiod.listen();
    t.teardown(() => istiod.stop());
    const agent = await startAgent(t, {
      variables: { ISTIOD_SAN: 'istiod.istio-system.svc', CA_ADDR: `127.0.0.1:${port}`, OUTPUT_CERTS: mountFull(t) },
    });
    await waitFor(
      () => /error when output the resource: failed to write \S+\/key.pem: no space left on device/.test(agent.log()),
      patienceMs,
    );
    t.match(agent.log(), 'generated new workload certificate');
    t.equal(agent.child.exitCode, null);
  },
);

t.test('a readiness probe before there is a configuration says what is missing', async t => {
  const agent = await startAgent(t);
  await agent.serving();
  const answer = await fetch(`http://127.0.0.1:${agent.statusPort}/healthz/ready`);
  t.equal(answer.status, 503);
  t.match(await answer.text(), /ECONNREFUSED|config not received from XDS server/);
});
