/** Destinations beyond ordinary services, and probes of the application. */
import t from 'tap';
import { run, waitFor } from '../cluster/command.ts';
import { apply, getObject } from '../cluster/kubectl.ts';
import { callEcho, deploy, makeNamespace, podIp, requireMode } from '../fixtures/mesh.ts';
import { waitForCluster } from '../fixtures/proxies.ts';
import { type App, appPorts, istioObject, service, workload } from '../fixtures/pods.ts';
import { subject } from '../fixtures/subject.ts';

t.comment(`mode: ${requireMode()}, subject: ${subject}`);
const namespace = makeNamespace(t, 'mesh-destinations');
const client: App = { name: 'client', sidecar: subject };
const server: App = { name: 'server', sidecar: subject };
const outside: App = { name: 'outside', sidecar: 'none' };
deploy(namespace, [client, server, outside], [service(namespace, 'server'), service(namespace, 'headless', { headless: true })]);
const outsideIp = podIp(namespace, 'outside');

t.test("a headless service is reached by its pods' addresses", async t => {
  apply([
    {
      ...service(namespace, 'headless', { headless: true }),
      spec: { ...(service(namespace, 'headless', { headless: true }).spec as object), selector: { app: 'server' } },
    },
  ]);
  const [reply] = await waitFor('the headless service', () => {
    const replies = callEcho(namespace, 'client', `http://headless.${namespace}.svc.cluster.local:${appPorts.http}/`);
    return replies[0]?.status === 200 ? replies : null;
  });
  t.equal(reply.fields.get('Hostname'), 'server');
  const [tcp] = callEcho(namespace, 'client', `tcp://headless.${namespace}.svc.cluster.local:${appPorts.tcp}`);
  t.equal(tcp?.fields.get('Hostname'), 'server', 'TCP');
});

t.test('service entries with addresses and with names are reached', async t => {
  apply([
    istioObject('networking', 'ServiceEntry', namespace, 'fixed', {
      hosts: ['fixed.example'],
      addresses: ['240.7.7.7'],
      ports: [{ number: 80, name: 'http', protocol: 'HTTP', targetPort: appPorts.http }],
      resolution: 'STATIC',
      endpoints: [{ address: outsideIp }],
    }),
    istioObject('networking', 'ServiceEntry', namespace, 'named', {
      hosts: ['named.example'],
      addresses: ['240.7.7.8'],
      ports: [{ number: 80, name: 'http', protocol: 'HTTP', targetPort: appPorts.http }],
      resolution: 'DNS',
      endpoints: [{ address: `server.${namespace}.svc.cluster.local`, ports: { http: 80 } }],
    }),
  ]);
  await waitForCluster(namespace, 'client', 'outbound|80||fixed.example');
  await waitForCluster(namespace, 'client', 'outbound|80||named.example');
  const [fixed] = callEcho(namespace, 'client', 'http://240.7.7.7/', '-H', 'Host: fixed.example');
  t.equal(fixed?.fields.get('Hostname'), 'outside', 'STATIC');
  const [named] = callEcho(namespace, 'client', 'http://240.7.7.8/', '-H', 'Host: named.example');
  t.equal(named?.status, 200, 'DNS');
});

t.test('what the mesh does not know passes with ALLOW_ANY and is refused with REGISTRY_ONLY', async t => {
  const url = `http://${outsideIp}:${appPorts.fortio}/`;
  const tcpUrl = `tcp://${outsideIp}:${appPorts.tcp}`;
  t.equal(callEcho(namespace, 'client', url)[0]?.status, 200, 'ALLOW_ANY: HTTP');
  t.equal(callEcho(namespace, 'client', tcpUrl)[0]?.fields.get('Hostname'), 'outside', 'ALLOW_ANY: TCP');
  apply([istioObject('networking', 'Sidecar', namespace, 'default', { outboundTrafficPolicy: { mode: 'REGISTRY_ONLY' } })]);
  t.teardown(() => void run('kubectl', ['-n', namespace, 'delete', 'sidecar', 'default']));
  await waitFor('the black hole', () => callEcho(namespace, 'client', url, '--timeout', '2s')[0]?.status !== 200);
  const unknown = callEcho(
    namespace,
    'client',
    `http://${podIp(namespace, 'server')}:80/`,
    '-H',
    'Host: unknown.example',
    '--timeout',
    '2s',
  );
  t.equal(unknown[0]?.status, 502, 'REGISTRY_ONLY: HTTP');
  t.equal(callEcho(namespace, 'client', tcpUrl, '--timeout', '2s')[0]?.fields.get('Hostname'), undefined, 'REGISTRY_ONLY: TCP');
  t.equal(callEcho(namespace, 'client', 'http://server/')[0]?.status, 200, 'REGISTRY_ONLY: a known service');
});

t.test('probes of the application by HTTP and TCP pass through the agent', async t => {
  apply([istioObject('security', 'PeerAuthentication', namespace, 'default', { mtls: { mode: 'STRICT' } })]);
  const probe = { periodSeconds: 1, initialDelaySeconds: 1 };
  const apps: App[] = [
    { name: 'http-probe', sidecar: subject, readinessProbe: { ...probe, httpGet: { port: appPorts.http, path: '/' } } },
    { name: 'tcp-probe', sidecar: subject, readinessProbe: { ...probe, tcpSocket: { port: appPorts.tcp } } },
  ];
  deploy(namespace, apps);
  for (const app of apps) {
    const pod = getObject('-n', namespace, 'pod', app.name);
    const container = pod.spec.containers.find((one: { name: string }) => one.name === 'app');
    t.match(container.readinessProbe.httpGet.path, /^\/app-health\/app\/readyz/, `${app.name} was rewritten`);
  }
  const failing: App[] = [
    { name: 'http-fails', sidecar: subject, readinessProbe: { ...probe, httpGet: { port: appPorts.http, path: '/?codes=500' } } },
    { name: 'tcp-fails', sidecar: subject, readinessProbe: { ...probe, tcpSocket: { port: 9999 } } },
  ];
  apply(failing.map(app => workload(namespace, app)));
  for (const app of failing) {
    const [event] = await waitFor(`${app.name} to be probed in vain`, () => {
      const selector = `involvedObject.name=${app.name},reason=Unhealthy`;
      const { items } = getObject('-n', namespace, 'events', '--field-selector', selector);
      const found = items.filter((item: { message: string }) => item.message.includes('Readiness probe failed: HTTP'));
      return found.length > 0 ? found : null;
    });
    t.match(event.message, /statuscode: 500/, `${app.name}: the kubelet is told`);
  }
});
