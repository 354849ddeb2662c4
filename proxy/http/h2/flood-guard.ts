/**
 * Limits on frames that cost the peer little and this side much: Envoy's protocol constraints. What waits to be sent is counted
 * from the bytes that the connection has not passed to the kernel.
 */
import type { Connection } from '../../network/connection.ts';
import type { Http2ProtocolOptionsModel } from '../../config/model/http2-protocol-options.ts';
import type { Http2CodecStats } from './codec-stats.ts';
import { FrameFlag, FrameType } from './frame.ts';

/** Streams that a client may reset at once, and then so many a second; the limits are nghttp2's. */
const resetBurst = 1000;
const resetsPerSecond = 33;

/** Frames that were handed to the connection together. */
interface Batch {
  /** Bytes written to the connection up to the end of the batch. */
  readonly endBytes: number;
  readonly frames: number;
  readonly controlFrames: number;
}

export class FloodGuard {
  readonly #connection: Connection;
  readonly #options: Http2ProtocolOptionsModel;
  readonly #stats: Http2CodecStats;
  #emptyFrames = 0;
  #priorityFrames = 0;
  #windowUpdateFrames = 0;
  #dataFramesSent = 0;
  #resetsLeft = resetBurst;
  #resetsSinceMs = 0;
  /** Waiting to be sent, the batch under way included. */
  #frames = 0;
  #controlFrames = 0;
  #batchFrames = 0;
  #batchControlFrames = 0;
  readonly #batches: Batch[] = [];
  /** What the gauges hold of this connection. */
  #shownFrames = 0;
  #shownControlFrames = 0;
  /** Bytes given to the connection up to the last batch. */
  #writtenBytes = 0;

  constructor(connection: Connection, options: Http2ProtocolOptionsModel, stats: Http2CodecStats) {
    this.#connection = connection;
    this.#options = options;
    this.#stats = stats;
  }

  /** Judges a frame by its header; returns Envoy's words for what is too much, or an empty string. */
  onInboundFrame(type: number, flags: number, dataLength: number, activeStreams: number): string {
    switch (type) {
      case FrameType.data:
      case FrameType.headers:
      case FrameType.continuation:
        return this.#countEmptyFrame(dataLength > 0 || (flags & FrameFlag.endStream) !== 0);
      case FrameType.priority:
        this.#priorityFrames++;
        if (this.#priorityFrames <= this.#options.maxInboundPriorityFramesPerStream * (1 + activeStreams)) return '';
        this.#stats.inboundPriorityFramesFlood.inc();
        return 'Too many PRIORITY frames';
      case FrameType.windowUpdate:
        this.#windowUpdateFrames++;
        if (this.#windowUpdateFrames <= this.#windowUpdateLimit(activeStreams)) return '';
        this.#stats.inboundWindowUpdateFramesFlood.inc();
        return 'Too many WINDOW_UPDATE frames';
      default:
        return '';
    }
  }

  #windowUpdateLimit(activeStreams: number): number {
    return 5 + 2 * (activeStreams + this.#options.maxInboundWindowUpdateFramesPerDataFrameSent * this.#dataFramesSent);
  }

  #countEmptyFrame(hasContent: boolean): string {
    if (hasContent) {
      this.#emptyFrames = 0;
      return '';
    }
    this.#emptyFrames++;
    if (this.#emptyFrames <= this.#options.maxConsecutiveInboundFramesWithEmptyPayload) return '';
    this.#stats.inboundEmptyFramesFlood.inc();
    return 'Too many consecutive frames with an empty payload';
  }

  /** Counts a reset by the peer; false if it resets too often. */
  allowsReset(nowMs: number): boolean {
    const seconds = Math.floor((nowMs - this.#resetsSinceMs) / 1000);
    if (seconds > 0) {
      this.#resetsSinceMs += seconds * 1000;
      this.#resetsLeft = Math.min(resetBurst, this.#resetsLeft + seconds * resetsPerSecond);
    }
    if (this.#resetsLeft === 0) return false;
    this.#resetsLeft--;
    return true;
  }

  onDataFrameSent(): void {
    this.#dataFramesSent++;
  }

  /** Counts a frame written; returns Envoy's words if too many wait, or an empty string. */
  onOutboundFrame(isControl: boolean): string {
    this.#frames++;
    this.#batchFrames++;
    if (isControl) {
      this.#controlFrames++;
      this.#batchControlFrames++;
    }
    const { maxOutboundFrames, maxOutboundControlFrames } = this.#options;
    if (this.#frames <= maxOutboundFrames && this.#controlFrames <= maxOutboundControlFrames) return '';
    this.#forgetSent();
    if (this.#frames > maxOutboundFrames) {
      this.#stats.outboundFlood.inc();
      return 'Too many frames in the outbound queue.';
    }
    if (this.#controlFrames <= maxOutboundControlFrames) return '';
    this.#stats.outboundControlFlood.inc();
    return 'Too many control frames in the outbound queue.';
  }

  /** The frames so far were handed to the connection, which has been given `writtenBytes` in all. */
  onFlush(writtenBytes: number): void {
    if (this.#batchFrames === 0) return;
    // Usually the kernel has taken everything that came before.
    this.#forgetSent(writtenBytes);
    this.#batches.push({ endBytes: writtenBytes, frames: this.#batchFrames, controlFrames: this.#batchControlFrames });
    this.#writtenBytes = writtenBytes;
    this.#batchFrames = 0;
    this.#batchControlFrames = 0;
  }

  /** Differs from Envoy: the gauges show what waits while the connection is above its high watermark, and not every frame. */
  showWaiting(): void {
    this.#forgetSent();
    this.#show(this.#frames, this.#controlFrames);
  }

  /** The connection is below its low watermark, or gone. */
  showNone(): void {
    this.#show(0, 0);
  }

  #show(frames: number, controlFrames: number): void {
    this.#stats.outboundFramesActive.add(frames - this.#shownFrames);
    this.#stats.outboundControlFramesActive.add(controlFrames - this.#shownControlFrames);
    this.#shownFrames = frames;
    this.#shownControlFrames = controlFrames;
  }

  #forgetSent(writtenBytes = this.#writtenBytes): void {
    const batches = this.#batches;
    const sentBytes = writtenBytes - this.#connection.bufferedBytes;
    let sent = 0;
    while (sent < batches.length && batches[sent].endBytes <= sentBytes) {
      this.#frames -= batches[sent].frames;
      this.#controlFrames -= batches[sent].controlFrames;
      sent++;
    }
    if (sent > 0) batches.splice(0, sent);
  }
}
