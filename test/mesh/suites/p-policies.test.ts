/** DestinationRules towards servers outside of the mesh: what such a server sees of this image is what it sees of Envoy. */
import { setTimeout as pause } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { waitFor } from '../cluster/command.ts';
import { apply } from '../cluster/kubectl.ts';
import { deploy, makeNamespace, podIp, requireMode } from '../fixtures/mesh.ts';
import { PodNetwork, type Request } from '../fixtures/pod-network.ts';
import { type App, appPorts, istioObject } from '../fixtures/pods.ts';
import { subject } from '../fixtures/subject.ts';
import { issueCertificate, readMeshAuthority } from '../fixtures/tls-client.ts';
import { compareTwins, type Scenario, type Twins } from '../fixtures/twin-scenarios.ts';

t.comment(`mode: ${requireMode()}, subject: ${subject}`);
const namespace = makeNamespace(t, 'mesh-policies');
/** How long a slow server takes to answer. */
const slowMs = 400;

const authority = readMeshAuthority();
const serverCertificate = await issueCertificate(authority, 'dns', 'tls.ext');
const clientCertificate = await issueCertificate(authority, 'dns', 'client.ext');
const material = { 'ca.crt': authority.cert, 'tls.crt': clientCertificate.cert, 'tls.key': clientCertificate.key };
apply([
  { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'material', namespace }, stringData: material },
  // A sidecar gets a Secret by name only if its account may read Secrets.
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'Role',
    metadata: { name: 'secrets', namespace },
    rules: [{ apiGroups: [''], resources: ['secrets'], verbs: ['get', 'list', 'watch'] }],
  },
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    metadata: { name: 'secrets', namespace },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'secrets' },
    subjects: [{ kind: 'ServiceAccount', name: 'default', namespace }],
  },
]);

const annotations = {
  'sidecar.istio.io/userVolume': JSON.stringify({ material: { secret: { secretName: 'material' } } }),
  'sidecar.istio.io/userVolumeMount': JSON.stringify({ material: { mountPath: '/etc/material', readOnly: true } }),
};
const labels = { 'istio-locality': 'region1.zone1.sub1' };
const apps: App[] = [
  { name: 'own', label: 'client', sidecar: subject, annotations, labels },
  { name: 'twin', label: 'client', sidecar: 'envoy', annotations, labels },
  { name: 'outside', sidecar: 'none' },
];
deploy(namespace, apps);

const address = podIp(namespace, 'outside');
const outside = PodNetwork.enter(t, namespace, 'outside');
const twins: Twins = {
  own: PodNetwork.enter(t, namespace, 'own'),
  twin: PodNetwork.enter(t, namespace, 'twin'),
  names: new Map([
    [podIp(namespace, 'own'), '<client>'],
    [podIp(namespace, 'twin'), '<client>'],
    [address, '<outside>'],
  ]),
};

const tls = { ...serverCertificate, ALPNProtocols: ['http/1.1'] };
await outside.serve({ name: 'plain', port: 7001 });
await outside.serve({ name: 'tls', port: 7443, tls });
await outside.serve({ name: 'mutual', port: 7444, tls: { ...tls, ca: authority.cert } });
await outside.serve({ name: 'raw', port: 7002, raw: true });
await outside.serve({ name: 'slow', port: 7003, delayMs: slowMs });
await outside.serve({ name: 'broken', port: 7004, status: 500 });
await outside.serve({ name: 'connect', port: 7128, connectProxy: true });
for (const index of [0, 1, 2, 3, 4]) await outside.serve({ name: `numbered${index}`, port: 7200 + index });

const entry = (host: string, spec: object): ReturnType<typeof istioObject> =>
  istioObject('networking', 'ServiceEntry', namespace, host, {
    hosts: [host],
    exportTo: ['.'],
    resolution: 'STATIC',
    location: 'MESH_EXTERNAL',
    ...spec,
  });

/** A host that is served by HTTP on port 80, at ports of the pod outside. */
const httpEntry = (host: string, ...ports: number[]): ReturnType<typeof istioObject> =>
  entry(host, {
    ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
    endpoints: ports.map(port => ({ address, ports: { http: port } })),
  });

const rule = (host: string, trafficPolicy: object, more: object = {}): ReturnType<typeof istioObject> =>
  istioObject('networking', 'DestinationRule', namespace, host, { host, trafficPolicy, exportTo: ['.'], ...more });

