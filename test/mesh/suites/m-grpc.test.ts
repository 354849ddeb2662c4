/** HTTP/2 and gRPC between this image and itself, and between it and Envoy, both ways. */
import t from 'tap';
import { run, waitFor } from '../cluster/command.ts';
import { apply, type KubernetesObject } from '../cluster/kubectl.ts';
import { callEcho, deploy, makeNamespace, namespaceOf, requireMode } from '../fixtures/mesh.ts';
import { testIn } from '../fixtures/modes.ts';
import { metricPorts, scrape } from '../fixtures/metrics.ts';
import { type App, appPorts, istioObject, type SidecarKind } from '../fixtures/pods.ts';
import { waitForCluster } from '../fixtures/proxies.ts';
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
const namespace = makeNamespace(t, namespaceOf('mesh-grpc'));
/** Ports of the application besides the usual: the protocol of each is that of its service's port. */
const targets = { grpc: 7070, sniffedGrpc: 7071, http2: 8082, sniffed: 8083 } as const;
const args = Object.entries(targets).flatMap(([name, port]) => [/grpc/i.test(name) ? '--grpc' : '--port', String(port)]);

/** Ports whose protocol Istio knows by name, and two that sidecars find out. */
function service(name: string): KubernetesObject {
  const ports = [
    { name: 'grpc', port: 7070, targetPort: targets.grpc },
    { name: 'http', port: 80, targetPort: appPorts.http },
    { name: 'http2', port: 82, targetPort: targets.http2 },
    { name: 'sniffed', port: 83, targetPort: targets.sniffed },
    { name: 'sniffed-grpc', port: 7071, targetPort: targets.sniffedGrpc },
  ];
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace, labels: { app: name } },
    spec: { selector: { app: name }, ports },
  };
}

const apps: App[] = kinds.flatMap(kind => [
  { name: nameOf('client', kind), sidecar: kind, native: true },
  { name: nameOf('server', kind), sidecar: kind, args },
]);
deploy(
  namespace,
  [...apps, { name: 'outside', sidecar: 'none' }],
  kinds.map(kind => service(nameOf('server', kind))),
);

for (const [clientKind, serverKind] of pairs) {
  t.test(`${clientKind} to ${serverKind}`, async t => {
    const client = nameOf('client', clientKind);
    const server = nameOf('server', serverKind);
    for (const port of [7070, 80, 82, 83, 7071]) {
      await waitForCluster(namespace, client, `outbound|${port}||${server}.${namespace}.svc.cluster.local`);
    }
    const call = (url: string, ...flags: string[]) => callEcho(namespace, client, url, ...flags);

    for (const port of [7070, 7071]) {
      const replies = call(`grpc://${server}:${port}`, '--count', '20', '--msg', 'over gRPC');
      t.same(
        replies.map(({ status }) => status),
        Array(20).fill(200),
        `gRPC on port ${port}`,
      );
      t.equal(replies[0]?.fields.get('Hostname'), server);
      t.match(replies[0]?.text, /over gRPC/);
      if (port === 7071) continue;
      const certificate = replies[0]?.requestHeaders.get('x-forwarded-client-cert');
      t.match(certificate, /URI=spiffe:\/\/cluster\.local\/ns\//, 'mutual TLS');
    }
    for (const port of [80, 82, 83]) {
      const replies = call(`http://${server}:${port}/path`, '--http2', '--count', '20');
      t.same(
        replies.map(({ status }) => status),
        Array(20).fill(200),
        `HTTP/2 by prior knowledge on port ${port}`,
      );
      const [plain] = call(`http://${server}:${port}/path`);
      t.equal(plain?.status, 200, `HTTP/1.1 on port ${port}`);
      // A port named http is forwarded as HTTP/1.1, one named http2 as HTTP/2, one without a name as the client speaks.
      t.match(replies[0]?.fields.get('Proto'), port === 80 ? /HTTP\/1/ : /HTTP\/2/, `what arrives of HTTP/2 on port ${port}`);
      t.match(plain?.fields.get('Proto'), port === 82 ? /HTTP\/2/ : /HTTP\/1/, `what arrives of HTTP/1 on port ${port}`);
    }
    const [error] = call(`http://${server}:82/?codes=418`, '--http2');
    t.equal(error?.status, 418, 'an error of the application passes');
  });
}

t.test('gRPC from outside the mesh: PERMISSIVE takes it', async t => {
  const [reply] = callEcho(namespace, 'outside', `grpc://${nameOf('server', subject)}:${7070}`, '--msg', 'plain');
  t.equal(reply?.status, 200);
});

t.test('routes choose by the method of a gRPC service, and retries and timeouts apply to it', async t => {
  const server = nameOf('server', subject);
  const client = nameOf('client', subject);
  const match = [{ uri: { prefix: '/proto.EchoTestService/' } }];
  const fault = { abort: { grpcStatus: 'UNAVAILABLE', percentage: { value: 100 } } };
  const route = [{ destination: { host: server, port: { number: 7070 } } }];
  const spec = { hosts: [server], http: [{ match, fault, route }, { route }] };
  apply([istioObject('networking', 'VirtualService', namespace, 'grpc', spec)]);
  t.teardown(() => run('kubectl', ['-n', namespace, 'delete', 'virtualservice', 'grpc', '--ignore-not-found']));
  const call = () => callEcho(namespace, client, `grpc://${server}:${7070}`, '--msg', 'x', '--timeout', '2s');
  await waitFor('the fault to be injected', () => call()[0]?.status !== 200);
  run('kubectl', ['-n', namespace, 'delete', 'virtualservice', 'grpc']);
  await waitFor('the fault to be gone', () => call()[0]?.status === 200);
});

testIn('default', 'metrics tell gRPC from HTTP, with its status and its messages', async t => {
  const server = nameOf('server', subject);
  const client = nameOf('client', subject);
  for (const [pod, reporter] of [
    [client, 'source'],
    [server, 'destination'],
  ] as const) {
    const find = async (name: string) => {
      const series = await scrape(namespace, pod, metricPorts.proxy);
      return series.filter(({ name: found, labels }) => found === name && labels.reporter === reporter);
    };
    const requests = (await find('istio_requests_total')).filter(({ labels }) => labels.request_protocol === 'grpc');
    t.ok(requests.length > 0, `${reporter}: istio_requests_total of gRPC`);
    t.ok(
      requests.some(({ labels }) => labels.grpc_response_status === '0' && labels.response_code === '200'),
      'with status 0',
    );
    for (const name of ['istio_request_messages_total', 'istio_response_messages_total']) {
      const messages = await find(name);
      t.ok(
        messages.some(({ value }) => value > 0),
        `${reporter}: ${name}`,
      );
    }
  }
});
