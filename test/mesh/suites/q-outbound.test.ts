/** Where a sidecar finds what it is asked for: ServiceEntry in all its kinds, headless services, sniffed ports, Sidecar egress. */
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { run, waitFor } from '../cluster/command.ts';
import { setExternalNames } from '../cluster/dns.ts';
import { apply, getObject, type KubernetesObject } from '../cluster/kubectl.ts';
import { deploy, makeNamespace, podIp, requireMode } from '../fixtures/mesh.ts';
import { type Command, PodNetwork, type Request } from '../fixtures/pod-network.ts';
import { type App, appPorts, istioObject, service } from '../fixtures/pods.ts';
import { sidecarPid } from '../fixtures/proxies.ts';
import { subject } from '../fixtures/subject.ts';
import { compareTwins, type Side, type Twins } from '../fixtures/twin-scenarios.ts';

t.comment(`mode: ${requireMode()}, subject: ${subject}`);
const namespace = makeNamespace(t, 'mesh-outbound');
const annotations = { 'traffic.sidecar.istio.io/excludeOutboundPorts': '7005' };
const labels = { role: 'client' };
const podNames = { own: 'ours', twin: 'twin' } as const;
const apps: App[] = [
  { name: podNames.own, sidecar: subject, annotations, labels },
  { name: podNames.twin, sidecar: 'envoy', annotations, labels },
  { name: 'server-0', label: 'server', version: 'v1', sidecar: subject },
  { name: 'outside', sidecar: 'none', labels: { role: 'outside' } },
];
const fullName = (name: string): string => `${name}.${namespace}.svc.cluster.local`;
/** Ports whose protocols sidecars find out. */
const sniffed: KubernetesObject = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'sniffed', namespace },
  spec: {
    selector: { app: 'server' },
    ports: [
      { name: 'one', port: 8000, targetPort: appPorts.http },
      { name: 'two', port: 9000, targetPort: appPorts.tcp },
      { name: 'three', port: 9001, targetPort: appPorts.serverFirst },
    ],
  },
};
deploy(namespace, apps, [service(namespace, 'server'), sniffed]);
const outsideIp = podIp(namespace, 'outside');
const outside = PodNetwork.enter(t, namespace, 'outside');
const twins: Twins = {
  own: PodNetwork.enter(t, namespace, podNames.own),
  twin: PodNetwork.enter(t, namespace, podNames.twin),
  names: new Map([
    [podIp(namespace, podNames.own), '<client>'],
    [podIp(namespace, podNames.twin), '<client>'],
    [outsideIp, '<outside>'],
  ]),
};
for (const port of [80, 7001, 7002, 7005]) await outside.serve({ name: `http${port}`, port });
await outside.serve({ name: 'raw', port: 7003, raw: true });
await outside.serve({ name: 'first', port: 7004, raw: true, greeting: 'hello\n' });

const clusterIp = (name: string): string => getObject('-n', namespace, 'service', name).spec.clusterIP;
const serverIp = clusterIp('server');
const http = [{ number: 80, name: 'http', protocol: 'HTTP' }];

function entry(host: string, resolution: string, spec: object): KubernetesObject {
  const name = host.replace('*', 'any');
  return istioObject('networking', 'ServiceEntry', namespace, name, {
    hosts: [host],
    exportTo: ['.'],
    resolution,
    ports: http,
    ...spec,
  });
}

const ask = (host: string, more: Partial<Request> = {}): Request => ({
  address: serverIp,
  port: 80,
  timeoutMs: 5000,
  ...more,
  headers: { host, ...more.headers },
});
const bytes = 'some bytes\n';
const send = (address: string, port: number, until: string, afterFirst = false): Command => ({
  kind: 'exchange',
  address,
  port,
  send: bytes,
  until,
  afterFirst,
  timeoutMs: 2500,
});
const echoed = ['status 200', 'ServiceVersion=v1'];

