/** Messages and trailers to HEADERS and CONTINUATION frames. */
import type { HeaderMap } from '../header-map.ts';
import { FieldKind, internFieldName } from './field-name.ts';
import { defaultMaxFrameBytes, FrameFlag, FrameType, frameHeaderBytes, writeFrameHeader } from './frame.ts';
import type { FrameWriter } from './frame-writer.ts';
import { HpackEncoder } from './hpack-encoder.ts';

/** Room for pseudo headers' names, and for the announcement of a table size. */
const blockOverheadBytes = 128;

/** Statuses as text, made once each. */
const statusTexts: string[] = [];

function formatStatus(status: number): string {
  statusTexts[status] ??= String(status).padStart(3, '0');
  return statusTexts[status];
}

/** Bytes that a block takes at most. */
function blockLimit(headers: HeaderMap): number {
  let bytes = blockOverheadBytes + headers.byteSize + headers.protocol.length;
  bytes += (headers.entries.length / 2 + 6) * HpackEncoder.maxFieldBytes('', '');
  return bytes;
}

/** What cannot be said on HTTP/2 stays behind: headers of an HTTP/1 connection, and `te` but for trailers. */
function isSendable(name: string, value: string): boolean {
  switch (internFieldName(name).kind) {
    case FieldKind.connectionSpecific:
      return false;
    case FieldKind.te:
      return value === 'trailers';
    default:
      return true;
  }
}

export class HeaderBlockWriter {
  readonly #writer: FrameWriter;
  readonly encoder: HpackEncoder;

  constructor(writer: FrameWriter, encoder: HpackEncoder) {
    this.#writer = writer;
    this.encoder = encoder;
  }

  /** Returns the bytes written, framing included. */
  write(streamId: number, headers: HeaderMap, endStream: boolean): number {
    const writer = this.#writer;
    const buffer = writer.reserve(frameHeaderBytes + blockLimit(headers));
    const start = writer.offset;
    const from = start + frameHeaderBytes;
    const end = this.#encode(headers, buffer, this.encoder.beginBlock(buffer, from));
    const length = end - from;
    const flags = endStream ? FrameFlag.endStream : 0;
    if (length <= defaultMaxFrameBytes) {
      writeFrameHeader(buffer, start, length, FrameType.headers, flags | FrameFlag.endHeaders, streamId);
      writer.commit(end);
      writer.countFrame(false);
      return end - start;
    }
    return this.#writeFragments(streamId, Buffer.from(buffer.subarray(from, end)), flags);
  }

  #writeFragments(streamId: number, block: Buffer, flags: number): number {
    const writer = this.#writer;
    let written = 0;
    for (let at = 0; at < block.length; at += defaultMaxFrameBytes) {
      const fragment = block.subarray(at, at + defaultMaxFrameBytes);
      const last = at + fragment.length === block.length ? FrameFlag.endHeaders : 0;
      const buffer = writer.reserve(frameHeaderBytes + fragment.length);
      const start = writer.offset;
      if (at === 0) writeFrameHeader(buffer, start, fragment.length, FrameType.headers, flags | last, streamId);
      else writeFrameHeader(buffer, start, fragment.length, FrameType.continuation, last, streamId);
      fragment.copy(buffer, start + frameHeaderBytes);
      writer.commit(start + frameHeaderBytes + fragment.length);
      writer.countFrame(false);
      written += frameHeaderBytes + fragment.length;
    }
    return written;
  }

  #encode(headers: HeaderMap, out: Buffer, offset: number): number {
    const { encoder } = this;
    const { entries } = headers;
    let at = offset;
    if (headers.status !== 0) at = encoder.encode(':status', formatStatus(headers.status), out, at);
    if (headers.method !== '') {
      at = encoder.encode(':method', headers.method, out, at);
      // A plain CONNECT names a host and a port only.
      const hasTarget = headers.method !== 'CONNECT' || headers.protocol !== '';
      if (hasTarget && headers.scheme !== '') at = encoder.encode(':scheme', headers.scheme, out, at);
      if (headers.authority !== '') at = encoder.encode(':authority', headers.authority, out, at);
      if (hasTarget && headers.path !== '') at = encoder.encode(':path', headers.path, out, at);
      if (headers.protocol !== '') at = encoder.encode(':protocol', headers.protocol, out, at);
    }
    for (let i = 0; i < entries.length; i += 2) {
      if (isSendable(entries[i], entries[i + 1])) at = encoder.encode(entries[i], entries[i + 1], out, at);
    }
    return at;
  }
}
