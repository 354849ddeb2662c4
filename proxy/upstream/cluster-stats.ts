/** The counters of one cluster under Envoy's names, made when its first traffic comes. */
import type { Counter, Gauge, Histogram, StatsStore } from '../telemetry/stats-store.ts';
import type { StreamResetReason } from '../http/codec.ts';
import type { ClusterStats, RetryOutcome } from './cluster-manager.ts';
import type { BalancerEvent } from './load-balancer/balanced-host.ts';

export class WorkerClusterStats implements ClusterStats {
  readonly #store: StatsStore;
  readonly #prefix: string;
  readonly #usedBreakers: readonly [Set<string>, Set<string>] = [new Set(), new Set()];
  #hasCodecCounters = false;
  #rxBytesBuffered: Gauge | null = null;
  /** By status, negative for internal requests. */
  readonly #responses = new Map<number, readonly Counter[]>();

  readonly cxTotal: Counter;
  readonly cxHttp1Total: Counter;
  readonly cxHttp2Total: Counter;
  readonly cxActive: Gauge;
  readonly bindErrors: Counter;
  readonly cxConnectFail: Counter;
  readonly cxConnectTimeout: Counter;
  readonly cxConnectMs: Histogram;
  readonly cxLengthMs: Histogram;
  readonly cxConnectAttemptsExceeded: Counter;
  readonly rqPerCx: Histogram;
  readonly cxDestroy: Counter;
  readonly cxDestroyLocal: Counter;
  readonly cxDestroyRemote: Counter;
  readonly cxDestroyWithActiveRequest: Counter;
  readonly cxDestroyLocalWithActiveRequest: Counter;
  readonly cxDestroyRemoteWithActiveRequest: Counter;
  readonly cxCloseNotify: Counter;
  readonly cxIdleTimeout: Counter;
  readonly cxMaxDurationReached: Counter;
  readonly cxMaxRequests: Counter;
  readonly cxNoneHealthy: Counter;
  readonly cxOverflow: Counter;
  readonly cxPoolOverflow: Counter;
  readonly cxProtocolError: Counter;
  readonly cxRxBytesTotal: Counter;
  readonly cxTxBytesTotal: Counter;
  readonly rqTotal: Counter;
  readonly rqActive: Gauge;
  readonly rqCancelled: Counter;
  readonly rqCompleted: Counter;
  readonly rqMaintenanceMode: Counter;
  readonly rqPendingTotal: Counter;
  readonly rqPendingActive: Gauge;
  readonly rqPendingOverflow: Counter;
  readonly rqActiveOverflow: Counter;
  readonly rqPendingFailureEject: Counter;
  readonly rqRxReset: Counter;
  readonly rqTxReset: Counter;
  readonly rqPerTryTimeout: Counter;
  readonly rqMaxDurationReached: Counter;
  readonly rqPerTryIdleTimeout: Counter;
  readonly rqRetry: Counter;
  readonly rqRetryBackoffExponential: Counter;
  readonly rqRetryLimitExceeded: Counter;
  readonly rqRetryOverflow: Counter;
  readonly rqRetrySuccess: Counter;
  readonly rqTimeout: Counter;
  #rqTime: Histogram | null = null;
  #rqTimeInternal: Histogram | null = null;
  #rqTimeExternal: Histogram | null = null;
  readonly retryOrShadowAbandoned: Counter;
  readonly #balancerEvents = new Map<BalancerEvent, Counter>();
  readonly flowControl: { readonly [E in Parameters<ClusterStats['countFlowControl']>[0]]: Counter };
  readonly originalDstHostInvalid: Counter;