t.test('services whose protocol nobody names', async t => {
  const address = clusterIp('sniffed');
  const raw = (text: string, until: string, port = 8000): Command => ({
    kind: 'exchange',
    address,
    port,
    send: text,
    until,
    timeoutMs: 4000,
  });
  await compareTwins(t, twins, [
    { name: 'HTTP/1.1', command: ask('sniffed:8000', { address, port: 8000 }), has: [...echoed, /X-Forwarded-Client-Cert/] },
    { name: 'HTTP/2', command: ask('sniffed:8000', { address, port: 8000, http2: true }), has: echoed },
    { name: 'HTTP/1.0', command: raw('GET / HTTP/1.0\r\nhost: sniffed\r\n\r\n', 'Hostname='), has: [/^HTTP\/1\.[01] \d+/] },
    { name: 'bytes', command: send(address, 9000, 'some bytes'), has: [/some bytes/] },
    { name: 'the server first', command: send(address, 9001, 'some bytes', true), has: [/^status/] },
    { name: 'the server first, by name', command: send(serverIp, 9091, 'some bytes', true), has: [/some bytes/] },
    { name: 'an unknown host on a known port', command: ask('unknown.test', { address: outsideIp }), has: ['Server=http80'] },
  ]);
});

t.test('what no service has: passed on', async t => {
  await compareTwins(t, twins, [
    {
      name: 'HTTP',
      command: ask('any.test', { address: outsideIp, port: 7001 }),
      has: ['Server=http7001'],
      lacks: [/^RequestHeader=X-Forwarded-Client/],
    },
    {
      name: 'HTTP/2 to a server without',
      command: ask('any.test', { address: outsideIp, port: 7001, http2: true }),
      has: [/^status/],
    },
    { name: 'bytes', command: send(outsideIp, 7003, 'Server='), has: ['Server=raw'] },
    { name: 'the server first', command: send(outsideIp, 7004, 'Server=', true), has: ['hello', 'Server=first'] },
    { name: 'nobody listens', command: ask('any.test', { address: outsideIp, port: 7999 }), has: [/^status (503|0)/] },
    {
      name: 'an excluded port',
      command: ask('any.test', { address: outsideIp, port: 7005 }),
      has: ['Server=http7005'],
      lacks: [/x-request-id/i],
    },
  ]);
});

