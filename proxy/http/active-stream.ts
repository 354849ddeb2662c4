/** One request and its response on a downstream connection. */
import type { CloseEvent, Connection } from '../network/connection.ts';
import { ResponseFlag } from '../telemetry/response-flags.ts';
import { StreamInfo } from '../telemetry/stream-info.ts';
import type { RequestDecoder, ResponseEncoder, StreamResetReason } from './codec.ts';
import type { ConnectionManager } from './connection-manager.ts';
import type { LocalReply, RouteMatchView } from './filter.ts';
import { type ChainStream, FilterChain, type NamedFactory } from './filter-chain.ts';
import type { HeaderMap } from './header-map.ts';
import { readGrpcStatus } from './grpc-outcome.ts';
import { isGrpcContentType, renderLocalReply, requestTooLarge, responseTooLarge } from './local-reply.ts';
import { RequestPreparation } from './request-preparation.ts';
import { prepareResponse } from './response-preparation.ts';
import { noteRoute } from './stream-route.ts';
import { chooseResetReason, noteConnectionClose, noteReset } from './stream-reset.ts';
import { StreamTimers } from './stream-timers.ts';

export class ActiveStream implements RequestDecoder, ChainStream {
  readonly manager: ConnectionManager;
  readonly streamInfo: StreamInfo;
  readonly #encoder: ResponseEncoder;
  readonly #timers: StreamTimers;
  #chain: FilterChain | null = null;
  requestHeaders: HeaderMap | null = null;
  responseHeaders: HeaderMap | null = null;
  #responseTrailers: HeaderMap | null = null;
  #route: RouteMatchView | null = null;
  #routeKnown = false;
  requestComplete = false;
  /** Of the request as it came, before filters changed it. */
  #isGrpc = false;
  #isHead = false;
  /** The terminal filter or a local reply began to answer. */
  #responseBegun = false;
  #responseWritten = false;
  #ended = false;
  #hasUpgradeFilters = false;
  /** Of the route's decorator, for a response header on inbound. */
  decoratedOperation = '';
  /** HTTP/1.0 asked for keep-alive and gets it confirmed. */
  confirmsKeepAlive = false;
  /** The request itself ends the connection. */
  sawConnectionClose = false;

  /** `previous` is that of the stream in whose place this one comes. */
  constructor(manager: ConnectionManager, encoder: ResponseEncoder, connectionInfo: StreamInfo, previous: StreamInfo | null) {
    this.manager = manager;
    this.#encoder = encoder;
    this.streamInfo = previous?.startAnew() ?? new StreamInfo(manager.connection.info, Date.now(), performance.now());
    this.streamInfo.connectionFilterState = connectionInfo.filterState;
    this.streamInfo.connectionShared = connectionInfo.shared;
    this.streamInfo.protocol = manager.protocol === '' ? 'HTTP/1.1' : manager.protocol;
    this.#timers = new StreamTimers(this, manager.context);
  }

  /** The listener's limit holds for each buffer of a stream. */
  get bufferLimitBytes(): number {
    return this.connection.bufferLimitBytes;
  }

  get connection(): Connection {
    return this.manager.connection;
  }

  // Request

  onRequestHeaders(headers: HeaderMap, endStream: boolean): void {
    this.#takeHeaders(headers, endStream);
    this.#touch();
    this.streamInfo.protocol = this.manager.protocol as StreamInfo['protocol'];
    const filters = new RequestPreparation(this, this.manager).prepare(headers);
    if (filters === null || this.#ended) return;
    if (endStream) this.#timers.onRequestComplete();
    this.#createChain(filters).passRequestHeaders(headers, endStream);
  }

  #takeHeaders(headers: HeaderMap, isComplete: boolean): void {
    this.requestHeaders = headers;
    this.#isGrpc = isGrpcContentType(headers.get('content-type'));
    this.#isHead = headers.method === 'HEAD';
    this.requestComplete = isComplete;
    this.#timers.onHeaders();
  }

