/** Counters of one connection manager, `http.<stat_prefix>.*`, under Envoy's names; made once per filter chain. */
import type { Counter, Gauge, Histogram, StatsStore } from '../telemetry/stats-store.ts';

const counterNames =
  'downstream_cx_delayed_close_timeout downstream_cx_destroy downstream_cx_destroy_active_rq downstream_cx_destroy_local ' +
  'downstream_cx_destroy_local_active_rq downstream_cx_destroy_remote downstream_cx_destroy_remote_active_rq ' +
  'downstream_cx_drain_close downstream_cx_http1_total downstream_cx_http2_total downstream_cx_http3_total ' +
  'downstream_cx_idle_timeout downstream_cx_max_duration_reached downstream_cx_max_requests_reached ' +
  'downstream_cx_overload_disable_keepalive downstream_cx_protocol_error downstream_cx_rx_bytes_total downstream_cx_ssl_total ' +
  'downstream_cx_total downstream_cx_tx_bytes_total downstream_cx_upgrades_total downstream_flow_control_paused_reading_total ' +
  'downstream_flow_control_resumed_reading_total downstream_rq_1xx downstream_rq_2xx downstream_rq_3xx downstream_rq_4xx ' +
  'downstream_rq_5xx downstream_rq_completed downstream_rq_failed_path_normalization downstream_rq_http1_total ' +
  'downstream_rq_http2_total downstream_rq_http3_total downstream_rq_header_timeout downstream_rq_idle_timeout ' +
  'downstream_rq_max_duration_reached downstream_rq_non_relative_path downstream_rq_overload_close ' +
  'downstream_rq_redirected_with_normalized_path downstream_rq_rejected_via_ip_detection ' +
  'downstream_rq_response_before_rq_complete downstream_rq_rx_reset downstream_rq_timeout downstream_rq_too_large ' +
  'downstream_rq_too_many_premature_resets downstream_rq_total downstream_rq_tx_reset downstream_rq_ws_on_non_ws_route rs_too_large';

const gaugeNames =
  'downstream_cx_active downstream_cx_http1_active downstream_cx_http2_active downstream_cx_http3_active ' +
  'downstream_cx_http1_soft_drain downstream_cx_rx_bytes_buffered downstream_cx_ssl_active downstream_cx_tx_bytes_buffered ' +
  'downstream_cx_upgrades_active downstream_rq_active';

const tracingNames = 'client_enabled health_check not_traceable random_sampling service_forced';

/** The same responses once more per listener. */
interface ResponseCounters {
  readonly completed: Counter;
  /** By class of the status, index 1 to 5. */
  readonly byClass: readonly Counter[];
}

function makeResponseCounters(stats: StatsStore, prefix: string): ResponseCounters {
  const byClass = [1, 1, 2, 3, 4, 5].map(digit => stats.counter(`${prefix}downstream_rq_${digit}xx`));
  return { completed: stats.counter(`${prefix}downstream_rq_completed`), byClass };
}

export class ManagerStats {
  readonly #counters = new Map<string, Counter>();
  readonly #gauges = new Map<string, Gauge>();
  #hasReceived = false;
  readonly #ofListener: ResponseCounters | null;
  readonly #tracing = new Map<string, Counter>();
  readonly connectionsTotal: Counter;
  readonly connectionsActive: Gauge;
  readonly requestsTotal: Counter;
  readonly requestsHttp1: Counter;
  readonly requestsHttp2: Counter;
  readonly requestsActive: Gauge;
  readonly requestsCompleted: Counter;
  /** By class of the response's status: index 1 to 5. */
  readonly responsesByClass: readonly Counter[];
  readonly receivedBytes: Counter;
  readonly sentBytes: Counter;
  readonly requestTimeMs: Histogram;
  readonly connectionLengthMs: Histogram;

  /** `listenerStatName` is null for a manager without listener. */
  constructor(stats: StatsStore, statPrefix: string, listenerStatName: string | null = null) {
    const prefix = `http.${statPrefix}.`;
    for (const name of counterNames.split(' ')) this.#counters.set(name, stats.counter(prefix + name));
    for (const name of gaugeNames.split(' ')) this.#gauges.set(name, stats.gauge(prefix + name));
    for (const name of tracingNames.split(' ')) this.#tracing.set(name, stats.counter(`${prefix}tracing.${name}`));
    this.connectionsTotal = this.counter('downstream_cx_total');
    this.connectionsActive = this.gauge('downstream_cx_active');
    this.requestsTotal = this.counter('downstream_rq_total');
    this.requestsHttp1 = this.counter('downstream_rq_http1_total');
    this.requestsHttp2 = this.counter('downstream_rq_http2_total');
    this.requestsActive = this.gauge('downstream_rq_active');
    this.requestsCompleted = this.counter('downstream_rq_completed');
    const first = this.counter('downstream_rq_1xx');
    this.responsesByClass = [first, first, ...[2, 3, 4, 5].map(digit => this.counter(`downstream_rq_${digit}xx`))];
    this.#ofListener = listenerStatName === null ? null : makeResponseCounters(stats, `${listenerStatName}.${prefix}`);
    this.receivedBytes = this.counter('downstream_cx_rx_bytes_total');
    this.sentBytes = this.counter('downstream_cx_tx_bytes_total');
    this.requestTimeMs = stats.histogram(`${prefix}downstream_rq_time`);
    this.connectionLengthMs = stats.histogram(`${prefix}downstream_cx_length_ms`);
  }

  /** @throws Error for a name that is not in the list above, which is a mistake in the code. */
  counter(name: string): Counter {
    const counter = this.#counters.get(name);
    if (counter === undefined) throw new Error(`no such counter: ${name}`);
    return counter;
  }

  gauge(name: string): Gauge {
    const gauge = this.#gauges.get(name);
    if (gauge === undefined) throw new Error(`no such gauge: ${name}`);
    return gauge;
  }

  /** A connection whose handshake failed: in Envoy the manager is there before it. */
  countRefused(lengthMs: number): void {
    this.connectionsTotal.inc();
    for (const name of ['ssl_total', 'destroy', 'destroy_remote']) this.counter(`downstream_cx_${name}`).inc();
    this.connectionLengthMs.record(lengthMs);
  }

  countReceived(bytes: number): void {
    this.receivedBytes.add(bytes);
    // Nothing waits in a read buffer between two events here.
    if (this.#hasReceived) return;
    this.#hasReceived = true;
    this.gauge('downstream_cx_rx_bytes_buffered').set(0);
  }

  countTracing(name: 'client_enabled' | 'health_check' | 'not_traceable' | 'random_sampling' | 'service_forced'): void {
    this.#tracing.get(name)?.inc();
  }

  countResponse(status: number): void {
    this.requestsCompleted.inc();
    this.#ofListener?.completed.inc();
    const digit = Math.floor(status / 100);
    if (digit >= 1 && digit <= 5) {
      this.responsesByClass[digit].inc();
      this.#ofListener?.byClass[digit].inc();
    }
  }
}