t.test('ServiceEntries', async t => {
  const folder = '/var/lib/istio/data';
  for (const side of ['own', 'twin'] as const) {
    const root = join('/proc', String(sidecarPid(namespace, podNames[side])), 'root');
    await twins[side].serve({ name: 'unix', port: 0, unixSocket: join(root, folder, 'entry.sock') });
  }
  await setExternalNames({ 'one.external': [outsideIp] });
  t.teardown(() => setExternalNames({}));
  const selector = { workloadSelector: { labels: { role: 'outside' } } };
  apply([
    entry('static.ext', 'STATIC', { endpoints: [{ address: outsideIp, ports: { http: 7001 } }] }),
    entry('unix.ext', 'STATIC', { endpoints: [{ address: `unix://${folder}/entry.sock` }] }),
    entry('target.ext', 'STATIC', { ports: [{ ...http[0], targetPort: 7002 }], endpoints: [{ address: outsideIp }] }),
    entry('dns.ext', 'DNS', { endpoints: [{ address: 'one.external', ports: { http: 7001 } }] }),
    entry('two-names.ext', 'DNS', {
      endpoints: ['one.external', 'missing.external'].map(address => ({ address, ports: { http: 7001 } })),
    }),
    entry('missing.ext', 'DNS', { endpoints: [{ address: 'missing.external', ports: { http: 7001 } }] }),
    entry('one.external', 'DNS', { ports: [{ ...http[0], targetPort: 7002 }] }),
    entry('rotating.ext', 'DNS_ROUND_ROBIN', { endpoints: [{ address: 'one.external', ports: { http: 7001 } }] }),
    entry('*.wild.ext', 'NONE', { ports: [{ number: 7001, name: 'http', protocol: 'HTTP' }] }),
    entry('selected.ext', 'STATIC', { ports: [{ ...http[0], targetPort: 7001 }], location: 'MESH_INTERNAL', ...selector }),
    entry('workload.ext', 'STATIC', {
      ports: [{ ...http[0], targetPort: 7002 }],
      workloadSelector: { labels: { role: 'machine' } },
    }),
    istioObject('networking', 'WorkloadEntry', namespace, 'machine', { address: outsideIp, labels: { role: 'machine' } }),
    entry('tcp.ext', 'STATIC', {
      addresses: [outsideIp],
      ports: [{ number: 9500, name: 'tcp', protocol: 'TCP' }],
      endpoints: [{ address: outsideIp, ports: { tcp: 7003 } }],
    }),
    entry('tcp-dns.ext', 'DNS', {
      addresses: [outsideIp],
      ports: [{ number: 9501, name: 'tcp', protocol: 'TCP' }],
      endpoints: [{ address: 'one.external', ports: { tcp: 7003 } }],
    }),
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'alias', namespace },
      spec: { type: 'ExternalName', externalName: fullName('server'), ports: [{ name: 'http', port: 80, targetPort: 7001 }] },
    },
  ]);
  await compareTwins(t, twins, [
    { name: 'STATIC', command: ask('static.ext'), has: ['status 200', 'Server=http7001'] },
    { name: 'STATIC with a Unix socket', command: ask('unix.ext'), has: ['status 200', 'Server=unix'] },
    { name: 'a target port', command: ask('target.ext'), has: ['status 200', 'Server=http7002'] },
    { name: 'DNS', command: ask('dns.ext'), has: ['status 200', 'Server=http7001'] },
    { name: 'DNS, one name of two', command: ask('two-names.ext'), has: ['status 200', 'Server=http7001'], count: 4 },
    { name: 'DNS without an answer', command: ask('missing.ext'), has: ['status 503', /no healthy upstream/] },
    { name: 'DNS without endpoints: the host itself', command: ask('one.external'), has: ['status 200', 'Server=http7002'] },
    { name: 'DNS_ROUND_ROBIN', command: ask('rotating.ext'), has: ['status 200', 'Server=http7001'] },
    { name: 'NONE', command: ask('some.wild.ext', { address: outsideIp, port: 7001 }), has: ['status 200', 'Server=http7001'] },
    { name: 'pods by their labels', command: ask('selected.ext'), has: ['status 200', 'Server=http7001'] },
    { name: 'WorkloadEntry', command: ask('workload.ext'), has: ['status 200', 'Server=http7002'] },
    { name: 'TCP', command: send(outsideIp, 9500, 'Server='), has: ['Server=raw'] },
    { name: 'TCP by name', command: send(outsideIp, 9501, 'Server='), has: ['Server=raw'] },
    { name: 'ExternalName', command: ask(fullName('alias')), has: echoed },
  ]);
});

t.test('headless services and their pods', async t => {
  const headless = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'headless', namespace },
    spec: {
      clusterIP: 'None',
      selector: { app: 'server' },
      ports: [
        { name: 'http', port: appPorts.http },
        { name: 'tcp', port: appPorts.tcp },
        { name: 'any', port: appPorts.serverFirst },
      ],
    },
  };
  apply([headless]);
  const address = podIp(namespace, 'server-0');
  const port = appPorts.http;
  const certified = [...echoed, /X-Forwarded-Client-Cert/];
  await compareTwins(t, twins, [
    { name: 'by the name of the service', command: ask(`${fullName('headless')}:${port}`, { address, port }), has: certified },
    { name: 'by the name of a pod', command: ask(`server-0.${fullName('headless')}:${port}`, { address, port }), has: certified },
    { name: 'by the short name', command: ask(`headless:${port}`, { address, port }), has: certified },
    { name: 'TCP', command: send(address, appPorts.tcp, 'some bytes'), has: [/some bytes/] },
    {
      name: 'a port whose protocol nobody names',
      command: send(address, appPorts.serverFirst, 'some bytes', true),
      has: [/^status/],
    },
  ]);
});

