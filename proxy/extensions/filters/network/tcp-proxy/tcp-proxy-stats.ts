/** Counters of `tcp.<stat_prefix>.`, under Envoy's names. */
import type { Counter, StatsStore } from '../../../../telemetry/stats-store.ts';

export class TcpProxyStats {
  readonly #stats: StatsStore;
  readonly #bufferedName: string;
  #hasReceived = false;
  readonly cxTotal: Counter;
  readonly cxNoRoute: Counter;
  readonly rxBytes: Counter;
  readonly txBytes: Counter;
  readonly pausedReading: Counter;
  readonly resumedReading: Counter;
  readonly idleTimeout: Counter;
  readonly maxDuration: Counter;

  constructor(stats: StatsStore, statPrefix: string) {
    const counter = (name: string): Counter => stats.counter(`tcp.${statPrefix}.${name}`);
    this.#stats = stats;
    this.#bufferedName = `tcp.${statPrefix}.downstream_cx_rx_bytes_buffered`;
    this.cxTotal = counter('downstream_cx_total');
    this.cxNoRoute = counter('downstream_cx_no_route');
    this.rxBytes = counter('downstream_cx_rx_bytes_total');
    this.txBytes = counter('downstream_cx_tx_bytes_total');
    this.pausedReading = counter('downstream_flow_control_paused_reading_total');
    this.resumedReading = counter('downstream_flow_control_resumed_reading_total');
    this.idleTimeout = counter('idle_timeout');
    this.maxDuration = counter('max_downstream_connection_duration');
  }

  countReceived(bytes: number): void {
    this.rxBytes.add(bytes);
    if (this.#hasReceived) return;
    this.#hasReceived = true;
    // Nothing waits in a read buffer between two events here.
    this.#stats.gauge(this.#bufferedName).set(0);
  }
}
