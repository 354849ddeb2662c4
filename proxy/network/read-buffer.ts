/**
 * Read buffers of connections: each has its own, small while idle, growing while reads fill it. A connection's buffer is
 * replaced, never reused, while somebody else's write still points into it.
 */

const smallBytes = 4096;
const mediumBytes = 16_384;
const largeBytes = 131_072;
/** Small buffers kept for the next connections, per thread. */
const maxSpare = 256;

const spare: Buffer[] = [];

function takeReadBuffer(): Buffer {
  return spare.pop() ?? Buffer.allocUnsafeSlow(smallBytes);
}

function returnReadBuffer(buffer: Buffer): void {
  if (buffer.length === smallBytes && spare.length < maxSpare) spare.push(buffer);
}

/** So many small reads in a row give a large buffer back. */
const smallReadsToShrink = 4;

/** The read buffer of one connection over its life. */
export class ReadBuffer {
  #buffer = takeReadBuffer();
  #smallReads = 0;

  get current(): Buffer {
    return this.#buffer;
  }

  /** Prepares for the next read, after one of `bytes`; `held` while a pending write points into the buffer. */
  advance(bytes: number, held: boolean): Buffer {
    const buffer = this.#buffer;
    const size = this.#nextSize(bytes);
    if (size === buffer.length && !held) return buffer;
    if (!held) returnReadBuffer(buffer);
    this.#buffer = size === smallBytes ? takeReadBuffer() : Buffer.allocUnsafeSlow(size);
    return this.#buffer;
  }

  #nextSize(bytes: number): number {
    const size = this.#buffer.length;
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
    returnReadBuffer(this.#buffer);
  }
}
