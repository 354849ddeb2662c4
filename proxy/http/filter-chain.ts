/** The HTTP filters of one stream: made once its request headers are known, called in order, in reverse for the response. */
import type { Connection } from '../network/connection.ts';
import type { StreamInfo } from '../telemetry/stream-info.ts';
import type { StreamResetReason } from './codec.ts';
import {
  HookStatus,
  type HttpFilter,
  type HttpFilterCallbacks,
  type HttpFilterFactory,
  type LocalReply,
  type RouteMatchView,
} from './filter.ts';
import { Iteration, type IterationOwner } from './filter-iteration.ts';
import type { HeaderMap } from './header-map.ts';

/** A factory with the name that per-route configuration refers to. */
export interface NamedFactory {
  readonly name: string;
  /** Unless a route says otherwise. */
  readonly disabled: boolean;
  readonly create: HttpFilterFactory;
}

/** What the stream does for its filters. */
export interface ChainStream {
  readonly connection: Connection;
  readonly streamInfo: StreamInfo;
  readonly requestHeaders: HeaderMap | null;
  readonly responseHeaders: HeaderMap | null;
  readonly requestComplete: boolean;
  readonly bufferLimitBytes: number;
  getRoute(): RouteMatchView | null;
  clearRouteCache(): void;
  sendLocalReply(reply: LocalReply): void;
  resetStream(reason: StreamResetReason): void;
  /** A response of the terminal filter begins. */
  beginResponse(headers: HeaderMap, endStream: boolean): void;
  /** The response behind all filters. */
  writeHeaders(headers: HeaderMap, endStream: boolean): void;
  writeData(data: Buffer, endStream: boolean): void;
  writeTrailers(trailers: HeaderMap): void;
  write1xxHeaders(headers: HeaderMap): void;
  recreate(response: HeaderMap, body: Buffer): boolean;
  pauseRequest(pause: boolean): void;
  onRequestOverflow(): void;
  onResponseOverflow(): void;
}

class RequestIteration extends Iteration {
  protected override hasDataHook(filter: HttpFilter): boolean {
    return filter.onRequestData !== undefined;
  }
  protected override callHeaders(filter: HttpFilter, headers: HeaderMap, endStream: boolean): HookStatus {
    return filter.onRequestHeaders === undefined ? HookStatus.continue : filter.onRequestHeaders(headers, endStream);
  }
  protected override callData(filter: HttpFilter, data: Buffer, endStream: boolean): HookStatus {
    return filter.onRequestData === undefined ? HookStatus.continue : filter.onRequestData(data, endStream);
  }
  protected override callTrailers(filter: HttpFilter, trailers: HeaderMap): HookStatus {
    return filter.onRequestTrailers === undefined ? HookStatus.continue : filter.onRequestTrailers(trailers);
  }
  // The terminal filter took everything.
  protected override finishHeaders(): void {}
  protected override finishData(): void {}
  protected override finishTrailers(): void {}
}

class ResponseIteration extends Iteration {
  readonly #stream: ChainStream;
  constructor(filters: readonly HttpFilter[], owner: IterationOwner, stream: ChainStream) {
    super(filters, owner);
    this.#stream = stream;
  }
  protected override hasDataHook(filter: HttpFilter): boolean {
    return filter.onResponseData !== undefined;
  }
  protected override callHeaders(filter: HttpFilter, headers: HeaderMap, endStream: boolean): HookStatus {
    return filter.onResponseHeaders === undefined ? HookStatus.continue : filter.onResponseHeaders(headers, endStream);
  }
  protected override callData(filter: HttpFilter, data: Buffer, endStream: boolean): HookStatus {
    return filter.onResponseData === undefined ? HookStatus.continue : filter.onResponseData(data, endStream);
  }
  protected override callTrailers(filter: HttpFilter, trailers: HeaderMap): HookStatus {
    return filter.onResponseTrailers === undefined ? HookStatus.continue : filter.onResponseTrailers(trailers);
  }
  protected override finishHeaders(headers: HeaderMap, endStream: boolean): void {
    this.#stream.writeHeaders(headers, endStream);
  }
  protected override finishData(data: Buffer, endStream: boolean): void {
    this.#stream.writeData(data, endStream);
  }
  protected override finishTrailers(trailers: HeaderMap): void {
    this.#stream.writeTrailers(trailers);
  }
}

/** One filter's view of its stream. */
class FilterHandle implements HttpFilterCallbacks {
  readonly #stream: ChainStream;
  readonly #chain: FilterChain;
  readonly #name: string;
  /** Position among the filters of the stream, in request order. */
  index = -1;

  constructor(stream: ChainStream, chain: FilterChain, name: string) {
    this.#stream = stream;
    this.#chain = chain;
    this.#name = name;
  }

