import { once } from 'node:events';
import net from 'node:net';
import t from 'tap';
import { ListenerManager } from '../../../../proxy/listener/listener-manager.ts';
import { allocateClusterCounters, allocateHostCounters } from '../../../../proxy/upstream/shared-counters.ts';
import { readMemoryLimit, workerResourceLimits } from '../../../../proxy/workers/heap-limit.ts';
import { WorkerPool } from '../../../../proxy/workers/worker-pool.ts';
import { filterChain, listenerModel } from '../../../support/worker-listener.ts';

/** A TCP proxy to a cluster that does not exist: connections are accepted and closed. */
const refusing = filterChain({
  filters: [
    {
      kind: 'envoy.filters.network.tcp_proxy',
      name: 'tcp',
      config: {
        statPrefix: 'x',
        clusters: [{ name: 'missing', weight: 1, metadataMatch: {} }],
        totalWeight: 1,
        idleTimeoutMs: 0,
        maxDownstreamConnectionDurationMs: 0,
        maxConnectAttempts: 1,
        hashSourceIp: false,
        accessLogs: [],
        accessLogFlushIntervalMs: 0,
        flushAccessLogOnConnected: false,
      },
    },
  ],
});

async function startPool(workerCount: number): Promise<{ pool: WorkerPool; death: Promise<Error> }> {
  const { promise, resolve } = Promise.withResolvers<Error>();
  const pool = new WorkerPool({
    workerCount,
    start: {
      node: { id: 'n', cluster: 'c', locality: { region: '', zone: '', subZone: '' }, metadata: {} },
      localCluster: '',
      statsMatcher: { kind: 'all', patterns: [] },
      hostCounters: allocateHostCounters(workerCount),
      clusterCounters: allocateClusterCounters(workerCount),
      runtime: {},
      logLevel: 'off',
      componentLogLevels: {},
      fileFlushIntervalMs: 1000,
      logPath: '',
      fileFlushMinBytes: 65_536,
      globalConnectionLimit: 0,
      drainTimeMs: 1000,
    },
    createSink: () => ({ addBlock() {}, register() {} }),
    onMessage() {},
    onDeath: resolve,
  });
  await pool.start();
  return { pool, death: promise };
}

t.test('workers share the socket of the main thread, keep it over updates, and give it up', async t => {
  const { pool } = await startPool(2);
  const manager = new ListenerManager({
    workerCount: 2,
    post: (worker, message) => pool.post(worker, message),
    broadcast: message => pool.broadcast(message),
    drainTimeMs: 1000,
  });
  manager.update(listenerModel({ filterChains: [refusing] }));
  const [{ addresses }] = manager.list();
  const port = addresses[0].kind === 'socket' ? addresses[0].port : 0;
  await t.rejects(reach(port), { code: 'ECONNREFUSED' }, 'nobody accepts before the workers start');
  manager.startWorkers();
  await pool.barrier();
  for (let i = 0; i < 8; i++) await reach(port);
  manager.update(listenerModel({ filterChains: [refusing], hash: 'other' }));
  await pool.barrier();
  t.same(manager.list()[0].addresses, addresses, 'the same socket');
  await reach(port);
  manager.drain({ inboundOnly: true, graceful: false });
  await pool.barrier();
  await t.rejects(reach(port), { code: 'ECONNREFUSED' });
  t.same([...pool.connectionCounts], [0, 0], 'every connection was counted out');
  await pool.stop();
});

/** Connects and waits for the end. */
async function reach(port: number): Promise<void> {
  const socket = net.connect(port, '127.0.0.1');
  await once(socket, 'connect');
  if (!socket.resume().closed) await once(socket, 'close');
}

t.test('the death of a worker is told within a second', async t => {
  const { pool, death } = await startPool(2);
  pool.post(1, { type: 'listener', name: 'x', model: 'not JSON' });
  t.match((await death).message, /JSON/);
});

t.test('two listeners cannot have one address, and the first stays', async t => {
  const messages: string[] = [];
  const manager = new ListenerManager({
    workerCount: 0,
    post() {},
    broadcast: message => messages.push(message.type),
    drainTimeMs: 0,
  });
  const address = [{ kind: 'socket', address: '0.0.0.0', port: 80 }] as const;
  manager.update(listenerModel({ name: 'a', addresses: address, bindToPort: false }));
  t.throws(
    () => manager.update(listenerModel({ name: 'b', addresses: address, bindToPort: false })),
    /'b' has duplicate address '0.0.0.0:80'/,
  );
  t.same(
    manager.list().map(({ model }) => model.name),
    ['a'],
  );
  t.same(messages, ['listener']);
  const moved = [{ kind: 'socket', address: '0.0.0.0', port: 81 }] as const;
  manager.update(listenerModel({ name: 'a', addresses: moved, bindToPort: false }));
  manager.update(listenerModel({ name: 'b', addresses: address, bindToPort: false }));
  manager.remove('a');
  manager.update(listenerModel({ name: 'c', addresses: moved, bindToPort: false }));
  t.same(messages, ['listener', 'listener', 'listener', 'listener-removed', 'listener'], 'an address that was given up is free');
});

t.test('a bind failure names the address and changes nothing', async t => {
  const holder = net.createServer().listen(0, '127.0.0.1');
  await once(holder, 'listening');
  const { port } = holder.address() as net.AddressInfo;
  const manager = new ListenerManager({ workerCount: 0, post() {}, broadcast() {}, drainTimeMs: 0 });
  const addresses = [{ kind: 'socket', address: '127.0.0.1', port }] as const;
  t.throws(
    () => manager.update(listenerModel({ addresses })),
    new RegExp(`cannot bind '127.0.0.1:${port}': Address already in use`),
  );
  t.same(manager.list(), []);
  holder.close();
});

t.test('heaps share what the container allows', async t => {
  t.equal(
    readMemoryLimit(() => 'max\n'),
    null,
  );
  t.equal(
    readMemoryLimit(() => '134217728\n'),
    134_217_728,
  );
  t.same(workerResourceLimits(2, 1 << 30), { maxYoungGenerationSizeMb: 12, maxOldGenerationSizeMb: 358 });
  t.same(workerResourceLimits(2, null), { maxYoungGenerationSizeMb: 12 });
  t.equal(workerResourceLimits(3, 64 << 20).maxOldGenerationSizeMb, 64);
});
