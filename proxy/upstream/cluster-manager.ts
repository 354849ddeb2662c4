/**
 * What a worker knows of clusters, and what the router and the TCP proxy ask of it. Interfaces only: worker-clusters.ts holds
 * the state, load-balancer/ chooses hosts, pool/ keeps connections.
 */
import type { ClusterModel } from '../config/model/cluster.ts';
import type { Metadata } from '../config/model/matchers.ts';
import type { ClientCodec, RequestEncoder, ResponseDecoder, StreamResetReason } from '../http/codec.ts';
import type { HeaderMap } from '../http/header-map.ts';
import type { Connection, ConnectionInfo, OriginalSource } from '../network/connection.ts';
import type { SharedObjects } from '../network/passthrough-state.ts';
import type { AnnouncedAddresses } from '../network/proxy-protocol.ts';
import type { Protocol, StreamInfo } from '../telemetry/stream-info.ts';
import type { ClusterView, HostView } from './views.ts';

export interface ClusterManager {
  /** The cluster, parsed at first use, or null if it is unknown. */
  find(name: string): Cluster | null;
}

export interface Cluster extends ClusterView {
  /** Counters of `cluster.<statName>.*`, made when traffic first needs them. */
  readonly stats: ClusterStats;
  /** Chooses a host, or null if none can serve. */
  chooseHost(context: LoadBalancerContext): Host | null;
  /** Circuit breaker accounting; `priority` 0 is default, 1 high. */
  readonly resources: ResourceManager;
}

/** A host asked for by its address, as `ip:port`. */
export interface OverrideHost {
  readonly address: string;
  /** There is no other host for this request. */
  readonly strict: boolean;
}

/** Per-request input of load balancing. */
export interface LoadBalancerContext {
  /** Of the route's hash policy; null if there is none. */
  readonly hash: bigint | number | null;
  readonly downstream: ConnectionInfo | null;
  /** Of the stream; absent: nothing in it matters. */
  readonly info?: StreamInfo;
  readonly headers: HeaderMap | null;
  readonly metadataMatch: Metadata | null;
  /** Asked of a chosen host; true chooses again, at most `hostSelectionMaxAttempts` times. */
  shouldSelectAnotherHost(host: HostView): boolean;
  readonly hostSelectionMaxAttempts: number;
  /** The host that a filter asks for; null: any. */
  readonly overrideHost: OverrideHost | null;
  /** Priorities already tried, for previous_priorities; null: not in use. */
  readonly triedPriorities: readonly number[] | null;
}

export interface Host extends HostView {
  readonly cluster: Cluster;
  /** Requests in flight to this host over all workers: the balancer's load. */
  readonly activeRequests: number;
  /** Its connections begin by saying for whom they are made (PROXY protocol). */
  readonly announcesDownstream: boolean;
  /** For streams that no pool carries: those of `newStream` and the connections of `connect` count themselves. */
  beginRequest(): void;
  endRequest(): void;
  /** `rq_success` and `rq_error` of the host. */
  countOutcome(succeeded: boolean): void;
  /** Outlier detection's input: a response status, or a local-origin failure. */
  reportResult(result: HostResult): void;
  /** Starts or reuses a connection for one HTTP stream. */
  newStream(options: StreamOptions, decoder: ResponseDecoder, callbacks: PoolCallbacks): PoolHandle | null;
  /** Opens one connection for the TCP proxy. */
  connect(options: StreamOptions, callbacks: TcpPoolCallbacks): PoolHandle | null;
}

export type HostResult =
  | { readonly kind: 'response'; readonly status: number }
  /** `connect-success-final`: no response will follow, the connection is all there is. */
  | {
      readonly kind:
        | 'connect-success'
        | 'connect-success-final'
        | 'connect-failure'
        | 'connect-timeout'
        | 'request-timeout'
        | 'reset';
    };

