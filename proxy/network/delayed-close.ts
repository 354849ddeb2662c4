/** The end of a connection that still has bytes to send: waits until they are sent, and then perhaps for the peer to close. */
import { Timer, type TimerWheel } from '../../common/timer-wheel.ts';

/** Envoy's default of delayed_close_timeout. */
export const defaultDelayedCloseTimeoutMs = 1000;

export interface ClosingConnection {
  /** Bytes on their way to the kernel, for seeing progress. */
  readonly unsentBytes: number;
  /** The wait is over. */
  endDelayedClose(): void;
}

export class DelayedClose {
  readonly #connection: ClosingConnection;
  readonly #timers: TimerWheel;
  readonly #timeoutMs: number;
  readonly #waitsForPeer: boolean;
  readonly #timer = new Timer(() => this.#onTimer());
  #unsentWhenArmed = 0;

  /** Begins to wait; a timeout of 0 ms waits for as long as it takes. */
  constructor(connection: ClosingConnection, timers: TimerWheel, timeoutMs: number, waitsForPeer: boolean) {
    this.#connection = connection;
    this.#timers = timers;
    this.#timeoutMs = timeoutMs;
    this.#waitsForPeer = waitsForPeer;
    this.#arm();
  }

  /** Everything was sent. */
  onFlushed(): void {
    if (this.#waitsForPeer) this.#arm();
    else this.#connection.endDelayedClose();
  }

  cancel(): void {
    this.#timers.cancel(this.#timer);
  }

  #arm(): void {
    if (this.#timeoutMs === 0) return;
    this.#unsentWhenArmed = this.#connection.unsentBytes;
    this.#timers.arm(this.#timer, this.#timeoutMs);
  }

  /** A peer that takes bytes gets more time. */
  #onTimer(): void {
    const { unsentBytes } = this.#connection;
    if (unsentBytes > 0 && unsentBytes !== this.#unsentWhenArmed) this.#arm();
    else this.#connection.endDelayedClose();
  }
}
