/**
 * One upstream connection's accounting, shared by the HTTP and the TCP pool: its place in the circuit breaker, the connect
 * timeout, and the counters of its life.
 */
import { Timer } from '../../../common/timer-wheel.ts';
import { bindFailure } from '../../network/client-connection.ts';
import type { CloseEvent, Connection, ConnectionCallbacks, OriginalSource } from '../../network/connection.ts';
import { NetworkFilterChain } from '../../network/filter-chain.ts';
import type { PassthroughState, SharedObjects } from '../../network/passthrough-state.ts';
import { createOriginalSourceSetup } from '../../network/socket-options.ts';
import type { Address } from '../../config/model/address.ts';
import type { ClusterModel } from '../../config/model/cluster.ts';
import type { Metadata } from '../../config/model/matchers.ts';
import { encodeProxyHeader } from '../../network/proxy-protocol.ts';
import { StreamInfo } from '../../telemetry/stream-info.ts';
import type { PoolFailureReason, StreamOptions } from '../cluster-manager.ts';
import { HostField } from '../shared-counters.ts';
import type { WorkerHost } from '../worker-host.ts';
import { ConnectionRace } from './connection-race.ts';
import type { ConnectOptions } from './connector.ts';

/** Called at most once each, `onEstablished` before `onEnd`. */
export interface UpstreamConnectionOwner {
  onEstablished(): void;
  /** `failure` is null if the connection had been established. */
  onEnd(event: CloseEvent, failure: PoolFailureReason | null): void;
}

export class UpstreamConnection {
  /** What is written here passes the upstream network filters, if the connection has any. */
  connection: Connection;
  readonly #host: WorkerHost;
  readonly #priority: 0 | 1;
  readonly #owner: UpstreamConnectionOwner;
  readonly #alpnFallback: readonly string[];
  readonly #startMs: number;
  #connectTimer: Timer | null = null;
  #timedOut = false;
  #established = false;
  #ended = false;
  #countedTxBytes = 0;
  #countedRxBytes = 0;

