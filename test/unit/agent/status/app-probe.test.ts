import t from 'tap';
import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import {
  createServer as createHttp2Server,
  createSecureServer,
  type Http2ServerRequest,
  type ServerHttp2Stream,
} from 'node:http2';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, createServer } from 'node:net';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { rawMethod } from '../../../../agent/raw-service.ts';
import { runAppProbe } from '../../../../agent/status/app-probe.ts';
import type { HttpProbe } from '../../../../agent/status/app-probe-config.ts';
import { CertificateAuthority } from '../../../../demo/certificate-authority.ts';

type Tap = { teardown(handler: () => void): void };

const target = { destination: '127.0.0.1', sourceAddress: '127.0.0.6', statusPort: 15020 };
const incoming = { host: 'pod:15020', headers: { 'user-agent': 'kube-probe/1.3' } };

t.test('a gRPC probe comes from its own address and reads the health of the service', async t => {
  const server = new Server();
  const seen: { peer: string; service: string; agent: unknown }[] = [];
  let health = 1;
  server.addService(
    { Check: rawMethod('/grpc.health.v1.Health/Check', false) },
    {
      Check: (
        call: { getPeer(): string; request: Buffer; metadata: { get(name: string): unknown } },
        callback: (e: null, b: Buffer) => void,
      ) => {
        seen.push({ peer: call.getPeer(), service: call.request.subarray(2).toString(), agent: call.metadata.get('user-agent') });
        callback(null, Buffer.from([0x08, health]));
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    ),
  );
  t.teardown(() => server.forceShutdown());
  const probe = { kind: 'grpc', port, service: 'catalog', timeoutMs: 2000 } as const;
  t.equal((await runAppProbe(probe, target, incoming)).status, 200);
  t.match(seen[0].peer, /^127\.0\.0\.6:/);
  t.equal(seen[0].service, 'catalog');
  t.match(String(seen[0].agent), 'kube-probe/1.3');
  health = 2;
  t.equal((await runAppProbe(probe, target, incoming)).status, 500);
});

t.test('a gRPC probe fails on a server without the health protocol, on silence and without a server', async t => {
  const server = createHttp2Server().listen(0, '127.0.0.1');
  await once(server, 'listening');
  let answers = true;
  server.on('stream', (stream: ServerHttp2Stream) => {
    stream.on('error', () => {});
    if (answers) stream.respond({ ':status': 200, 'grpc-status': '12' }, { endStream: true });
  });
  const probe = { kind: 'grpc', port: (server.address() as AddressInfo).port, service: '', timeoutMs: 200 } as const;
  t.equal((await runAppProbe(probe, target, incoming)).status, 500);
  answers = false;
  t.equal((await runAppProbe(probe, target, incoming)).status, 500);
  server.close();
  await once(server, 'close');
  t.equal((await runAppProbe(probe, target, incoming)).status, 500);
});

const application = await CertificateAuthority.create({ name: 'application' });
const certificate = await application.issue([{ type: 'dns', value: 'app' }]);

/** An application that serves HTTPS, with and without HTTP/2, and notes what it was asked. */
async function startHttps(t: Tap, http2: boolean) {
  const seen: { version: string; host: string | undefined; peer: string; header: unknown; connection: unknown }[] = [];
  const connections = new Set<number>();
  const answer = (request: IncomingMessage | Http2ServerRequest, response: ServerResponse): void => {
    const { remoteAddress = '', remotePort = 0 } = request.socket;
    connections.add(remotePort);
    const host = (request.headers[':authority'] as string | undefined) ?? request.headers.host;
    const { 'x-probe': header, connection } = request.headers;
    seen.push({ version: request.httpVersion, host, peer: remoteAddress, header, connection });
    response.writeHead(request.url === '/moved' ? 302 : 200, request.url === '/moved' ? { location: '/there' } : {});
    response.end(`you asked for ${request.url}`);
  };
  const identity = { key: certificate.privateKey, cert: certificate.certificate };
  const server = http2
    ? createSecureServer({ ...identity, allowHTTP1: true }, (request, response) => answer(request, response as never))
    : createHttpsServer(identity, answer);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return { port: (server.address() as AddressInfo).port, seen, connections };
}

const httpsProbe = (port: number, path = '/'): HttpProbe => ({ kind: 'http', path, port, tls: true, timeoutMs: 5000 });
const kubelet = { host: 'pod:15020', headers: { host: 'pod:15020', 'x-probe': 'yes', connection: 'close' } };

for (const [http2, version] of [
  [true, '2.0'],
  [false, '1.1'],
] as const) {
  t.test(`an HTTPS probe speaks HTTP/${version} as the application chooses, from its own address`, async t => {
    const { port, seen } = await startHttps(t, http2);
    const result = await runAppProbe(httpsProbe(port), target, kubelet);
    t.equal(result.status, 200);
    t.equal(result.body?.toString(), 'you asked for /');
    t.match(seen[0], { version, host: `pod:${port}`, peer: '127.0.0.6', header: 'yes' });
    t.equal((await runAppProbe(httpsProbe(port, '/moved'), target, kubelet)).body?.toString(), 'you asked for /there');
  });

  t.test(`connections of HTTPS probes over HTTP/${version} are kept only if asked for`, async t => {
    for (const [keepsConnections, expected] of [
      [false, 3],
      [true, 1],
    ] as const) {
      const { port, connections } = await startHttps(t, http2);
      for (let i = 0; i < 3; i++) await runAppProbe(httpsProbe(port), { ...target, keepsConnections }, kubelet);
      // The first HTTPS answer tells the protocol, and its connection is not kept where it is HTTP/1.1.
      t.equal(connections.size, keepsConnections && !http2 ? 2 : expected);
    }
  });
}

t.test('without HTTP/2 probing an application that serves both is asked over HTTP/1.1', async t => {
  const { port, seen } = await startHttps(t, true);
  await runAppProbe(httpsProbe(port), { ...target, http2: false }, kubelet);
  t.notOk(seen.some(({ version }) => version === '2.0'));
});

t.test('a silent HTTPS application fails after the time limit', async t => {
  const server = createServer(() => {}).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const probe = { ...httpsProbe((server.address() as AddressInfo).port), timeoutMs: 100 };
  t.equal((await runAppProbe(probe, target, kubelet)).status, 500);
});

t.test('an HTTP/2 application that closes without an answer fails the probe', async t => {
  const server = createSecureServer({ key: certificate.privateKey, cert: certificate.certificate });
  server.on('stream', stream => {
    stream.on('error', () => {});
    stream.session?.destroy();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const probe = { ...httpsProbe((server.address() as AddressInfo).port), timeoutMs: 0 };
  t.equal((await runAppProbe(probe, target, kubelet)).status, 500);
});

t.test('a probe that was asked for with a body promises none to the application', async t => {
  const server = createHttpServer((request, response) => response.end(JSON.stringify(request.headers))).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const probe = { kind: 'http', path: '/', port: (server.address() as AddressInfo).port, tls: false, timeoutMs: 5000 } as const;
  const headers = { 'content-length': '5', 'transfer-encoding': 'chunked', 'x-own': 'kept' };
  const { status, body } = await runAppProbe(probe, target, { host: 'pod', headers });
  t.equal(status, 200);
  t.strictSame(JSON.parse(String(body)), { 'x-own': 'kept', host: 'pod', connection: 'close' });
});
