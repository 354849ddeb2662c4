/** Real listeners of a worker in the test's own thread, on port 0, with an echoing network filter. */
import { TimerWheel } from '../../common/timer-wheel.ts';
import { compileFilterChainMatch } from '../../proxy/config/compile/filter-chain-match.ts';
import type { FilterChainMatch, FilterChainModel, ListenerModel } from '../../proxy/config/model/listener.ts';
import type { CommonTlsModel, DownstreamTlsModel, ValidationModel } from '../../proxy/config/model/tls.ts';
import { ListeningSocket } from '../../proxy/listener/listening-socket.ts';
import { WorkerListeners } from '../../proxy/listener/worker-listeners.ts';
import type { ConnectionInfo } from '../../proxy/network/connection.ts';
import { FilterStatus, type NetworkFilterBuilders, type NetworkFilterCallbacks } from '../../proxy/network/filter.ts';
import { SecretContexts } from '../../proxy/network/tls/secret-contexts.ts';
import type { StreamInfo } from '../../proxy/telemetry/stream-info.ts';
import { StatsStore } from '../../proxy/telemetry/stats-store.ts';

export const anyMatch: FilterChainMatch = compileFilterChainMatch(null, '');

export const noValidation: ValidationModel = {
  trustedCa: null,
  crl: null,
  subjectAltNames: [],
  certificateHashes: [],
  certificateSpkis: [],
  acceptUntrusted: false,
};

export function commonTls(overrides: Partial<CommonTlsModel> = {}): CommonTlsModel {
  return {
    certificateSecret: 'default',
    validationSecret: 'ROOTCA',
    validation: null,
    alpnProtocols: [],
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.3',
    ciphers: '',
    groups: '',
    ...overrides,
  };
}

export function downstreamTls(overrides: Partial<CommonTlsModel> = {}, requireClientCertificate = true): DownstreamTlsModel {
  return { kind: 'downstream-tls', common: commonTls(overrides), requireClientCertificate, sessionTimeoutMs: 0 };
}

export function filterChain(overrides: Partial<FilterChainModel> = {}): FilterChainModel {
  return {
    name: 'chain',
    hash: JSON.stringify(overrides),
    match: anyMatch,
    transportSocket: { kind: 'raw-buffer' },
    transportSocketConnectTimeoutMs: 0,
    filters: [{ kind: 'echo', name: 'echo', config: overrides.name ?? '' }],
    metadata: {},
    ...overrides,
  };
}

export function listenerModel(overrides: Partial<ListenerModel> = {}): ListenerModel {
  return {
    name: 'listener',
    hash: JSON.stringify(overrides),
    addresses: [{ kind: 'socket', address: '127.0.0.1', port: 0 }],
    bindToPort: true,
    useOriginalDst: false,
    transparent: false,
    freebind: false,
    trafficDirection: 'inbound',
    statPrefix: 'test',
    listenerFilters: [],
    listenerFiltersTimeoutMs: 0,
    continueOnListenerFiltersTimeout: false,
    filterChains: [filterChain()],
    defaultFilterChain: null,
    perConnectionBufferLimitBytes: 32_768,
    maxConnectionsToAcceptPerSocketEvent: 0,
    tcpBacklogSize: 128,
    ignoreGlobalConnectionLimit: false,
    exactBalance: false,
    accessLogs: [],
    metadata: {},
    ...overrides,
  };
}

export interface TestListeners {
  readonly listeners: WorkerListeners;
  readonly stats: StatsStore;
  readonly contexts: SecretContexts;
  readonly timers: TimerWheel;
  /** Every connection that reached the echo filter, in order. */
  readonly accepted: ConnectionInfo[];
  /** Every record of an access log. */
  readonly logged: StreamInfo[];
  counter(name: string): number;
  /** Binds port 0 for a listener and accepts there. */
  listen(name?: string): number;
  close(): void;
}

/** `globalConnectionLimit` 0: none. */
export function createTestListeners(builders: NetworkFilterBuilders = {}, globalConnectionLimit = 0): TestListeners {
  const timers = new TimerWheel();
  const stats = new StatsStore({ isIncluded: () => true, sink: { addBlock() {}, register() {} } });
  const contexts = new SecretContexts();
  const accepted: ConnectionInfo[] = [];
  const logged: StreamInfo[] = [];
  const sockets: ListeningSocket[] = [];
  const names = new Set<string>();
  const echo = () => (callbacks: NetworkFilterCallbacks) => ({
    onNewConnection() {
      callbacks.connection.enableHalfClose(true);
      accepted.push(callbacks.connection.info);
      return FilterStatus.continue;
    },
    onData(data: Buffer, endStream: boolean) {
      callbacks.connection.write(data, endStream);
      return FilterStatus.stop;
    },
  });
  const services = {
    timers,
    accessLogs: { create: () => [{ log: (info: StreamInfo) => logged.push(info) }] },
    workerIndex: 0,
    drain: { isDraining: () => false },
  };
  const listeners = new WorkerListeners(
    {
      stats,
      node: {} as never,
      services: services as never,
      networkFilters: { echo, ...builders },
      contexts,
      drainTimeMs: 50,
      globalConnectionLimit,
      connectionCounts: new Int32Array(1),
    },
    () => {
      throw new Error('there is one worker only');
    },
  );
  return {
    listeners,
    stats,
    contexts,
    timers,
    accepted,
    logged,
    counter: name => stats.counter(name).value,
    listen(name = 'listener') {
      const socket = new ListeningSocket(
        { kind: 'socket', address: '127.0.0.1', port: 0 },
        { transparent: false, freebind: false },
      );
      sockets.push(socket);
      names.add(name);
      listeners.listen(name, socket.duplicate());
      return socket.address.kind === 'socket' ? socket.address.port : 0;
    },
    close() {
      for (const name of names) listeners.remove(name);
      for (const socket of sockets) socket.close();
    },
  };
}
