/**
 * Time until the next attempt: uniform between 0 and a bound that doubles with every attempt.
 *
 * Source: Envoy's JitteredExponentialBackOffStrategy and the defaults of gRPC subscriptions.
 */
export class JitteredBackoff {
  readonly #baseMs: number;
  readonly #maxMs: number;
  readonly #random: () => number;
  #boundMs: number;

  constructor(baseMs = 500, maxMs = 30_000, random: () => number = Math.random) {
    this.#baseMs = baseMs;
    this.#maxMs = maxMs;
    this.#random = random;
    this.#boundMs = baseMs;
  }

  /** Milliseconds to wait now. */
  next(): number {
    const delayMs = Math.floor(this.#random() * this.#boundMs);
    this.#boundMs = Math.min(this.#boundMs * 2, this.#maxMs);
    return delayMs;
  }

  /** The connection works again. */
  reset(): void {
    this.#boundMs = this.#baseMs;
  }
}
