/** Interception by TPROXY: the application sees its clients' own addresses. Beside this sidecar an Envoy with the same annotation. */
import t from 'tap';
import { waitFor } from '../cluster/command.ts';
import { apply, getObject } from '../cluster/kubectl.ts';
import { adminPage, syncStates } from '../fixtures/proxies.ts';
import { startLoad } from '../fixtures/load.ts';
import { callEcho, deploy, exec, makeNamespace, podIp, requireMode } from '../fixtures/mesh.ts';
import { type App, appPorts, istioObject, service } from '../fixtures/pods.ts';
import { subject } from '../fixtures/subject.ts';

t.comment(`mode: ${requireMode()}, subject: ${subject}`);
const namespace = makeNamespace(t, 'mesh-tproxy');
const annotations = { 'sidecar.istio.io/interceptionMode': 'TPROXY' };
const probe = { periodSeconds: 1, httpGet: { port: appPorts.http, path: '/' } };
const own: App = { name: 'own', sidecar: subject, annotations, readinessProbe: probe };
const twin: App = { name: 'twin', sidecar: 'envoy', annotations, readinessProbe: probe };
/** Redirects as ever, and speaks mutual TLS. */
const client: App = { name: 'client', sidecar: subject };
const outside: App = { name: 'outside', sidecar: 'none' };
deploy(
  namespace,
  [own, twin, client, outside],
  [own, twin, client].map(({ name }) => service(namespace, name)),
);
const ips = new Map([own, twin, client, outside].map(({ name }) => [podIp(namespace, name), name]));

/** Who the server says called, by the name of the pod; its status and name besides. */
function call(from: string, url: string): string {
  const [reply] = callEcho(namespace, from, url);
  const ip = reply?.fields.get('IP') ?? 'no address';
  return `${reply?.status || '-'} ${reply?.fields.get('Hostname') ?? '-'} called by ${ips.get(ip) ?? ip}`;
}

/** The same words for both pods. */
function callBoth(from: (server: string) => string, url: (server: string) => string): string[] {
  return ['own', 'twin'].map(server => call(from(server), url(server)).replaceAll(server, 'server'));
}

t.test('the pods have the shape of TPROXY', async t => {
  for (const { name } of [own, twin]) {
    const { spec } = getObject('-n', namespace, 'pod', name);
    const init = spec.initContainers.find((container: { name: string }) => container.name === 'istio-init');
    t.match(init.args.join(' '), /-m TPROXY/, name);
    const mangle = exec(namespace, name, 'istio-proxy', ['sh', '-c', 'iptables-nft-save -t mangle']);
    t.match(mangle.stdout, /ISTIO_TPROXY .*-j TPROXY --on-port 15006/, `${name}: the rules are there`);
    t.equal(syncStates(namespace, name).get('LDS')?.status, 'SYNCED', `${name}: the listeners are accepted`);
    const inbound = adminPage(namespace, name, 'config_dump?resource=dynamic_listeners');
    t.match(inbound, /envoy\.filters\.listener\.original_src/, `${name}: and bear the original source`);
  }
});

t.test("the application sees its clients' own addresses", async t => {
  const expect = (name: string, answers: string[], wanted: string): void => {
    t.equal(answers[0], wanted, name);
    t.equal(answers[1], answers[0], `${name}, as Envoy`);
  };
  const from = (pod: string) => (): string => pod;
  const byName = (server: string): string => `http://${server}/`;
  const byTcp = (server: string): string => `tcp://${server}:${appPorts.tcp}`;
  const byIp = (server: string): string => `http://${podIp(namespace, server)}:${appPorts.http}/`;
  expect('HTTP by mutual TLS', callBoth(from('client'), byName), '200 server called by client');
  expect('HTTP in plain text', callBoth(from('outside'), byName), '200 server called by outside');
  expect('HTTP to the address of the pod', callBoth(from('outside'), byIp), '200 server called by outside');
  expect('TCP by mutual TLS', callBoth(from('client'), byTcp), '200 server called by client');
  expect('TCP in plain text', callBoth(from('outside'), byTcp), '200 server called by outside');
  const itself = (server: string): string => server;
  // The bare name is the pod's own, in its /etc/hosts.
  const byService = (server: string): string => `http://${server}.${namespace}.svc.cluster.local/`;
  expect('the application itself, through its service', callBoth(itself, byService), '200 server called by server');
  expect('the application itself, by its address', callBoth(itself, byIp), '200 server called by server');
  const other = (): string => 'http://client/';
  t.match(call('own', 'http://client/'), /^200 client called by 127\.0\.0\.6/, 'a pod with redirection sees the proxy, as ever');
  t.same(callBoth(itself, other)[0], callBoth(itself, other)[1], 'outbound, as Envoy');
});

t.test('under load nothing fails on kept connections, and hardly anything on new ones', async t => {
  for (const [from, fresh] of [
    ['client', false],
    ['outside', false],
    ['client', true],
    ['outside', true],
  ] as const) {
    const { total, failed } = await startLoad(namespace, from, {
      url: 'http://own:81/echo',
      rate: 0,
      connections: 8,
      count: 1000,
      fresh,
    });
    t.equal(total, 1000);
    // A connection that the proxy makes in its client's name takes a port that the client, who does not know, may choose next. With Envoy it is the same.
    if (from === 'outside' && fresh) t.ok(failed < 30, `${failed} of 1000 new connections failed`);
    else t.equal(failed, 0, `${from}, ${fresh ? 'new' : 'kept'} connections`);
  }
});

t.test('strict mutual TLS turns plain text away, and the probe of the application still passes', async t => {
  apply([istioObject('security', 'PeerAuthentication', namespace, 'default', { mtls: { mode: 'STRICT' } })]);
  await waitFor('plain text to be refused', () => call('outside', 'http://own/').startsWith('-'));
  t.equal(call('client', 'http://own/'), '200 own called by client');
  const { status } = getObject('-n', namespace, 'pod', 'own');
  t.equal(status.conditions.find((one: { type: string }) => one.type === 'Ready').status, 'True');
});
