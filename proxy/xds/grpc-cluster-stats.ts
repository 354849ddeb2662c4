/**
 * What a cluster that carries control-plane streams counts, under all the names that Envoy gives such a cluster: dashboards and
 * the agent expect the series, those that a gRPC channel cannot know stay zero. One connection per stream is exact, because
 * every stream opens its own.
 */
import type { Counter, Gauge, Histogram, StatsStore } from '../telemetry/stats-store.ts';

const counterNames = `
  assignment_stale assignment_timeout_received assignment_use_cached bind_errors default.total_match_count
  http2.cookies_total_bytes_too_large http2.dropped_headers_with_underscores http2.goaway_sent
  http2.header_list_size_too_large http2.header_overflow http2.headers_cb_no_stream http2.inbound_empty_frames_flood
  http2.inbound_priority_frames_flood http2.inbound_window_update_frames_flood http2.keepalive_timeout
  http2.metadata_empty_frames http2.nghttp2_downstream_connections http2.nghttp2_upstream_connections
  http2.oghttp2_downstream_connections http2.oghttp2_upstream_connections http2.outbound_control_flood
  http2.outbound_flood http2.requests_rejected_with_underscores_in_headers http2.rx_messaging_error http2.rx_reset
  http2.stream_refused_errors http2.trailers http2.tx_flush_timeout http2.tx_reset internal.upstream_rq_completed
  lb_healthy_panic lb_local_cluster_not_ok lb_recalculate_zone_structures lb_subsets_created lb_subsets_fallback
  lb_subsets_fallback_panic lb_subsets_removed lb_subsets_selected lb_zone_cluster_too_small lb_zone_no_capacity_left
  lb_zone_routing_all_directly lb_zone_routing_cross_zone lb_zone_routing_sampled original_dst_host_invalid
  retry_or_shadow_abandoned update_attempt update_empty update_failure update_no_rebuild update_success
  upstream_cx_close_notify upstream_cx_connect_attempts_exceeded upstream_cx_connect_fail upstream_cx_connect_timeout
  upstream_cx_connect_with_0_rtt upstream_cx_destroy upstream_cx_destroy_local
  upstream_cx_destroy_local_with_active_rq upstream_cx_destroy_remote upstream_cx_destroy_remote_with_active_rq
  upstream_cx_destroy_with_active_rq upstream_cx_http1_total upstream_cx_http2_total upstream_cx_http3_total
  upstream_cx_idle_timeout upstream_cx_max_duration_reached upstream_cx_max_requests upstream_cx_none_healthy
  upstream_cx_overflow upstream_cx_pool_overflow upstream_cx_preconnect_skipped upstream_cx_protocol_error
  upstream_cx_rx_bytes_total upstream_cx_total upstream_cx_tx_bytes_total upstream_flow_control_backed_up_total
  upstream_flow_control_drained_total upstream_flow_control_paused_reading_total
  upstream_flow_control_resumed_reading_total upstream_http3_broken upstream_internal_redirect_failed_total
  upstream_internal_redirect_succeeded_total upstream_rq_0rtt upstream_rq_active_overflow upstream_rq_cancelled
  upstream_rq_completed upstream_rq_maintenance_mode upstream_rq_max_duration_reached
  upstream_rq_pending_failure_eject upstream_rq_pending_overflow upstream_rq_pending_total
  upstream_rq_per_try_idle_timeout upstream_rq_per_try_timeout upstream_rq_retry
  upstream_rq_retry_backoff_exponential upstream_rq_retry_backoff_ratelimited upstream_rq_retry_limit_exceeded
  upstream_rq_retry_overflow upstream_rq_retry_success upstream_rq_rx_reset upstream_rq_rx_reset_no_error
  upstream_rq_timeout upstream_rq_total upstream_rq_tx_reset
`;
const gaugeNames = `
  http2.deferred_stream_close http2.outbound_control_frames_active http2.outbound_frames_active
  http2.pending_send_bytes http2.streams_active lb_subsets_active upstream_cx_active upstream_cx_rx_bytes_buffered
  upstream_cx_tx_bytes_buffered upstream_queue_overloaded upstream_rq_active upstream_rq_pending_active version
  warming_state
`;
const histogramNames = `
  http2.cookie_count http2.cookie_size http2.header_count http2.header_list_size upstream_cx_connect_ms
  upstream_cx_length_ms upstream_rq_per_cx
`;