const ask = (host: string, more: Partial<Request> = {}): Request => ({
  address,
  port: 80,
  ...more,
  headers: { host, ...more.headers },
});

t.test('TLS to the server', async t => {
  const ca = '/etc/material/ca.crt';
  const own = { clientCertificate: '/etc/material/tls.crt', privateKey: '/etc/material/tls.key' };
  const selector = { workloadSelector: { matchLabels: { app: 'client' } } };
  const verified = { caCertificates: ca, sni: 'tls.ext', subjectAltNames: ['tls.ext'] };
  const policies: readonly (readonly [host: string, port: number, tls: object, more?: object])[] = [
    ['simple.ext', 7443, { mode: 'SIMPLE', ...verified }],
    ['unverified.ext', 7443, { mode: 'SIMPLE', insecureSkipVerify: true }],
    ['system.ext', 7443, { mode: 'SIMPLE' }],
    ['other-name.ext', 7443, { mode: 'SIMPLE', ...verified, subjectAltNames: ['other.ext'] }],
    ['mutual.ext', 7444, { mode: 'MUTUAL', ...verified, ...own }],
    ['no-certificate.ext', 7444, { mode: 'SIMPLE', ...verified }],
    ['credential.ext', 7444, { mode: 'MUTUAL', credentialName: 'material', sni: 'tls.ext' }, selector],
    ['credential-simple.ext', 7443, { mode: 'SIMPLE', credentialName: 'material', sni: 'named.ext' }, selector],
    ['no-credential.ext', 7443, { mode: 'SIMPLE', credentialName: 'missing' }, selector],
    ['to-plain.ext', 7002, { mode: 'SIMPLE', insecureSkipVerify: true }],
    ['disabled.ext', 7001, { mode: 'DISABLE' }],
  ];
  apply(policies.flatMap(([host, port, tls, more]) => [httpEntry(host, port), rule(host, { tls }, more)]));
  const client = 'Client=DNS:client.ext';
  await compareTwins(t, twins, [
    { name: 'SIMPLE', command: ask('simple.ext'), has: ['status 200', 'Servername=tls.ext', 'Client='] },
    { name: 'SIMPLE for HTTP/2', command: ask('simple.ext', { http2: true }), has: ['status 200', 'Servername=tls.ext'] },
    { name: 'unverified', command: ask('unverified.ext'), has: ['status 200', /^Servername=/] },
    { name: "the system's authorities", command: ask('system.ext'), has: ['status 503', /remote connection failure/] },
    { name: 'another name', command: ask('other-name.ext'), has: ['status 503', /remote connection failure/] },
    { name: 'MUTUAL', command: ask('mutual.ext'), has: ['status 200', client] },
    { name: 'a certificate is missing', command: ask('no-certificate.ext'), has: ['status 503'] },
    { name: 'MUTUAL by a Secret', command: ask('credential.ext'), has: ['status 200', client] },
    { name: 'SIMPLE by a Secret', command: ask('credential-simple.ext'), has: ['status 200', 'Servername=named.ext'] },
    { name: 'a Secret that is missing', command: ask('no-credential.ext'), has: ['status 503', /remote connection failure/] },
    { name: 'TLS to a server without', command: ask('to-plain.ext'), has: ['status 503', /remote connection failure/] },
    { name: 'DISABLE', command: ask('disabled.ext'), has: ['status 200', 'Server=plain'] },
  ]);
});

t.test('a port of its own for TLS: HTTP becomes HTTPS', async t => {
  const ports = [
    { number: 80, name: 'http', protocol: 'HTTP' },
    { number: 443, name: 'https', protocol: 'HTTPS' },
  ];
  apply([
    entry('upgraded.ext', { ports, endpoints: [{ address, ports: { http: 7001, https: 7443 } }] }),
    rule('upgraded.ext', {
      portLevelSettings: [{ port: { number: 443 }, tls: { mode: 'SIMPLE', insecureSkipVerify: true, sni: 'upgraded.sni' } }],
    }),
    istioObject('networking', 'VirtualService', namespace, 'upgraded', {
      hosts: ['upgraded.ext'],
      exportTo: ['.'],
      http: [
        { match: [{ uri: { prefix: '/plain' } }], route: [{ destination: { host: 'upgraded.ext', port: { number: 80 } } }] },
        { route: [{ destination: { host: 'upgraded.ext', port: { number: 443 } } }] },
      ],
    }),
  ]);
  await compareTwins(t, twins, [
    { name: 'to 443', command: ask('upgraded.ext'), has: ['status 200', 'Servername=upgraded.sni', 'Server=tls'] },
    { name: 'to 80', command: ask('upgraded.ext', { path: '/plain' }), has: ['status 200', 'Server=plain'] },
  ]);
});

