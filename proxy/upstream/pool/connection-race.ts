/**
 * A connection to a host of several addresses, which is established to whichever answers first: each address has a head start
 * of 300 ms over the next, and a failed one is followed at once.
 *
 * Source: RFC 8305 (Happy Eyeballs), Envoy's HappyEyeballsConnectionImpl.
 */
import { Timer, type TimerWheel } from '../../../common/timer-wheel.ts';
import type { Address } from '../../config/model/address.ts';
import type { HappyEyeballsModel } from '../../config/model/cluster.ts';
import type { CloseEvent, CloseType, Connection, ConnectionCallbacks, ConnectionInfo } from '../../network/connection.ts';

const headStartMs = 300;

const isV6 = (address: Address): boolean => address.kind === 'socket' && address.address.includes(':');

/**
 * The order in which addresses are tried: the families take turns, starting with `firstFamilyCount` of the first family. The
 * first family is the first address's unless configured.
 */
export function orderAddresses(addresses: readonly Address[], { firstFamily, firstFamilyCount }: HappyEyeballsModel): Address[] {
  const startsWithV6 = firstFamily === 'default' ? isV6(addresses[0]) : firstFamily === 'v6';
  const first = addresses.filter(address => isV6(address) === startsWithV6);
  const other = addresses.filter(address => isV6(address) !== startsWithV6);
  const ordered: Address[] = [];
  while (first.length > 0 || other.length > 0) ordered.push(...first.splice(0, firstFamilyCount), ...other.splice(0, 1));
  return ordered;
}

export interface RaceOptions {
  /** In the order of `orderAddresses`; at least two. */
  readonly addresses: readonly Address[];
  readonly connect: (address: Address, callbacks: ConnectionCallbacks) => Connection;
  readonly timers: TimerWheel;
  readonly callbacks: ConnectionCallbacks;
  /** The established connection, which from then on serves in place of the race; `onConnected` follows. */
  readonly onWon: (winner: Connection) => void;
}

/** Stands for the connection until it is established. Nothing is read or written meanwhile. */
export class ConnectionRace implements Connection {
  callbacks: ConnectionCallbacks;
  readonly #options: RaceOptions;
  readonly #attempts = new Set<Connection>();
  readonly #timer: Timer;
  #next = 0;
  #latest!: Connection;
  #isOver = false;

  constructor(options: RaceOptions) {
    this.#options = options;
    this.callbacks = options.callbacks;
    this.#timer = new Timer(() => this.#startNext());
    this.#startNext();
  }

  #startNext(): void {
    const { addresses, connect, timers } = this.#options;
    const attempt: Connection = connect(addresses[this.#next++], {
      onData() {},
      onConnected: () => this.#win(attempt),
      onClose: event => this.#lose(attempt, event),
    });
    this.#latest = attempt;
    this.#attempts.add(attempt);
    if (this.#next < addresses.length) timers.arm(this.#timer, headStartMs);
  }

  #win(winner: Connection): void {
    this.#attempts.delete(winner);
    this.#latest = winner;
    this.#end();
    winner.callbacks = this.callbacks;
    this.#options.onWon(winner);
    this.callbacks.onConnected?.();
  }

  #lose(loser: Connection, event: CloseEvent): void {
    if (this.#isOver) return;
    this.#attempts.delete(loser);
    if (this.#next < this.#options.addresses.length) {
      this.#options.timers.cancel(this.#timer);
      this.#startNext();
    } else if (this.#attempts.size === 0) {
      this.#latest = loser;
      this.#end();
      this.callbacks.onClose(event);
    }
  }

  #end(): void {
    this.#isOver = true;
    this.#options.timers.cancel(this.#timer);
    for (const attempt of this.#attempts) attempt.close('no-flush');
    this.#attempts.clear();
  }

  close(_type: CloseType, _details = ''): void {
    if (this.#isOver) return;
    this.#end();
    this.callbacks.onClose('local-close');
  }

  get info(): ConnectionInfo {
    return this.#latest.info;
  }

  get state(): Connection['state'] {
    return this.#isOver ? this.#latest.state : 'connecting';
  }

  get bufferLimitBytes(): number {
    return this.#latest.bufferLimitBytes;
  }

  readonly bufferedBytes = 0;
  readonly bytesReceived = 0;
  readonly bytesSent = 0;

  write(): void {}
  writeLatin1(): void {}
  readDisable(): void {}
  setBufferLimit(): void {}
  setNoDelay(): void {}
  enableHalfClose(): void {}
  setDelayedCloseTimeoutMs(): void {}
}
