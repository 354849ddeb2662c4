/** The part of a request's body that an attempt may still need: until a connection is ready, and for repeating it. */
import { largeBufferBytes, returnBuffer, takeBuffer } from '../network/buffer-pool.ts';

/** A body of more is kept in large blocks. */
const largeBodyBytes = 65_536;

export class RequestBody {
  readonly #limitBytes: number;
  /** All full but the last one. */
  #blocks: Buffer[] = [];
  #lastUsed = 0;
  /** So many blocks were handed out: somebody may still write them. */
  #sharedBlocks = 0;
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
    this.#bytes += data.length;
    for (let at = 0; at < data.length; ) {
      const last = this.#blocks.at(-1);
      if (last === undefined || this.#lastUsed === last.length) {
        this.#blocks.push(takeBuffer(this.#bytes > largeBodyBytes ? largeBufferBytes : data.length - at));
        this.#lastUsed = 0;
        continue;
      }
      const copied = data.copy(last, this.#lastUsed, at);
      this.#lastUsed += copied;
      at += copied;
    }
  }

  /** What is kept, in pieces that stay as they are for whoever asked. */
  get chunks(): Buffer[] {
    this.#sharedBlocks = this.#blocks.length;
    const last = this.#blocks.length - 1;
    return this.#blocks.map((block, i) => (i === last ? block.subarray(0, this.#lastUsed) : block));
  }

  /** What is kept, in one piece. */
  toBuffer(): Buffer {
    const { chunks } = this;
    return chunks.length === 1 ? chunks[0] : Buffer.concat(chunks);
  }

  discard(): void {
    for (let i = this.#sharedBlocks; i < this.#blocks.length; i++) returnBuffer(this.#blocks[i]);
    this.#sharedBlocks = 0;
    this.#blocks = [];
    this.#lastUsed = 0;
    this.#bytes = 0;
  }
}
