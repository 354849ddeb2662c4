/** `istio.stats` on HTTP: Istio's standard metrics at the end of each stream. */
import type { FilterFactoryContext, HttpFilter, HttpFilterCallbacks, HttpFilterFactory } from '../../../../http/filter.ts';
import { HookStatus } from '../../../../http/filter.ts';
import type { HeaderMap } from '../../../../http/header-map.ts';
import { Timer } from '../../../../../common/timer-wheel.ts';
import type { TimerWheel } from '../../../../../common/timer-wheel.ts';
import type { FormatContext } from '../../../../telemetry/format-operator.ts';
import type { MessageMetrics } from '../../../../telemetry/istio/istio-metrics.ts';
import { IstioMetrics } from '../../../../telemetry/istio/istio-metrics.ts';
import type { IstioStatsModel } from '../../../../telemetry/istio/model.ts';
import { isPeerSettled } from '../../../../telemetry/peer-metadata.ts';

/** What grpc_stats leaves in the filter state. */
interface GrpcMessageCounts {
  readonly requestMessageCount: number;
  readonly responseMessageCount: number;
}
const grpcStatsKey = 'envoy.filters.http.grpc_stats';

/** As Envoy tells gRPC requests. */
export function isGrpcRequest(headers: HeaderMap | null): boolean {
  const type = headers?.get('content-type');
  if (type === undefined || !type.startsWith('application/grpc')) return false;
  return type.length === 16 || type[16] === '+' || type[16] === ';';
}

class IstioStatsFilter implements HttpFilter {
  readonly #callbacks: HttpFilterCallbacks;
  readonly #metrics: IstioMetrics;
  readonly #timers: TimerWheel;
  #isGrpc = false;
  #timer: Timer | null = null;
  #messages: MessageMetrics | null = null;
  #requestMessages = 0;
  #responseMessages = 0;
  #responseTrailers: HeaderMap | null = null;

  constructor(callbacks: HttpFilterCallbacks, metrics: IstioMetrics, timers: TimerWheel) {
    this.#callbacks = callbacks;
    this.#metrics = metrics;
    this.#timers = timers;
  }

  onRequestHeaders(headers: HeaderMap): HookStatus {
    this.#isGrpc = isGrpcRequest(headers);
    const { tcpReportingDurationMs } = this.#metrics.model;
    if (this.#isGrpc && tcpReportingDurationMs > 0) {
      this.#timer = new Timer(() => {
        this.#reportMessages(false);
        this.#timers.arm(this.#timer as Timer, tcpReportingDurationMs);
      });
      this.#timers.arm(this.#timer, tcpReportingDurationMs);
    }
    return HookStatus.continue;
  }

  onResponseTrailers(trailers: HeaderMap): HookStatus {
    this.#responseTrailers = trailers;
    return HookStatus.continue;
  }

  onStreamComplete(): void {
    if (this.#isGrpc) this.#reportMessages(true);
    this.#metrics.recordRequest(this.#context(), this.#isGrpc);
  }

  onDestroy(): void {
    if (this.#timer !== null) this.#timers.cancel(this.#timer);
  }

  #context(): FormatContext {
    const { streamInfo, requestHeaders, responseHeaders } = this.#callbacks;
    return { info: streamInfo, requestHeaders, responseHeaders, responseTrailers: this.#responseTrailers };
  }

  #reportMessages(atEnd: boolean): void {
    const { streamInfo } = this.#callbacks;
    if (this.#messages === null) {
      const side = this.#metrics.reporter === 'source' ? 'upstream' : 'downstream';
      if (!atEnd && !isPeerSettled(streamInfo, side)) return;
      this.#messages = this.#metrics.findMessageMetrics(this.#context());
    }
    const counts = streamInfo.getFilterState(grpcStatsKey) as GrpcMessageCounts | undefined;
    if (counts === undefined) return;
    this.#messages.requests?.add(counts.requestMessageCount - this.#requestMessages);
    this.#messages.responses?.add(counts.responseMessageCount - this.#responseMessages);
    this.#requestMessages = counts.requestMessageCount;
    this.#responseMessages = counts.responseMessageCount;
  }
}

export function createIstioStatsFilter(model: IstioStatsModel, context: FilterFactoryContext): HttpFilterFactory {
  const metrics = new IstioMetrics(model, context);
  const { timers } = context.services;
  return callbacks => new IstioStatsFilter(callbacks, metrics, timers);
}