/** What makes one connection unfit for another stream: part of the pool's key. */
export interface StreamOptions {
  readonly priority: 0 | 1;
  /** Of the downstream request; decides the protocol where the cluster follows it. */
  readonly downstreamProtocol: Protocol;
  /** Replaces the transport socket's ALPN (istio.alpn); null: as configured. */
  readonly alpnOverride: readonly string[] | null;
  /** Replaces the SNI (auto_sni); null: as configured. */
  readonly serverNameOverride: string | null;
  /** Replaces the expected names (auto_san_validation); null: as configured. */
  readonly subjectAltNameOverride: readonly string[] | null;
  /** Bind upstream to the client's address; null: as the cluster says. */
  readonly originalSource: OriginalSource | null;
  /** For hosts that want the PROXY protocol; null for all others. */
  readonly announced: AnnouncedAddresses | null;
  /** Filter state that the upstream connection shares; null: none. */
  readonly shared: SharedObjects | null;
  /** The downstream connection's stream info, for upstream network filters. */
  readonly streamInfo: StreamInfo | null;
}

/** A stream or connection that is being waited for. */
export interface PoolHandle {
  cancel(): void;
}

export type PoolFailureReason = 'overflow' | 'local-connection-failure' | 'remote-connection-failure' | 'timeout';

export interface PoolCallbacks {
  onPoolReady(encoder: RequestEncoder, connection: ConnectionInfo, protocol: Protocol, reused: boolean): void;
  onPoolFailure(reason: PoolFailureReason, transportFailureReason: string): void;
}

export interface TcpPoolCallbacks {
  /** `release`: nobody needs the connection any more; its end is then no failure of a request. */
  onPoolReady(connection: Connection, release: () => void): void;
  onPoolFailure(reason: PoolFailureReason, transportFailureReason: string): void;
}

/** Limits of one cluster over all workers. Each `try...` takes a place or counts an overflow and returns false. */
export interface ResourceManager {
  tryConnection(priority: 0 | 1): boolean;
  releaseConnection(priority: 0 | 1): void;
  tryPendingRequest(priority: 0 | 1): boolean;
  releasePendingRequest(priority: 0 | 1): void;
  tryRequest(priority: 0 | 1): boolean;
  releaseRequest(priority: 0 | 1): void;
  tryRetry(priority: 0 | 1): boolean;
  releaseRetry(priority: 0 | 1): void;
}

/** What happened to a retry; the last two tell which time it waits. */
export type RetryOutcome = 'started' | 'success' | 'overflow' | 'limit-exceeded' | 'backoff-exponential' | 'backoff-ratelimited';

/** The cluster counters that code outside upstream/ touches; upstream/cluster-stats.ts implements them under Envoy's names. */
export interface ClusterStats {
  /** `upstream_rq_<code>`, `_<class>`, `_completed`, and the same under `internal.` or `external.`. */
  countResponse(status: number, isInternal: boolean): void;
  recordRequestTimeMs(timeMs: number, isInternal: boolean): void;
  countRetry(outcome: RetryOutcome): void;
  countRequestTimeout(): void;
  countPerTryTimeout(): void;
  countPerTryIdleTimeout(): void;
  countMaxDurationReached(): void;
  /** `retry_or_shadow_abandoned`: the request outgrew the buffer. */
  countRetryAbandoned(): void;
  /** `upstream_internal_redirect_*`. */
  countInternalRedirect(succeeded: boolean): void;
  /** `retry.upstream_rq_<code>`. */
  countRetriedResponse(status: number): void;
  /** A TCP proxy gave up connecting. */
  countConnectAttemptsExceeded(): void;
  countNoneHealthy(): void;
  /** A stream of an HTTP/2 connection ended before it was whole. */
  countStreamReset(reason: StreamResetReason): void;
  countPendingOverflow(): void;
  /** `upstream_flow_control_*`: the upstream is slow, or the downstream is and reading from the upstream pauses. */
  countFlowControl(event: 'backed-up' | 'drained' | 'paused-reading' | 'resumed-reading'): void;
  addUpstreamBytes(sent: number, received: number): void;
}

export type { ClientCodec, ClusterModel };
