/** Run time of `envoy.filters.http.fault`. */
import { Timer } from '../../../../../common/timer-wheel.ts';
import type { FilterFactoryContext, HttpFilter, HttpFilterCallbacks, HttpFilterFactory } from '../../../../http/filter.ts';
import { HookStatus } from '../../../../http/filter.ts';
import type { HeaderMap } from '../../../../http/header-map.ts';
import { compileHeaderMatchers, type HeaderPredicate } from '../../../../matching/header-matcher.ts';
import { RouteEntry } from '../../../../router/route-entry.ts';
import { ResponseFlag } from '../../../../telemetry/response-flags.ts';
import type { Counter, Gauge } from '../../../../telemetry/stats-store.ts';
import { isSelected } from '../fraction.ts';
import type { FaultModel } from './config.ts';

interface FaultStats {
  readonly delaysInjected: Counter;
  readonly abortsInjected: Counter;
  readonly faultsOverflow: Counter;
  readonly activeFaults: Gauge;
}

/** Header predicates of the configurations in use; null: any request. */
const headerPredicates = new WeakMap<FaultModel, HeaderPredicate | null>();

function acceptsHeaders(model: FaultModel, headers: HeaderMap): boolean {
  let predicate = headerPredicates.get(model);
  if (predicate === undefined) {
    predicate = compileHeaderMatchers(model.headers);
    headerPredicates.set(model, predicate);
  }
  return predicate === null || predicate(headers);
}

/** The share that a request may ask for is capped by the configured one. */
function percentFromHeader(headers: HeaderMap, name: string, configured: FaultModel['delay']): boolean {
  const asked = headers.get(name);
  if (asked === undefined || configured === null) return true;
  const { denominator } = configured.percentage;
  return Math.random() * denominator < Math.min(Number(asked) || 0, configured.percentage.numerator);
}

class FaultFilter implements HttpFilter {
  readonly #callbacks: HttpFilterCallbacks;
  readonly #model: FaultModel;
  readonly #stats: FaultStats;
  readonly #context: FilterFactoryContext;
  #timer: Timer | null = null;
  #isActive = false;

  constructor(callbacks: HttpFilterCallbacks, model: FaultModel, stats: FaultStats, context: FilterFactoryContext) {
    this.#callbacks = callbacks;
    this.#model = model;
    this.#stats = stats;
    this.#context = context;
  }

  onRequestHeaders(headers: HeaderMap): HookStatus {
    if (!this.#concerns(headers)) return HookStatus.continue;
    const delayMs = this.#drawDelayMs(headers);
    if (delayMs > 0 && this.#tryBegin()) {
      this.#stats.delaysInjected.inc();
      this.#callbacks.streamInfo.setFlag(ResponseFlag.delayInjected);
      this.#timer = new Timer(() => this.#afterDelay(headers));
      this.#context.services.timers.arm(this.#timer, delayMs);
      return HookStatus.stopAndWatermark;
    }
    return this.#tryAbort(headers) ? HookStatus.stop : HookStatus.continue;
  }

  #concerns(headers: HeaderMap): boolean {
    const { upstreamCluster, downstreamNodes } = this.#model;
    if (upstreamCluster !== '') {
      const entry = this.#callbacks.route?.compiled;
      const action = entry instanceof RouteEntry ? entry.action : null;
      if (action === null || action.kind !== 'forward' || action.clusterName !== upstreamCluster) return false;
    }
    if (!acceptsHeaders(this.#model, headers)) return false;
    return downstreamNodes.length === 0 || downstreamNodes.includes(headers.get('x-envoy-downstream-service-node') ?? '');
  }

  #drawDelayMs(headers: HeaderMap): number {
    const { delay } = this.#model;
    if (delay === null || !isSelected(delay.percentage, this.#context.services.runtime)) return 0;
    if (delay.delayMs !== null) return delay.delayMs;
    const asked = Number(headers.get('x-envoy-fault-delay-request'));
    if (!(asked > 0) || !percentFromHeader(headers, 'x-envoy-fault-delay-request-percentage', delay)) return 0;
    return asked;
  }

  #tryBegin(): boolean {
    if (this.#stats.activeFaults.value >= this.#model.maxActiveFaults) {
      this.#stats.faultsOverflow.inc();
      return false;
    }
    if (!this.#isActive) this.#stats.activeFaults.inc();
    this.#isActive = true;
    return true;
  }

  #afterDelay(headers: HeaderMap): void {
    this.#timer = null;
    if (!this.#tryAbort(headers)) this.#callbacks.continueRequest();
  }

  #tryAbort(headers: HeaderMap): boolean {
    const { abort } = this.#model;
    if (abort === null || !isSelected(abort.percentage, this.#context.services.runtime)) return false;
    let status = abort.kind === 'http' ? abort.status : 200;
    let grpcStatus = abort.kind === 'grpc' ? abort.status : null;
    if (abort.kind === 'header') {
      const http = Number(headers.get('x-envoy-fault-abort-request'));
      const grpc = headers.get('x-envoy-fault-abort-grpc-request');
      if (http >= 200 && http < 600) status = http;
      else if (grpc !== undefined && /^\d+$/.test(grpc)) grpcStatus = Number(grpc);
      else return false;
    }
    if (!this.#tryBegin()) return false;
    this.#stats.abortsInjected.inc();
    this.#callbacks.sendLocalReply({
      status,
      body: 'fault filter abort',
      details: 'fault_filter_abort',
      flags: ResponseFlag.faultInjected,
      grpcStatus,
    });
    return true;
  }

  onDestroy(): void {
    if (this.#timer !== null) this.#context.services.timers.cancel(this.#timer);
    if (this.#isActive) this.#stats.activeFaults.dec();
  }
}

export function createFaultFilter(config: FaultModel, context: FilterFactoryContext): HttpFilterFactory {
  const prefix = `http.${context.manager?.statPrefix ?? ''}.fault.`;
  const stats: FaultStats = {
    delaysInjected: context.stats.counter(`${prefix}delays_injected`),
    abortsInjected: context.stats.counter(`${prefix}aborts_injected`),
    faultsOverflow: context.stats.counter(`${prefix}faults_overflow`),
    activeFaults: context.stats.gauge(`${prefix}active_faults`),
  };
  context.stats.counter(`${prefix}response_rl_injected`);
  return callbacks => {
    const model = (callbacks.perRouteConfig() as FaultModel | null) ?? config;
    return model.delay === null && model.abort === null ? null : new FaultFilter(callbacks, model, stats, context);
  };
}
