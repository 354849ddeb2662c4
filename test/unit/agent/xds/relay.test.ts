import t from 'tap';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  Client,
  type ClientDuplexStream,
  credentials,
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  status,
} from '@grpc/grpc-js';
import { readEnvironment } from '../../../../agent/config/environment.ts';
import { buildProxyConfig } from '../../../../agent/config/proxy-config.ts';
import { agentMetrics } from '../../../../agent/metrics.ts';
import { UnixListener } from '../../../../agent/unix-listener.ts';
import { rawMethod } from '../../../../agent/raw-service.ts';
import { deltaVariant, type DiscoveryVariant, sotwVariant } from '../../../../agent/xds/discovery-variant.ts';
import { openIstiodChannel } from '../../../../agent/xds/istiod-channel.ts';
import { AdsRelay, type ResourceHandler } from '../../../../agent/xds/relay.ts';
import { encodeMessage, decodeMessage } from '../../../../protos/messages.ts';

type Tap = { teardown(handler: () => void): void };
type Upstream = ServerDuplexStream<Buffer, Buffer>;

const listenerType = 'type.googleapis.com/envoy.config.listener.v3.Listener';
const nameTableType = 'type.googleapis.com/istio.networking.nds.v1.NameTable';
const healthType = 'type.googleapis.com/istio.v1.HealthInformation';
const passBytes = (bytes: Buffer): Buffer => bytes;

