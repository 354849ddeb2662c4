/** Counters of HTTP/2 codecs, under Envoy's names; made once per filter chain or cluster. */
import type { Counter, Gauge, StatsStore } from '../../telemetry/stats-store.ts';

export class Http2CodecStats {
  /** Connections, of either direction; the codec counts under the name of the library that is Envoy's default. */
  readonly downstreamConnections: Counter;
  readonly upstreamConnections: Counter;
  readonly droppedHeadersWithUnderscores: Counter;
  readonly goawaySent: Counter;
  readonly headerListSizeTooLarge: Counter;
  readonly headerOverflow: Counter;
  readonly headersCbNoStream: Counter;
  readonly inboundEmptyFramesFlood: Counter;
  readonly inboundPriorityFramesFlood: Counter;
  readonly inboundWindowUpdateFramesFlood: Counter;
  readonly keepaliveTimeout: Counter;
  readonly metadataEmptyFrames: Counter;
  readonly outboundControlFlood: Counter;
  readonly outboundFlood: Counter;
  readonly requestsRejectedWithUnderscoresInHeaders: Counter;
  readonly rxMessagingError: Counter;
  readonly rxReset: Counter;
  readonly streamRefusedErrors: Counter;
  readonly trailers: Counter;
  readonly txFlushTimeout: Counter;
  readonly txReset: Counter;
  readonly streamsActive: Gauge;
  readonly pendingSendBytes: Gauge;
  readonly deferredStreamClose: Gauge;
  /** Frames that the kernel has not taken, of connections above their high watermark. */
  readonly outboundFramesActive: Gauge;
  readonly outboundControlFramesActive: Gauge;

  /** `prefix` is `http2.` for downstream connections and `cluster.<name>.http2.` for upstream ones. */
  constructor(store: StatsStore, prefix: string) {
    const counter = (name: string) => store.counter(prefix + name);
    this.downstreamConnections = counter('nghttp2_downstream_connections');
    this.upstreamConnections = counter('nghttp2_upstream_connections');
    for (const name of neverMoved) counter(name);
    for (const name of histogramsOfHeaders) store.histogram(prefix + name);
    this.droppedHeadersWithUnderscores = counter('dropped_headers_with_underscores');
    this.goawaySent = counter('goaway_sent');
    this.headerListSizeTooLarge = counter('header_list_size_too_large');
    this.headerOverflow = counter('header_overflow');
    this.headersCbNoStream = counter('headers_cb_no_stream');
    this.inboundEmptyFramesFlood = counter('inbound_empty_frames_flood');
    this.inboundPriorityFramesFlood = counter('inbound_priority_frames_flood');
    this.inboundWindowUpdateFramesFlood = counter('inbound_window_update_frames_flood');
    this.keepaliveTimeout = counter('keepalive_timeout');
    this.metadataEmptyFrames = counter('metadata_empty_frames');
    this.outboundControlFlood = counter('outbound_control_flood');
    this.outboundFlood = counter('outbound_flood');
    this.requestsRejectedWithUnderscoresInHeaders = counter('requests_rejected_with_underscores_in_headers');
    this.rxMessagingError = counter('rx_messaging_error');
    this.rxReset = counter('rx_reset');
    this.streamRefusedErrors = counter('stream_refused_errors');
    this.trailers = counter('trailers');
    this.txFlushTimeout = counter('tx_flush_timeout');
    this.txReset = counter('tx_reset');
    this.streamsActive = store.gauge(`${prefix}streams_active`);
    this.pendingSendBytes = store.gauge(`${prefix}pending_send_bytes`);
    this.deferredStreamClose = store.gauge(`${prefix}deferred_stream_close`);
    this.outboundFramesActive = store.gauge(`${prefix}outbound_frames_active`);
    this.outboundControlFramesActive = store.gauge(`${prefix}outbound_control_frames_active`);
  }
}

/** There is no second library, and no limit on cookies of its own. */
const neverMoved = ['oghttp2_downstream_connections', 'oghttp2_upstream_connections', 'cookies_total_bytes_too_large'];
/** Envoy records these on request only. */
const histogramsOfHeaders = ['cookie_count', 'cookie_size', 'header_count', 'header_list_size'];
