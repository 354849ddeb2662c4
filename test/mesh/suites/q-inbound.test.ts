/** What reaches an application through its sidecar: protocols found out, ports left out, Sidecar ingress, PeerAuthentication. */
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { run } from '../cluster/command.ts';
import { apply } from '../cluster/kubectl.ts';
import { deploy, makeNamespace, podIp, requireMode } from '../fixtures/mesh.ts';
import { type Command, type Exchange, PodNetwork, type Request } from '../fixtures/pod-network.ts';
import { type App, appPorts, istioObject } from '../fixtures/pods.ts';
import { sidecarPid } from '../fixtures/proxies.ts';
import { subject } from '../fixtures/subject.ts';
import { compareTwins, type Scenario, type Side, type Twins } from '../fixtures/twin-scenarios.ts';

t.comment(`mode: ${requireMode()}, subject: ${subject}`);
const namespace = makeNamespace(t, 'mesh-inbound');
const annotations = { 'traffic.sidecar.istio.io/excludeInboundPorts': String(appPorts.fortio) };
const labels = { role: 'inbound' };
const sides: readonly Side[] = ['own', 'twin'];
/** Of one length, so that what tells them has one, too. */
const podNames = { own: 'ours', twin: 'twin' } as const;
const apps: App[] = [
  { name: podNames.own, sidecar: subject, annotations, labels },
  { name: podNames.twin, sidecar: 'envoy', annotations, labels },
  { name: 'client', sidecar: 'envoy' },
  { name: 'outside', sidecar: 'none' },
];
/** Ports that no service has. */
const unknown = { everywhere: 7301, podAddress: 7302, loopback: 7303, serverFirst: 7304, raw: 7305 } as const;

deploy(
  namespace,
  apps,
  sides
    .map(side => podNames[side])
    .map(name => ({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace },
      spec: {
        selector: { app: name },
        ports: [
          { name: 'http', port: 80, targetPort: appPorts.http },
          { name: 'tcp', port: 9090, targetPort: appPorts.tcp },
          { name: 'tcp-first', port: 9091, targetPort: appPorts.serverFirst },
          { name: 'any', port: 82, targetPort: unknown.raw },
        ],
      },
    })),
);
const addresses = { own: podIp(namespace, podNames.own), twin: podIp(namespace, podNames.twin) };
const names = new Map([
  ...sides.map((side): [string, string] => [addresses[side], '<pod>']),
  ...sides.flatMap((side): [string, string][] =>
    ['Hostname=', 'Host=', 'x-envoy-decorator-operation: '].map(label => [`${label}${podNames[side]}`, `${label}<pod>`]),
  ),
  [podIp(namespace, 'outside'), '<outside>'],
  [podIp(namespace, 'client'), '<client>'],
]);
const pods = { own: PodNetwork.enter(t, namespace, podNames.own), twin: PodNetwork.enter(t, namespace, podNames.twin) };
const outside = PodNetwork.enter(t, namespace, 'outside');
const client = PodNetwork.enter(t, namespace, 'client');
for (const side of sides) {
  await pods[side].serve({ name: 'everywhere', port: unknown.everywhere });
  await pods[side].serve({ name: 'podAddress', port: unknown.podAddress, address: addresses[side] });
  await pods[side].serve({ name: 'loopback', port: unknown.loopback, address: '127.0.0.1' });
  await pods[side].serve({ name: 'serverFirst', port: unknown.serverFirst, raw: true, greeting: 'hello\n' });
  await pods[side].serve({ name: 'raw', port: unknown.raw, raw: true });
}

const bytes = 'some bytes\n';
const get = (port: number, more: Partial<Request> = {}): Scenario['command'] => {
  return (side: Side): Command => ({
    address: addresses[side],
    port,
    timeoutMs: 5000,
    ...more,
    headers: { host: 'any', ...more.headers },
  });
};
const send = (port: number, text: string, until: string, more: Partial<Exchange> = {}): Scenario['command'] => {
  return (side: Side): Command => ({
    kind: 'exchange',
    address: addresses[side],
    port,
    send: text,
    until,
    timeoutMs: 3000,
    ...more,
  });
};
/** Bytes that wait for the server's first ones. */
const sendAfter = (port: number): Scenario['command'] => send(port, bytes, bytes, { afterFirst: true, timeoutMs: 1500 });
const from = (pod: PodNetwork): Twins => ({ own: pod, twin: pod, names });
const echoed = ['status 200', 'ServiceVersion=v1'];

t.test('plaintext from outside', async t => {
  await compareTwins(t, from(outside), [
    { name: 'HTTP/1.1', command: get(appPorts.http), has: echoed },
    { name: 'HTTP/2', command: get(appPorts.http, { http2: true }), has: echoed },
    {
      name: 'HTTP/1.0',
      command: send(appPorts.http, 'GET / HTTP/1.0\r\n\r\n', 'Hostname='),
      has: [/^HTTP\/1\.. 426|^HTTP\/1\.. 200/],
    },
    { name: 'TCP', command: send(appPorts.tcp, bytes, 'some bytes'), has: [/some bytes/] },
    // Whether it is mutual TLS is seen by the first bytes of the client, which says nothing.
    { name: 'TCP, the server first', command: sendAfter(appPorts.serverFirst), has: ['status 0'] },
    {
      name: 'an excluded port',
      command: get(appPorts.fortio, { path: '/echo' }),
      has: ['status 200'],
      lacks: [/^x-envoy|^server: /],
    },
    { name: 'a port that no service has', command: get(unknown.everywhere), has: ['Server=everywhere', 'Remote=127.0.0.6'] },
    { name: "on the pod's address only", command: get(unknown.podAddress), has: ['Server=podAddress'] },
    { name: 'on the loopback only', command: get(unknown.loopback), has: [/^status (503|0)/], lacks: ['Server=loopback'] },
    { name: 'nobody listens', command: get(7999), has: [/^status/] },
    { name: 'the server first, on a port that no service has', command: sendAfter(unknown.serverFirst), has: ['status 0'] },
    {
      name: 'bytes to a port without a protocol',
      command: send(unknown.raw, bytes, 'Server='),
      has: ['some bytes', 'Server=raw'],
    },
    {
      name: 'HTTP to a port without a protocol',
      command: send(unknown.raw, 'GET / HTTP/1.1\r\nhost: any\r\n\r\n', 'zzz'),
      has: [/^HTTP\/1.1 502/],
    },
    {
      name: 'TLS of its own to a port without a protocol',
      command: send(unknown.raw, '', 'Server=', { tls: { servername: 'any' } }),
      has: ['status 0'],
    },
  ]);
});