  /** `statName` is the cluster's alt_stat_name or name. */
  constructor(store: StatsStore, statName: string) {
    const prefix = `cluster.${statName}.`;
    const counter = (name: string) => store.counter(prefix + name);
    const gauge = (name: string) => store.gauge(prefix + name);
    this.#store = store;
    this.#prefix = prefix;
    store.declare(prefix, 'cluster-traffic');
    this.cxTotal = counter('upstream_cx_total');
    this.cxHttp1Total = counter('upstream_cx_http1_total');
    this.cxHttp2Total = counter('upstream_cx_http2_total');
    this.rqRxReset = counter('upstream_rq_rx_reset');
    this.rqTxReset = counter('upstream_rq_tx_reset');
    this.cxActive = gauge('upstream_cx_active');
    this.bindErrors = counter('bind_errors');
    this.cxConnectFail = counter('upstream_cx_connect_fail');
    this.cxConnectTimeout = counter('upstream_cx_connect_timeout');
    this.cxConnectMs = store.histogram(`${prefix}upstream_cx_connect_ms`);
    this.cxLengthMs = store.histogram(`${prefix}upstream_cx_length_ms`);
    this.cxConnectAttemptsExceeded = counter('upstream_cx_connect_attempts_exceeded');
    this.rqPerCx = store.histogram(`${prefix}upstream_rq_per_cx`);
    this.cxDestroy = counter('upstream_cx_destroy');
    this.cxDestroyLocal = counter('upstream_cx_destroy_local');
    this.cxDestroyRemote = counter('upstream_cx_destroy_remote');
    this.cxDestroyWithActiveRequest = counter('upstream_cx_destroy_with_active_rq');
    this.cxDestroyLocalWithActiveRequest = counter('upstream_cx_destroy_local_with_active_rq');
    this.cxDestroyRemoteWithActiveRequest = counter('upstream_cx_destroy_remote_with_active_rq');
    this.cxCloseNotify = counter('upstream_cx_close_notify');
    this.cxIdleTimeout = counter('upstream_cx_idle_timeout');
    this.cxMaxDurationReached = counter('upstream_cx_max_duration_reached');
    this.cxMaxRequests = counter('upstream_cx_max_requests');
    this.cxNoneHealthy = counter('upstream_cx_none_healthy');
    this.cxOverflow = counter('upstream_cx_overflow');
    this.cxPoolOverflow = counter('upstream_cx_pool_overflow');
    this.cxProtocolError = counter('upstream_cx_protocol_error');
    this.cxRxBytesTotal = counter('upstream_cx_rx_bytes_total');
    this.cxTxBytesTotal = counter('upstream_cx_tx_bytes_total');
    this.rqTotal = counter('upstream_rq_total');
    this.rqActive = gauge('upstream_rq_active');
    this.rqCancelled = counter('upstream_rq_cancelled');
    this.rqCompleted = counter('upstream_rq_completed');
    this.rqMaintenanceMode = counter('upstream_rq_maintenance_mode');
    this.rqPendingTotal = counter('upstream_rq_pending_total');
    this.rqPendingActive = gauge('upstream_rq_pending_active');
    this.rqPendingOverflow = counter('upstream_rq_pending_overflow');
    this.rqActiveOverflow = counter('upstream_rq_active_overflow');
    this.rqPendingFailureEject = counter('upstream_rq_pending_failure_eject');
    this.rqPerTryTimeout = counter('upstream_rq_per_try_timeout');
    this.rqMaxDurationReached = counter('upstream_rq_max_duration_reached');
    this.rqPerTryIdleTimeout = counter('upstream_rq_per_try_idle_timeout');
    this.rqRetry = counter('upstream_rq_retry');
    this.rqRetryBackoffExponential = counter('upstream_rq_retry_backoff_exponential');
    this.rqRetryLimitExceeded = counter('upstream_rq_retry_limit_exceeded');
    this.rqRetryOverflow = counter('upstream_rq_retry_overflow');
    this.rqRetrySuccess = counter('upstream_rq_retry_success');
    this.rqTimeout = counter('upstream_rq_timeout');
    this.retryOrShadowAbandoned = counter('retry_or_shadow_abandoned');
    this.flowControl = {
      'backed-up': counter('upstream_flow_control_backed_up_total'),
      drained: counter('upstream_flow_control_drained_total'),
      'paused-reading': counter('upstream_flow_control_paused_reading_total'),
      'resumed-reading': counter('upstream_flow_control_resumed_reading_total'),
    };
    this.originalDstHostInvalid = counter('original_dst_host_invalid');
  }

  countBalancerEvent(event: BalancerEvent): void {
    let counter = this.#balancerEvents.get(event);
    if (counter === undefined) {
      counter = this.#store.counter(this.#prefix + event);
      this.#balancerEvents.set(event, counter);
    }
    counter.inc();
  }

