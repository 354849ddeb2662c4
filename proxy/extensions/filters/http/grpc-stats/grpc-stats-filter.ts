/** Run time of `envoy.filters.http.grpc_stats`. Requests of other kinds get no filter. */
import type { FilterFactoryContext, HttpFilter, HttpFilterCallbacks, HttpFilterFactory } from '../../../../http/filter.ts';
import { HookStatus } from '../../../../http/filter.ts';
import type { HeaderMap } from '../../../../http/header-map.ts';
import { isGrpcContentType } from '../../../../http/local-reply.ts';
import type { StatsStore } from '../../../../telemetry/stats-store.ts';
import type { GrpcStatsModel } from './config.ts';

/** Where the counts are found by other filters (istio.stats). */
export const grpcStatsKey = 'envoy.filters.http.grpc_stats';
const framePrefixBytes = 5;

/** Counts length-prefixed messages in a byte stream, at any split. */
export class GrpcFrameCounter {
  count = 0;
  #headerBytes = 0;
  #length = 0;
  #remaining = 0;

  inspect(data: Buffer): void {
    let at = 0;
    while (at < data.length) {
      if (this.#remaining > 0) {
        const taken = Math.min(this.#remaining, data.length - at);
        this.#remaining -= taken;
        at += taken;
        continue;
      }
      const byte = data[at++];
      if (this.#headerBytes++ > 0) this.#length = this.#length * 256 + byte;
      if (this.#headerBytes < framePrefixBytes) continue;
      this.count++;
      this.#remaining = this.#length;
      this.#headerBytes = 0;
      this.#length = 0;
    }
  }
}

/** What is left in the filter state. */
class GrpcCounts {
  requestMessageCount = 0;
  responseMessageCount = 0;
}

class GrpcStatsFilter implements HttpFilter {
  readonly #callbacks: HttpFilterCallbacks;
  readonly #model: GrpcStatsModel;
  readonly #stats: StatsStore;
  readonly #counts = new GrpcCounts();
  readonly #requestFrames = new GrpcFrameCounter();
  readonly #responseFrames = new GrpcFrameCounter();
  #status: string | undefined;

  constructor(callbacks: HttpFilterCallbacks, model: GrpcStatsModel, stats: StatsStore) {
    this.#callbacks = callbacks;
    this.#model = model;
    this.#stats = stats;
    if (model.emitFilterState) callbacks.streamInfo.setFilterState(grpcStatsKey, this.#counts);
  }

  onRequestData(data: Buffer): HookStatus {
    this.#requestFrames.inspect(data);
    this.#counts.requestMessageCount = this.#requestFrames.count;
    return HookStatus.continue;
  }

  onResponseHeaders(headers: HeaderMap, endStream: boolean): HookStatus {
    if (endStream) this.#status = headers.get('grpc-status');
    return HookStatus.continue;
  }

  onResponseData(data: Buffer): HookStatus {
    this.#responseFrames.inspect(data);
    this.#counts.responseMessageCount = this.#responseFrames.count;
    return HookStatus.continue;
  }

  onResponseTrailers(trailers: HeaderMap): HookStatus {
    this.#status = trailers.get('grpc-status');
    return HookStatus.continue;
  }

  onStreamComplete(): void {
    const cluster = this.#callbacks.streamInfo.cluster;
    if (cluster === null) return;
    const prefix = `cluster.${cluster.name}.grpc.${this.#methodPrefix()}`;
    this.#count(`${prefix}request_message_count`, this.#counts.requestMessageCount);
    this.#count(`${prefix}response_message_count`, this.#counts.responseMessageCount);
    if (this.#status === undefined) return;
    this.#count(`${prefix}${/^\d+$/.test(this.#status) ? this.#status : 'invalid'}`, 1);
    this.#count(`${prefix}${this.#status === '0' ? 'success' : 'failure'}`, 1);
    this.#count(`${prefix}total`, 1);
  }

  #methodPrefix(): string {
    if (!this.#model.statsForAllMethods) return '';
    const [, service, method] = (this.#callbacks.requestHeaders?.path ?? '').split(/[/?]/);
    if (!service || !method) return '';
    return `${this.#model.replaceDotsInServiceName ? service.replaceAll('.', '_') : service}.${method}.`;
  }

  #count(name: string, amount: number): void {
    if (amount > 0) this.#stats.counter(name).add(amount);
  }
}

export function createGrpcStatsFilter(config: GrpcStatsModel, context: FilterFactoryContext): HttpFilterFactory {
  return callbacks =>
    isGrpcContentType(callbacks.requestHeaders?.get('content-type'))
      ? new GrpcStatsFilter(callbacks, config, context.stats)
      : null;
}
