/** Long bodies of known bytes: a sender that respects backpressure, and a receiver that stalls, then is slow, then is fast. */
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

/** A prime, so that a piece lost, doubled or moved by any usual block size shows. */
const period = 1_048_573;
const pieceBytes = 65_536;

/** Two periods, so that every piece is one slice. */
const pattern = makePattern();

function makePattern(): Buffer {
  const bytes = Buffer.alloc(2 * period);
  let state = 1;
  for (let i = 0; i < period; i++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    bytes[i] = bytes[i + period] = state >>> 16;
  }
  return bytes;
}

/** Writes `total` bytes and waits whenever the stream asks for it; does not end the stream. */
export async function sendBody(stream: Writable, total: number): Promise<void> {
  for (let sent = 0; sent < total && !stream.destroyed; ) {
    const at = sent % period;
    const size = Math.min(pieceBytes, total - sent);
    sent += size;
    if (!stream.write(pattern.subarray(at, at + size))) await once(stream, 'drain');
  }
}

export interface ReceiverPace {
  readonly stallMs: number;
  /** After the stall, one MB per second for so long. */
  readonly slowMs: number;
}

const slowBytesPerMs = 1000;

/**
 * Reads to the end of the stream, or `total` bytes.
 * @throws if a byte is not the one that was sent.
 */
export async function receiveBody(stream: Readable, total: number, pace: ReceiverPace): Promise<number> {
  let received = 0;
  const check = (data: Buffer): void => {
    for (let from = 0; from < data.length; from += pieceBytes) {
      const piece = data.subarray(from, from + pieceBytes);
      const at = received % period;
      if (piece.compare(pattern, at, at + piece.length) !== 0) throw new Error(`byte ${received} or one soon after it is wrong`);
      received += piece.length;
    }
  };
  stream.pause();
  await sleep(pace.stallMs);
  const slowFrom = performance.now();
  while (performance.now() - slowFrom < pace.slowMs && received < total) {
    const data = stream.read() as Buffer | null;
    if (data !== null) check(data);
    const aheadMs = received / slowBytesPerMs - (performance.now() - slowFrom);
    await sleep(Math.max(5, aheadMs));
  }
  await new Promise<void>((resolve, reject) => {
    const end = (): void => {
      stream.pause();
      resolve();
    };
    stream.on('data', (data: Buffer) => {
      try {
        check(data);
      } catch (error) {
        reject(error);
      }
      if (received >= total) end();
    });
    stream.on('end', end).on('error', reject);
    stream.resume();
  });
  return received;
}
