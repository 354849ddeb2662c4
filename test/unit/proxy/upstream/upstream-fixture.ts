/** Cluster models and a worker's upstream services over scripted connections. */
import { TimerWheel } from '../../../../common/timer-wheel.ts';
import type {
  ClusterModel,
  HostModel,
  LoadBalancerModel,
  OutlierDetectionModel,
} from '../../../../proxy/config/model/cluster.ts';
import type {
  ClientCodec,
  ClientConnectionCallbacks,
  RequestEncoder,
  ResponseDecoder,
  StreamResetReason,
} from '../../../../proxy/http/codec.ts';
import type { Http2Options } from '../../../../proxy/http/h2/options.ts';
import { compileHttp2Options } from '../../../../proxy/config/compile/http-protocol.ts';
import { HeaderMap } from '../../../../proxy/http/header-map.ts';
import type { CloseEvent, Connection, ConnectionCallbacks } from '../../../../proxy/network/connection.ts';
import { StatsStore } from '../../../../proxy/telemetry/stats-store.ts';
import type { LoadBalancerContext, StreamOptions } from '../../../../proxy/upstream/cluster-manager.ts';
import type { ConnectOptions } from '../../../../proxy/upstream/pool/connector.ts';
import {
  allocateClusterCounters,
  allocateHostCounters,
  ClusterCounters,
  HostCounters,
} from '../../../../proxy/upstream/shared-counters.ts';
import type { UpstreamServices } from '../../../../proxy/upstream/worker-cluster.ts';
import type { WorkerToMain } from '../../../../proxy/workers/messages.ts';
import { makeConnectionInfo } from '../router/route-models.ts';

const unlimited = 4_294_967_295;

export function makeLoadBalancer(parts: Partial<LoadBalancerModel> = {}): LoadBalancerModel {
  return {
    policy: 'round-robin',
    choiceCount: 2,
    activeRequestBias: 1,
    slowStart: null,
    minimumRingSize: 1024,
    maximumRingSize: 8_388_608,
    maglevTableSize: 65_537,
    healthyPanicThreshold: 50,
    localityWeighted: false,
    zoneAware: false,
    overprovisioningFactor: 140,
    useHostnameForHashing: false,
    ...parts,
  };
}

export function makeLimits(parts: Partial<ClusterModel['circuitBreakers'][0]> = {}): ClusterModel['circuitBreakers'][0] {
  return {
    maxConnections: unlimited,
    maxPendingRequests: unlimited,
    maxRequests: unlimited,
    maxRetries: unlimited,
    retryBudget: null,
    trackRemaining: false,
    ...parts,
  };
}

export function makeHost(address: string, parts: Partial<HostModel> = {}): HostModel {
  return {
    address: { kind: 'socket', address, port: 80 },
    additionalAddresses: [],
    hostname: '',
    weight: 1,
    health: 'healthy',
    metadata: {},
    ...parts,
  };
}

export function makeOutlierDetection(parts: Partial<OutlierDetectionModel> = {}): OutlierDetectionModel {
  return {
    consecutive5xx: 5,
    enforcingConsecutive5xx: 100,
    consecutiveGatewayFailure: 5,
    enforcingConsecutiveGatewayFailure: 0,
    consecutiveLocalOriginFailure: 5,
    enforcingConsecutiveLocalOriginFailure: 100,
    splitExternalLocalOriginErrors: false,
    intervalMs: 10_000,
    baseEjectionTimeMs: 30_000,
    maxEjectionTimeMs: 300_000,
    maxEjectionPercent: 100,
    enforcingSuccessRate: 0,
    successRateMinimumHosts: 5,
    successRateRequestVolume: 100,
    successRateStdevFactor: 1900,
    enforcingFailurePercentage: 0,
    enforcingLocalOriginSuccessRate: 0,
    enforcingLocalOriginFailurePercentage: 0,
    failurePercentageThreshold: 85,
    failurePercentageMinimumHosts: 5,
    failurePercentageRequestVolume: 50,
    ...parts,
  };
}

export function makeCluster(parts: Partial<ClusterModel> = {}): ClusterModel {
  return {
    name: 'app',
    statName: 'app',
    hash: '',
    discovery: { kind: 'static' },
    loadAssignment: null,
    connectTimeoutMs: 1000,
    loadBalancer: makeLoadBalancer(),
    circuitBreakers: [makeLimits(), makeLimits()],
    outlierDetection: null,
    transportSocketMatches: [],
    transportSocket: { kind: 'raw-buffer' },
    protocol: {
      kind: 'http1',
      http1: {} as never,
      http2: compileHttp2Options(null, ''),
      idleTimeoutMs: 3_600_000,
      maxConnectionDurationMs: 0,
      maxStreamDurationMs: 0,
      maxRequestsPerConnection: 0,
      maxHeadersCount: 100,
      autoSni: false,
      autoSanValidation: false,
    },
    filters: [],
    bindAddresses: [],
    tcpKeepalive: null,
    maxRequestsPerConnection: 0,
    perConnectionBufferLimitBytes: 1_048_576,
    metadata: {},
    ...parts,
  };
}