/** Applies an object for the time of a test. */
function applyFor(t: Test, object: KubernetesObject): void {
  apply([object]);
  t.teardown(() => void run('kubectl', ['-n', namespace, 'delete', object.kind, object.metadata.name]));
}

t.test('Sidecar egress', async t => {
  const folder = '/var/lib/istio/data';
  const socket = (side: Side): string =>
    join('/proc', String(sidecarPid(namespace, podNames[side])), 'root', folder, 'egress.sock');
  const local = { number: 9700, name: 'http', protocol: 'HTTP' };
  const ports = [
    { number: 9700, name: 'http', protocol: 'HTTP', targetPort: 7001 },
    { number: 9701, name: 'http-two', protocol: 'HTTP', targetPort: 7002 },
    { number: 9702, name: 'tcp', protocol: 'TCP', targetPort: 7003 },
  ];
  apply([entry('egress.ext', 'STATIC', { ports, endpoints: [{ address: outsideIp }] })]);
  applyFor(
    t,
    istioObject('networking', 'Sidecar', namespace, 'egress', {
      workloadSelector: { labels },
      outboundTrafficPolicy: { mode: 'REGISTRY_ONLY' },
      egress: [
        { port: local, bind: '127.0.0.1', captureMode: 'NONE', hosts: ['./egress.ext'] },
        { port: { ...local, number: 9701 }, hosts: ['./egress.ext'] },
        {
          port: { number: 9702, name: 'tcp', protocol: 'TCP' },
          bind: '127.0.0.1',
          captureMode: 'NONE',
          hosts: ['./egress.ext'],
        },
        {
          bind: `unix://${folder}/egress.sock`,
          captureMode: 'NONE',
          port: { number: 0, name: 'http-unix', protocol: 'HTTP' },
          hosts: ['./static.ext'],
        },
        { hosts: [`./${fullName('server')}`] },
      ],
    }),
  );
  const at = (host: string, port: number): Request => ask(host, { address: '127.0.0.1', port });
  await compareTwins(t, twins, [
    { name: 'a known service', command: ask(fullName('server')), has: echoed },
    { name: 'a service that is not named', command: ask('dns.ext'), has: ['status 502'] },
    { name: 'what nobody knows', command: ask('any.test', { address: outsideIp, port: 7002 }), has: ['status 0'] },
    { name: 'bytes to what nobody knows', command: send(outsideIp, 7003, 'Server='), has: ['status 0'] },
    { name: 'a port on the loopback', command: at('egress.ext:9700', 9700), has: ['Server=http7001'] },
    { name: 'bytes to a port on the loopback', command: send('127.0.0.1', 9702, 'Server='), has: ['Server=raw'] },
    {
      name: 'a port that is captured',
      command: ask('egress.ext:9701', { address: serverIp, port: 9701 }),
      has: ['Server=http7002'],
    },
  ]);
  const bySocket = (side: Side): Command => ({ ...ask('static.ext'), unixSocket: socket(side) });
  await compareTwins(t, twins, [{ name: 'a Unix socket', command: bySocket, has: ['status 200', 'Server=http7001'] }]);
  const isRejected = (side: Side): boolean =>
    /update_rejected: [1-9]/.test(
      run('kubectl', [
        '-n',
        namespace,
        'exec',
        podNames[side],
        '-c',
        'istio-proxy',
        '--',
        'pilot-agent',
        'request',
        'GET',
        'stats?filter=update_rejected',
      ]),
    );
  await waitFor('all of it to be accepted', () => !isRejected('own'), 5000).catch(() => null);
  t.notOk(isRejected('own'), 'nothing was rejected');
});
