/** Windows of flow control (RFC 9113, section 5.2). */
import type { Http2Stream } from './stream.ts';

/** What the peer may send on a stream or on the connection. */
export class ReceiveWindow {
  readonly #sizeBytes: number;
  #leftBytes: number;
  /** Consumed, and not announced to the peer yet. */
  #consumedBytes = 0;

  constructor(sizeBytes: number) {
    this.#sizeBytes = sizeBytes;
    this.#leftBytes = sizeBytes;
  }

  /** Counts a frame; false if the peer had no right to send it. */
  take(bytes: number): boolean {
    this.#leftBytes -= bytes;
    return this.#leftBytes >= 0;
  }

  /** Counts what was consumed; returns the increment to announce: half a window at least, or 0. */
  consume(bytes: number): number {
    this.#consumedBytes += bytes;
    if (this.#consumedBytes * 2 < this.#sizeBytes) return 0;
    const increment = this.#consumedBytes;
    this.#consumedBytes = 0;
    this.#leftBytes += increment;
    return increment;
  }
}

/** What may be sent on a connection, and the streams that have more than they may send. */
export class SendFlow {
  windowBytes: number;
  readonly #waiting = new Set<Http2Stream>();

  constructor(windowBytes: number) {
    this.windowBytes = windowBytes;
  }

  await(stream: Http2Stream): void {
    this.#waiting.add(stream);
  }

  forget(stream: Http2Stream): void {
    this.#waiting.delete(stream);
  }

  /** Sends what the windows allow now, a frame of each stream in turn. */
  resume(): void {
    let progress = true;
    while (progress && this.windowBytes > 0 && this.#waiting.size > 0) {
      progress = false;
      for (const stream of this.#waiting) if (stream.sendPendingFrame()) progress = true;
    }
  }
}
