/**
 * Read buffers of connections: each has its own, small while idle, growing while reads fill it. A connection's buffer is
 * replaced, never reused, while somebody else's write still points into it; it comes back when that write is done.
 */
import type { BufferHolder } from './write-coalescing.ts';

const smallBytes = 4096;
const mediumBytes = 16_384;
const largeBytes = 131_072;

interface Spare {
  readonly bytes: number;
  /** Kept for the next readers, per thread. */
  readonly limit: number;
  readonly buffers: Buffer[];
}

const smallSpare: Spare = { bytes: smallBytes, limit: 256, buffers: [] };
const mediumSpare: Spare = { bytes: mediumBytes, limit: 64, buffers: [] };
const largeSpare: Spare = { bytes: largeBytes, limit: 16, buffers: [] };

function spareOf(bytes: number): Spare {
  if (bytes === smallBytes) return smallSpare;
  return bytes === mediumBytes ? mediumSpare : largeSpare;
}

function takeReadBuffer(bytes: number): Buffer {
  const spare = spareOf(bytes);
  return spare.buffers.pop() ?? Buffer.allocUnsafeSlow(spare.bytes);
}

/** Nothing points into the buffer any more. */
export function returnReadBuffer(buffer: Buffer): void {
  const { buffers, limit } = spareOf(buffer.length);
  if (buffers.length < limit) buffers.push(buffer);
}

/** So many small reads in a row give a large buffer back. */
const smallReadsToShrink = 4;

/** The read buffer of one connection over its life. */
export class ReadBuffer {
  /** A record of TLS is the most that comes at once: in a larger buffer a waiting record would hold several times its size. */
  limitToRecords = false;
  #buffer = takeReadBuffer(smallBytes);
  #smallReads = 0;

  get current(): Buffer {
    return this.#buffer;
  }

  /** Prepares for the next read, after one of `bytes`; `holder` has a pending write that points into the buffer. */
  advance(bytes: number, holder: BufferHolder | null): Buffer {
    const buffer = this.#buffer;
    const size = this.#nextSize(bytes);
    if (size === buffer.length && holder === null) return buffer;
    if (holder === null) returnReadBuffer(buffer);
    else holder.keep(buffer);
    this.#buffer = takeReadBuffer(size);
    return this.#buffer;
  }

  #nextSize(bytes: number): number {
    const size = this.#buffer.length;
    if (bytes === size) {
      this.#smallReads = 0;
      return size === smallBytes || this.limitToRecords ? mediumBytes : largeBytes;
    }
    if (size === smallBytes || bytes > smallBytes / 2) {
      this.#smallReads = 0;
      return size;
    }
    return ++this.#smallReads < smallReadsToShrink ? size : smallBytes;
  }

  /** Gives the buffer back; nothing points into it any more. */
  release(): void {
    returnReadBuffer(this.#buffer);
  }
}
