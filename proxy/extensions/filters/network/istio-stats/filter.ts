/** `istio.stats` on TCP: connections and bytes, reported while the connection lives and when it ends. */
import { Timer } from '../../../../../common/timer-wheel.ts';
import type { TimerWheel } from '../../../../../common/timer-wheel.ts';
import type {
  NetworkFactoryContext,
  NetworkFilter,
  NetworkFilterCallbacks,
  NetworkFilterFactory,
} from '../../../../network/filter.ts';
import { FilterStatus } from '../../../../network/filter.ts';
import type { FormatContext } from '../../../../telemetry/format-operator.ts';
import type { TcpMetrics } from '../../../../telemetry/istio/istio-metrics.ts';
import { IstioMetrics } from '../../../../telemetry/istio/istio-metrics.ts';
import type { IstioStatsModel } from '../../../../telemetry/istio/model.ts';
import { isPeerSettled } from '../../../../telemetry/peer-metadata.ts';

class IstioStatsTcpFilter implements NetworkFilter {
  readonly #callbacks: NetworkFilterCallbacks;
  readonly #metrics: IstioMetrics;
  readonly #timers: TimerWheel;
  readonly #timer: Timer;
  /** Null until the peer is known, or the connection ended without it. */
  #counters: TcpMetrics | null = null;
  #sent = 0;
  #received = 0;

  constructor(callbacks: NetworkFilterCallbacks, metrics: IstioMetrics, timers: TimerWheel) {
    this.#callbacks = callbacks;
    this.#metrics = metrics;
    this.#timers = timers;
    this.#timer = new Timer(() => this.#onTimer());
  }

  onNewConnection(): FilterStatus {
    const { tcpReportingDurationMs } = this.#metrics.model;
    if (tcpReportingDurationMs > 0) this.#timers.arm(this.#timer, tcpReportingDurationMs);
    return FilterStatus.continue;
  }

  onClose(): void {
    this.#timers.cancel(this.#timer);
    this.#report(true);
    this.#counters?.closed?.inc();
    this.#metrics.recordConnectionEnd(this.#context());
  }

  #onTimer(): void {
    this.#report(false);
    this.#timers.arm(this.#timer, this.#metrics.model.tcpReportingDurationMs);
  }

  #context(): FormatContext {
    return { info: this.#callbacks.streamInfo, requestHeaders: null, responseHeaders: null, responseTrailers: null };
  }

  #report(atEnd: boolean): void {
    if (this.#counters === null) {
      const side = this.#metrics.reporter === 'source' ? 'upstream' : 'downstream';
      if (!atEnd && !isPeerSettled(this.#callbacks.streamInfo, side)) return;
      this.#counters = this.#metrics.findTcpMetrics(this.#context());
      this.#counters.opened?.inc();
    }
    const { bytesSent, bytesReceived } = this.#callbacks.streamInfo;
    this.#counters.sentBytes?.add(bytesSent - this.#sent);
    this.#counters.receivedBytes?.add(bytesReceived - this.#received);
    this.#sent = bytesSent;
    this.#received = bytesReceived;
  }
}

export function createIstioStatsTcpFilter(model: IstioStatsModel, context: NetworkFactoryContext): NetworkFilterFactory {
  const metrics = new IstioMetrics(model, context);
  const { timers } = context.services;
  return callbacks => new IstioStatsTcpFilter(callbacks, metrics, timers);
}