t.test('TLS of the client, by its SNI; TCP by port; a tunnel by CONNECT; the PROXY protocol', async t => {
  const port = (number: number, protocol: string): object => ({ number, name: protocol.toLowerCase(), protocol });
  const proxied = (version: string): object => ({ proxyProtocol: { version } });
  apply([
    entry('sni1.ext', { ports: [port(9443, 'TLS')], endpoints: [{ address, ports: { tls: 7443 } }] }),
    entry('sni2.ext', { ports: [port(9443, 'TLS')], endpoints: [{ address, ports: { tls: 7444 } }] }),
    entry('tcp.ext', { addresses: [address], ports: [port(9000, 'TCP')], endpoints: [{ address, ports: { tcp: 7002 } }] }),
    entry('connect.ext', { ports: [port(7128, 'TCP')], endpoints: [{ address }] }),
    entry('tunneled.ext', { addresses: [address], ports: [port(9001, 'TCP')], endpoints: [{ address, ports: { tcp: 7001 } }] }),
    rule('connect.ext', { tunnel: { protocol: 'CONNECT', targetHost: address, targetPort: 7002 } }),
    istioObject('networking', 'VirtualService', namespace, 'tunneled', {
      hosts: ['tunneled.ext'],
      exportTo: ['.'],
      tcp: [{ match: [{ port: 9001 }], route: [{ destination: { host: 'connect.ext', port: { number: 7128 } } }] }],
    }),
    istioObject('networking', 'VirtualService', namespace, 'sni', {
      hosts: ['sni3.ext'],
      exportTo: ['.'],
      tls: [
        {
          match: [{ port: 9443, sniHosts: ['sni3.ext'] }],
          route: [{ destination: { host: 'sni1.ext', port: { number: 9443 } } }],
        },
      ],
    }),
    entry('sni3.ext', { ports: [port(9443, 'TLS')], endpoints: [{ address, ports: { tls: 7001 } }] }),
    httpEntry('proxied1.ext', 7001),
    rule('proxied1.ext', proxied('V1')),
    httpEntry('proxied2.ext', 7001),
    rule('proxied2.ext', proxied('V2')),
  ]);
  const exchange = (number: number, servername?: string): Scenario['command'] => ({
    kind: 'exchange',
    address,
    port: number,
    send: 'GET / HTTP/1.1\r\nhost: any\r\n\r\n',
    until: 'Server=',
    timeoutMs: 3000,
    ...(servername ? { tls: { servername } } : {}),
  });
  await compareTwins(t, twins, [
    { name: 'SNI', command: exchange(9443, 'sni1.ext'), has: ['Servername=sni1.ext'] },
    { name: 'another SNI leads to a server that wants a certificate', command: exchange(9443, 'sni2.ext'), has: ['status 0'] },
    { name: 'a route by SNI', command: exchange(9443, 'sni3.ext'), has: ['Servername=sni3.ext'] },
    { name: 'TCP', command: exchange(9000), has: ['Server=raw'] },
    { name: 'a tunnel', command: exchange(9001), has: ['Server=raw', 'Remote=<outside>'] },
    { name: 'PROXY 1', command: ask('proxied1.ext'), has: ['status 200', 'Proxy=1 TCP4 <client> <outside> 80'] },
    { name: 'PROXY 2', command: ask('proxied2.ext'), has: ['status 200', /^Proxy=2 2111 /] },
  ]);
});

