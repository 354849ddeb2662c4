/**
 * Gives memory back once what needed it is over. A start or a large push leaves a heap far bigger than what lives in it, and in a
 * process that then allocates little V8 keeps it for good. Not for threads that serve requests: it stops them for tens of milliseconds.
 */

const defaultQuietMs = 10_000;
/** What is received in less than this leaves too little garbage to collect. */
const minReceivedBytes = 8 << 20;

export class IdleCollection {
  readonly #collect: () => void;
  readonly #quietMs: number;
  #timer: NodeJS.Timeout | null = null;
  #receivedBytes = 0;

  /** By default it collects in processes that run with `--expose-gc`, as the launchers start them. */
  constructor(collect: () => void = collectAll, quietMs = defaultQuietMs) {
    this.#collect = collect;
    this.#quietMs = quietMs;
  }

  /** Collects when nothing was noted any more for a while. */
  schedule(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.#receivedBytes = 0;
      this.#collect();
    }, this.#quietMs).unref();
    this.#timer.refresh();
  }

  /** Notes that so many bytes of configuration came in. */
  noteReceived(bytes: number): void {
    this.#receivedBytes += bytes;
    if (this.#timer !== null || this.#receivedBytes >= minReceivedBytes) this.schedule();
  }
}

/** Of this process. */
export const idleCollection = new IdleCollection();

/** More than a plain collection: V8 also gives up pages that it would keep for later. */
function collectAll(): void {
  globalThis.gc?.({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}
