/**
 * Memory for bytes on their way, in three sizes. Buffers that come and go by the megabyte, left to the garbage collector, cost more
 * than everything else that is done with a body: V8 collects whenever so much has been allocated outside of its heap.
 */

/** The sizes there are. */
export const smallBufferBytes = 4096;
export const mediumBufferBytes = 16_384;
export const largeBufferBytes = 131_072;

/** Buffers that nobody uses, per thread. */
interface Spare {
  readonly bytes: number;
  /** Kept for good. */
  readonly limit: number;
  readonly buffers: Buffer[];
  /** The fewest there were since the last look. */
  fewest: number;
}

const makeSpare = (bytes: number, limit: number): Spare => ({ bytes, limit, buffers: [], fewest: 0 });
const spares: readonly Spare[] = [
  makeSpare(smallBufferBytes, 256),
  makeSpare(mediumBufferBytes, 64),
  makeSpare(largeBufferBytes, 16),
];

/** More than the limit are kept of each size, up to as many bytes, while they are needed again and again. */
const burstLimitBytes = 16 * 1024 * 1024;
const burstCheckMs = 1000;
let checksBurst = false;

/** A buffer of at least `bytes`, of the largest size if that is less; its content is anything. */
export function takeBuffer(bytes: number): Buffer {
  const spare = spares[bytes <= smallBufferBytes ? 0 : bytes <= mediumBufferBytes ? 1 : 2];
  const buffer = spare.buffers.pop() ?? Buffer.allocUnsafeSlow(spare.bytes);
  if (spare.buffers.length < spare.fewest) spare.fewest = spare.buffers.length;
  return buffer;
}

/** Takes a whole buffer back; nothing may point into it any more, pending writes included. */
export function returnBuffer(buffer: Buffer): void {
  const { bytes, buffers, limit } = spares[buffer.length === smallBufferBytes ? 0 : buffer.length === mediumBufferBytes ? 1 : 2];
  if (buffers.length >= limit && buffers.length * bytes >= burstLimitBytes) return;
  buffers.push(buffer);
  if (buffers.length > limit) checkBurst();
}

function checkBurst(): void {
  if (checksBurst) return;
  checksBurst = true;
  setTimeout(trimSpares, burstCheckMs).unref();
}

/** Gives up what nobody needed since the last look, but for the limit. */
function trimSpares(): void {
  checksBurst = false;
  for (const spare of spares) {
    const { buffers, limit, fewest } = spare;
    buffers.length = Math.max(Math.min(buffers.length, limit), buffers.length - fewest);
    spare.fewest = buffers.length;
    if (buffers.length > limit) checkBurst();
  }
}