  /** Takes the connection's place in the circuit breaker, which the caller has checked. */
  constructor(
    host: WorkerHost,
    options: StreamOptions,
    callbacks: ConnectionCallbacks,
    owner: UpstreamConnectionOwner,
    alpnFallback: readonly string[] = [],
  ) {
    const { cluster } = host;
    this.#host = host;
    this.#priority = options.priority;
    this.#owner = owner;
    this.#alpnFallback = alpnFallback;
    this.#startMs = cluster.services.timers.now();
    cluster.stats.cxTotal.inc();
    cluster.stats.cxActive.inc();
    cluster.stats.useBreaker(options.priority, 'cx');
    host.count(HostField.connectionsTotal, 1);
    host.count(HostField.connectionsActive, 1);
    this.connection = this.#connect(options, callbacks);
    const { connectTimeoutMs } = cluster.model;
    if (connectTimeoutMs > 0) {
      this.#connectTimer = new Timer(() => this.#onConnectTimeout());
      cluster.services.timers.arm(this.#connectTimer, connectTimeoutMs);
    }
  }

  #connect(options: StreamOptions, callbacks: ConnectionCallbacks): Connection {
    const { addresses } = this.#host;
    const { services } = this.#host.cluster;
    if (addresses.length === 1) return services.connect(this.#connectOptions(addresses[0], options, callbacks));
    return new ConnectionRace({
      addresses,
      connect: (address, raced) => services.connect(this.#connectOptions(address, options, raced)),
      timers: services.timers,
      callbacks,
      onWon: winner => {
        this.connection = winner;
      },
    });
  }

  #connectOptions(address: Address, options: StreamOptions, callbacks: ConnectionCallbacks): ConnectOptions {
    const { cluster, transportSocket } = this.#host;
    const { proxyProtocol } = transportSocket;
    const { model } = cluster;
    return {
      address,
      bindAddress: options.originalSource?.address ?? cluster.findBindAddress(address),
      socketSetup: makeSocketSetup(options.originalSource, model.socketOptions),
      transportSocket,
      passthrough: makePassthrough(this.#host, options.shared),
      proxyHeader: proxyProtocol === undefined ? null : encodeProxyHeader(proxyProtocol, options.announced),
      alpnOverride: options.alpnOverride,
      alpnFallback: this.#alpnFallback,
      serverNameOverride: options.serverNameOverride,
      subjectAltNameOverride: options.subjectAltNameOverride,
      keepalive: model.tcpKeepalive,
      bufferLimitBytes: model.perConnectionBufferLimitBytes,
      stats: cluster.services.stats,
      statPrefix: `cluster.${model.statName}`,
      callbacks,
    };
  }

  get isEstablished(): boolean {
    return this.#established;
  }

  #onConnectTimeout(): void {
    if (this.#established || this.#ended) return;
    this.#timedOut = true;
    this.#host.cluster.stats.cxConnectTimeout.inc();
    this.connection.close('no-flush', 'connect_timeout');
  }

  /**
   * Puts the cluster's network filters between the connection and its consumer. Call it when connected, before the first byte.
   * Differs from Envoy: the filters join once the connection is established, not while it is being made.
   */
  installFilters(streamInfo: StreamInfo | null): void {
    const factories = this.#host.cluster.networkFilters;
    if (factories.length === 0) return;
    const consumer = this.connection.callbacks;
    const { info } = this.connection;
    const { timers } = this.#host.cluster.services;
    const chain = new NetworkFilterChain(
      this.connection,
      streamInfo ?? new StreamInfo(info, Date.now(), timers.now()),
      factories,
    );
    chain.connection.callbacks = consumer;
    this.connection = chain.connection;
    chain.start();
  }

  /** The owner's connection callbacks pass these two on. */
  onConnected(): void {
    const { cluster } = this.#host;
    this.#established = true;
    if (this.#connectTimer !== null) cluster.services.timers.cancel(this.#connectTimer);
    cluster.stats.cxConnectMs.record(Math.round(cluster.services.timers.now() - this.#startMs));
    this.#owner.onEstablished();
  }

  onClose(event: CloseEvent, hasActiveRequest: boolean): void {
    if (this.#ended) return;
    this.#ended = true;
    const { cluster } = this.#host;
    const { stats } = cluster;
    if (this.#connectTimer !== null) cluster.services.timers.cancel(this.#connectTimer);
    this.countBytes();
    cluster.resources.releaseConnection(this.#priority);
    stats.cxActive.dec();
    this.#host.count(HostField.connectionsActive, -1);
    const isLocal = event === 'local-close' || event === 'local-reset';
    stats.cxDestroy.inc();
    (isLocal ? stats.cxDestroyLocal : stats.cxDestroyRemote).inc();
    stats.cxLengthMs.record(Math.round(cluster.services.timers.now() - this.#startMs));
    if (!this.#established) {
      stats.cxConnectFail.inc();
      if (this.connection.info.transportFailureReason.startsWith(bindFailure)) stats.bindErrors.inc();
      this.#host.count(HostField.connectFailures, 1);
      this.#owner.onEnd(event, this.#failureReason(event));
      return;
    }
    if (hasActiveRequest) {
      stats.cxDestroyWithActiveRequest.inc();
      (isLocal ? stats.cxDestroyLocalWithActiveRequest : stats.cxDestroyRemoteWithActiveRequest).inc();
    }
    this.#owner.onEnd(event, null);
  }

  /** Adds what went over the wire since the last call to the cluster's counters. */
  countBytes(): void {
    const { bytesSent, bytesReceived } = this.connection;
    this.#host.cluster.stats.addUpstreamBytes(bytesSent - this.#countedTxBytes, bytesReceived - this.#countedRxBytes);
    this.#countedTxBytes = bytesSent;
    this.#countedRxBytes = bytesReceived;
  }

  #failureReason(event: CloseEvent): PoolFailureReason {
    if (this.#timedOut) return 'timeout';
    return event === 'local-close' || event === 'local-reset' ? 'local-connection-failure' : 'remote-connection-failure';
  }
}

function makeSocketSetup(
  originalSource: OriginalSource | null,
  options: ClusterModel['socketOptions'],
): ConnectOptions['socketSetup'] {
  if (originalSource === null) return options === undefined ? null : { options };
  const setup = createOriginalSourceSetup(originalSource);
  return options === undefined ? setup : { ...setup, options };
}

function makePassthrough(
  { transportSocket, metadata, cluster }: WorkerHost,
  shared: SharedObjects | null,
): PassthroughState | null {
  const { internalUpstream } = transportSocket;
  if (internalUpstream === undefined) return null;
  const passed: { [namespace: string]: Metadata[string] } = {};
  for (const { source, namespace } of internalUpstream.metadata) {
    const values = (source === 'host' ? metadata : cluster.model.metadata)[namespace];
    if (values !== undefined) passed[namespace] = values;
  }
  return { metadata: passed, filterState: shared };
}