t.test('HTTP versions', async t => {
  const pool = (http: object): object => ({ connectionPool: { http } });
  const echo = appPorts.http;
  apply([
    httpEntry('upgrade.ext', echo),
    rule('upgrade.ext', pool({ h2UpgradePolicy: 'UPGRADE' })),
    httpEntry('client-version.ext', echo),
    rule('client-version.ext', pool({ useClientProtocol: true })),
    httpEntry('one-request.ext', echo),
    rule('one-request.ext', pool({ maxRequestsPerConnection: 1, idleTimeout: '1s' })),
    entry('http2.ext', {
      ports: [{ number: 80, name: 'http2', protocol: 'HTTP2' }],
      endpoints: [{ address, ports: { http2: echo } }],
    }),
    entry('grpc.ext', {
      ports: [{ number: 80, name: 'grpc', protocol: 'GRPC' }],
      endpoints: [{ address, ports: { grpc: echo } }],
    }),
  ]);
  const one = ['status 200', 'Proto=HTTP/1.1'];
  const two = ['status 200', 'Proto=HTTP/2.0'];
  await compareTwins(t, twins, [
    { name: 'h2UpgradePolicy', command: ask('upgrade.ext'), has: two },
    { name: 'the version of the client: 1', command: ask('client-version.ext'), has: one },
    { name: 'the version of the client: 2', command: ask('client-version.ext', { http2: true }), has: two },
    { name: 'one request per connection', command: ask('one-request.ext'), has: one, count: 5 },
    { name: 'a port named http2', command: ask('http2.ext'), has: two },
    { name: 'a port named grpc', command: ask('grpc.ext', { http2: true }), has: two },
    { name: 'HTTP/2 to a server of HTTP/1', command: ask('one-request.ext', { http2: true }), has: one },
  ]);
});

t.test('the same key goes to the same host as with Envoy', async t => {
  const ports = [7200, 7201, 7202, 7203, 7204];
  const hash = (consistentHash: object): object => ({ loadBalancer: { consistentHash } });
  const policies: Record<string, object> = {
    'hash-header.ext': hash({ httpHeaderName: 'x-key' }),
    'hash-maglev.ext': hash({ httpHeaderName: 'x-key', maglev: {} }),
    'hash-ring.ext': hash({ httpHeaderName: 'x-key', ringHash: { minimumRingSize: 4096 } }),
    'hash-query.ext': hash({ httpQueryParameterName: 'key' }),
    'hash-cookie.ext': hash({ httpCookie: { name: 'key', ttl: '0s' } }),
    'hash-source.ext': hash({ useSourceIp: true }),
  };
  apply(Object.entries(policies).flatMap(([host, policy]) => [httpEntry(host, ...ports), rule(host, policy)]));
  const keys = ['a', 'b', 'key-3', 'key-4', 'a much longer key', '6'];
  const scenarios = keys.flatMap(key => [
    ...['hash-header.ext', 'hash-maglev.ext', 'hash-ring.ext'].map(host => ({
      command: ask(host, { headers: { 'x-key': key } }),
    })),
    { command: ask('hash-query.ext', { path: `/?key=${encodeURIComponent(key)}` }) },
    { command: ask('hash-cookie.ext', { headers: { cookie: `key=${key.replaceAll(' ', '_')}` } }) },
  ]);
  await compareTwins(
    t,
    twins,
    scenarios.map(({ command }, index) => ({ name: `key ${index}`, command, has: ['status 200', /^Server=numbered/], count: 2 })),
  );
  for (const pod of [twins.own, twins.twin]) {
    const replies = await Promise.all(Array.from({ length: 10 }, () => pod.perform(ask('hash-source.ext'))));
    const servers = new Set(replies.map(reply => /Server=(\w+)/.exec(reply.body)?.[1]));
    t.equal(servers.size, 1, 'one address, one host');
  }
});

/** How many of `count` requests each server got, and what failed. */
async function countServers(pod: PodNetwork, host: string, count: number): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  await Promise.all(
    Array.from({ length: count }, async () => {
      const { status, body } = await pod.perform(ask(host));
      const key = status === 200 ? (/Server=(\w+)/.exec(body)?.[1] ?? '') : String(status);
      counts[key] = (counts[key] ?? 0) + 1;
    }),
  );
  return counts;
}

async function forBoth(t: Test, check: (t: Test, pod: PodNetwork, name: string) => Promise<void>): Promise<void> {
  await Promise.all((['twin', 'own'] as const).map(name => check(t, twins[name], name)));
}

