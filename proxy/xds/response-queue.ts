/**
 * The responses of one stream: applied in their order and answered one after the other, each for a few milliseconds at a time.
 */
import type { Gradual } from './gradual.ts';

/** For so long the admin API, secrets, names and what the workers ask for have to wait. */
const sliceMs = 10;

export interface ResponseQueueOptions<Response, Answer> {
  /** Begins to apply a response; null: there is nothing to apply and to answer. */
  readonly apply: (response: Response) => Gradual<Answer> | null;
  readonly answer: (answer: Answer) => void;
  /** Monotonic milliseconds. */
  readonly now?: () => number;
  /** Runs a function in a later turn of the event loop. */
  readonly defer?: (next: () => void) => void;
}

export class ResponseQueue<Response, Answer> {
  readonly #options: ResponseQueueOptions<Response, Answer>;
  readonly #now: () => number;
  readonly #defer: (next: () => void) => void;
  readonly #waiting: Response[] = [];
  #work: Gradual<Answer> | null = null;

  constructor(options: ResponseQueueOptions<Response, Answer>) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#defer = options.defer ?? setImmediate;
  }

  /** A response is applied in part: what is asked for meanwhile follows its answer. */
  get isApplying(): boolean {
    return this.#work !== null;
  }

  /** Applies a response, at once as far as it goes. */
  add(response: Response): void {
    this.#waiting.push(response);
    if (this.#work === null) this.#run();
  }

  /** The stream is over: applies what came on it, and answers nothing. */
  end(): void {
    for (;;) {
      this.#work ??= this.#begin();
      if (this.#work === null) return;
      while (!this.#work.next().done);
      this.#work = null;
    }
  }

  #begin(): Gradual<Answer> | null {
    let work: Gradual<Answer> | null = null;
    while (work === null && this.#waiting.length > 0) work = this.#options.apply(this.#waiting.shift() as Response);
    return work;
  }

  #run(): void {
    const sliceEnd = this.#now() + sliceMs;
    for (;;) {
      this.#work ??= this.#begin();
      if (this.#work === null) return;
      const { done, value } = this.#work.next();
      if (done) {
        this.#work = null;
        this.#options.answer(value);
      } else if (this.#now() >= sliceEnd) {
        this.#continueLater(this.#work);
        return;
      }
    }
  }

  #continueLater(work: Gradual<Answer>): void {
    this.#defer(() => {
      if (this.#work === work) this.#run();
    });
  }
}
