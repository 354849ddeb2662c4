/**
 * `envoy.filters.network.tcp_proxy`: one upstream connection per downstream connection, bytes and half closes both ways.
 */
import { performance } from 'node:perf_hooks';
import { Timer } from '../../../../../common/timer-wheel.ts';
import type { CloseEvent, Connection, ConnectionCallbacks } from '../../../../network/connection.ts';
import {
  FilterStatus,
  type NetworkFactoryContext,
  type NetworkFilter,
  type NetworkFilterCallbacks,
  type NetworkFilterFactory,
} from '../../../../network/filter.ts';
import type { AccessLogger } from '../../../../telemetry/access-log.ts';
import { ResponseFlag } from '../../../../telemetry/response-flags.ts';
import type { Host, PoolFailureReason, PoolHandle, TcpPoolCallbacks } from '../../../../upstream/cluster-manager.ts';
import { hashText } from '../../../../upstream/load-balancer/xxhash64.ts';
import { readStreamOptions } from '../../../../upstream/stream-options.ts';
import type { TcpProxyModel } from './config.ts';
import { Tunneling, type TcpUpstream } from './http-tunnel.ts';
import { TcpProxyStats } from './tcp-proxy-stats.ts';

/** Filter state that names the cluster in place of the configuration. */
const clusterKey = 'envoy.tcp_proxy.cluster';

/** Per filter chain. */
interface Shared {
  readonly model: TcpProxyModel;
  readonly context: NetworkFactoryContext;
  readonly stats: TcpProxyStats;
  readonly accessLogs: readonly AccessLogger[];
  /** Null: the upstream is a connection. */
  readonly tunneling: Tunneling | null;
}

class TcpProxyFilter implements NetworkFilter, TcpPoolCallbacks {
  readonly #shared: Shared;
  readonly #callbacks: NetworkFilterCallbacks;
  readonly #downstream: Connection;
  #upstream: TcpUpstream | null = null;
  #pending: PoolHandle | null = null;
  #attempts = 0;
  #host: Host | null = null;
  #closed = false;
  /** What came before the upstream was connected. */
  #early: Buffer[] = [];
  #earlyEnd = false;
  #idleTimer: Timer | null = null;
  #lastActivityMs = 0;
  #durationTimer: Timer | null = null;
  #flushTimer: Timer | null = null;

  constructor(shared: Shared, callbacks: NetworkFilterCallbacks) {
    this.#shared = shared;
    this.#callbacks = callbacks;
    this.#downstream = callbacks.connection;
  }