/** What a connection touches in Envoy, and where nothing can be seen here. */
const emptyGauges = [
  'http2.outbound_control_frames_active',
  'http2.outbound_frames_active',
  'http2.pending_send_bytes',
  'upstream_cx_rx_bytes_buffered',
  'upstream_rq_pending_active',
];
const closedBreakers = ['cx', 'cx_pool', 'rq', 'rq_pending'];

function split(names: string): string[] {
  return names.trim().split(/\s+/);
}

/** One stream on its connection. */
export interface ControlPlaneConnectionStats {
  /** The server answered: connected, and with status 200. */
  onConnected(): void;
  onMessageSent(bytes: number): void;
  onMessageReceived(bytes: number): void;
  /** @param local true where this side ended it. */
  onEnded(local: boolean): void;
}

export class GrpcClusterStats {
  readonly #counters: { readonly [name: string]: Counter };
  readonly #gauges: { readonly [name: string]: Gauge };
  readonly #histograms: { readonly [name: string]: Histogram };
  readonly #store: StatsStore;
  readonly #scope: string;

  readonly #maxRequests: number;

  /**
   * @param statName of the cluster.
   * @param maxRequests per connection; 0: no limit.
   */
  constructor(stats: StatsStore, statName: string, maxRequests: number) {
    this.#store = stats;
    this.#maxRequests = maxRequests;
    stats.declare('http.async-client.', 'async-client');
    this.#scope = `cluster.${statName}.`;
    const scoped = <T>(names: string, make: (name: string) => T): { readonly [name: string]: T } =>
      Object.fromEntries(split(names).map(name => [name, make(this.#scope + name)]));
    this.#counters = scoped(counterNames, name => stats.counter(name));
    this.#gauges = scoped(gaugeNames, name => stats.gauge(name));
    this.#histograms = scoped(histogramNames, name => stats.histogram(name));
  }

  beginConnection(): ControlPlaneConnectionStats {
    const startMs = performance.now();
    const gauges = ['upstream_cx_active', 'upstream_rq_active', 'http2.streams_active'];
    this.#count('upstream_cx_total', 'upstream_cx_http2_total', 'upstream_rq_total', 'upstream_rq_pending_total');
    this.#store.counter('http.async-client.rq_total').inc();
    if (this.#maxRequests === 1) this.#count('upstream_cx_max_requests');
    for (const name of gauges) this.#gauges[name].inc();
    for (const name of emptyGauges) this.#gauges[name].set(0);
    for (const name of closedBreakers) this.#store.gauge(`${this.#scope}circuit_breakers.default.${name}_open`).set(0);
    let connected = false;
    return {
      onConnected: () => {
        if (connected) return;
        connected = true;
        this.#count('http2.nghttp2_upstream_connections', 'upstream_rq_completed', 'internal.upstream_rq_completed');
        for (const name of ['upstream_rq_200', 'upstream_rq_2xx']) {
          this.#store.counter(this.#scope + name).inc();
          this.#store.counter(`${this.#scope}internal.${name}`).inc();
        }
        this.#histograms.upstream_cx_connect_ms.record(performance.now() - startMs);
      },
      onMessageSent: bytes => this.#counters.upstream_cx_tx_bytes_total.add(bytes),
      onMessageReceived: bytes => this.#counters.upstream_cx_rx_bytes_total.add(bytes),
      onEnded: local => {
        for (const name of gauges) this.#gauges[name].dec();
        if (!connected) {
          this.#count('upstream_cx_connect_fail');
          return;
        }
        this.#count('upstream_cx_destroy', local ? 'upstream_cx_destroy_local' : 'upstream_cx_destroy_remote');
        this.#histograms.upstream_cx_length_ms.record(performance.now() - startMs);
        this.#histograms.upstream_rq_per_cx.record(1);
      },
    };
  }

  #count(...names: readonly string[]): void {
    for (const name of names) this.#counters[name].inc();
  }
}
