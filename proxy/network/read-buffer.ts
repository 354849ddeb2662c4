/**
 * Read buffers of connections. One that reads seldom shares its thread's buffer, so that an idle connection holds none, and
 * what it reads is copied; one that reads often has its own, growing while reads fill it. An own buffer is replaced, never
 * reused, while somebody else's write still points into it; it comes back when that write is done.
 */
import {
  largeBufferBytes as largeBytes,
  mediumBufferBytes as mediumBytes,
  returnBuffer,
  smallBufferBytes as smallBytes,
  takeBuffer,
} from './buffer-pool.ts';
import type { BufferHolder } from './write-coalescing.ts';

/** So many small reads in a row give a large buffer back. */
const smallReadsToShrink = 4;
/** A read that follows the last one within this time earns a buffer of its own. */
const frequentReadMs = 100;

/** Of this thread: read into, copied from, and free again within one event. */
const shared: Buffer = Buffer.allocUnsafeSlow(mediumBytes);

/** The read buffer of one connection over its life. */
export class ReadBuffer {
  /** Where the next read goes. */
  #current: Buffer = shared;
  /** The own buffer, or the copy of what was read last; null between seldom reads. */
  #own: Buffer | null = null;
  #lastReadMs = Number.NEGATIVE_INFINITY;
  #smallReads = 0;

  get current(): Buffer {
    return this.#current;
  }

  /** What the last read brought; it stays as it is until `advance`, and while a holder keeps it. */
  take(bytes: number): Buffer {
    if (this.#current === shared) {
      this.#own = takeBuffer(bytes <= smallBytes ? smallBytes : mediumBytes);
      shared.copy(this.#own, 0, 0, bytes);
    }
    const own = this.#own as Buffer;
    return bytes === own.length ? own : own.subarray(0, bytes);
  }

  /** Prepares for the next read, after one of `bytes` at `nowMs`; `holder` has a pending write that points into them. */
  advance(bytes: number, holder: BufferHolder | null, nowMs = performance.now()): Buffer {
    const own = this.#own;
    // Nothing was read yet.
    if (own === null) return this.#current;
    const isFrequent = nowMs - this.#lastReadMs < frequentReadMs || bytes === this.#current.length;
    this.#lastReadMs = nowMs;
    const size = isFrequent ? this.#nextSize(bytes, own.length) : 0;
    if (size !== own.length || holder !== null) {
      if (holder === null) returnBuffer(own);
      else holder.keep(own);
      this.#own = size === 0 ? null : takeBuffer(size);
    }
    this.#current = this.#own ?? shared;
    return this.#current;
  }

  #nextSize(bytes: number, size: number): number {
    if (bytes === size) {
      this.#smallReads = 0;
      return size === smallBytes ? mediumBytes : largeBytes;
    }
    if (size === smallBytes || bytes > smallBytes / 2) {
      this.#smallReads = 0;
      return size;
    }
    return ++this.#smallReads < smallReadsToShrink ? size : smallBytes;
  }

  /** Gives the buffer back; nothing points into it any more. */
  release(): void {
    if (this.#own !== null) returnBuffer(this.#own);
    this.#own = null;
    this.#current = shared;
  }
}