  #createChain(filters: readonly NamedFactory[]): FilterChain {
    this.#chain ??= new FilterChain(this, filters);
    return this.#chain;
  }

  onRequestData(data: Buffer, endStream: boolean): void {
    if (this.#ended) return;
    this.streamInfo.bytesReceived += data.length;
    this.requestComplete = endStream;
    this.#touch();
    if (endStream) this.#timers.onRequestComplete();
    this.#chain?.passRequestData(data, endStream);
    if (endStream) this.#endIfDone();
  }

  onRequestTrailers(trailers: HeaderMap): void {
    if (this.#ended) return;
    this.requestComplete = true;
    this.#touch();
    this.#timers.onRequestComplete();
    this.#chain?.passRequestTrailers(trailers);
    this.#endIfDone();
  }

  #touch(): void {
    if (this.requestComplete || this.manager.context.accessLogs.length > 0)
      this.streamInfo.lastDownstreamRxByteMs = performance.now();
    this.#timers.onActivity();
  }

  /** The codec's local reply: the request broke the protocol. */
  sendLocalReply(reply: LocalReply): void;
  sendLocalReply(status: number, body: string, details: string): void;
  sendLocalReply(first: LocalReply | number, body = '', details = ''): void {
    if (typeof first !== 'number') {
      this.#reply(first);
      return;
    }
    this.manager.closeAfterResponse();
    this.#reply({ status: first, body, details, flags: 0, grpcStatus: null }, ResponseFlag.downstreamProtocolError);
  }

  /** The stream that has come in the place of this one: what the codec says is for it. */
  #successor: ActiveStream | null = null;

  recreate(response: HeaderMap, body: Buffer): boolean {
    const headers = this.requestHeaders;
    if (!this.requestComplete || this.#ended || headers === null) return false;
    const next = this.manager.recreateStream(this, this.#encoder);
    this.#successor = next;
    next.confirmsKeepAlive = this.confirmsKeepAlive;
    next.sawConnectionClose = this.sawConnectionClose;
    this.streamInfo.responseCode = response.status;
    this.streamInfo.responseCodeDetails = 'internal_redirect';
    this.responseHeaders = response;
    this.#responseWritten = true;
    this.#end(false);
    next.#beginAgain(headers, body);
    return true;
  }

  /** The same request, whole: what the connection manager does to requests of clients is done. */
  #beginAgain(headers: HeaderMap, body: Buffer): void {
    this.#takeHeaders(headers, true);
    this.#timers.onRequestComplete();
    // As in Envoy the body counts each time that it passes.
    this.streamInfo.bytesReceived += body.length;
    const filters = new RequestPreparation(this, this.manager).prepareAgain(headers);
    if (filters === null || this.#ended) return;
    const chain = this.#createChain(filters);
    chain.passRequestHeaders(headers, body.length === 0);
    if (body.length > 0 && !this.#ended) chain.passRequestData(body, true);
  }

  // Route

  getRoute(): RouteMatchView | null {
    if (!this.#routeKnown && this.requestHeaders !== null) {
      this.#routeKnown = true;
      const { routes, services } = this.manager.context;
      const route = routes.current?.match(this.requestHeaders, this.streamInfo) ?? null;
      this.#route = route;
      noteRoute(this.streamInfo, route, this.requestHeaders, services.clusters);
      this.#timers.onRoute(route, this.requestHeaders);
    }
    return this.#route;
  }

  clearRouteCache(): void {
    this.#routeKnown = false;
  }

  /** The request goes through the filters of its upgrade, whatever the answer will be. */
  onUpgradeFilters(): void {
    const { stats } = this.manager.context;
    this.#hasUpgradeFilters = true;
    stats.counter('downstream_cx_upgrades_total').inc();
    stats.gauge('downstream_cx_upgrades_active').inc();
  }

  /** The request is refused before routing: filters see no route. */
  forgoRoute(): void {
    this.#routeKnown = true;
  }

  // Response

  /** `lateFlags` are for the log only: the reply itself does not know them. */
  #reply(reply: LocalReply, lateFlags = 0): void {
    if (this.#ended) return;
    const info = this.streamInfo;
    info.setFlag(reply.flags);
    if (this.#responseBegun) {
      // A response is under way: the client must see that it broke off.
      info.setFlag(lateFlags);
      if (reply.details !== '') info.responseCodeDetails = reply.details;
      this.resetStream('local-reset');
      return;
    }
    info.responseCodeDetails = reply.details;
    const rewrite = this.manager.context.localReplies?.rewriterOf(this.requestHeaders, info) ?? null;
    const { headers, body } = renderLocalReply(reply, this.#isGrpc, this.#isHead, rewrite);
    info.setFlag(lateFlags);
    // Nobody knows where the next request begins.
    if (reply.status === 400) this.manager.closeAfterResponse();
    if (this.requestHeaders === null) this.forgoRoute();
    const chain = this.#createChain(this.manager.context.filters);
    chain.abortRequest();
    this.beginResponse(headers, body === '');
    if (body !== '') chain.passResponseData(Buffer.from(body, 'latin1'), true);
  }

  beginResponse(headers: HeaderMap, endStream: boolean): void {
    if (this.#ended) return;
    this.#responseBegun = true;
    this.responseHeaders = headers;
    this.#timers.onActivity();
    this.#chain?.passResponseHeaders(headers, endStream);
  }

  write1xxHeaders(headers: HeaderMap): void {
    if (this.#ended || this.#responseBegun) return;
    if (headers.status === 100 && this.manager.context.model.proxy100Continue) this.sendContinue(headers);
  }

  writeHeaders(headers: HeaderMap, endStream: boolean): void {
    const { stats } = this.manager.context;
    const info = this.streamInfo;
    prepareResponse(this, headers);
    info.responseCode = headers.status;
    stats.countResponse(headers.status);
    if (info.firstDownstreamTxByteMs === 0) info.firstDownstreamTxByteMs = performance.now();
    this.#responseWritten = true;
    this.#encoder.encodeHeaders(headers, endStream);
    if (endStream) this.#onResponseEnd();
  }

  writeData(data: Buffer, endStream: boolean): void {
    if (this.#ended) return;
    if (this.requestHeaders?.method !== 'HEAD') this.streamInfo.bytesSent += data.length;
    this.#timers.onActivity();
    this.#encoder.encodeData(data, endStream);
    if (endStream) this.#onResponseEnd();
  }

  writeTrailers(trailers: HeaderMap): void {
    if (this.#ended) return;
    this.#responseTrailers = trailers;
    this.#encoder.encodeTrailers(trailers);
    this.#onResponseEnd();
  }

  #responseEnded = false;

  #onResponseEnd(): void {
    this.streamInfo.lastDownstreamTxByteMs = performance.now();
    this.#responseEnded = true;
    // Of a tunnel too, whose directions end for themselves: HTTP/1 cannot half close, so the connection ends.
    if (this.requestComplete) this.#endIfDone();
    else this.#end(true);
  }

  /** A stream is over when the client's window took the last byte of its response. */
  #endIfDone(): void {
    if (!this.#responseEnded) return;
    if (this.#encoder.isEncodeComplete) this.#end(false);
    else this.#timers.cancel();
  }

  onEncodeComplete(): void {
    this.#successor?.onEncodeComplete();
    this.#successor?.onEncodeComplete();
    if (this.#ended) return;
    this.streamInfo.lastDownstreamTxByteMs = performance.now();
    this.#endIfDone();
  }

  // Ends

  resetStream(_reason: StreamResetReason): void {
    if (this.#ended) return;
    this.manager.context.stats.counter('downstream_rq_tx_reset').inc();
    this.#end(true);
  }

  /** From the codec: the stream is gone. */
  onReset(reason: StreamResetReason): void {
    this.#successor?.onReset(reason);
    if (this.#ended) return;
    this.manager.context.stats.counter('downstream_rq_rx_reset').inc();
    noteReset(this.streamInfo, reason, this.#encoder, this.manager.isMultiplexed, this.#responseEnded);
    this.#end(false);
  }

  onConnectionClose(event: CloseEvent): void {
    if (this.#ended) return;
    this.manager.context.stats.counter('downstream_rq_rx_reset').inc();
    noteConnectionClose(this.streamInfo, event);
    this.#end(false);
  }

  /** The connection manager gives the connection up. */
  onConnectionAborted(details: string): void {
    if (this.#ended) return;
    this.manager.context.stats.counter('downstream_rq_rx_reset').inc();
    this.streamInfo.responseCodeDetails = details;
    this.#end(false);
  }

  onProtocolError(details: string): void {
    if (this.#ended) return;
    this.streamInfo.setFlag(ResponseFlag.downstreamProtocolError);
    this.streamInfo.responseCodeDetails = this.#encoder.responseDetails || details;
    // A connection of many streams is closed as it is: nothing is said of each.
    if (this.manager.isMultiplexed) this.manager.context.stats.counter('downstream_rq_rx_reset').inc();
    this.#end(!this.manager.isMultiplexed);
  }

  /** `abandoned`: a message is not whole, and its sender is to know. */
  #end(abandoned: boolean): void {
    if (this.#ended) return;
    this.#ended = true;
    const info = this.streamInfo;
    const { stats } = this.manager.context;
    this.#timers.cancel();
    info.endMonotonicMs = performance.now();
    info.wireBytesReceived = this.#encoder.wireBytesReceived;
    info.wireBytesSent = this.#encoder.wireBytesSent;
    info.grpcStatus = readGrpcStatus(this.requestHeaders, this.responseHeaders, this.#responseTrailers, info.responseCode);
    stats.requestTimeMs.record(info.endMonotonicMs - info.startMonotonicMs);
    if (this.#hasUpgradeFilters) stats.gauge('downstream_cx_upgrades_active').dec();
    this.#chain?.complete();
    for (const logger of this.manager.context.accessLogs) {
      logger.log(info, this.requestHeaders, this.#responseWritten ? this.responseHeaders : null, this.#responseTrailers);
    }
    this.#chain?.destroy();
    // As in Envoy, where whoever resets a stream hears of it like of the client's reset.
    if (abandoned) stats.counter('downstream_rq_rx_reset').inc();
    if (abandoned && this.manager.isMultiplexed) this.#encoder.reset(chooseResetReason(this.requestHeaders, info));
    this.manager.onStreamEnd(this, abandoned);
  }

  // Flow control

  setFlushTimeout(timeoutMs: number): void {
    this.#encoder.setFlushTimeout?.(timeoutMs);
  }

  pauseRequest(pause: boolean): void {
    if (this.#ended) return;
    const { stats } = this.manager.context;
    stats.counter(`downstream_flow_control_${pause ? 'paused' : 'resumed'}_reading_total`).inc();
    this.#encoder.readDisable(pause);
  }

  onAboveWriteBufferHighWatermark(): void {
    this.#successor?.onAboveWriteBufferHighWatermark();
    this.#chain?.watermarks?.onAboveHighWatermark();
  }

  onBelowWriteBufferLowWatermark(): void {
    this.#successor?.onBelowWriteBufferLowWatermark();
    this.#chain?.watermarks?.onBelowLowWatermark();
  }

  onRequestOverflow(): void {
    this.manager.context.stats.counter('downstream_rq_too_large').inc();
    this.#reply(requestTooLarge);
  }

  onResponseOverflow(): void {
    this.manager.context.stats.counter('rs_too_large').inc();
    if (this.#responseWritten) {
      this.resetStream('local-reset');
      return;
    }
    this.#responseBegun = false;
    this.#reply(responseTooLarge);
  }

  /** Answers `100 Continue` by itself, unless the upstream is to do so. */
  sendContinue(headers: HeaderMap): void {
    this.streamInfo.responseCode = headers.status;
    this.manager.context.stats.countResponse(headers.status);
    this.#encoder.encode1xxHeaders(headers);
  }
}
