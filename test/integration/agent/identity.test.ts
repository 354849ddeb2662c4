/** The agent asks an istiod for its certificate, renews it, and says what is wrong when it gets none. */
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { X509Certificate } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import t from 'tap';
import { CertificateAuthority } from '../../../demo/certificate-authority.ts';
import { findFreePort } from '../../support/proxy-process.ts';
import { waitFor } from '../wait.ts';
import { type AgentProcess, type AgentSetup, meshAuthority, startAgent } from './agent-process.ts';
import { Istiod } from './istiod.ts';
import { watchSecret } from './secret-client.ts';

type Tap = Parameters<typeof startAgent>[0];

async function startWithIstiod(t: Tap, setup: AgentSetup = {}, certificateTtlMs?: number) {
  const port = await findFreePort();
  const istiod = new Istiod({ authority: meshAuthority, port, certificateTtlMs });
  await istiod.listen();
  t.teardown(() => istiod.stop());
  const variables = { ISTIOD_SAN: 'istiod.istio-system.svc', CA_ADDR: `127.0.0.1:${port}`, ...setup.variables };
  const agent = await startAgent(t, { ...setup, variables, config: { discoveryAddress: `127.0.0.1:${port}`, ...setup.config } });
  return { istiod, agent };
}

/** The agent's `cert_expiry_seconds` and the like. */
async function readMetric(agent: AgentProcess, name: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${agent.statusPort}/stats/prometheus`)).text();
  return Number(
    text
      .split('\n')
      .find(line => line.startsWith(name))
      ?.split(' ')[1] ?? Number.NaN,
  );
}

t.test('certificates are renewed before they end, with the token as it is then, and a new root is pushed as well', async t => {
  const ttlMs = 20_000;
  const variables = { SECRET_TTL: '20s', SECRET_GRACE_PERIOD_RATIO: '0.9' };
  const { istiod, agent } = await startWithIstiod(t, { variables }, ttlMs);
  await waitFor(() => agent.log().includes('generated new workload certificate'), 30_000);
  const own = watchSecret(t, agent, 'default');
  const roots = watchSecret(t, agent, 'ROOTCA');
  await waitFor(() => own.versions.length > 0 && roots.versions.length > 0, 30_000);
  t.equal(new X509Certificate(own.versions[0]).subjectAltName, 'URI:spiffe://cluster.local/ns//sa/');
  t.equal(istiod.tokens[0], 'Bearer token');
  writeFileSync(join(agent.folder, 'var/run/secrets/tokens/istio-token'), 'renewed');
  const second = await CertificateAuthority.create({ name: 'second' });
  istiod.authority = second;
  const newRoot = new X509Certificate(second.rootCertificate);
  const latest = (): X509Certificate => new X509Certificate(own.versions.at(-1) as string);
  await waitFor(() => roots.versions.length >= 2 && latest().checkIssued(newRoot), 30_000);
  const [before, after] = own.versions.slice(-2).map(pem => new X509Certificate(pem));
  t.not(after.publicKey.export({ type: 'spki', format: 'pem' }), before.publicKey.export({ type: 'spki', format: 'pem' }));
  t.equal(istiod.tokens.at(-1), 'Bearer renewed');
  t.equal(roots.versions[1].trim(), second.rootCertificate.trim());
  const renewedAtMs = after.validFromDate.getTime() + 60_000;
  t.ok(renewedAtMs < before.validToDate.getTime(), 'renewed before the end');
  t.ok((await readMetric(agent, 'istio_agent_cert_expiry_seconds{resource_name="default"}')) <= ttlMs / 1000);
});

t.test('a refused token is told with what to look at, not ready; when it is accepted everything goes on', async t => {
  const { istiod, agent } = await startWithIstiod(t);
  istiod.refusal = { code: status.UNAUTHENTICATED, details: 'authentication failure: token has expired' };
  await waitFor(() => /failed to warm certificate: .*token has expired \(is the token/.test(agent.log()), 30_000);
  t.notMatch(agent.log(), /ca request failed, starting attempt/, 'a refusal is not repeated at once');
  await waitFor(() => agent.log().includes('Opening status port'), 30_000);
  t.equal((await fetch(`http://127.0.0.1:${agent.statusPort}/healthz/ready`)).status, 503);
  istiod.refusal = null;
  await waitFor(() => agent.log().includes('generated new workload certificate'), 30_000);
});

