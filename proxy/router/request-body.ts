/** The part of a request's body that an attempt may still need: until a connection is ready, and for repeating it. */
export class RequestBody {
  readonly #limitBytes: number;
  chunks: Buffer[] = [];
  #bytes = 0;
  isComplete = false;
  /** It outgrew its buffer: the request can be neither repeated nor redirected. */
  isGivenUp = false;

  /** `limitBytes` 0: no limit. */
  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  get isEmpty(): boolean {
    return this.#bytes === 0;
  }

  /** True once the source should pause. */
  get isFull(): boolean {
    return this.#limitBytes > 0 && this.#bytes >= this.#limitBytes;
  }

  wouldOverflow(bytes: number): boolean {
    return this.#limitBytes > 0 && this.#bytes + bytes > this.#limitBytes;
  }

  /** Copies: the bytes of a read buffer are good for one call only. */
  append(data: Buffer): void {
    if (data.length === 0) return;
    this.chunks.push(Buffer.from(data));
    this.#bytes += data.length;
  }

  /** What is kept, in one piece. */
  toBuffer(): Buffer {
    return this.chunks.length === 1 ? this.chunks[0] : Buffer.concat(this.chunks);
  }

  discard(): void {
    this.chunks = [];
    this.#bytes = 0;
  }
}
