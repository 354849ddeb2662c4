/** Who may speak to a sidecar, and to whom it speaks: the matrix of mutual TLS, refused peers, resumed sessions, rotation. */
import t from 'tap';
import { CertificateAuthority } from '../../../demo/certificate-authority.ts';
import { run, waitFor } from '../cluster/command.ts';
import { apply } from '../cluster/kubectl.ts';
import { startLoad } from '../fixtures/load.ts';
import { callEcho, deploy, makeNamespace, podIp, requireMode } from '../fixtures/mesh.ts';
import { testIn } from '../fixtures/modes.ts';
import { type App, appPorts, istioObject, service } from '../fixtures/pods.ts';
import { adminPage, waitForCluster } from '../fixtures/proxies.ts';
import { subject } from '../fixtures/subject.ts';
import { type Certificate, issueCertificate, readMeshAuthority, requestStatus } from '../fixtures/tls-client.ts';

const mode = requireMode();
t.comment(`mode: ${mode}, subject: ${subject}`);
const namespace = makeNamespace(t, 'mesh-security');

const other = await CertificateAuthority.create({ name: 'other' });
const application = await other.issue([{ type: 'dns', value: `server.${namespace}.svc.cluster.local` }]);
const statistics = JSON.stringify({ proxyStatsMatcher: { inclusionRegexps: ['cluster\\.outbound.*\\.ssl\\..*'] } });
const rotationSeconds = 20;
const shortLived = JSON.stringify({ proxyMetadata: { SECRET_TTL: `${2 * rotationSeconds}s`, SECRET_GRACE_PERIOD_RATIO: '0.5' } });
/** Clients that are compared: this project's, and Envoy where it can be one. */
const clients: readonly App[] = [
  { name: 'client', sidecar: subject, annotations: { 'proxy.istio.io/config': statistics } },
  ...(mode === 'bare'
    ? [{ name: 'client-twin', sidecar: 'envoy', annotations: { 'proxy.istio.io/config': statistics } } as const]
    : []),
];
const withSelector = (name: string): object => ({
  ...service(namespace, name),
  spec: { ...(service(namespace, 'server').spec as object) },
});
const encode = (text: string): string => Buffer.from(text).toString('base64');
deploy(
  namespace,
  [
    ...clients,
    { name: 'server', sidecar: subject, tlsSecret: 'application' },
    { name: 'rotating', sidecar: subject, annotations: { 'proxy.istio.io/config': shortLived } },
    { name: 'outside', sidecar: 'none' },
  ],
  [
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'application', namespace },
      data: { 'tls.crt': encode(application.certificate), 'tls.key': encode(application.privateKey) },
    },
    ...['server', 'misnamed', 'resumed'].map(name => withSelector(name) as ReturnType<typeof service>),
    service(namespace, 'rotating'),
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'secure', namespace },
      spec: { selector: { app: 'server' }, ports: [{ name: 'https', port: 443, targetPort: appPorts.https }] },
    },
  ],
);

function setMutualTls(name: string): void {
  apply([istioObject('security', 'PeerAuthentication', namespace, 'default', { mtls: { mode: name } })]);
}

function statusOf(pod: string, url: string): number {
  return callEcho(namespace, pod, url, '--timeout', '2s', '--insecure-skip-verify')[0]?.status ?? 0;
}

const matrix: readonly { mode: string; outside: number }[] = [
  { mode: 'PERMISSIVE', outside: 200 },
  { mode: 'STRICT', outside: 0 },
  { mode: 'DISABLE', outside: 200 },
];

for (const { mode: mutual, outside } of matrix) {
  t.test(`${mutual}: plaintext, mesh and application TLS`, async t => {
    t.teardown(() => run('kubectl', ['-n', namespace, 'delete', 'peerauthentication', 'default', '--ignore-not-found']));
    setMutualTls(mutual);
    await waitFor(`${mutual} at the server`, () => statusOf('outside', 'http://server/') === outside);
    t.equal(statusOf('outside', 'https://secure/'), outside, 'application TLS from outside the mesh');
    for (const { name } of clients) {
      await waitFor(`${name} to speak as ${mutual} wants`, () => statusOf(name, 'http://server/') === 200);
      const [reply] = callEcho(namespace, name, 'http://server/');
      const certificate = reply?.requestHeaders.get('x-forwarded-client-cert');
      if (mutual === 'DISABLE') t.equal(certificate, undefined, `${name}: no certificate`);
      else t.match(certificate, new RegExp(`URI=spiffe://cluster.local/ns/${namespace}/sa/default`), `${name}: mutual TLS`);
      t.equal(statusOf(name, 'https://secure/'), 200, `${name}: application TLS`);
    }
  });
}

