/** What a stream has to send and may not: the windows do not allow it. */
import type { HeaderMap } from '../header-map.ts';

export class PendingBody {
  readonly #pieces: Buffer[] = [];
  /** Bytes of the first piece that were taken. */
  #taken = 0;
  bytes = 0;
  /** Follow the last byte. */
  trailers: HeaderMap | null = null;

  /** Copies the data: its buffer is the caller's. */
  add(data: Buffer): void {
    this.#pieces.push(Buffer.from(data));
    this.bytes += data.length;
  }

  /** The next bytes, at most so many; call it while there are some. */
  take(most: number): Buffer {
    const first = this.#pieces[0];
    const data = first.subarray(this.#taken, this.#taken + most);
    this.#taken += data.length;
    this.bytes -= data.length;
    if (this.#taken === first.length) {
      this.#pieces.shift();
      this.#taken = 0;
    }
    return data;
  }
}