export const plainOptions: StreamOptions = {
  priority: 0,
  downstreamProtocol: 'HTTP/1.1',
  alpnOverride: null,
  serverNameOverride: null,
  subjectAltNameOverride: null,
  originalSource: null,
  shared: null,
  announced: null,
  streamInfo: null,
};

export function makeContext(parts: Partial<LoadBalancerContext> = {}): LoadBalancerContext {
  return {
    hash: null,
    downstream: null,
    headers: null,
    metadataMatch: null,
    shouldSelectAnotherHost: () => false,
    hostSelectionMaxAttempts: 0,
    overrideHost: null,
    triedPriorities: null,
    ...parts,
  };
}

/** A connection that does what the test says. */
export class ScriptedConnection implements Connection {
  readonly options: ConnectOptions;
  info = makeConnectionInfo();
  state: Connection['state'] = 'connecting';
  callbacks: ConnectionCallbacks;
  bufferedBytes = 0;
  bytesReceived = 0;
  bytesSent = 0;
  written = '';
  readDisables = 0;

  constructor(options: ConnectOptions) {
    this.options = options;
    this.callbacks = options.callbacks;
  }
  establish(): void {
    this.state = 'open';
    this.callbacks.onConnected?.();
  }
  end(event: CloseEvent, reason = ''): void {
    this.info = { ...this.info, transportFailureReason: reason };
    this.state = 'closed';
    this.callbacks.onClose(event);
  }
  write(data: Buffer): void {
    this.writeLatin1(data.toString('latin1'));
  }
  writeLatin1(text: string): void {
    this.written += text;
    this.bytesSent += text.length;
  }
  readDisable(disable: boolean): void {
    this.readDisables += disable ? 1 : -1;
  }
  close(): void {
    if (this.state !== 'closed') this.end('local-close');
  }
  readonly bufferLimitBytes = 0;
  setBufferLimit(): void {}
  setNoDelay(): void {}
  enableHalfClose(): void {}
  setDelayedCloseTimeoutMs(): void {}
}

/** A codec whose responses the test gives; `streams` are those begun on any connection, in order. */
export class ScriptedStream implements RequestEncoder {
  readonly decoder: ResponseDecoder;
  readonly connection: Connection;
  readonly #onComplete: (reusable: boolean) => void;
  readonly #endsConnection: boolean;
  headers: HeaderMap | null = null;
  body = '';
  requestEnded = false;
  responseEnded = false;
  resetReason: string | null = null;
  readDisables = 0;
  readonly bufferedBytes = 0;
  readonly wireBytesSent = 0;
  readonly wireBytesReceived = 0;

  /** `endsConnection`: what a reset does, as on HTTP/1. */
  constructor(connection: Connection, decoder: ResponseDecoder, onComplete: (reusable: boolean) => void, endsConnection = true) {
    this.connection = connection;
    this.#endsConnection = endsConnection;
    this.decoder = decoder;
    this.#onComplete = onComplete;
  }
  encodeHeaders(headers: HeaderMap, endStream: boolean): void {
    this.headers = headers.clone();
    this.#end(endStream);
  }
  encodeData(data: Buffer, endStream: boolean): void {
    this.body += data.toString('latin1');
    this.#end(endStream);
  }
  encodeTrailers(): void {
    this.#end(true);
  }
  #end(endStream: boolean): void {
    if (!endStream) return;
    this.requestEnded = true;
    if (this.responseEnded) this.#onComplete(true);
  }
  reset(reason: 'local-reset'): void {
    this.resetReason = reason;
    this.decoder.onReset(reason, '');
    if (this.#endsConnection) this.connection.close('no-flush');
    else this.#onComplete(true);
  }
  readDisable(disable: boolean): void {
    this.readDisables += disable ? 1 : -1;
  }
  /** A whole response. */
  respond(status: number, headers: Record<string, string> = {}, body = '', reusable = true): void {
    const map = new HeaderMap();
    map.status = status;
    for (const [name, value] of Object.entries(headers)) map.add(name, value);
    this.responseEnded = true;
    this.decoder.onResponseHeaders(map, body === '');
    if (body !== '') this.decoder.onResponseData(Buffer.from(body), true);
    if (this.requestEnded && this.resetReason === null) this.#onComplete(reusable);
  }
}

