/** gRPC calls of every kind by grpc-js, through two proxies with mutual TLS between them. Runs wherever the tests run. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  Client,
  credentials,
  type handleBidiStreamingCall,
  Metadata,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  status,
} from '@grpc/grpc-js';
import t, { type Test } from 'tap';
import { findFreePort, getAdmin, ownCommand, type ProxyProcess, startProxy } from '../support/proxy-process.ts';
import { httpFilter, makeCertificates, staticCluster, staticListener } from './static-bootstrap.ts';
import { waitFor } from './wait.ts';

const bytes = (value: Buffer): Buffer => value;
const path = '/test.Echo/Talk';
const service: ServiceDefinition = {
  talk: {
    path,
    requestStream: true,
    responseStream: true,
    requestSerialize: bytes,
    requestDeserialize: bytes,
    responseSerialize: bytes,
    responseDeserialize: bytes,
  },
};

/** Sends every message back; `fail` ends the call with a status, `silence` never answers. */
const talk: handleBidiStreamingCall<Buffer, Buffer> = call => {
  call.on('data', (message: Buffer) => {
    const text = message.toString();
    if (text === 'fail') call.emit('error', { code: status.FAILED_PRECONDITION, details: 'not like that: äöü' });
    else if (text !== 'silence') call.write(message);
  });
  call.on('end', () => call.end());
  call.on('error', () => {});
};

const http2 = (clusterMessage: object): object => ({
  ...clusterMessage,
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
      explicit_http_config: { http2_protocol_options: {} },
    },
  },
});

async function setUp(t: Test): Promise<{ client: Client; proxy: ProxyProcess }> {
  const folder = mkdtempSync(join(tmpdir(), 'grpc-echo-'));
  const tls = makeCertificates(folder);
  const server = new Server();
  server.addService(service, { talk });
  const target = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => (error ? reject(error) : resolve(port)));
  });
  const [entry, middle] = [await findFreePort(), await findFreePort()];
  const bootstrap = {
    static_resources: {
      listeners: [
        staticListener({ port: entry, filter: httpFilter('peer') }),
        staticListener({ port: middle, filter: httpFilter('application'), tls }),
      ],
      clusters: [http2(staticCluster('peer', middle, tls)), http2(staticCluster('application', target))],
    },
  };
  const proxy = await startProxy({ name: 'grpc-echo', ...ownCommand(), bootstrap, folder });
  const client = new Client(`127.0.0.1:${entry}`, credentials.createInsecure());
  t.teardown(async () => {
    client.close();
    await proxy.stop();
    server.forceShutdown();
    rmSync(folder, { recursive: true });
  });
  return { client, proxy };
}

interface Outcome {
  readonly messages: string[];
  readonly code: number;
  readonly details: string;
}

function call(client: Client, messages: readonly string[], deadlineMs = 30_000): Promise<Outcome> {
  const stream = client.makeBidiStreamRequest(path, bytes, bytes, new Metadata(), { deadline: Date.now() + deadlineMs });
  const received: string[] = [];
  stream.on('data', (message: Buffer) => received.push(message.toString()));
  stream.on('error', () => {});
  for (const message of messages) stream.write(Buffer.from(message));
  if (!messages.includes('silence')) stream.end();
  return new Promise(resolve => {
    stream.on('status', ({ code, details }) => resolve({ messages: received, code, details }));
  });
}

t.test('messages arrive whole and in order, a failure with its text, a deadline in time', async t => {
  const { client, proxy } = await setUp(t);
  t.same(await call(client, ['hello']), { messages: ['hello'], code: status.OK, details: 'OK' });
  const many = Array.from({ length: 500 }, (_, i) => `message ${i} ${'x'.repeat(i * 7)}`);
  t.same((await call(client, many)).messages, many);
  const calls = await Promise.all(Array.from({ length: 100 }, (_, i) => call(client, [`call ${i}`])));
  t.same(
    calls.map(({ messages }) => messages[0]),
    Array.from({ length: 100 }, (_, i) => `call ${i}`),
    'a hundred calls at once',
  );
  t.same(await call(client, ['fail']), { messages: [], code: status.FAILED_PRECONDITION, details: 'not like that: äöü' });
  t.equal((await call(client, ['silence'], 200)).code, status.DEADLINE_EXCEEDED);
  const isIdle = async () =>
    (await getAdmin(proxy.adminPort, '/stats?filter=upstream_rq_active$')).split('\n').every(line => !/: [1-9]/.test(line));
  await waitFor(isIdle);
  t.pass('no stream is left behind');
});