  onNewConnection(): FilterStatus {
    const { model, stats } = this.#shared;
    stats.cxTotal.inc();
    this.#downstream.enableHalfClose(true);
    // Nothing is read before there is somewhere to send it.
    this.#downstream.readDisable(true);
    if (model.maxDownstreamConnectionDurationMs > 0) {
      this.#durationTimer = this.#timers.schedule(model.maxDownstreamConnectionDurationMs, () => {
        stats.maxDuration.inc();
        this.#endDownstream(ResponseFlag.durationTimeout, 'max_downstream_connection_duration');
      });
    }
    if (model.accessLogFlushIntervalMs > 0) this.#scheduleLogFlush();
    this.#connect();
    return FilterStatus.continue;
  }

  get #timers(): NetworkFactoryContext['services']['timers'] {
    return this.#shared.context.services.timers;
  }

  // Connecting

  #connect(): void {
    const { model, context, stats } = this.#shared;
    const { streamInfo } = this.#callbacks;
    const target = chooseCluster(model);
    const override = streamInfo.getFilterState(clusterKey) as string | undefined;
    const cluster = context.services.clusters.find(override ?? target.name);
    if (cluster === null) {
      stats.cxNoRoute.inc();
      this.#endDownstream(ResponseFlag.noClusterFound, 'cluster_not_found');
      return;
    }
    streamInfo.cluster = cluster;
    const host = cluster.chooseHost({
      hash: model.hashSourceIp ? hashSource(this.#downstream) : null,
      downstream: this.#downstream.info,
      info: streamInfo,
      headers: null,
      metadataMatch: target.metadataMatch,
      shouldSelectAnotherHost: () => false,
      hostSelectionMaxAttempts: 1,
      overrideHost: null,
      triedPriorities: null,
    });
    if (host === null) {
      this.#endDownstream(ResponseFlag.noHealthyUpstream, 'no_healthy_upstream');
      return;
    }
    this.#attempts++;
    streamInfo.upstreamRequestAttemptCount = this.#attempts;
    streamInfo.setUpstreamHost(host);
    this.#host = host;
    // A failure may be reported before connect returns.
    const attempt = this.#attempts;
    const options = { ...readStreamOptions(streamInfo, 0, host), streamInfo };
    const { tunneling } = this.#shared;
    const handle = tunneling === null ? host.connect(options, this) : tunneling.open(host, options, streamInfo, this);
    if (attempt === this.#attempts && this.#upstream === null && !this.#closed) this.#pending = handle;
  }

  onPoolFailure(reason: PoolFailureReason, transportFailureReason: string): void {
    this.#pending = null;
    if (this.#closed) return;
    const { streamInfo } = this.#callbacks;
    streamInfo.upstreamTransportFailureReason = transportFailureReason;
    if (reason === 'overflow') {
      // No attempt was made.
      streamInfo.upstreamRequestAttemptCount = --this.#attempts;
      this.#endDownstream(ResponseFlag.upstreamOverflow, 'upstream_overflow');
      return;
    }
    if (reason !== 'local-connection-failure') {
      this.#host?.reportResult({ kind: reason === 'timeout' ? 'connect-timeout' : 'connect-failure' });
    }
    if (this.#attempts < this.#shared.model.maxConnectAttempts) {
      this.#connect();
      return;
    }
    this.#host?.cluster.stats.countConnectAttemptsExceeded();
    streamInfo.setFlag(ResponseFlag.upstreamConnectionFailure);
    this.#endDownstream(ResponseFlag.upstreamRetryLimitExceeded, 'upstream_connection_failure');
  }

  onPoolReady(upstream: TcpUpstream): void {
    this.#pending = null;
    this.#upstream = upstream;
    const { streamInfo } = this.#callbacks;
    streamInfo.upstreamConnection = upstream.info;
    this.#host?.reportResult({ kind: 'connect-success-final' });
    upstream.callbacks = new UpstreamSide(this, this.#downstream);
    upstream.enableHalfClose(true);
    this.#armIdleTimer();
    if (this.#shared.model.flushAccessLogOnConnected) this.#log();
    const early = this.#early;
    this.#early = [];
    for (const data of early) upstream.write(data, false);
    if (this.#earlyEnd) upstream.write(noBytes, true);
    this.#downstream.readDisable(false);
  }

  // Bytes

  onData(data: Buffer, endStream: boolean): FilterStatus {
    const { streamInfo } = this.#callbacks;
    streamInfo.bytesReceived += data.length;
    streamInfo.wireBytesReceived += data.length;
    this.#shared.stats.countReceived(data.length);
    this.#lastActivityMs = performance.now();
    if (this.#upstream !== null) this.#upstream.write(data, endStream);
    else {
      if (data.length > 0) this.#early.push(Buffer.from(data));
      this.#earlyEnd ||= endStream;
    }
    return FilterStatus.stop;
  }

  onUpstreamReset(): void {
    this.#callbacks.streamInfo.setFlag(ResponseFlag.upstreamRemoteReset);
  }

  /** Bytes from the upstream, on their way to the downstream. */
  countSent(bytes: number): void {
    const { streamInfo } = this.#callbacks;
    streamInfo.bytesSent += bytes;
    streamInfo.wireBytesSent += bytes;
    this.#shared.stats.txBytes.add(bytes);
    this.#lastActivityMs = performance.now();
  }

  onAboveWriteBufferHighWatermark(): void {
    this.#upstream?.readDisable(true);
  }

  onBelowWriteBufferLowWatermark(): void {
    this.#upstream?.readDisable(false);
  }

  pauseDownstream(pause: boolean): void {
    const { stats } = this.#shared;
    (pause ? stats.pausedReading : stats.resumedReading).inc();
    this.#downstream.readDisable(pause);
  }

  // Ends

  onClose(event: CloseEvent): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const timer of [this.#idleTimer, this.#durationTimer, this.#flushTimer]) {
      if (timer !== null) this.#timers.cancel(timer);
    }
    this.#pending?.cancel();
    this.#pending = null;
    const upstream = this.#upstream;
    if (upstream !== null && upstream.state !== 'closed') {
      if (event === 'remote-reset') upstream.close('abort-reset');
      else upstream.close(event === 'remote-close' ? 'flush-write' : 'no-flush');
    }
    this.#callbacks.streamInfo.endMonotonicMs = performance.now();
    this.#log();
  }

  #endDownstream(flag: number | null, details: string): void {
    if (flag !== null) this.#callbacks.streamInfo.setFlag(flag);
    this.#downstream.close('no-flush', details);
  }

  #log(): void {
    for (const logger of this.#shared.accessLogs) logger.log(this.#callbacks.streamInfo, null, null, null);
  }

  #scheduleLogFlush(): void {
    this.#flushTimer ??= new Timer(() => {
      this.#log();
      this.#scheduleLogFlush();
    });
    this.#timers.arm(this.#flushTimer, this.#shared.model.accessLogFlushIntervalMs);
  }

  /** Bytes only note the time: the timer looks at it when it fires. */
  #armIdleTimer(): void {
    const { idleTimeoutMs } = this.#shared.model;
    if (idleTimeoutMs === 0) return;
    this.#lastActivityMs = performance.now();
    this.#idleTimer = new Timer(() => this.#onIdleTimer());
    this.#timers.arm(this.#idleTimer, idleTimeoutMs);
  }

  #onIdleTimer(): void {
    const left = this.#lastActivityMs + this.#shared.model.idleTimeoutMs - performance.now();
    if (left > 1) {
      this.#timers.arm(this.#idleTimer as Timer, left);
      return;
    }
    this.#shared.stats.idleTimeout.inc();
    this.#endDownstream(null, 'tcp_session_idle_timeout');
  }
}