t.test('STRICT serves the certificates of the mesh only', async t => {
  t.teardown(() => run('kubectl', ['-n', namespace, 'delete', 'peerauthentication', 'default', '--ignore-not-found']));
  setMutualTls('STRICT');
  await waitFor('STRICT', () => statusOf('outside', 'http://server/') === 0);
  const mesh = readMeshAuthority();
  const address = podIp(namespace, 'server');
  const friend = `spiffe://cluster.local/ns/${namespace}/sa/friend`;
  const ask = (certificate: Certificate | null): Promise<number> => requestStatus(address, appPorts.http, certificate);
  const strange = await other.issue([{ type: 'url', value: friend }]);
  t.equal(await ask(await issueCertificate(mesh, 'url', friend)), 200, 'one of the mesh');
  t.equal(await ask(null), 0, 'none');
  t.equal(await ask({ cert: strange.certificate, key: strange.privateKey }), 0, "another authority's");
  t.equal(await ask(await issueCertificate(mesh, 'url', friend, -1)), 0, 'an expired one');
  t.equal(await ask(await issueCertificate(mesh, 'url', 'spiffe://other.domain/ns/x/sa/friend')), 0, 'of a foreign trust domain');
});

t.test('an upstream with another name gives 503 UF with the reason', async t => {
  apply([
    istioObject('networking', 'DestinationRule', namespace, 'misnamed', {
      host: 'misnamed',
      trafficPolicy: { tls: { mode: 'ISTIO_MUTUAL', subjectAltNames: ['spiffe://cluster.local/ns/x/sa/nobody'] } },
    }),
    istioObject('telemetry', 'Telemetry', namespace, 'log', { accessLogging: [{ providers: [{ name: 'envoy' }] }] }),
  ]);
  const seen: string[][] = [];
  for (const { name } of clients) {
    const path = `/wrong-${name}`;
    const line = await waitFor(`a logged failure of ${name}`, () => {
      if (statusOf(name, `http://misnamed${path}`) !== 503) return null;
      const lines = run('kubectl', ['-n', namespace, 'logs', name, '-c', 'istio-proxy', '--tail=50']).split('\n');
      return lines.find(text => text.includes(path) && text.includes(' 503 ')) ?? null;
    });
    t.match(line, / 503 (UF|UF,URX|URX,UF) /, `${name}: the flag`);
    const [reply] = callEcho(namespace, name, `http://misnamed${path}`);
    const body = reply?.text.split('\n').filter(text => /^body .*upstream connect error/.test(text)) ?? [];
    const details = / 503 (\S+) (\S+) (\S+) "([^"]*)"/.exec(line)?.slice(1) ?? [];
    seen.push([...details, ...body]);
  }
  t.match(seen[0].join(' '), /CERTIFICATE_VERIFY_FAILED/, 'the reason');
  for (const words of seen.slice(1)) t.same(seen[0], words, "in Envoy's words");
});

t.test('clients resume TLS sessions', async t => {
  apply([
    istioObject('networking', 'DestinationRule', namespace, 'resumed', {
      host: 'resumed',
      trafficPolicy: { connectionPool: { http: { maxRequestsPerConnection: 1 } } },
    }),
  ]);
  const host = `resumed.${namespace}.svc.cluster.local`;
  for (const { name } of clients) {
    await waitForCluster(namespace, name, `outbound|81||${host}`);
    await waitFor(`one connection per request at ${name}`, () =>
      /"max_requests_per_connection": 1\b/.test(adminPage(namespace, name, 'config_dump?resource=dynamic_active_clusters')),
    );
    const load = await startLoad(namespace, name, { url: 'http://resumed:81/', rate: 50, connections: 2, count: 200 });
    t.equal(load.failed, 0, `${name}: no request failed`);
    const stats = adminPage(namespace, name, 'stats?filter=resumed.*ssl');
    const count = (stat: string): number =>
      Number(new RegExp(`outbound\\|81\\|\\|${host}.*\\.ssl\\.${stat}: (\\d+)`).exec(stats)?.[1] ?? 0);
    t.ok(count('handshake') >= 190, `${name}: ${count('handshake')} handshakes`);
    // Envoy itself resumes every second one: a session is used once, and two connections want one.
    t.ok(count('session_reused') >= count('handshake') / 4, `${name}: ${count('session_reused')} resumed`);
  }
});

testIn('bare', 'certificates are renewed under load without a failed request', async t => {
  const serial = (): string | undefined =>
    /"serial_number": "(\w+)"[\s\S]{0,200}spiffe/.exec(adminPage(namespace, 'rotating', 'certs'))?.[1];
  const before = serial();
  t.ok(before, 'a certificate');
  const seconds = 2 * rotationSeconds;
  const loads = clients.flatMap(({ name }) =>
    [true, false].map(fresh =>
      startLoad(namespace, name, { url: 'http://rotating:81/', rate: 50, connections: 4, seconds, fresh }),
    ),
  );
  await waitFor('another certificate', () => ![before, undefined].includes(serial()), seconds * 1000);
  for (const { failed, codes } of await Promise.all(loads)) t.equal(failed, 0, JSON.stringify(codes));
});
