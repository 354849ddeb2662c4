/**
 * The messages of the main thread, taken and handled in order, but only for a few milliseconds at a time: between the slices of a
 * push of thousands of resources this worker's connections are served. Messages that are not taken yet lie outside of the heap.
 */

/** A longer slice makes a push a little shorter, and every request during it wait. */
const sliceMs = 3;

export class Inbox<Message> {
  readonly #receive: () => readonly Message[] | null;
  readonly #handle: (message: Message) => void;
  readonly #now: () => number;
  readonly #defer: (next: () => void) => void;
  /** What was taken last, and the first of it that was not handled yet. */
  #batch: readonly Message[] = [];
  #next = 0;
  #isDeferred = false;

  /**
   * @param receive takes the next batch; null: there is none.
   * @param now in milliseconds. @param defer runs a function after the sockets had their turn.
   */
  constructor(
    receive: () => readonly Message[] | null,
    handle: (message: Message) => void,
    now = performance.now.bind(performance),
    defer: (next: () => void) => void = setImmediate,
  ) {
    this.#receive = receive;
    this.#handle = handle;
    this.#now = now;
    this.#defer = defer;
  }

  /** Nothing waits to be handled, as far as is known here. */
  get isEmpty(): boolean {
    return !this.#isDeferred;
  }

  /** There may be something to take. */
  wake(): void {
    if (!this.#isDeferred) this.#run();
  }

  #run(): void {
    const sliceEnd = this.#now() + sliceMs;
    while (this.#next < this.#batch.length || this.#takeBatch()) {
      if (this.#now() >= sliceEnd) {
        this.#continueLater();
        return;
      }
      this.#handle(this.#batch[this.#next++]);
    }
  }

  #takeBatch(): boolean {
    this.#batch = this.#receive() ?? [];
    this.#next = 0;
    return this.#batch.length > 0;
  }

  #continueLater(): void {
    this.#isDeferred = true;
    this.#defer(() => {
      this.#isDeferred = false;
      this.#run();
    });
  }
}