/** What the upstream connection reports. */
class UpstreamSide implements ConnectionCallbacks {
  readonly #filter: TcpProxyFilter;
  readonly #downstream: Connection;

  constructor(filter: TcpProxyFilter, downstream: Connection) {
    this.#filter = filter;
    this.#downstream = downstream;
  }

  onData(data: Buffer, endStream: boolean): void {
    this.#filter.countSent(data.length);
    this.#downstream.write(data, endStream);
  }

  onClose(event: CloseEvent): void {
    if (this.#downstream.state === 'closed') return;
    if (event === 'remote-reset') this.#filter.onUpstreamReset();
    this.#downstream.close(event === 'remote-reset' ? 'abort-reset' : 'flush-write');
  }

  onAboveWriteBufferHighWatermark(): void {
    this.#filter.pauseDownstream(true);
  }

  onBelowWriteBufferLowWatermark(): void {
    this.#filter.pauseDownstream(false);
  }
}

const noBytes = Buffer.alloc(0);

function chooseCluster(model: TcpProxyModel): TcpProxyModel['clusters'][number] {
  const { clusters } = model;
  if (clusters.length === 1) return clusters[0];
  let point = Math.random() * model.totalWeight;
  for (const cluster of clusters) {
    point -= cluster.weight;
    if (point < 0) return cluster;
  }
  return clusters[clusters.length - 1];
}

function hashSource(connection: Connection): bigint | null {
  const { remoteAddress } = connection.info;
  return remoteAddress.kind === 'socket' ? hashText(remoteAddress.address) : null;
}

export function buildTcpProxy(model: TcpProxyModel, context: NetworkFactoryContext): NetworkFilterFactory {
  const shared: Shared = {
    model,
    context,
    stats: new TcpProxyStats(context.stats, model.statPrefix),
    accessLogs: context.services.accessLogs.create(model.accessLogs),
    tunneling: model.tunneling === undefined ? null : new Tunneling(model.tunneling),
  };
  const create: NetworkFilterFactory = callbacks => new TcpProxyFilter(shared, callbacks);
  return Object.assign(create, { countRefused: () => shared.stats.cxTotal.inc() });
}