t.test('limits, ejection, balancers, localities', async t => {
  const at = (port: number, locality: string, weight?: number): object => ({ address, ports: { http: port }, locality, weight });
  const http = [{ number: 80, name: 'http', protocol: 'HTTP' }];
  const outlierDetection = { consecutive5xxErrors: 1, interval: '0.2s', baseEjectionTime: '300s', maxEjectionPercent: 100 };
  const three = [at(7200, 'region1/zone1/sub1'), at(7201, 'region1/zone2/sub1'), at(7202, 'region2/zone1/sub1')];
  apply([
    httpEntry('warming.ext', 7200, 7201),
    rule('warming.ext', { loadBalancer: { simple: 'ROUND_ROBIN', warmup: { duration: '60s', minimumPercent: 10 } } }),
    entry('prioritized.ext', {
      ports: http,
      endpoints: [
        { ...at(7200, 'region1/zone1/sub1'), labels: { version: 'v0' } },
        { ...at(7201, 'region2/zone1/sub1'), labels: { version: 'v1' } },
      ],
    }),
    rule('prioritized.ext', { outlierDetection, loadBalancer: { localityLbSetting: { failoverPriority: ['version'] } } }),
    httpEntry('limited.ext', 7003),
    rule('limited.ext', { connectionPool: { tcp: { maxConnections: 1 }, http: { http1MaxPendingRequests: 1 } } }),
    httpEntry('ejecting.ext', 7004, 7001),
    rule('ejecting.ext', { outlierDetection }),
    ...['ROUND_ROBIN', 'RANDOM', 'LEAST_REQUEST'].flatMap(simple => {
      const host = `${simple.toLowerCase().replace('_', '-')}.ext`;
      return [httpEntry(host, 7200, 7201, 7202), rule(host, { loadBalancer: { simple } })];
    }),
    entry('nearest.ext', { ports: http, endpoints: three }),
    rule('nearest.ext', { outlierDetection }),
    entry('failing.ext', { ports: http, endpoints: [at(7999, 'region1/zone1/sub1'), ...three.slice(1)] }),
    rule('failing.ext', { outlierDetection }),
    entry('distributed.ext', { ports: http, endpoints: three }),
    rule('distributed.ext', {
      outlierDetection,
      loadBalancer: {
        localityLbSetting: { distribute: [{ from: 'region1/zone1/*', to: { 'region1/zone2/*': 80, 'region2/zone1/*': 20 } }] },
      },
    }),
    entry('failover.ext', { ports: http, endpoints: three.slice(2).concat(at(7203, 'region3/zone1/sub1')) }),
    rule('failover.ext', {
      outlierDetection,
      loadBalancer: { localityLbSetting: { failover: [{ from: 'region1', to: 'region3' }] } },
    }),
  ]);
  await forBoth(t, async (t, pod, name) => {
    await waitFor('the last host', async () => (await countServers(pod, 'failover.ext', 1)).numbered3 === 1);
    // While the connection is being made, its request is the one that may wait: the others come once it is made.
    const first = countServers(pod, 'limited.ext', 1);
    await pause(slowMs / 4);
    const limited = await countServers(pod, 'limited.ext', 9);
    t.same(await first, { slow: 1 }, `${name}: a first connection`);
    t.ok(limited.slow >= 1 && limited['503'] >= 5, `${name}: a limit of connections: ${JSON.stringify(limited)}`);
    t.same(await countServers(pod, 'prioritized.ext', 20), { numbered1: 20 }, `${name}: the host whose label is the client's`);
    const warming = await countServers(pod, 'warming.ext', 40);
    t.equal((warming.numbered0 ?? 0) + (warming.numbered1 ?? 0), 40, `${name}: hosts that warm up`);
    await countServers(pod, 'ejecting.ext', 10);
    t.same(await countServers(pod, 'ejecting.ext', 10), { plain: 10 }, `${name}: a host that fails is ejected`);
    for (const host of ['round-robin.ext', 'random.ext', 'least-request.ext']) {
      const counts = await countServers(pod, host, 60);
      const isFair = [0, 1, 2].every(index => counts[`numbered${index}`] >= 6);
      t.ok(isFair, `${name}: ${host}: ${JSON.stringify(counts)}`);
    }
    t.same(await countServers(pod, 'nearest.ext', 20), { numbered0: 20 }, `${name}: the locality of the client`);
    await waitFor('failover', async () => (await countServers(pod, 'failing.ext', 1)).numbered1 === 1);
    t.same(await countServers(pod, 'failing.ext', 20), { numbered1: 20 }, `${name}: the next zone`);
    t.same(await countServers(pod, 'failover.ext', 20), { numbered3: 20 }, `${name}: the region that is named`);
    const { numbered1 = 0, numbered2 = 0 } = await countServers(pod, 'distributed.ext', 200);
    t.equal(numbered1 + numbered2, 200, `${name}: only to the localities of the distribution`);
    // Five standard deviations.
    t.ok(Math.abs(numbered2 - 40) < 29, `${name}: ${numbered2} of 200 for a weight of 20`);
  });
});
