/**
 * One connection's frames, settings, windows and errors: what server and client share (RFC 9113). Errors are answered as Envoy
 * answers them with nghttp2: what breaks the framing is explained in a GOAWAY, what breaks a rule of messages or streams closes
 * the connection without one.
 *
 * Differs from Envoy: what was answered before an error in the same read is still sent, and a peer that has sent GOAWAY and has no
 * stream left still gets answers to its PINGs.
 */
import type { Connection } from '../../network/connection.ts';
import type { StreamResetReason } from '../codec.ts';
import { SendFlow } from './flow-control.ts';
import { FloodGuard } from './flood-guard.ts';
import { defaultWindowBytes, ErrorCode, FrameFlag, FrameType, frameHeaderBytes, maxWindowBytes, SettingId } from './frame.ts';
import { FrameReader, type FrameSink } from './frame-reader.ts';
import { FrameWriter } from './frame-writer.ts';
import { HeaderBlockAssembly } from './header-block-assembly.ts';
import { HeaderBlockWriter } from './header-block-writer.ts';
import { HpackEncoder } from './hpack-encoder.ts';
import { InboundBodies } from './inbound-bodies.ts';
import { Keepalive } from './keepalive.ts';
import type { Http2Options } from './options.ts';
import { PeerSettings } from './peer-settings.ts';
import { StreamRegistry } from './stream-registry.ts';
import type { Http2Stream } from './stream.ts';

/** Envoy's words for the end of a connection by the rules of nghttp2. */
const callbackFailure = 'codec_error:The_user_callback_function_failed';

export abstract class Http2Session implements FrameSink {
  readonly connection: Connection;
  readonly options: Http2Options;
  readonly writer: FrameWriter;
  readonly guard: FloodGuard;
  readonly headerWriter: HeaderBlockWriter;
  readonly peer = new PeerSettings();
  readonly sendFlow = new SendFlow(defaultWindowBytes);
  aboveHighWatermark = false;
  readonly streams: StreamRegistry;
  readonly bodies: InboundBodies;
  protected readonly block: HeaderBlockAssembly;
  protected readonly keepalive: Keepalive | null;
  readonly #reader: FrameReader;
  /** Stream of the block under way; null: it is only decoded. */
  #blockStream: Http2Stream | null = null;
  #blockEndsStream = false;
  /** The peer acknowledged our settings. */
  protected settingsAcknowledged = false;
  #dispatching = false;
  /** Streams that are reset when the dispatch is over. */
  readonly #resetting: Http2Stream[] = [];
  #ended = false;
  #failure: { readonly details: string; readonly isFlood: boolean } | null = null;

