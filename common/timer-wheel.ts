/**
 * Timers of the request path: a hierarchical wheel behind one Node timer, which wakes when the next occupied slot is due: a proxy
 * that has only long timeouts to wait for sleeps. Adding and cancelling are constant time and allocate nothing but the entry, which
 * callers keep and re-arm; a cancelled entry leaves its wake-up behind, as the next one of a busy proxy would be much the same.
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
/** Node takes no longer one. */
const maxTimeoutMs = 2 ** 31 - 1;

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
  /** All slots up to this tick were looked at. */
  #currentTick = 0;
  #entries = 0;
  /** Wakes at `#wakeTick`; up to then no slot is due. */
  #timeout: NodeJS.Timeout | null = null;
  #wakeTick = Number.POSITIVE_INFINITY;

  /** Monotonic milliseconds since the process began. */
  now(): number {
    return performance.now();
  }

  /** Arms a timer to fire once after `delayMs` (any non-negative number; Infinity never fires); arming again moves it. */
  arm(timer: Timer, delayMs: number): void {
    if (delayMs === Number.POSITIVE_INFINITY) {
      this.cancel(timer);
      return;
    }
    if (timer.slot !== null) {
      // The wake-up stays, also of a wheel's only timer: most are moved again and again before they are due.
      this.#detach(timer);
      this.#entries--;
    }
    const now = performance.now() - this.#startMs;
    const nowTick = Math.floor(now / tickMs);
    if (nowTick < this.#wakeTick) this.#currentTick = nowTick;
    const deadline = Math.ceil((now + Math.max(0, delayMs)) / tickMs);
    const ticks = Math.max(1, deadline - this.#currentTick);
    timer.remainingTicks = Math.max(0, ticks - maxTicks);
    const dueTick = this.#insert(timer, this.#currentTick + Math.min(ticks, maxTicks));
    this.#entries++;
    if (dueTick < this.#wakeTick) this.#sleepUntil(dueTick);
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
    if (--this.#entries === 0 && this.#timeout !== null) this.#stop();
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

  /** @returns the tick at which the timer's slot is due: to be fired, or to be moved to a finer level. */
  #insert(timer: Timer, deadlineTick: number): number {
    timer.deadlineTick = deadlineTick;
    const distance = deadlineTick - this.#currentTick;
    let level = 0;
    let slotTicks = 1;
    while (level < levelCount - 1 && distance >= slotTicks * slotCount) {
      level++;
      slotTicks *= slotCount;
    }
    const index = Math.floor(deadlineTick / slotTicks);
    const slot = this.#levels[level][index & slotMask];
    timer.slot = slot;
    timer.position = slot.length;
    slot.push(timer);
    return index * slotTicks;
  }

  #sleepUntil(tick: number): void {
    if (this.#timeout !== null) clearTimeout(this.#timeout);
    this.#wakeTick = tick;
    const delayMs = tick * tickMs - (performance.now() - this.#startMs);
    this.#timeout = setTimeout(() => this.#wake(), Math.min(Math.ceil(delayMs), maxTimeoutMs));
  }

  #stop(): void {
    if (this.#timeout !== null) clearTimeout(this.#timeout);
    this.#timeout = null;
    this.#wakeTick = Number.POSITIVE_INFINITY;
  }

  #wake(): void {
    this.#timeout = null;
    // Until all is looked at, callbacks that arm timers neither move the current tick nor the wake-up.
    this.#wakeTick = Number.NEGATIVE_INFINITY;
    const target = Math.floor((performance.now() - this.#startMs) / tickMs);
    try {
      for (let dueTick = this.#findDueTick(); dueTick <= target; dueTick = this.#findDueTick()) this.#turnTo(dueTick);
    } finally {
      // Also if a callback threw: the others are still to come.
      const dueTick = this.#findDueTick();
      this.#wakeTick = Number.POSITIVE_INFINITY;
      if (dueTick !== Number.POSITIVE_INFINITY) this.#sleepUntil(dueTick);
    }
  }

  #turnTo(tick: number): void {
    this.#currentTick = tick;
    for (let level = levelCount - 1; level > 0; level--) {
      if (tick % slotCount ** level === 0) this.#cascade(level);
    }
    this.#fire(this.#levels[0][tick & slotMask]);
  }

  /** The next tick at which a slot of any level is due; Infinity: all are empty. */
  #findDueTick(): number {
    let dueTick = Number.POSITIVE_INFINITY;
    if (this.#entries === 0) return dueTick;
    for (let level = 0, slotTicks = 1; level < levelCount; level++, slotTicks *= slotCount) {
      const slots = this.#levels[level];
      const current = Math.floor(this.#currentTick / slotTicks);
      for (let ahead = 1; ahead <= slotCount; ahead++) {
        if (slots[(current + ahead) & slotMask].length === 0) continue;
        dueTick = Math.min(dueTick, (current + ahead) * slotTicks);
        break;
      }
    }
    return dueTick;
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
      this.#entries--;
      timer.callback();
    }
  }
}
