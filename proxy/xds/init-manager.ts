/**
 * Waits for a set of things to be ready, each with its own time limit: what a cluster or listener needs before it serves, and
 * what the server needs before it is live.
 *
 * Source: Envoy's Init::Manager and `initial_fetch_timeout`.
 */

/** What is still awaited, with its timer if it has a limit. */
interface Target {
  readonly name: string;
  timer: NodeJS.Timeout | null;
}

/** The longest delay that a Node timer takes; a longer limit is as good as none. */
const longestTimerMs = 2 ** 31 - 1;

export class InitManager {
  readonly #onReady: () => void;
  readonly #targets = new Set<Target>();
  #sealed = false;
  #done = false;

  /** @param onReady called once, after `seal`, when nothing is awaited any more. */
  constructor(onReady: () => void) {
    this.#onReady = onReady;
  }

  /** Names of what is awaited, for /init_dump. */
  get pending(): readonly string[] {
    return [...this.#targets].map(target => target.name);
  }

  /**
   * Adds something to wait for; the returned function says that it is ready.
   * @param timeoutMs 0: as long as it takes; otherwise it counts as ready after this time, and `onTimeout` is called before.
   */
  add(name: string, timeoutMs = 0, onTimeout?: () => void): () => void {
    const target: Target = { name, timer: null };
    this.#targets.add(target);
    const ready = (): void => {
      if (!this.#targets.delete(target)) return;
      if (target.timer !== null) clearTimeout(target.timer);
      this.#finish();
    };
    if (timeoutMs > 0 && timeoutMs <= longestTimerMs) {
      target.timer = setTimeout(() => {
        onTimeout?.();
        ready();
      }, timeoutMs);
    }
    return ready;
  }

  /** Everything was added. */
  seal(): void {
    this.#sealed = true;
    this.#finish();
  }

  /** Forgets everything; `onReady` is not called. */
  cancel(): void {
    this.#done = true;
    for (const { timer } of this.#targets) if (timer !== null) clearTimeout(timer);
    this.#targets.clear();
  }

  #finish(): void {
    if (this.#done || !this.#sealed || this.#targets.size > 0) return;
    this.#done = true;
    this.#onReady();
  }
}
