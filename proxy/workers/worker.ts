/**
 * Entry of a worker thread and its composition root: everything that lives on the path of a request is made here, once, and
 * configuration arrives as messages.
 */
import { isMainThread, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import type net from 'node:net';
import { configureLog, isLogLevel, Logger, reopenLogFile, setLogFile, setLogLevels } from '../../common/log.ts';
import { TimerWheel } from '../../common/timer-wheel.ts';
import type { FilterModel } from '../config/model/listener.ts';
import { httpFilters, networkFilters } from '../extensions/worker-manifest.ts';
import type { WorkerServices } from '../http/filter.ts';
import { createClientCodec as createHttp1Codec, defaultClientCodecOptions } from '../http/h1/client-codec.ts';
import { createClientCodec as createHttp2Codec } from '../http/h2/client-codec.ts';
import { WorkerListeners } from '../listener/worker-listeners.ts';
import type { NetworkFilterFactory } from '../network/filter.ts';
import { setConnectionIdRange } from '../network/connection-record.ts';
import { checkDirectReads } from '../network/socket-self-test.ts';
import { SharedTokenBuckets } from '../network/shared-token-buckets.ts';
import { loadSocketOptions } from '../network/socket-options.ts';
import { bindOpenSsl } from '../network/tls/openssl.ts';
import { SecretContexts } from '../network/tls/secret-contexts.ts';
import { ExtensionConfigs } from '../extensions/discovered/extension-configs.ts';
import { RouteConfigs } from '../router/route-configs.ts';
import { FileAccessLogs } from '../telemetry/file-access-log.ts';
import { createStatsMatcher } from '../telemetry/stats-matcher.ts';
import { StatsStore } from '../telemetry/stats-store.ts';
import { ClusterCounters, HostCounters } from '../upstream/shared-counters.ts';
import { WorkerClusters } from '../upstream/worker-clusters.ts';
import { DrainController } from './drain-controller.ts';
import { Inbox } from './inbox.ts';
import type { SharedMessage, UrgentMessage, WorkerStart, WorkerToMain } from './messages.ts';
import type { InboxPort } from './outbox.ts';
import { RuntimeValues } from './runtime-values.ts';
import { createConnector } from './upstream-connector.ts';
import { WorkerStatSink } from './worker-stats.ts';

const log = new Logger('main');

/** By then the start, which everybody waits for, is over. */
const nativeCallsDelayMs = 1000;

/** The parts of one worker that messages are about. */
interface WorkerParts {
  readonly clusters: WorkerClusters;
  readonly listeners: WorkerListeners;
  readonly contexts: SecretContexts;
  readonly routeConfigs: RouteConfigs;
  readonly extensionConfigs: ExtensionConfigs;
  readonly accessLogs: FileAccessLogs;
  readonly drain: DrainController;
  readonly runtime: RuntimeValues;
  readonly sink: WorkerStatSink;
}

function createParts(start: WorkerStart, post: (message: WorkerToMain, transfer?: readonly unknown[]) => void): WorkerParts {
  const timers = new TimerWheel();
  const sink = new WorkerStatSink(post);
  const stats = new StatsStore({
    isIncluded: createStatsMatcher(start.statsMatcher),
    sink,
  });
  const contexts = new SecretContexts();
  const routeConfigs = new RouteConfigs();
  const extensionConfigs = new ExtensionConfigs();
  const drain = new DrainController();
  const runtime = new RuntimeValues(start.runtime);
  const accessLogs = new FileAccessLogs({
    timers,
    flushIntervalMs: start.fileFlushIntervalMs,
    flushMinBytes: start.fileFlushMinBytes,
  });
  const clusters = new WorkerClusters({
    workerIndex: start.workerIndex,
    stats,
    timers,
    hostCounters: new HostCounters(start.hostCounters),
    clusterCounters: new ClusterCounters(start.clusterCounters),
    connect: createConnector(contexts, timers, (name, connection) => listeners.acceptInternal(name, connection)),
    createHttp1Codec: (connection, { http1, maxHeadersCount, maxResponseHeadersBytes }, callbacks) => {
      const maxHeadBytes = maxResponseHeadersBytes ?? defaultClientCodecOptions.maxHeadBytes;
      return createHttp1Codec(connection, { ...defaultClientCodecOptions, ...http1, maxHeadersCount, maxHeadBytes }, callbacks);
    },
    createHttp2Codec,
    buildNetworkFilters: models => models.map(model => buildUpstreamFilter(model)),
    report: post,
    random: Math.random,
    locality: start.node.locality,
    localClusterName: start.localCluster,
  });
  const buildUpstreamFilter = (model: FilterModel): NetworkFilterFactory =>
    networkFilters[model.kind](model.config as never, {
      stats,
      node: start.node,
      trafficDirection: 'outbound',
      services,
      listener: null,
    });
  const services: WorkerServices = {
    clusters,
    timers,
    accessLogs,
    runtime,
    workerIndex: start.workerIndex,
    drain,
    tokenBuckets: new SharedTokenBuckets(start.tokenBuckets),
    httpFilters,
    routeConfigs,
    extensionConfigs,
  };
  const listeners = new WorkerListeners(
    {
      stats,
      node: start.node,
      services,
      networkFilters,
      contexts,
      drainTimeMs: start.drainTimeMs,
      globalConnectionLimit: start.globalConnectionLimit,
      connectionCounts: new Int32Array(start.connectionCounts),
    },
    (listener, socket, to) => post({ type: 'hand-over', listener, socket, to }, [socket]),
  );
  return { clusters, listeners, contexts, routeConfigs, extensionConfigs, accessLogs, drain, runtime, sink };
}

type Post = (message: WorkerToMain) => void;
type Handlers = {
  readonly [T in SharedMessage['type']]: (message: Extract<SharedMessage, { type: T }>, parts: WorkerParts, post: Post) => void;
};

const handlers: Handlers = {
  cluster: (message, { clusters }) => clusters.onCluster(message.name, message.row, message.model, message.isChecked),
  'cluster-removed': (message, { clusters }) => clusters.onRemoved(message.name),
  hosts: (message, { clusters }) => clusters.onHosts(message.cluster, message.hosts),
  'host-ejected': (message, { clusters }) => clusters.onEjected(message.cluster, message.slot, true),
  'host-returned': (message, { clusters }) => clusters.onEjected(message.cluster, message.slot, false),
  'host-health': (message, { clusters }) => clusters.onHealth(message.cluster, message.slot, message.flags),
  secret: ({ secret }, { contexts, clusters }) => {
    contexts.update(secret);
    clusters.onSecret(secret.key);
  },
  'route-config': (message, { routeConfigs }) => routeConfigs.update(message.name, message.model),
  'extension-config': (message, { extensionConfigs }) => extensionConfigs.update(message.category, message.name, message.model),
  'route-config-removed': (message, { routeConfigs }) => routeConfigs.remove(message.name),
  listener: (message, { listeners }) => listeners.update(message.name, message.model),
  'listener-removed': (message, { listeners }) => listeners.remove(message.name),
  listen: (message, { listeners }) => listeners.listen(message.listener, message.fd),
  'stop-listening': (message, { listeners }) => listeners.stopListening(message.listener),
  drain: (message, { drain }) => drain.begin(message.inboundOnly),
  'log-level': ({ level, components }) => {
    if (isLogLevel(level)) setLogLevels(level, components);
  },
  runtime: (message, { runtime }) => runtime.replace(message.values),
  'reopen-logs': (_message, { accessLogs }) => {
    reopenLogFile();
    accessLogs.reopen();
  },
  'flush-logs': (_message, { accessLogs }) => accessLogs.flush(),
  barrier: (message, { sink }, post) => {
    sink.flush();
    post({ type: 'done', id: message.id });
  },
  shutdown: (_message, { accessLogs }) => {
    accessLogs.flush();
    process.exit(0);
  },
};

function handleMessage(message: SharedMessage, parts: WorkerParts, post: Post): void {
  handlers[message.type](message as never, parts, post);
}

function receiveBatch({ port, isTold }: InboxPort): readonly SharedMessage[] | null {
  let received = receiveMessageOnPort(port);
  if (received === undefined) {
    // Said before looking once more: what comes after that look is told.
    Atomics.store(isTold, 0, 0);
    received = receiveMessageOnPort(port);
  }
  return received?.message ?? null;
}

/** Overtakes what waits in the inbox, unless the listener itself does. */
function adopt(
  message: Extract<UrgentMessage, { type: 'adopt' }>,
  listeners: WorkerListeners,
  inbox: Inbox<SharedMessage>,
): void {
  if (listeners.has(message.listener) || inbox.isEmpty) listeners.adopt(message.listener, message.socket as net.Socket);
  else setImmediate(() => adopt(message, listeners, inbox));
}

function loadNativeCalls(): void {
  loadSocketOptions();
  bindOpenSsl();
}

function runWorker(start: WorkerStart): void {
  const port = parentPort as NonNullable<typeof parentPort>;
  const post = (message: WorkerToMain, transfer: readonly unknown[] = []): void => port.postMessage(message, transfer as never);
  configureLog(`worker_${start.workerIndex}`, false);
  if (start.logPath !== '') setLogFile(start.logPath);
  if (isLogLevel(start.logLevel)) setLogLevels(start.logLevel, start.componentLogLevels);
  setConnectionIdRange(start.workerIndex);
  // The main thread has proven that they load; here they are needed by the first captured connection, not before.
  setTimeout(loadNativeCalls, nativeCallsDelayMs).unref();
  const parts = createParts(start, post);
  process.on('exit', () => parts.accessLogs.flush());
  const inbox = new Inbox(
    () => receiveBatch(start.inbox),
    message => handleMessage(message, parts, post),
  );
  port.on('message', (message: UrgentMessage) => {
    if (message.type === 'wake') inbox.wake();
    else adopt(message, parts.listeners, inbox);
  });
  checkDirectReads(supported => {
    if (!supported) log.warn('sockets do not read into own buffers on this Node; falling back to data events');
    post({ type: 'ready' });
  });
}

if (!isMainThread) runWorker(workerData as WorkerStart);
