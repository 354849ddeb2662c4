/** HTTP/1.1, WebSocket, TCP and server-first TCP between this image and itself, and between it and Envoy, both ways. */
import t from 'tap';
import { startLoad } from '../fixtures/load.ts';
import { callEcho, deploy, makeNamespace, requireMode } from '../fixtures/mesh.ts';
import { waitForCluster } from '../fixtures/proxies.ts';
import { type App, istioObject, service, type SidecarKind } from '../fixtures/pods.ts';
import { subject } from '../fixtures/subject.ts';

const mode = requireMode();
t.comment(`mode: ${mode}, subject: ${subject}`);

/** Client and server. With Envoy only in bare mode: it lacks the filters of the other. */
const pairs: readonly (readonly [client: SidecarKind, server: SidecarKind])[] =
  mode === 'default'
    ? [[subject, subject]]
    : [
        [subject, subject],
        [subject, 'envoy'],
        ['envoy', subject],
      ];

const kinds = [...new Set(pairs.flat())];
const nameOf = (role: 'client' | 'server', kind: SidecarKind): string => `${role}-${kind.toLowerCase()}`;
const namespace = makeNamespace(t, 'mesh-traffic');
const apps: App[] = kinds.flatMap(kind => [
  { name: nameOf('client', kind), sidecar: kind, native: true },
  { name: nameOf('server', kind), sidecar: kind },
]);
deploy(
  namespace,
  [...apps, { name: 'outside', sidecar: 'none' }],
  kinds.map(kind => service(namespace, nameOf('server', kind))),
);

for (const [clientKind, serverKind] of pairs) {
  t.test(`${clientKind} to ${serverKind}`, async t => {
    const client = nameOf('client', clientKind);
    const server = nameOf('server', serverKind);
    await waitForCluster(namespace, client, `outbound|80||${server}.${namespace}.svc.cluster.local`);
    await waitForCluster(namespace, client, `outbound|9090||${server}.${namespace}.svc.cluster.local`);

    const [http] = callEcho(namespace, client, `http://${server}/path?query=1`, '-H', 'x-test: yes');
    t.equal(http?.status, 200, 'HTTP/1.1');
    t.equal(http?.fields.get('Hostname'), server);
    t.equal(http?.requestHeaders.get('x-test'), 'yes');
    t.match(
      http?.requestHeaders.get('x-forwarded-client-cert'),
      /URI=spiffe:\/\/cluster\.local\/ns\/mesh-traffic\/sa\/default/,
      'mutual TLS',
    );
    t.match(http?.requestHeaders.get('x-request-id'), /^[0-9a-f-]{36}$/);
    t.equal(http?.headers.get('server'), 'envoy');
    t.equal(http?.requestHeaders.get('x-envoy-peer-metadata'), undefined, 'the application sees no metadata of the mesh');

    const [webSocket] = callEcho(namespace, client, `ws://${server}/`, '--msg', 'over a socket');
    t.match(webSocket?.text, /over a socket/, 'WebSocket');
    const [tcp] = callEcho(namespace, client, `tcp://${server}:9090`, '--msg', 'over tcp');
    t.match(tcp?.text, /body over tcp/, 'TCP');
    t.equal(tcp?.fields.get('Hostname'), server);
    const [first] = callEcho(namespace, client, `tcp://${server}:9091`, '--server-first', '--msg', 'second');
    t.match(first?.text, /body second/, 'TCP where the server speaks first');
    const [error] = callEcho(namespace, client, `http://${server}/?codes=418`);
    t.equal(error?.status, 418, 'an error of the application passes');

    for (const fresh of [false, true]) {
      for (const payloadBytes of [undefined, 10_240]) {
        const label = `${fresh ? 'new connections' : 'keep-alive'}, ${payloadBytes ? '10 KB POST' : 'GET'}`;
        const load = await startLoad(namespace, client, { url: `http://${server}:81/`, seconds: 3, fresh, payloadBytes });
        t.same(Object.keys(load.codes), ['200'], label);
        t.ok(load.total > 500, `${label}: ${load.total} requests`);
        t.equal(load.meanBodyBytes, payloadBytes ?? 0, `${label}: every body is whole`);
      }
    }
  });
}

t.test('plaintext from outside the mesh: PERMISSIVE takes it, STRICT refuses it, DISABLE takes nothing else', async t => {
  const { apply } = await import('../cluster/kubectl.ts');
  const { waitFor, run } = await import('../cluster/command.ts');
  const server = nameOf('server', subject);
  const client = nameOf('client', subject);
  const setMode = (name: string): void =>
    apply([istioObject('security', 'PeerAuthentication', namespace, 'default', { mtls: { mode: name } })]);
  t.teardown(() => run('kubectl', ['-n', namespace, 'delete', 'peerauthentication', 'default', '--ignore-not-found']));
  const status = (pod: string): number => callEcho(namespace, pod, `http://${server}/`, '--timeout', '2s')[0]?.status ?? 0;
  t.equal(status('outside'), 200, 'PERMISSIVE: plaintext');
  setMode('STRICT');
  await waitFor('STRICT to refuse plaintext', () => status('outside') === 0);
  t.equal(status(client), 200, 'STRICT: mesh');
  setMode('DISABLE');
  await waitFor('DISABLE to take plaintext', () => status('outside') === 200);
  await waitFor('clients to speak plaintext', () => status(client) === 200);
  const [reply] = callEcho(namespace, client, `http://${server}/`);
  t.equal(reply?.requestHeaders.get('x-forwarded-client-cert'), undefined, 'DISABLE: no client certificate');
});