t.test('an application calls itself', async t => {
  const itself: Twins = { ...pods, names };
  const clusterIp = (side: Side): string =>
    JSON.parse(run('kubectl', ['-n', namespace, 'get', 'service', podNames[side], '-o', 'json'])).spec.clusterIP;
  const services = { own: clusterIp('own'), twin: clusterIp('twin') };
  const toService = (side: Side): Command => ({ address: services[side], port: 80, headers: { host: podNames[side] } });
  await compareTwins(t, itself, [
    { name: 'by its service', command: toService, has: echoed },
    { name: 'by its address', command: get(appPorts.http), has: echoed },
    {
      name: 'by localhost',
      command: { address: '127.0.0.1', port: appPorts.http, headers: { host: 'any' } },
      has: echoed,
      lacks: [/^x-envoy/],
    },
  ]);
});

/** Applies an object for the time of a test. */
function applyFor(t: Test, object: ReturnType<typeof istioObject>): void {
  apply([object]);
  t.teardown(() => void run('kubectl', ['-n', namespace, 'delete', object.kind, object.metadata.name]));
}

t.test('PeerAuthentication: by port', async t => {
  const portLevelMtls = {
    [appPorts.http]: { mode: 'DISABLE' },
    [appPorts.tcp]: { mode: 'PERMISSIVE' },
    [appPorts.serverFirst]: { mode: 'DISABLE' },
  };
  const spec = { selector: { matchLabels: labels }, mtls: { mode: 'STRICT' }, portLevelMtls };
  applyFor(t, istioObject('security', 'PeerAuthentication', namespace, 'ports', spec));
  await compareTwins(t, from(outside), [
    { name: 'STRICT', command: get(unknown.podAddress), has: ['status 0'] },
    { name: 'DISABLE, the server first', command: sendAfter(appPorts.serverFirst), has: [/some bytes/] },
    { name: 'STRICT, a port that no service has', command: get(unknown.everywhere), has: ['status 0'] },
    { name: 'DISABLE', command: get(appPorts.http), has: echoed },
    { name: 'PERMISSIVE', command: send(appPorts.tcp, 'some bytes\n', 'some bytes'), has: [/some bytes/] },
  ]);
  const inMesh = (side: Side, port: number): Command => ({
    address: addresses[side],
    port,
    headers: { host: `${podNames[side]}.${namespace}.svc.cluster.local` },
  });
  await compareTwins(t, from(client), [
    { name: 'STRICT, from the mesh', command: side => inMesh(side, unknown.everywhere), has: [/^status/] },
    {
      name: 'DISABLE, from the mesh',
      command: side => inMesh(side, appPorts.http),
      has: echoed,
      lacks: [/X-Forwarded-Client-Cert/],
    },
  ]);
});

t.test('Sidecar ingress', async t => {
  const folder = '/var/lib/istio/data';
  for (const side of sides) {
    const root = join('/proc', String(sidecarPid(namespace, podNames[side])), 'root');
    await pods[side].serve({ name: 'unix', port: 0, unixSocket: join(root, folder, 'application.sock') });
  }
  const http = (number: number): object => ({ number, name: `http-${number}`, protocol: 'HTTP' });
  applyFor(
    t,
    istioObject('networking', 'Sidecar', namespace, 'ingress', {
      workloadSelector: { labels },
      ingress: [
        { port: http(9080), defaultEndpoint: `127.0.0.1:${appPorts.http}` },
        { port: { number: 9081, name: 'tcp', protocol: 'TCP' }, defaultEndpoint: `127.0.0.1:${appPorts.tcp}` },
        { port: http(9082), defaultEndpoint: `unix://${folder}/application.sock` },
        { port: http(9083), defaultEndpoint: `0.0.0.0:${unknown.podAddress}` },
        { port: http(9084), defaultEndpoint: `127.0.0.1:${unknown.loopback}` },
        {
          port: http(9085),
          defaultEndpoint: `127.0.0.1:${appPorts.http}`,
          connectionPool: { http: { http1MaxPendingRequests: 1 } },
        },
      ],
      egress: [{ hosts: ['./*'] }],
    }),
  );
  await compareTwins(t, from(outside), [
    { name: 'HTTP', command: get(9080), has: echoed },
    { name: 'TCP', command: send(9081, 'some bytes\n', 'some bytes'), has: [/some bytes/] },
    { name: 'a Unix socket', command: get(9082), has: ['Server=unix'] },
    { name: "the pod's address", command: get(9083), has: ['Server=podAddress'] },
    { name: 'what listens on the loopback', command: get(9084), has: ['Server=loopback'] },
    { name: 'with a pool of its own', command: get(9085), has: echoed },
    { name: 'a port that is not named', command: get(unknown.everywhere), has: ['Server=everywhere'] },
  ]);
});