t.test('a busy istiod is asked five times with growing pauses, and then again later', async t => {
  const { istiod, agent } = await startWithIstiod(t);
  istiod.refusal = { code: status.UNAVAILABLE, details: 'the server is too busy' };
  await waitFor(() => agent.log().includes('failed to warm certificate'), 30_000);
  const attempts = agent.log().split('failed to warm certificate')[0];
  t.strictSame(
    [...attempts.matchAll(/starting attempt (\d)/g)].map(([, number]) => number),
    ['1', '2', '3', '4'],
  );
  t.match(agent.log(), 'create certificate: UNAVAILABLE: the server is too busy');
  istiod.refusal = null;
  await waitFor(() => agent.log().includes('generated new workload certificate'), 30_000);
});

t.test('an istiod of another authority gets no token', async t => {
  const foreign = await CertificateAuthority.create({ name: 'foreign' });
  const { istiod, agent } = await startWithIstiod(t, { files: { 'root.pem': foreign.rootCertificate } });
  await waitFor(() => agent.log().includes('failed to warm certificate'), 30_000);
  t.match(agent.log(), /failed to warm certificate: .*not signed by the root that this pod trusts/);
  t.strictSame(istiod.tokens, []);
});

t.test("on a machine of Google's cloud the token comes from its metadata server, for the trust domain", async t => {
  const asked: string[] = [];
  const claims = Buffer.from(JSON.stringify({ exp: Date.now() / 1000 + 3600 })).toString('base64url');
  const server = createServer(({ url, headers }, response) => {
    asked.push(`${headers['metadata-flavor']} ${url}`);
    response.end(`head.${claims}.tail\n`);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const { istiod, agent } = await startWithIstiod(t, {
    variables: {
      CREDENTIAL_FETCHER_TYPE: 'GoogleComputeEngine',
      GCE_METADATA_HOST: `127.0.0.1:${(server.address() as AddressInfo).port}`,
      TRUST_DOMAIN: 'own.domain',
    },
  });
  await waitFor(() => istiod.tokens.length > 0, 30_000);
  t.equal(istiod.tokens[0], `Bearer head.${claims}.tail`);
  const path = '/computeMetadata/v1/instance/service-accounts/default/identity?audience=own.domain&format=full';
  t.strictSame(asked, [`Google ${path}`]);
  t.equal(readFileSync(join(agent.folder, 'var/run/secrets/tokens/istio-token'), 'utf8'), `head.${claims}.tail`);
});

t.test('a metadata server that is not there is told with what to look at', async t => {
  const variables = { CREDENTIAL_FETCHER_TYPE: 'GoogleComputeEngine', GCE_METADATA_HOST: `127.0.0.1:${await findFreePort()}` };
  const { agent } = await startWithIstiod(t, { variables });
  await waitFor(() => /failed to get the identity token of this machine .*service account\?/.test(agent.log()), 30_000);
  t.equal(agent.child.exitCode, null);
});

t.test('a missing token and broken annotations are told, and do not end the agent', async t => {
  const variables = { JWT_POLICY: 'third-party-jwt' };
  const files = { 'etc/istio/pod/annotations': 'good="yes"\nbad=unquoted\n', './var/run/secrets/tokens/istio-token': '' };
  const { agent } = await startWithIstiod(t, { variables, files });
  await waitFor(() => agent.log().includes('generated new workload certificate'), 30_000);
  t.match(agent.log(), 'failed to read pod annotations: failed to unquote unquoted');
  t.equal(agent.child.exitCode, null);
});