/** Many streams at once; the test says what the peer allows and announces. */
export class ScriptedHttp2Codec implements ClientCodec {
  readonly protocol = 'HTTP/2';
  readonly callbacks: ClientConnectionCallbacks;
  readonly options: Http2Options;
  readonly #connection: Connection;
  readonly #begun: ScriptedStream[];
  readonly #open = new Set<ScriptedStream>();
  maxConcurrentStreams: number;

  constructor(connection: Connection, options: Http2Options, callbacks: ClientConnectionCallbacks, begun: ScriptedStream[]) {
    this.#connection = connection;
    this.#begun = begun;
    this.options = options;
    this.callbacks = callbacks;
    this.maxConcurrentStreams = options.protocol.maxConcurrentStreams;
  }
  newStream(decoder: ResponseDecoder): RequestEncoder {
    const onComplete = (reusable: boolean) => {
      this.#open.delete(stream);
      this.callbacks.onStreamComplete(reusable);
    };
    const stream = new ScriptedStream(this.#connection, decoder, onComplete, false);
    this.#open.add(stream);
    this.#begun.push(stream);
    return stream;
  }
  limitStreams(maxConcurrentStreams: number): void {
    this.maxConcurrentStreams = Math.min(maxConcurrentStreams, this.options.protocol.maxConcurrentStreams);
    this.callbacks.onMaxConcurrentStreams?.(this.maxConcurrentStreams);
  }
  dispatch(): void {}
  onConnectionClose(reason: StreamResetReason): void {
    for (const stream of this.#open) stream.decoder.onReset(reason, '');
    this.#open.clear();
  }
  onAboveWriteBufferHighWatermark(): void {}
  onBelowWriteBufferLowWatermark(): void {}
}

export interface UpstreamFixture {
  readonly services: UpstreamServices;
  readonly stats: StatsStore;
  readonly connections: ScriptedConnection[];
  readonly streams: ScriptedStream[];
  readonly http2Codecs: ScriptedHttp2Codec[];
  readonly reports: WorkerToMain[];
  /** Ends every connection, and with them the timers that keep the process alive. */
  closeAll(): void;
  counter(name: string): number;
  gauge(name: string): number;
}

/** `buffers` are shared where a test has several workers. */
export function makeUpstream(
  parts: { workerIndex?: number; hostBuffer?: SharedArrayBuffer; clusterBuffer?: SharedArrayBuffer; random?: () => number } = {},
): UpstreamFixture {
  const stats = makeStats();
  const connections: ScriptedConnection[] = [];
  const streams: ScriptedStream[] = [];
  const http2Codecs: ScriptedHttp2Codec[] = [];
  const reports: WorkerToMain[] = [];
  const services: UpstreamServices = {
    workerIndex: parts.workerIndex ?? 0,
    stats,
    timers: new TimerWheel(),
    locality: { region: '', zone: '', subZone: '' },
    localCluster: () => null,
    hostCounters: new HostCounters(parts.hostBuffer ?? allocateHostCounters(2)),
    clusterCounters: new ClusterCounters(parts.clusterBuffer ?? allocateClusterCounters(2)),
    connect: options => {
      const connection = new ScriptedConnection(options);
      connections.push(connection);
      return connection;
    },
    createHttp1Codec: (connection, _options, callbacks): ClientCodec => {
      let current: ScriptedStream | null = null;
      return {
        protocol: 'HTTP/1.1',
        maxConcurrentStreams: 1,
        newStream(decoder) {
          current = new ScriptedStream(connection, decoder, reusable => {
            current = null;
            callbacks.onStreamComplete(reusable);
          });
          streams.push(current);
          return current;
        },
        dispatch() {},
        onConnectionClose(reason) {
          const stream = current;
          current = null;
          if (stream !== null && stream.resetReason === null) stream.decoder.onReset(reason, '');
        },
        onAboveWriteBufferHighWatermark: () => current?.decoder.onAboveWriteBufferHighWatermark(),
        onBelowWriteBufferLowWatermark: () => current?.decoder.onBelowWriteBufferLowWatermark(),
      };
    },
    createHttp2Codec: (connection, options, callbacks) => {
      const codec = new ScriptedHttp2Codec(connection, options, callbacks, streams);
      http2Codecs.push(codec);
      return codec;
    },
    buildNetworkFilters: () => [],
    report: message => reports.push(message),
    random: parts.random ?? (() => 0),
  };
  return {
    services,
    stats,
    connections,
    streams,
    http2Codecs,
    reports,
    closeAll: () => {
      for (const connection of connections) connection.close();
    },
    counter: name => stats.counter(name).value,
    gauge: name => stats.gauge(name).value,
  };
}

export function makeStats(): StatsStore {
  return new StatsStore({
    isIncluded: () => true,

    sink: { addBlock() {}, register() {} },
  });
}