  countResponse(status: number, isInternal: boolean): void {
    const key = isInternal ? -status : status;
    let counters = this.#responses.get(key);
    if (counters === undefined) {
      counters = [...this.#makeCounters('', status), ...this.#makeCounters(isInternal ? 'internal.' : 'external.', status)];
      this.#responses.set(key, counters);
    }
    for (let i = 0; i < counters.length; i++) counters[i].inc();
  }

  /** For a response that is retried instead of passed on. */
  countRetriedResponse(status: number): void {
    for (const counter of this.#makeCounters('retry.', status)) counter.inc();
  }

  recordRequestTimeMs(timeMs: number, isInternal: boolean): void {
    this.#rqTime ??= this.#store.histogram(`${this.#prefix}upstream_rq_time`);
    this.#rqTime.record(timeMs);
    if (isInternal) {
      this.#rqTimeInternal ??= this.#store.histogram(`${this.#prefix}internal.upstream_rq_time`);
      this.#rqTimeInternal.record(timeMs);
    } else {
      this.#rqTimeExternal ??= this.#store.histogram(`${this.#prefix}external.upstream_rq_time`);
      this.#rqTimeExternal.record(timeMs);
    }
  }

  countRetry(outcome: RetryOutcome): void {
    if (outcome === 'started') {
      this.rqRetry.inc();
      this.useBreaker(0, 'rq_retry');
      return;
    }
    if (outcome === 'success') this.rqRetrySuccess.inc();
    else if (outcome === 'overflow') this.rqRetryOverflow.inc();
    else if (outcome === 'limit-exceeded') this.rqRetryLimitExceeded.inc();
    else if (outcome === 'backoff-exponential') this.rqRetryBackoffExponential.inc();
    else this.#store.counter(`${this.#prefix}upstream_rq_retry_backoff_ratelimited`).inc();
  }

  /** Shows the gauge of a circuit breaker from its first use on; the main thread sets it when it is open. */
  useBreaker(priority: 0 | 1, name: 'cx' | 'cx_pool' | 'rq_pending' | 'rq' | 'rq_retry'): void {
    const used = this.#usedBreakers[priority];
    if (used.has(name)) return;
    used.add(name);
    this.#store.gauge(`${this.#prefix}circuit_breakers.${priority === 0 ? 'default' : 'high'}.${name}_open`).set(0);
  }

  /** The first HTTP/1 connection brings the codec's counters, none of which can happen here. */
  countHttp1Connection(): void {
    this.cxHttp1Total.inc();
    if (this.#hasCodecCounters) return;
    this.#hasCodecCounters = true;
    for (const name of codecCounters) this.#store.counter(`${this.#prefix}http1.${name}`);
  }

  /** Of one of many streams on a connection. */
  countStreamReset(reason: StreamResetReason): void {
    if (reason === 'remote-reset' || reason === 'remote-reset-no-error') this.rqRxReset.inc();
    else if (reason === 'local-reset' || reason === 'protocol-error') this.rqTxReset.inc();
    else if (reason === 'connection-termination') this.rqPendingFailureEject.inc();
  }

  countRequestTimeout(): void {
    this.rqTimeout.inc();
  }

  countPerTryTimeout(): void {
    this.rqPerTryTimeout.inc();
  }

  countMaxDurationReached(): void {
    this.rqMaxDurationReached.inc();
  }

  countPerTryIdleTimeout(): void {
    this.rqPerTryIdleTimeout.inc();
  }

  countRetryAbandoned(): void {
    this.retryOrShadowAbandoned.inc();
  }

  countInternalRedirect(succeeded: boolean): void {
    this.#store.counter(`${this.#prefix}upstream_internal_redirect_${succeeded ? 'succeeded' : 'failed'}_total`).inc();
  }

  countConnectAttemptsExceeded(): void {
    this.cxConnectAttemptsExceeded.inc();
  }

  countNoneHealthy(): void {
    this.cxNoneHealthy.inc();
  }

  countPendingOverflow(): void {
    this.rqPendingOverflow.inc();
  }

  countFlowControl(event: 'backed-up' | 'drained' | 'paused-reading' | 'resumed-reading'): void {
    this.flowControl[event].inc();
  }

  addUpstreamBytes(sent: number, received: number): void {
    if (sent > 0) this.cxTxBytesTotal.add(sent);
    if (received === 0) return;
    this.cxRxBytesTotal.add(received);
    // Nothing waits in a read buffer between two events here.
    if (this.#rxBytesBuffered === null) {
      this.#rxBytesBuffered = this.#store.gauge(`${this.#prefix}upstream_cx_rx_bytes_buffered`);
      this.#rxBytesBuffered.set(0);
    }
  }

  #makeCounters(prefix: string, status: number): Counter[] {
    const group = classNames[Math.floor(status / 100)] ?? 'unknown';
    // A code that HTTP does not know has no counter of its own.
    const own = group === 'unknown' ? [] : [String(status)];
    return ['completed', group, ...own].map(name => this.#store.counter(`${this.#prefix}${prefix}upstream_rq_${name}`));
  }
}

const codecCounters = [
  'dropped_headers_with_underscores',
  'metadata_not_supported_error',
  'requests_rejected_with_underscores_in_headers',
  'response_flood',
];
const classNames: readonly (string | undefined)[] = [undefined, '1xx', '2xx', '3xx', '4xx', '5xx'];
