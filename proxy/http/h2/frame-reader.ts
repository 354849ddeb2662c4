/**
 * Bytes to frames, however the bytes are cut. DATA is passed on piece by piece, header blocks fragment by fragment, other
 * frames whole. What concerns a single frame is checked here; the state of streams is the connection's affair.
 */
import {
  clientPreface,
  defaultMaxFrameBytes,
  ErrorCode,
  FrameFlag,
  FrameType,
  frameHeaderBytes,
  readUint31,
  readUint32,
} from './frame.ts';

/** Receives the frames. Any call may stop the reader. */
export interface FrameSink {
  /** Before any part of a frame is judged, for limits on frames; `length` without padding is not known yet. */
  onFrameHeader(type: number, flags: number, streamId: number, length: number): void;
  /** Begins a DATA frame; `length` counts its padding, `dataLength` does not. */
  onDataFrame(streamId: number, length: number, dataLength: number, endStream: boolean): void;
  /** A DATA frame whose padding does not fit into it. */
  onInvalidPadding(streamId: number, reason: string): void;
  /** A piece of the frame begun last, not empty; `last` with its last byte. The buffer is the caller's. */
  onDataPiece(data: Buffer, last: boolean): void;
  /** A HEADERS frame begins a block; `dependsOn` is 0 without priority. */
  onHeadersFrame(streamId: number, endStream: boolean, dependsOn: number): void;
  /** A part of the block begun last. */
  onHeaderFragment(data: Buffer, from: number, end: number, last: boolean): void;
  onRstStream(streamId: number, code: number): void;
  /** `data[from, end)` holds settings of six bytes each. */
  onSettings(data: Buffer, from: number, end: number): void;
  onSettingsAck(): void;
  onPing(data: Buffer, from: number, ack: boolean): void;
  onGoaway(lastStreamId: number, code: number, debugText: string): void;
  onWindowUpdate(streamId: number, increment: number): void;
  /** A frame that only breaks a rule which Envoy does not explain to the peer. */
  onViolation(): void;
  /** The connection is to end with GOAWAY. */
  onFrameError(code: ErrorCode, reason: string): void;
}

/** Settings of one frame; the limit is nghttp2's. */
const maxSettings = 32;
/** Debug data of GOAWAY that is kept. */
const maxDebugBytes = 256;
const noBytes = Buffer.alloc(0);

/** What a frame's header alone tells: whether a payload of this length can be one of its type. */
function isLengthValid(type: number, flags: number, length: number): boolean {
  switch (type) {
    case FrameType.priority:
      return length === 5;
    case FrameType.rstStream:
    case FrameType.windowUpdate:
      return length === 4;
    case FrameType.ping:
      return length === 8;
    case FrameType.goaway:
      return length >= 8;
    case FrameType.settings:
      return (flags & FrameFlag.ack) === 0 ? length % 6 === 0 : length === 0;
    default:
      return true;
  }
}

export class FrameReader {
  readonly #sink: FrameSink;
  /** Nothing more is read. */
  stopped = false;
  /** Bytes of an unfinished frame header or payload. */
  #held: Buffer = noBytes;
  #heldBytes = 0;
  /** The DATA frame under way. */
  #dataLeft = 0;
  #paddingLeft = 0;
  /** Stream whose block goes on in CONTINUATION frames; 0: none. */
  #blockStreamId = 0;
  #settingsSeen = false;

  /** Bytes of the client's preface that are still awaited. */
  #prefaceLeft: number;

  /** A server's reader expects the client's preface first. */
  constructor(sink: FrameSink, expectsPreface: boolean) {
    this.#sink = sink;
    this.#prefaceLeft = expectsPreface ? clientPreface.length : 0;
  }

