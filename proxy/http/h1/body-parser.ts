/** Bodies by their framing: sized, chunked, until the end of the connection, or raw after an upgrade. */

const LF = 10;
const CR = 13;

export const Framing = { none: 0, sized: 1, chunked: 2, untilClose: 3, raw: 4 } as const;
export type Framing = (typeof Framing)[keyof typeof Framing];

/** Steps within a chunked body. */
const Step = { size: 0, extension: 1, sizeEnd: 2, data: 3, dataEnd: 4, trailers: 5 } as const;

export const BodyState = { more: 0, complete: 1, trailers: 2, error: 3 } as const;
export type BodyState = (typeof BodyState)[keyof typeof BodyState];

const hexValue = new Int8Array(256).fill(-1);
for (let i = 0; i < 10; i++) hexValue[48 + i] = i;
for (let i = 0; i < 6; i++) hexValue[65 + i] = hexValue[97 + i] = 10 + i;

/** Bytes of one chunk extension before the message is refused. */
const maxExtensionBytes = 16 * 1024;

/** A chunk's size has 64 bits. */
const maxSizeDigits = 16;

/** Reads one body; reset for each message. */
export class BodyParser {
  readonly #onBody: (data: Buffer) => void;
  #framing: Framing = Framing.none;
  /** Of the body or of the current chunk. */
  #remaining = 0;
  #step: number = Step.size;
  #digits = 0;
  #significantDigits = 0;
  #extensionBytes = 0;

  constructor(onBody: (data: Buffer) => void) {
    this.#onBody = onBody;
  }

  get framing(): Framing {
    return this.#framing;
  }

  begin(framing: Framing, length: number): void {
    this.#framing = framing;
    this.#remaining = framing === Framing.chunked ? 0 : length;
    this.#step = Step.size;
    this.#digits = 0;
    this.#significantDigits = 0;
    this.#extensionBytes = 0;
  }

  /** After `consume`: what became of the body. */
  state: BodyState = BodyState.more;

  /** Consumes from `data[at, ...)` and returns the offset behind what it took. */
  consume(data: Buffer, at: number): number {
    this.state = BodyState.more;
    if (this.#framing === Framing.chunked) return this.#consumeChunked(data, at);
    if (this.#framing === Framing.sized) {
      const end = Math.min(data.length, at + this.#remaining);
      this.#remaining -= end - at;
      if (this.#remaining === 0) this.state = BodyState.complete;
      if (end > at) this.#onBody(slice(data, at, end));
      return end;
    }
    if (this.#framing === Framing.none) {
      this.state = BodyState.complete;
      return at;
    }
    if (at < data.length) this.#onBody(slice(data, at, data.length));
    return data.length;
  }

  /**
   * The chunks of one read leave as one piece, as in Envoy: each is moved up to the one before it, over its size line, which
   * nobody needs any more.
   */
  #consumeChunked(data: Buffer, start: number): number {
    let at = start;
    let pieceStart = -1;
    let pieceEnd = -1;
    while (at < data.length && this.state === BodyState.more) {
      if (this.#step === Step.data) {
        const end = Math.min(data.length, at + this.#remaining);
        this.#remaining -= end - at;
        if (pieceStart === -1) pieceStart = at;
        else data.copyWithin(pieceEnd, at, end);
        pieceEnd = pieceEnd === -1 ? end : pieceEnd + end - at;
        at = end;
        if (this.#remaining > 0) continue;
        this.#step = Step.dataEnd;
        // The usual end of a body that came whole: its last piece announces it.
        if (endsWithLastChunk(data, end)) {
          this.state = BodyState.complete;
          at += 7;
        }
        continue;
      }
      const byte = data[at++];
      // Envoy's parser skips whatever stands between a chunk and the end of its line.
      if (this.#step === Step.dataEnd) {
        if (byte === LF) this.#beginChunk();
      } else if (!this.#takeSizeByte(byte)) this.state = BodyState.error;
      else if (this.#step === Step.trailers) this.state = BodyState.trailers;
    }
    if (pieceStart !== -1 && this.state !== BodyState.error) this.#onBody(slice(data, pieceStart, pieceEnd));
    return at;
  }

  #beginChunk(): void {
    this.#step = Step.size;
    this.#digits = 0;
    this.#significantDigits = 0;
    this.#remaining = 0;
    this.#extensionBytes = 0;
  }

  /** A byte of the line with a chunk's size; false if it does not belong there. */
  #takeSizeByte(byte: number): boolean {
    if (this.#step === Step.sizeEnd) {
      if (byte !== LF) return false;
      this.#step = this.#remaining === 0 ? Step.trailers : Step.data;
      return true;
    }
    if (byte === CR) {
      if (this.#digits === 0) return false;
      this.#step = Step.sizeEnd;
      return true;
    }
    if (this.#step === Step.extension) return byte !== LF && ++this.#extensionBytes <= maxExtensionBytes;
    const value = hexValue[byte];
    if (value >= 0) {
      this.#digits++;
      if (value > 0 || this.#remaining > 0) this.#significantDigits++;
      this.#remaining = this.#remaining * 16 + value;
      return this.#significantDigits <= maxSizeDigits;
    }
    if (this.#digits === 0 || (byte !== 59 && byte !== 32 && byte !== 9)) return false;
    this.#step = Step.extension;
    return true;
  }
}

function slice(data: Buffer, from: number, to: number): Buffer {
  return from === 0 && to === data.length ? data : data.subarray(from, to);
}

/** Whether `\r\n0\r\n\r\n` stands at an offset. */
function endsWithLastChunk(data: Buffer, at: number): boolean {
  return (
    at + 7 <= data.length &&
    data[at + 2] === 48 &&
    data[at] === CR &&
    data[at + 1] === LF &&
    data[at + 3] === CR &&
    data[at + 4] === LF &&
    data[at + 5] === CR &&
    data[at + 6] === LF
  );
}