  constructor(connection: Connection, options: Http2Options, isServer: boolean) {
    const { protocol, stats } = options;
    this.connection = connection;
    this.options = options;
    this.guard = new FloodGuard(connection, protocol, stats);
    this.writer = new FrameWriter(connection, this.guard, details => this.#failFlood(details));
    this.headerWriter = new HeaderBlockWriter(this.writer, new HpackEncoder(protocol.hpackTableBytes));
    this.block = new HeaderBlockAssembly(options);
    this.#reader = new FrameReader(this, isServer);
    this.streams = new StreamRegistry(this.writer, stats, () => this.onStreamClosed());
    this.bodies = new InboundBodies(
      this,
      this.streams,
      this.writer,
      Math.max(defaultWindowBytes, protocol.initialConnectionWindowBytes),
    );
    const { connectionKeepalive } = protocol;
    this.keepalive = connectionKeepalive === null ? null : new Keepalive(connection, connectionKeepalive, this.writer, options);
  }

  /** `others` are the settings that only this role sends. */
  protected sendSettings(others: readonly (readonly [id: number, value: number])[]): void {
    const { hpackTableBytes, maxConcurrentStreams, initialStreamWindowBytes, initialConnectionWindowBytes } =
      this.options.protocol;
    this.writer.writeSettings([
      [SettingId.headerTableSize, hpackTableBytes],
      ...others,
      [SettingId.maxConcurrentStreams, maxConcurrentStreams],
      [SettingId.initialWindowSize, initialStreamWindowBytes],
    ]);
    const increment = initialConnectionWindowBytes - defaultWindowBytes;
    if (increment > 0) this.writer.writeWindowUpdate(0, increment);
    this.keepalive?.start();
  }

  // What the roles differ in

  /** A HEADERS frame begins; returns the stream whose block it is, or null if the block is to be ignored. */
  protected abstract beginBlock(streamId: number, endStream: boolean, dependsOn: number): Http2Stream | null;
  /** The block of a stream is whole and `block.reader` holds it, without error. */
  protected abstract finishBlock(stream: Http2Stream, endStream: boolean): void;
  abstract isIdle(streamId: number): boolean;
  abstract acceptsData(stream: Http2Stream): boolean;
  protected abstract onGoawayReceived(lastStreamId: number): void;
  protected abstract onSettingsChanged(): void;
  /** A stream ended while the connection goes on. */
  protected abstract onStreamClosed(): void;
  protected abstract reportError(details: string, isFlood: boolean): void;
  protected abstract readonly lastPeerStreamId: number;
  /** The peer may not reset streams as often as it likes. */
  protected abstract readonly limitsResets: boolean;
  /** How an invalid message is told to the stream. */
  protected abstract readonly messagingResetReason: StreamResetReason;

  // Reading

  dispatch(data: Buffer, _endStream: boolean): void {
    if (this.#ended) return;
    this.keepalive?.onReceived();
    this.#dispatching = true;
    this.writer.held = true;
    this.#reader.feed(data);
    this.#dispatching = false;
    for (const stream of this.#resetting.splice(0)) stream.finishReset();
    this.writer.held = false;
    this.writer.flush();
    if (this.#failure !== null) this.reportError(this.#failure.details, this.#failure.isFlood);
  }

  /** Ends the connection. Within a dispatch the owner is told when it is over; else the peer does not read, and we close. */
  #fail(details: string, isFlood: boolean): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#reader.stopped = true;
    this.keepalive?.stop();
    if (this.#dispatching) this.#failure = { details, isFlood };
    else queueMicrotask(() => this.connection.close('no-flush', details));
  }

  onViolation(stream: Http2Stream | null = null): void {
    if (stream !== null && stream.responseDetails === '') stream.responseDetails = 'http2.unknown.nghttp2.error';
    this.#fail(callbackFailure, false);
  }

  onFrameError(code: ErrorCode, reason: string): void {
    this.writer.writeGoaway(this.lastPeerStreamId, code, reason);
    this.#fail(callbackFailure, false);
  }

  onFrameHeader(type: number, flags: number, streamId: number, length: number): void {
    // Padding is known later: `onDataFrame`.
    if (type === FrameType.data && (flags & FrameFlag.padded) !== 0) return;
    this.#checkFlood(type, flags, streamId, length);
  }

  #checkFlood(type: number, flags: number, streamId: number, length: number): void {
    const details = this.guard.onInboundFrame(type, flags, length, this.streams.size);
    if (details === '') return;
    const stream = this.streams.get(streamId);
    if (stream !== undefined && type !== FrameType.priority && type !== FrameType.windowUpdate) {
      stream.responseDetails = 'http2.inbound_empty_frames_flood';
    }
    this.#failFlood(details);
  }

  #failFlood(details: string): void {
    this.#fail(`codec_error:${details.replaceAll(' ', '_')}`, true);
  }

  // Header blocks

  onHeadersFrame(streamId: number, endStream: boolean, dependsOn: number): void {
    this.#blockEndsStream = endStream;
    this.block.begin();
    this.#blockStream = this.beginBlock(streamId, endStream, dependsOn);
  }

  onHeaderFragment(data: Buffer, from: number, end: number, last: boolean): void {
    const stream = this.#blockStream;
    if (stream !== null) stream.wireBytesReceived += end - from + frameHeaderBytes;
    const failure = this.block.add(data, from, end, last, stream === null);
    if (failure === 'too-many-frames') {
      this.onViolation(stream);
      return;
    }
    if (failure === 'malformed') {
      this.onFrameError(ErrorCode.compressionError, '');
      return;
    }
    if (!last && this.block.reader.error === '') return;
    if (stream === null || stream.closed) return;
    if (!this.#judgeBlock(stream)) this.#blockStream = null;
    else if (last) this.finishBlock(stream, this.#blockEndsStream);
  }

  /** False if the block ended its stream or the connection. */
  #judgeBlock(stream: Http2Stream): boolean {
    const { stats } = this.options;
    switch (this.block.reader.error) {
      case '':
        return true;
      case 'too-many':
        stats.headerOverflow.inc();
        stream.responseDetails = 'http2.too_many_headers';
        break;
      case 'too-large':
        stats.headerListSizeTooLarge.inc();
        stream.responseDetails = 'http2.header_list_size_too_large';
        break;
      case 'underscore':
        stream.responseDetails = 'http2.unexpected_underscore';
        break;
      case 'invalid-field':
        this.onInvalidMessage(stream, 'http2.invalid.header.field');
        return false;
      default:
        this.onInvalidMessage(stream, 'http2.violation.of.messaging.rule');
        return false;
    }
    this.streams.resetInvalid(stream, ErrorCode.internalError);
    return false;
  }

  /** A message that HTTP does not allow ends its stream or, by default, the connection. */
  onInvalidMessage(stream: Http2Stream, details: string): void {
    this.options.stats.rxMessagingError.inc();
    if (stream.responseDetails === '') stream.responseDetails = details;
    if (!this.options.protocol.streamErrorOnInvalidHttpMessaging) {
      this.#fail(callbackFailure, false);
      return;
    }
    this.streams.resetInvalidMessage(stream, this.messagingResetReason);
  }

  // Bodies

  onDataFrame(streamId: number, length: number, dataLength: number, endStream: boolean): void {
    if (length !== dataLength) {
      this.#checkFlood(FrameType.data, endStream ? FrameFlag.endStream : 0, streamId, dataLength);
      if (this.#ended) return;
    }
    this.bodies.beginFrame(streamId, length, dataLength, endStream);
  }

  onInvalidPadding(streamId: number, reason: string): void {
    this.bodies.refuseFrame(streamId, reason);
  }

  onDataPiece(data: Buffer, last: boolean): void {
    this.bodies.pass(data, last);
  }

  // Other frames

  onRstStream(streamId: number, code: number): void {
    if (streamId === 0 || this.isIdle(streamId)) {
      this.onViolation();
      return;
    }
    const stream = this.streams.get(streamId);
    if (stream !== undefined) {
      this.options.stats.rxReset.inc();
      this.streams.closeRemotely(stream, code);
    }
    if (this.limitsResets && !this.guard.allowsReset(this.options.timers.now())) this.onFrameError(ErrorCode.internalError, '');
  }

  onSettings(data: Buffer, from: number, end: number): void {
    const { peer } = this;
    const windowBefore = peer.initialWindowBytes;
    if (!peer.apply(data, from, end)) {
      this.onViolation();
      return;
    }
    if (peer.smallestTableBytes < peer.headerTableBytes) this.headerWriter.encoder.setPeerLimit(peer.smallestTableBytes);
    this.headerWriter.encoder.setPeerLimit(peer.headerTableBytes);
    const change = peer.initialWindowBytes - windowBefore;
    if (change !== 0) {
      for (const stream of this.streams.all()) {
        if (stream.adjustSendWindow(change)) continue;
        this.onViolation(stream);
        return;
      }
    }
    this.writer.writeSettingsAck();
    if (change > 0) this.sendFlow.resume();
    this.onSettingsChanged();
  }

  onSettingsAck(): void {
    if (this.settingsAcknowledged) {
      this.onViolation();
      return;
    }
    this.settingsAcknowledged = true;
    this.block.decoder.allowTableBytes(this.options.protocol.hpackTableBytes);
  }

  onPing(data: Buffer, from: number, ack: boolean): void {
    if (ack) this.keepalive?.onAnswer();
    else this.writer.writePing(data, from, true);
  }

  onGoaway(lastStreamId: number, _code: number, _debugText: string): void {
    this.onGoawayReceived(lastStreamId);
  }

  onWindowUpdate(streamId: number, increment: number): void {
    if (streamId === 0) {
      this.sendFlow.windowBytes += increment;
      if (increment === 0 || this.sendFlow.windowBytes > maxWindowBytes) this.onViolation();
      else this.sendFlow.resume();
      return;
    }
    if (this.isIdle(streamId)) {
      this.onViolation();
      return;
    }
    const stream = this.streams.get(streamId);
    if (stream === undefined) return;
    if (increment === 0 || !stream.adjustSendWindow(increment)) this.onViolation(stream);
    else stream.resumeSending();
  }

  /** A stream's user gave it up. */
  reset(stream: Http2Stream, code: ErrorCode): void {
    this.streams.reset(stream, code);
  }

  /** Calls `finishReset` when everything that has arrived was read. */
  afterDispatch(stream: Http2Stream): void {
    if (this.#dispatching) this.#resetting.push(stream);
    else stream.finishReset();
  }

  // The connection

  onConnectionClose(reason: StreamResetReason): void {
    this.#ended = true;
    this.#reader.stopped = true;
    this.keepalive?.stop();
    this.guard.showNone();
    this.streams.abortAll(reason, this.connection.info.transportFailureReason);
  }

  onAboveWriteBufferHighWatermark(): void {
    this.aboveHighWatermark = true;
    this.guard.showWaiting();
    for (const stream of this.streams.all()) stream.onConnectionWatermark();
  }

  onBelowWriteBufferLowWatermark(): void {
    this.aboveHighWatermark = false;
    this.guard.showNone();
    for (const stream of this.streams.all()) stream.onConnectionWatermark();
  }

  protected get hasEnded(): boolean {
    return this.#ended;
  }
}