  feed(data: Buffer): void {
    let at = this.#prefaceLeft > 0 ? this.#checkPreface(data) : 0;
    while (at < data.length && !this.stopped) {
      if (this.#dataLeft > 0 || this.#paddingLeft > 0) at = this.#passData(data, at);
      else if (this.#heldBytes > 0) at = this.#complete(data, at);
      else at = this.#readFrame(data, at);
    }
  }

  #checkPreface(data: Buffer): number {
    const from = clientPreface.length - this.#prefaceLeft;
    const length = Math.min(this.#prefaceLeft, data.length);
    this.#prefaceLeft -= length;
    if (clientPreface.compare(data, 0, length, from, from + length) !== 0) this.#sink.onViolation();
    return length;
  }

  /** Reads a frame at `at` if it is whole, and DATA in any case; holds what is incomplete. */
  #readFrame(data: Buffer, at: number): number {
    if (data.length - at < frameHeaderBytes) return this.#hold(data, at);
    const length = (data[at] << 16) | (data[at + 1] << 8) | data[at + 2];
    const type = data[at + 3];
    const flags = data[at + 4];
    const padded = type === FrameType.data && (flags & FrameFlag.padded) !== 0;
    // The length of the padding is the first byte of the payload.
    const needed = type === FrameType.data ? (padded && length > 0 ? 1 : 0) : length;
    const streamId = readUint31(data, at + 5);
    const from = at + frameHeaderBytes;
    if (!this.#checkHeader(type, flags, streamId, length)) return data.length;
    if (data.length - at < frameHeaderBytes + needed) return this.#hold(data, at);
    this.#sink.onFrameHeader(type, flags, streamId, length);
    if (this.stopped) return data.length;
    if (type === FrameType.data) return this.#beginData(data, from, length, flags, streamId);
    this.#dispatch(type, flags, streamId, data, from, from + length);
    return from + length;
  }

  #hold(data: Buffer, at: number): number {
    this.#held = Buffer.from(data.subarray(at));
    this.#heldBytes = this.#held.length;
    return data.length;
  }

  /** Adds to the held bytes until the frame is whole, then reads it. */
  #complete(data: Buffer, at: number): number {
    let end = at;
    if (this.#heldBytes < frameHeaderBytes) end = this.#take(data, end, frameHeaderBytes);
    if (this.#heldBytes < frameHeaderBytes) return end;
    const held = this.#held;
    const length = (held[0] << 16) | (held[1] << 8) | held[2];
    // What the header tells is told at once.
    if (!this.#checkHeader(held[3], held[4], readUint31(held, 5), length)) return data.length;
    const isData = held[3] === FrameType.data;
    end = this.#take(data, end, frameHeaderBytes + (isData ? Math.min(1, length) : length));
    const needed = isData ? ((held[4] & FrameFlag.padded) !== 0 ? Math.min(1, length) : 0) : length;
    if (this.#heldBytes < frameHeaderBytes + needed) return end;
    const frame = this.#held.subarray(0, this.#heldBytes);
    this.#held = noBytes;
    this.#heldBytes = 0;
    const read = this.#readFrame(frame, 0);
    // A first byte of DATA may have come along.
    if (read < frame.length && !this.stopped) this.#passData(frame, read);
    return end;
  }

  #take(data: Buffer, at: number, total: number): number {
    const wanted = Math.min(total - this.#heldBytes, data.length - at);
    if (wanted <= 0) return at;
    if (this.#held.length < total) {
      const larger = Buffer.allocUnsafe(total);
      this.#held.copy(larger, 0, 0, this.#heldBytes);
      this.#held = larger;
    }
    data.copy(this.#held, this.#heldBytes, at, at + wanted);
    this.#heldBytes += wanted;
    return at + wanted;
  }

  /** False if the header alone ends the connection. */
  #checkHeader(type: number, flags: number, streamId: number, length: number): boolean {
    if (!this.#checkOrder(type, flags, streamId)) return false;
    if (length > defaultMaxFrameBytes) this.#sink.onFrameError(ErrorCode.frameSizeError, 'too large frame size');
    else if (!isLengthValid(type, flags, length)) this.#sink.onFrameError(ErrorCode.frameSizeError, '');
    else if (type === FrameType.settings && length > maxSettings * 6)
      this.#sink.onFrameError(ErrorCode.enhanceYourCalm, 'SETTINGS: too many setting entries');
    else return true;
    return false;
  }

  /** SETTINGS come first, and nothing comes between the parts of a block. */
  #checkOrder(type: number, flags: number, streamId: number): boolean {
    if (!this.#settingsSeen) {
      if (type !== FrameType.settings || (flags & FrameFlag.ack) !== 0) {
        this.#sink.onFrameError(ErrorCode.protocolError, 'SETTINGS expected');
        return false;
      }
      this.#settingsSeen = true;
    }
    if (this.#blockStreamId !== 0 && (type !== FrameType.continuation || streamId !== this.#blockStreamId)) {
      this.#sink.onFrameError(ErrorCode.protocolError, 'unexpected non-CONTINUATION frame or stream_id is invalid');
      return false;
    }
    return true;
  }

  // DATA

  #beginData(data: Buffer, from: number, length: number, flags: number, streamId: number): number {
    let padding = 0;
    let at = from;
    if ((flags & FrameFlag.padded) !== 0) {
      padding = length === 0 ? 0 : data[at++];
      if (padding > length - 1) {
        this.#sink.onInvalidPadding(streamId, length === 0 ? 'insufficient padding space' : 'invalid padding');
        return data.length;
      }
    }
    this.#dataLeft = length - (at - from) - padding;
    this.#paddingLeft = padding;
    this.#sink.onDataFrame(streamId, length, this.#dataLeft, (flags & FrameFlag.endStream) !== 0);
    return at;
  }

  #passData(data: Buffer, at: number): number {
    const size = Math.min(this.#dataLeft, data.length - at);
    let end = at + size;
    if (size > 0) {
      this.#dataLeft -= size;
      this.#sink.onDataPiece(data.subarray(at, end), this.#dataLeft === 0);
    }
    const skipped = Math.min(this.#paddingLeft, data.length - end);
    this.#paddingLeft -= skipped;
    end += skipped;
    return end;
  }

  // Other frames

  #dispatch(type: number, flags: number, streamId: number, data: Buffer, from: number, end: number): void {
    const sink = this.#sink;
    switch (type) {
      case FrameType.headers:
        this.#readHeaders(flags, streamId, data, from, end);
        break;
      case FrameType.continuation:
        if (this.#blockStreamId === 0) sink.onFrameError(ErrorCode.protocolError, 'CONTINUATION: unexpected');
        else this.#passFragment(streamId, flags, data, from, end);
        break;
      case FrameType.rstStream:
        sink.onRstStream(streamId, readUint32(data, from));
        break;
      case FrameType.settings:
        this.#readSettings(flags, streamId, data, from, end);
        break;
      case FrameType.pushPromise:
        sink.onViolation();
        break;
      case FrameType.ping:
        if (streamId !== 0) sink.onViolation();
        else sink.onPing(data, from, (flags & FrameFlag.ack) !== 0);
        break;
      case FrameType.goaway:
        if (streamId !== 0) sink.onViolation();
        else this.#readGoaway(data, from, end);
        break;
      case FrameType.windowUpdate:
        sink.onWindowUpdate(streamId, readUint31(data, from));
    }
  }

  #readHeaders(flags: number, streamId: number, data: Buffer, from: number, end: number): void {
    let at = from;
    let padding = 0;
    let dependsOn = 0;
    const sink = this.#sink;
    if ((flags & FrameFlag.padded) !== 0) {
      if (at === end) {
        sink.onFrameError(ErrorCode.protocolError, 'HEADERS: insufficient padding space');
        return;
      }
      padding = data[at++];
    }
    if ((flags & FrameFlag.priority) !== 0) {
      if (end - at < 5) {
        sink.onFrameError(ErrorCode.frameSizeError, '');
        return;
      }
      dependsOn = readUint31(data, at);
      at += 5;
    }
    if (padding > end - at) {
      sink.onFrameError(ErrorCode.protocolError, 'HEADERS: invalid padding');
      return;
    }
    sink.onHeadersFrame(streamId, (flags & FrameFlag.endStream) !== 0, dependsOn);
    if (!this.stopped) this.#passFragment(streamId, flags, data, at, end - padding);
  }

  #passFragment(streamId: number, flags: number, data: Buffer, from: number, end: number): void {
    const last = (flags & FrameFlag.endHeaders) !== 0;
    this.#blockStreamId = last ? 0 : streamId;
    this.#sink.onHeaderFragment(data, from, end, last);
  }

  #readSettings(flags: number, streamId: number, data: Buffer, from: number, end: number): void {
    const sink = this.#sink;
    const isAck = (flags & FrameFlag.ack) !== 0;
    if (streamId !== 0) sink.onViolation();
    else if (isAck) sink.onSettingsAck();
    else sink.onSettings(data, from, end);
  }

  #readGoaway(data: Buffer, from: number, end: number): void {
    const text = data.toString('latin1', from + 8, Math.min(end, from + 8 + maxDebugBytes));
    this.#sink.onGoaway(readUint31(data, from), readUint32(data, from + 4), text);
  }
}
