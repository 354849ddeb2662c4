/**
 * The messages of the main thread, handled in order, but only for a few milliseconds at a time: between the slices of a push of
 * thousands of resources this worker's connections are served.
 */

/** A longer slice makes a push a little shorter, and every request during it wait. */
const sliceMs = 5;

export class Inbox<Message> {
  readonly #handle: (message: Message) => void;
  readonly #now: () => number;
  readonly #defer: (next: () => void) => void;
  #waiting: Message[] = [];
  /** Of `#waiting`: the first that was not handled yet. */
  #first = 0;
  /** When the slice of this turn of the event loop is over; 0: none has begun. */
  #sliceEnd = 0;

  /** @param now in milliseconds. @param defer runs a function after the sockets had their turn. */
  constructor(
    handle: (message: Message) => void,
    now = performance.now.bind(performance),
    defer: (next: () => void) => void = setImmediate,
  ) {
    this.#handle = handle;
    this.#now = now;
    this.#defer = defer;
  }

  /** Handles a message, at once if nothing waits before it. */
  add(message: Message): void {
    if (this.#sliceEnd === 0) this.#beginSlice();
    if (this.#waiting.length === 0 && this.#now() < this.#sliceEnd) this.#handle(message);
    else this.#waiting.push(message);
  }

  #beginSlice(): void {
    this.#sliceEnd = this.#now() + sliceMs;
    this.#defer(() => this.#continue());
  }

  #continue(): void {
    this.#sliceEnd = 0;
    if (this.#waiting.length === 0) return;
    this.#beginSlice();
    while (this.#first < this.#waiting.length && this.#now() < this.#sliceEnd) this.#handle(this.#waiting[this.#first++]);
    if (this.#first < this.#waiting.length) return;
    this.#waiting = [];
    this.#first = 0;
  }
}
