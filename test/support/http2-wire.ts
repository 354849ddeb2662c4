/** Frames of HTTP/2 by hand: what a peer could send, and what was sent to it, in a form that can be read. */
import {
  clientPreface,
  frameHeaderBytes,
  FrameType,
  readUint31,
  readUint32,
  writeFrameHeader,
} from '../../proxy/http/h2/frame.ts';
import { HpackDecoder, type FieldSink } from '../../proxy/http/h2/hpack-decoder.ts';

export const emptySettings = makeFrame(FrameType.settings, 0, 0);
/** Preface and SETTINGS of a client that has seen the server's. */
export const clientHello = Buffer.concat([clientPreface, emptySettings, makeFrame(FrameType.settings, 1, 0)]);
export const serverHello = Buffer.concat([emptySettings, makeFrame(FrameType.settings, 1, 0)]);

export function makeFrame(type: number, flags: number, streamId: number, payload: Buffer | string = ''): Buffer {
  const body = Buffer.from(payload as string, 'latin1');
  const frame = Buffer.alloc(frameHeaderBytes + body.length);
  writeFrameHeader(frame, 0, body.length, type, flags, streamId);
  body.copy(frame, frameHeaderBytes);
  return frame;
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

export type Field = readonly [name: string, value: string];

function encodeText(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  const length = [127];
  let rest = bytes.length - 127;
  for (; rest >= 128; rest = Math.floor(rest / 128)) length.push((rest % 128) + 128);
  return Buffer.concat([Buffer.from([...length, rest]), bytes]);
}

/** A block of literals that touch no table. */
export function makeBlock(...fields: readonly Field[]): Buffer {
  return Buffer.concat(fields.map(([name, value]) => Buffer.concat([Buffer.from([0]), encodeText(name), encodeText(value)])));
}

export function requestBlock(...more: readonly Field[]): Buffer {
  return makeBlock([':method', 'GET'], [':scheme', 'http'], [':authority', 'h'], [':path', '/'], ...more);
}

export function postBlock(...more: readonly Field[]): Buffer {
  return makeBlock([':method', 'POST'], [':scheme', 'http'], [':authority', 'h'], [':path', '/'], ...more);
}

/** HEADERS with END_HEADERS, and END_STREAM if the message ends. */
export function makeHeaders(streamId: number, block: Buffer, endStream = true): Buffer {
  return makeFrame(FrameType.headers, endStream ? 5 : 4, streamId, block);
}

export function makeData(streamId: number, data: Buffer | string, endStream = false): Buffer {
  return makeFrame(FrameType.data, endStream ? 1 : 0, streamId, data);
}

export function makeSettings(...settings: readonly (readonly [id: number, value: number])[]): Buffer {
  const payload = settings.map(([id, value]) => Buffer.concat([Buffer.from([0, id]), uint32(value)]));
  return makeFrame(FrameType.settings, 0, 0, Buffer.concat(payload));
}

/** Splits a block over HEADERS and CONTINUATION frames. */
export function makeFragments(streamId: number, block: Buffer, size: number): Buffer {
  const frames: Buffer[] = [];
  for (let at = 0; at < block.length; at += size) {
    const flags = (at === 0 ? 1 : 0) | (at + size >= block.length ? 4 : 0);
    frames.push(makeFrame(at === 0 ? FrameType.headers : FrameType.continuation, flags, streamId, block.subarray(at, at + size)));
  }
  return Buffer.concat(frames);
}

const names = [
  'DATA',
  'HEADERS',
  'PRIORITY',
  'RST_STREAM',
  'SETTINGS',
  'PUSH_PROMISE',
  'PING',
  'GOAWAY',
  'WINDOW_UPDATE',
  'CONTINUATION',
];

/** Reads what a codec wrote, with the decoder that its peer would have. */
export class FrameLog {
  readonly #decoder = new HpackDecoder(4096);
  #rest: Buffer = Buffer.alloc(0);
  #block: Buffer[] = [];

  /** One line a frame: type, stream, what matters of it, `END` with END_STREAM. */
  read(bytes: Buffer): string[] {
    const lines: string[] = [];
    let data = Buffer.concat([this.#rest, bytes]);
    if (data.length >= clientPreface.length && data.subarray(0, clientPreface.length).equals(clientPreface)) {
      lines.push('PREFACE');
      data = data.subarray(clientPreface.length);
    }
    while (data.length >= frameHeaderBytes && data.length >= frameHeaderBytes + data.readUIntBE(0, 3)) {
      const end = frameHeaderBytes + data.readUIntBE(0, 3);
      const line = this.#describe(data[3], data[4], readUint31(data, 5), data.subarray(frameHeaderBytes, end));
      if (line !== '') lines.push(line);
      data = data.subarray(end);
    }
    this.#rest = data;
    return lines;
  }

  #describe(type: number, flags: number, streamId: number, payload: Buffer): string {
    const name = `${names[type]}${streamId === 0 ? '' : ` ${streamId}`}`;
    const end = (flags & 1) === 0 ? '' : ' END';
    switch (type) {
      case FrameType.data:
        return `${name} ${payload.length > 40 ? `[${payload.length}]` : payload.toString('latin1')}${end}`;
      case FrameType.headers:
      case FrameType.continuation:
        this.#block.push(payload);
        if ((flags & 4) === 0) return `${name} ...`;
        return `${name} ${this.#decodeBlock()}${end}`;
      case FrameType.rstStream:
        return `${name} ${readUint32(payload, 0)}`;
      case FrameType.goaway:
        return `${name} last ${readUint32(payload, 0)} code ${readUint32(payload, 4)} ${payload.subarray(8)}`.trim();
      case FrameType.windowUpdate:
        return `${name} +${readUint32(payload, 0)}`;
      case FrameType.settings:
      case FrameType.ping:
        return `${name}${(flags & 1) === 0 ? '' : ' ACK'}`;
      default:
        return name;
    }
  }

  #decodeBlock(): string {
    const fields: string[] = [];
    const sink: FieldSink = { onField: (name, value) => fields.push(`${name.text}=${value.length > 60 ? value.length : value}`) };
    const block = Buffer.concat(this.#block);
    this.#block = [];
    this.#decoder.beginBlock();
    if (this.#decoder.decode(block, 0, block.length, sink, true) === -1) return 'MALFORMED';
    return fields.join(' ');
  }
}
