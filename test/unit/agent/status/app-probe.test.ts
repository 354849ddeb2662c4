import t from 'tap';
import { once } from 'node:events';
import { createServer as createHttp2Server, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { rawMethod } from '../../../../agent/raw-service.ts';
import { runAppProbe } from '../../../../agent/status/app-probe.ts';

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
