/**
 * Work in steps: it yields wherever it may pause. A push of thousands of resources is compiled so, with everything else that the
 * main thread has to do in between.
 */
export type Gradual<T> = Generator<void, T>;

/** Does all of it at once. */
export function finish<T>(work: Gradual<T>): T {
  for (;;) {
    const { done, value } = work.next();
    if (done) return value;
  }
}