  get connection(): Connection {
    return this.#stream.connection;
  }
  get streamInfo(): StreamInfo {
    return this.#stream.streamInfo;
  }
  get requestHeaders(): HeaderMap | null {
    return this.#stream.requestHeaders;
  }
  get responseHeaders(): HeaderMap | null {
    return this.#stream.responseHeaders;
  }
  get route(): RouteMatchView | null {
    return this.#stream.getRoute();
  }
  clearRouteCache(): void {
    this.#stream.clearRouteCache();
  }
  continueRequest(): void {
    this.#chain.request.continueFrom(this.index);
  }
  continueResponse(): void {
    this.#chain.response.continueFrom(this.#chain.size - 1 - this.index);
  }
  injectRequestData(data: Buffer, endStream: boolean): void {
    this.#chain.request.inject(this.index, data, endStream);
  }
  injectResponseData(data: Buffer, endStream: boolean): void {
    this.#chain.response.inject(this.#chain.size - 1 - this.index, data, endStream);
  }
  sendLocalReply(reply: LocalReply): void {
    this.#stream.sendLocalReply(reply);
  }
  resetStream(reason: StreamResetReason): void {
    this.#stream.resetStream(reason);
  }
  perRouteConfig(): unknown {
    const found = this.#stream.getRoute()?.perFilterConfig(this.#name) ?? null;
    return found === null ? null : found.config;
  }
  encode1xxHeaders(headers: HeaderMap): void {
    this.#chain.pass1xxHeaders(headers);
  }
  encodeHeaders(headers: HeaderMap, endStream: boolean): void {
    this.#stream.beginResponse(headers, endStream);
  }
  encodeData(data: Buffer, endStream: boolean): void {
    this.#chain.passResponseData(data, endStream);
  }
  encodeTrailers(trailers: HeaderMap): void {
    this.#chain.passResponseTrailers(trailers);
  }
  recreateStream(response: HeaderMap, body: Buffer): boolean {
    return this.#stream.recreate(response, body);
  }
  pauseDownstream(pause: boolean): void {
    this.#stream.pauseRequest(pause);
  }
  get downstreamWatermarks(): { onAboveHighWatermark(): void; onBelowLowWatermark(): void } | null {
    return this.#chain.watermarks;
  }
  set downstreamWatermarks(watermarks: { onAboveHighWatermark(): void; onBelowLowWatermark(): void } | null) {
    this.#chain.watermarks = watermarks;
  }
  get bufferLimitBytes(): number {
    return this.#stream.bufferLimitBytes;
  }
  get bufferedRequestData(): Buffer | null {
    return this.#chain.request.bufferedAt(this.index);
  }
  get requestComplete(): boolean {
    return this.#stream.requestComplete;
  }
}

export class FilterChain implements IterationOwner {
  readonly #stream: ChainStream;
  readonly #filters: readonly HttpFilter[];
  readonly request: Iteration;
  readonly response: Iteration;
  #requestAborted = false;
  #destroyed = false;
  watermarks: { onAboveHighWatermark(): void; onBelowLowWatermark(): void } | null = null;

  constructor(stream: ChainStream, factories: readonly NamedFactory[]) {
    this.#stream = stream;
    const filters: HttpFilter[] = [];
    const route = stream.getRoute();
    for (const { name, disabled, create } of factories) {
      if (route?.perFilterConfig(name)?.disabled ?? disabled) continue;
      const handle = new FilterHandle(stream, this, name);
      const filter = create(handle);
      if (filter === null) continue;
      handle.index = filters.length;
      filters.push(filter);
    }
    this.#filters = filters;
    this.request = new RequestIteration(filters, this);
    this.response = new ResponseIteration(filters.toReversed(), this, stream);
  }

  get size(): number {
    return this.#filters.length;
  }

  get bufferLimitBytes(): number {
    return this.#stream.bufferLimitBytes;
  }

  isIterating(direction: Iteration): boolean {
    return !this.#destroyed && !(this.#requestAborted && direction === this.request);
  }

  /** The request goes no further: it was answered. */
  abortRequest(): void {
    this.#requestAborted = true;
  }

  passRequestHeaders(headers: HeaderMap, endStream: boolean): void {
    if (this.isIterating(this.request)) this.request.passHeaders(headers, endStream);
  }

  passRequestData(data: Buffer, endStream: boolean): void {
    if (this.isIterating(this.request)) this.request.passData(data, endStream);
  }

  passRequestTrailers(trailers: HeaderMap): void {
    if (this.isIterating(this.request)) this.request.passTrailers(trailers);
  }

  pass1xxHeaders(headers: HeaderMap): void {
    for (let i = this.#filters.length - 1; i >= 0; i--) this.#filters[i].onResponse1xxHeaders?.(headers);
    if (!this.#destroyed) this.#stream.write1xxHeaders(headers);
  }

  passResponseHeaders(headers: HeaderMap, endStream: boolean): void {
    if (!this.#destroyed) this.response.passHeaders(headers, endStream);
  }

  passResponseData(data: Buffer, endStream: boolean): void {
    if (!this.#destroyed) this.response.passData(data, endStream);
  }

  passResponseTrailers(trailers: HeaderMap): void {
    if (!this.#destroyed) this.response.passTrailers(trailers);
  }

  onBufferAboveLimit(direction: Iteration, kind: 'overflow' | 'pause'): void {
    if (direction === this.response) {
      if (kind === 'overflow') this.#stream.onResponseOverflow();
      else this.watermarks?.onAboveHighWatermark();
    } else if (kind === 'overflow') this.#stream.onRequestOverflow();
    else this.#stream.pauseRequest(true);
  }

  onBufferDrained(direction: Iteration): void {
    if (direction === this.response) this.watermarks?.onBelowLowWatermark();
    else this.#stream.pauseRequest(false);
  }

  /** The stream is over: filters see its final facts before the access log is written. */
  complete(): void {
    for (const filter of this.#filters) filter.onStreamComplete?.();
  }

  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    for (const filter of this.#filters) filter.onDestroy?.();
  }
}
