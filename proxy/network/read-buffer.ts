/**
 * Read buffers of connections: each has its own, small while idle, growing while reads fill it. A connection's buffer is
 * replaced, never reused, while somebody else's write still points into it.
 */

const smallBytes = 4096;
const mediumBytes = 16_384;
const largeBytes = 65_536;
/** Small buffers kept for the next connections, per thread. */
const maxSpare = 256;

const spare: Buffer[] = [];

/** The buffer of a new connection. */
export function takeReadBuffer(): Buffer {
  return spare.pop() ?? Buffer.allocUnsafeSlow(smallBytes);
}

/** Gives back a buffer that nobody points into. */
export function returnReadBuffer(buffer: Buffer): void {
  if (buffer.length === smallBytes && spare.length < maxSpare) spare.push(buffer);
}

/** The buffer for the next read, after one of `bytes`: larger when it was filled, small again when little comes. */
export function resizeReadBuffer(buffer: Buffer, bytes: number, held: boolean): Buffer {
  if (bytes === buffer.length && buffer.length < largeBytes) {
    const grown = Buffer.allocUnsafeSlow(buffer.length === smallBytes ? mediumBytes : largeBytes);
    if (!held) returnReadBuffer(buffer);
    return grown;
  }
  if (buffer.length > smallBytes && bytes <= smallBytes / 2) return takeReadBuffer();
  if (!held) return buffer;
  return buffer.length === smallBytes ? takeReadBuffer() : Buffer.allocUnsafeSlow(buffer.length);
}
