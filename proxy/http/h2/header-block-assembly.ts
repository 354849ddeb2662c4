/** The fragments of a header block to its fields, with what a peer may make of fragments bounded. */
import { HeaderBlockReader } from './header-block-reader.ts';
import { type FieldSink, HpackDecoder } from './hpack-decoder.ts';
import type { Http2Options } from './options.ts';

/** CONTINUATION frames of one block; the limit is Envoy's. */
const maxContinuations = 512;
/** The protocol's default, which holds until our settings are acknowledged. */
const initialTableBytes = 4096;

const ignoringSink: FieldSink = { onField() {} };

export class HeaderBlockAssembly {
  readonly reader: HeaderBlockReader;
  readonly decoder: HpackDecoder;
  /** The beginning of a field whose end has not arrived: a string at most, since longer ones are refused. */
  #rest: Buffer | null = null;
  #restBytes = 0;
  #fragments = 0;

  constructor(options: Http2Options) {
    this.reader = new HeaderBlockReader(options);
    this.decoder = new HpackDecoder(Math.max(initialTableBytes, options.protocol.hpackTableBytes));
  }

  begin(): void {
    this.#fragments = 0;
    this.#restBytes = 0;
    this.#rest = null;
    this.decoder.beginBlock();
  }

  /** Takes a fragment; with `ignored` only the state of the decoder follows it. */
  add(data: Buffer, from: number, end: number, last: boolean, ignored: boolean): '' | 'malformed' | 'too-many-frames' {
    if (this.#fragments++ > maxContinuations) return 'too-many-frames';
    const sink = ignored ? ignoringSink : this.reader;
    let decoded: number;
    if (this.#restBytes === 0) {
      decoded = this.decoder.decode(data, from, end, sink, last);
      if (decoded >= 0 && decoded < end) this.#keep(data, decoded, end);
    } else {
      this.#keep(data, from, end);
      const rest = this.#rest as Buffer;
      const restBytes = this.#restBytes;
      decoded = this.decoder.decode(rest, 0, restBytes, sink, last);
      if (decoded > 0) {
        this.#restBytes = 0;
        this.#keep(rest, decoded, restBytes);
      }
    }
    if (decoded < 0) return 'malformed';
    if (last && !ignored) this.reader.finish();
    return '';
  }

  /** Adds to the rest, in a buffer that at least doubles when it grows. */
  #keep(data: Buffer, from: number, end: number): void {
    const needed = this.#restBytes + end - from;
    let rest = this.#rest;
    if (rest === null || rest.length < needed) {
      rest = Buffer.allocUnsafe(needed * 2);
      this.#rest?.copy(rest, 0, 0, this.#restBytes);
      this.#rest = rest;
    }
    data.copy(rest, this.#restBytes, from, end);
    this.#restBytes = needed;
  }
}
