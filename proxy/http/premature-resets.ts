/**
 * Streams of one connection that were reset before they got a response, by whomever: a client that makes many of them only
 * wants work done. Source: Envoy's connection manager, with its defaults of `overload.premature_reset_*`.
 */

/** A connection is judged at this many streams, or sooner if it cannot come out well any more. */
const judgedStreams = 500;
/** Streams that lived longer cost the client something too. */
const minLifetimeMs = 2000;

export class PrematureResets {
  #streams = 0;
  #resets = 0;
  #isOver = false;

  /** Counts a stream that ended, with the status that was sent (0: none); true, once, if the connection has had too many resets. */
  count(status: number, lifetimeMs: number): boolean {
    this.#streams++;
    if (status === 0 && lifetimeMs < minLifetimeMs) this.#resets++;
    if (this.#isOver || this.#resets * 2 < Math.max(judgedStreams, this.#streams)) return false;
    this.#isOver = true;
    return true;
  }
}
