/**
 * Timers of the request path: a hierarchical wheel behind one Node timer that is armed only while entries exist. Adding and
 * cancelling are constant time and allocate nothing but the entry, which callers keep and re-arm.
 */
import { performance } from 'node:perf_hooks';

/** Resolution in milliseconds; timers fire at most one tick late, never early. */
const tickMs = 10;
const slotBits = 8;
const slotCount = 1 << slotBits;
const slotMask = slotCount - 1;
const levelCount = 4;
/** 2^32 ticks of 10 ms are 497 days: what is longer waits that long and is re-armed. */
const maxTicks = 2 ** 32 - 1;

/** A timer that can be armed again and again. */
export class Timer {
  readonly callback: () => void;
  /** Wheel bookkeeping; 0 and null while idle. */
  deadlineTick = 0;
  slot: Timer[] | null = null;
  position = -1;
  /** Ticks left beyond the wheel's range. */
  remainingTicks = 0;

  constructor(callback: () => void) {
    this.callback = callback;
  }

  get armed(): boolean {
    return this.slot !== null;
  }
}

export class TimerWheel {
  readonly #levels: Timer[][][] = Array.from({ length: levelCount }, () => Array.from({ length: slotCount }, () => []));
  readonly #startMs = performance.now();
  #currentTick = 0;
  #entries = 0;
  #interval: NodeJS.Timeout | null = null;

  /** Monotonic milliseconds since the process began. */
  now(): number {
    return performance.now();
  }

  /** Arms a timer to fire once after `delayMs` (any non-negative number; Infinity never fires); arming again moves it. */
  arm(timer: Timer, delayMs: number): void {
    this.cancel(timer);
    if (delayMs === Number.POSITIVE_INFINITY) return;
    const now = performance.now() - this.#startMs;
    if (this.#entries === 0) this.#currentTick = Math.floor(now / tickMs);
    const deadline = Math.ceil((now + Math.max(0, delayMs)) / tickMs);
    const ticks = Math.max(1, deadline - this.#currentTick);
    timer.remainingTicks = Math.max(0, ticks - maxTicks);
    this.#insert(timer, this.#currentTick + Math.min(ticks, maxTicks));
    this.#entries++;
    this.#interval ??= setInterval(() => this.#advance(), tickMs);
  }

  /** Creates and arms in one step. */
  schedule(delayMs: number, callback: () => void): Timer {
    const timer = new Timer(callback);
    this.arm(timer, delayMs);
    return timer;
  }

  cancel(timer: Timer): void {
    if (timer.slot === null) return;
    this.#detach(timer);
    if (--this.#entries === 0) this.#stop();
  }

  #detach(timer: Timer): void {
    const slot = timer.slot as Timer[];
    const last = slot.pop() as Timer;
    if (last !== timer) {
      slot[timer.position] = last;
      last.position = timer.position;
    }
    timer.slot = null;
    timer.position = -1;
  }

  #insert(timer: Timer, deadlineTick: number): void {
    timer.deadlineTick = deadlineTick;
    const distance = deadlineTick - this.#currentTick;
    let level = 0;
    while (level < levelCount - 1 && distance >= slotCount ** (level + 1)) level++;
    const slot = this.#levels[level][Math.floor(deadlineTick / slotCount ** level) & slotMask];
    timer.slot = slot;
    timer.position = slot.length;
    slot.push(timer);
  }

  #advance(): void {
    const target = Math.floor((performance.now() - this.#startMs) / tickMs);
    while (this.#currentTick < target && this.#entries > 0) {
      this.#currentTick++;
      for (let level = levelCount - 1; level > 0; level--) {
        if (this.#currentTick % slotCount ** level === 0) this.#cascade(level);
      }
      this.#fire(this.#levels[0][this.#currentTick & slotMask]);
    }
  }

  /** Moves the entries of a slot that came within reach of a finer level. */
  #cascade(level: number): void {
    const slot = this.#levels[level][Math.floor(this.#currentTick / slotCount ** level) & slotMask];
    for (const timer of slot.splice(0)) this.#insert(timer, timer.deadlineTick);
  }

  #fire(slot: Timer[]): void {
    // A callback may arm or cancel others: take one at a time.
    for (let timer = slot.at(-1); timer !== undefined; timer = slot.at(-1)) {
      this.#detach(timer);
      if (timer.remainingTicks > 0) {
        const ticks = Math.min(timer.remainingTicks, maxTicks);
        timer.remainingTicks -= ticks;
        this.#insert(timer, this.#currentTick + ticks);
        continue;
      }
      if (--this.#entries === 0) this.#stop();
      timer.callback();
    }
  }

  #stop(): void {
    if (this.#interval !== null) clearInterval(this.#interval);
    this.#interval = null;
  }
}