/** Values that arrive over time. */
class Inbox<T> {
  readonly #values: T[] = [];
  readonly #waiting: ((value: T) => void)[] = [];
  add(value: T): void {
    const taker = this.#waiting.shift();
    if (taker === undefined) this.#values.push(value);
    else taker(value);
  }
  next(): Promise<T> {
    return this.#values.length > 0
      ? Promise.resolve(this.#values.shift() as T)
      : new Promise(resolve => this.#waiting.push(resolve));
  }
}

class FakeIstiod {
  readonly streams = new Inbox<Upstream>();
  readonly requests = new Inbox<Buffer>();
  readonly server = new Server({ 'grpc.max_send_message_length': -1 });

  async listen(): Promise<string> {
    const accept = (stream: Upstream): void => {
      stream.on('data', (bytes: Buffer) => this.requests.add(bytes));
      stream.on('error', () => {});
      stream.on('end', () => stream.end());
      this.streams.add(stream);
    };
    const service = { Sotw: rawMethod(sotwVariant.path, true), Delta: rawMethod(deltaVariant.path, true) };
    this.server.addService(service, { Sotw: accept, Delta: accept });
    const port = await new Promise<number>((resolve, reject) => {
      this.server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      );
    });
    return `127.0.0.1:${port}`;
  }
}

async function startRelay(t: Tap, handlers: ReadonlyMap<string, ResourceHandler> = new Map()) {
  const istiod = new FakeIstiod();
  const address = await istiod.listen();
  const environment = readEnvironment({ ISTIO_META_CLUSTER_ID: 'c1', XDS_HEADER_foo: 'bar' });
  const proxyConfig = buildProxyConfig({
    meshFile: '',
    environment: JSON.stringify({ discoveryAddress: address, controlPlaneAuthPolicy: 'NONE' }),
    annotations: {},
    serviceCluster: '',
    concurrency: 0,
    cpuLimit: 0,
  });
  // The path of a Unix socket has at most 107 bytes.
  const directory = mkdtempSync(join(tmpdir(), 'agent-'));
  const socketPath = join(directory, 'XDS');
  const relay = new AdsRelay({
    listener: await UnixListener.open(socketPath),
    maxStreams: 100,
    openChannel: () => openIstiodChannel(environment, proxyConfig),
    istiodAddress: address,
    handlers,
    forwardsEverything: false,
  });
  relay.serve();
  t.teardown(() => {
    relay.close();
    istiod.server.forceShutdown();
    rmSync(directory, { recursive: true });
  });
  return { istiod, relay, socketPath };
}

function connectProxy(t: Tap, socketPath: string, variant: DiscoveryVariant = deltaVariant) {
  const options = { 'grpc.max_receive_message_length': -1, 'grpc.use_local_subchannel_pool': 1 };
  const client = new Client(`unix:${socketPath}`, credentials.createInsecure(), options);
  const stream: ClientDuplexStream<Buffer, Buffer> = client.makeBidiStreamRequest(
    variant.path,
    passBytes,
    passBytes,
    new Metadata(),
  );
  const responses = new Inbox<Buffer>();
  const statuses = new Inbox<number>();
  stream.on('data', (bytes: Buffer) => responses.add(bytes));
  stream.on('error', () => {});
  stream.on('status', status => statuses.add(status.code));
  t.teardown(() => {
    stream.cancel();
    client.close();
  });
  return { stream, responses, statuses };
}

const deltaRequest = (typeUrl: string): Buffer =>
  encodeMessage('envoy.service.discovery.v3.DeltaDiscoveryRequest', { type_url: typeUrl, node: { id: 'n' } });
const deltaResponse = (typeUrl: string, value: Buffer): Buffer =>
  encodeMessage('envoy.service.discovery.v3.DeltaDiscoveryResponse', {
    type_url: typeUrl,
    nonce: 'n1',
    resources: [{ name: 'r', resource: { type_url: typeUrl, value } }],
  });
const typeOf = (bytes: Buffer): string => decodeMessage('envoy.service.discovery.v3.DeltaDiscoveryRequest', bytes).type_url;

t.test('every user of the pod may connect to the socket', async t => {
  const { socketPath } = await startRelay(t);
  t.equal(statSync(socketPath).mode & 0o777, 0o666);
});

t.test('messages pass both ways unchanged, of any size, with the headers of the agent', async t => {
  const { istiod, socketPath } = await startRelay(t);
  const proxy = connectProxy(t, socketPath);
  const request = deltaRequest(listenerType);
  proxy.stream.write(request);
  const upstream = await istiod.streams.next();
  t.same(await istiod.requests.next(), request);
  t.same(upstream.metadata.get('ClusterID'), ['c1']);
  t.same(upstream.metadata.get('foo'), ['bar']);
  const response = deltaResponse(listenerType, Buffer.alloc(20_000_000, 1));
  upstream.write(response);
  t.ok((await proxy.responses.next()).equals(response));
});

t.test('state of the world works the same way', async t => {
  const { istiod, socketPath } = await startRelay(t);
  const proxy = connectProxy(t, socketPath, sotwVariant);
  proxy.stream.write(encodeMessage('envoy.service.discovery.v3.DiscoveryRequest', { type_url: listenerType }));
  const upstream = await istiod.streams.next();
  await istiod.requests.next();
  upstream.write(encodeMessage('envoy.service.discovery.v3.DiscoveryResponse', { type_url: listenerType, version_info: '7' }));
  t.equal(decodeMessage('envoy.service.discovery.v3.DiscoveryResponse', await proxy.responses.next()).version_info, '7');
});

t.test('the end of the upstream ends the downstream with its status', async t => {
  const { istiod, socketPath } = await startRelay(t);
  const proxy = connectProxy(t, socketPath);
  proxy.stream.write(deltaRequest(listenerType));
  const upstream = await istiod.streams.next();
  upstream.emit('error', { code: 14, details: 'shutting down' });
  t.equal(await proxy.statuses.next(), 14);
});

t.test('an istiod that is not there fails the stream at once, counted as a failed connection', async t => {
  const { istiod, socketPath } = await startRelay(t);
  istiod.server.forceShutdown();
  const failures = agentMetrics.istiodConnectionFailures.value();
  const { stream, statuses } = connectProxy(t, socketPath);
  stream.write(deltaRequest(listenerType));
  t.equal(await statuses.next(), status.UNAVAILABLE);
  t.equal(agentMetrics.istiodConnectionFailures.value(), failures + 1);
});

t.test('a new stream of the proxy replaces the former one', async t => {
  const { istiod, socketPath } = await startRelay(t);
  const first = connectProxy(t, socketPath);
  first.stream.write(deltaRequest(listenerType));
  const upstream = await istiod.streams.next();
  const cancelled = new Promise<void>(resolve => upstream.once('cancelled', () => resolve()));
  const second = connectProxy(t, socketPath);
  second.stream.write(deltaRequest(listenerType));
  t.equal(await first.statuses.next(), 0);
  await cancelled;
  t.ok(await istiod.streams.next());
});

t.test('the agent subscribes for itself after the proxy did, consumes and acknowledges', async t => {
  const consumed = new Inbox<Uint8Array>();
  let failure: Error | null = null;
  const handler = (resource: Uint8Array): void => {
    if (failure !== null) throw failure;
    consumed.add(resource);
  };
  const { istiod, relay, socketPath } = await startRelay(t, new Map([[nameTableType, handler]]));
  relay.reportHealth({ code: 500, message: 'probe failed' });
  const proxy = connectProxy(t, socketPath);
  proxy.stream.write(deltaRequest('type.googleapis.com/envoy.config.cluster.v3.Cluster'));
  proxy.stream.write(deltaRequest(listenerType));
  const upstream = await istiod.streams.next();
  const types: string[] = [];
  for (let i = 0; i < 4; i++) types.push(typeOf(await istiod.requests.next()));
  t.same(types.slice(1), [listenerType, nameTableType, healthType]);
  upstream.write(deltaResponse(nameTableType, Buffer.from('table')));
  t.equal(Buffer.from(await consumed.next()).toString(), 'table');
  const ack = decodeMessage('envoy.service.discovery.v3.DeltaDiscoveryRequest', await istiod.requests.next());
  t.equal(ack.response_nonce, 'n1');
  t.notOk(ack.error_detail);
  failure = new Error('bad table');
  upstream.write(deltaResponse(nameTableType, Buffer.from('x')));
  const nack = decodeMessage('envoy.service.discovery.v3.DeltaDiscoveryRequest', await istiod.requests.next());
  t.equal(nack.error_detail?.message, 'bad table');
});

t.test('types that the proxy does not know are not forwarded', async t => {
  const { istiod, socketPath } = await startRelay(t);
  const proxy = connectProxy(t, socketPath);
  proxy.stream.write(deltaRequest(listenerType));
  const upstream = await istiod.streams.next();
  upstream.write(deltaResponse('type.googleapis.com/istio.other.Thing', Buffer.alloc(0)));
  const workload = deltaResponse('type.googleapis.com/istio.workload.Workload', Buffer.from('w'));
  upstream.write(workload);
  t.ok((await proxy.responses.next()).equals(workload));
});

t.test('an unreachable istiod is an error that makes the proxy try again', async t => {
  const { istiod, socketPath } = await startRelay(t);
  istiod.server.forceShutdown();
  const proxy = connectProxy(t, socketPath);
  proxy.stream.write(deltaRequest(listenerType));
  t.equal(await proxy.statuses.next(), 14);
});

t.test('a proxy that connects before the relay is loaded is served when it is', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'early-'));
  const listener = await UnixListener.open(join(directory, 'XDS'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const proxy = connectProxy(t, join(directory, 'XDS'));
  proxy.stream.write(deltaRequest(listenerType));
  // The connection and its first bytes are there before anyone takes them.
  await new Promise<void>(resolve => setImmediate(() => setImmediate(resolve)));
  const istiod = new FakeIstiod();
  const address = await istiod.listen();
  t.teardown(() => istiod.server.forceShutdown());
  const environment = readEnvironment({});
  const text = JSON.stringify({ discoveryAddress: address, controlPlaneAuthPolicy: 'NONE' });
  const sources = { meshFile: '', environment: text, annotations: {}, serviceCluster: '', concurrency: 0, cpuLimit: 0 };
  const proxyConfig = buildProxyConfig(sources);
  const relay = new AdsRelay({
    listener,
    maxStreams: 100,
    openChannel: () => openIstiodChannel(environment, proxyConfig),
    istiodAddress: address,
    handlers: new Map(),
    forwardsEverything: false,
  });
  relay.serve();
  t.teardown(() => relay.close());
  t.same(await istiod.requests.next(), deltaRequest(listenerType));
});
