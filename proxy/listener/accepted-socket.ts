/**
 * An accepted socket on its way to a filter chain: original destination, hand-over to the listener of that destination, listener
 * filters with their timeout, then the match.
 */
import type { Timer } from '../../common/timer-wheel.ts';
import type { AcceptedConnection, ConnectionCallbacks } from '../network/connection.ts';
import type { ConnectionRecord } from '../network/connection-record.ts';
import { DownstreamConnection, refuseConnection } from './downstream-connection.ts';
import type { ListenerServices } from './filter-chain-runtime.ts';
import { type ListenerFilter, ListenerFilterStatus, type ListenerSocket } from './listener-filter.ts';
import type { ListenerRuntime } from './listener-runtime.ts';
import { restoreDestination } from './original-dst.ts';

const noBytes = Buffer.alloc(0);

/** Finds the listener that serves an address, for connections that were redirected. */
export type ListenerLookup = (info: ConnectionRecord) => ListenerRuntime | null;

export class AcceptedSocket implements ConnectionCallbacks, ListenerSocket {
  readonly info: ConnectionRecord;
  readonly #connection: AcceptedConnection;
  readonly #shared: ListenerServices;
  readonly #lookup: ListenerLookup;
  readonly #released: () => void;
  #listener: ListenerRuntime;
  #mayHandOver: boolean;
  #next = 0;
  #waiting: ListenerFilter | null = null;
  #peeked: Buffer = noBytes;
  #timer: Timer | null = null;
  #reading = false;

  /** `released` is told once, when the connection is over, however far it came. */
  constructor(
    connection: AcceptedConnection,
    listener: ListenerRuntime,
    lookup: ListenerLookup,
    shared: ListenerServices,
    released: () => void,
  ) {
    this.info = connection.info;
    this.#connection = connection;
    this.#listener = listener;
    this.#lookup = lookup;
    this.#shared = shared;
    this.#released = released;
    this.#mayHandOver = listener.model.useOriginalDst;
    connection.callbacks = this;
  }

  get fd(): number {
    return this.#connection.descriptor;
  }

  get transparent(): boolean {
    return this.#listener.model.transparent;
  }

  consume(bytes: number): void {
    this.#peeked = this.#peeked.subarray(bytes);
  }

  start(): void {
    this.#listener.stats.preCxActive.inc();
    this.info.listenerName = this.#listener.name;
    if (this.#mayHandOver) restoreDestination(this);
    this.#run();
  }

  /** Runs filters until one needs data. */
  #run(): void {
    const { filters } = this.#listener;
    while (this.#next < filters.length) {
      const { create, isDisabled } = filters[this.#next++];
      const { localAddress } = this.info;
      if (isDisabled(localAddress.kind === 'socket' ? localAddress.port : 0)) continue;
      const filter = create();
      let status = filter.onAccept(this);
      if (status === ListenerFilterStatus.needData && this.#peeked.length > 0) status = this.#inspect(filter);
      if (status === ListenerFilterStatus.needData) {
        this.#wait(filter);
        return;
      }
      if (status !== ListenerFilterStatus.continue) {
        this.#fail(status);
        return;
      }
    }
    this.#finish();
  }

  #inspect(filter: ListenerFilter): ListenerFilterStatus {
    return filter.onData?.(this.#peeked) ?? ListenerFilterStatus.continue;
  }

  #wait(filter: ListenerFilter): void {
    this.#waiting = filter;
    const timeoutMs = this.#listener.model.listenerFiltersTimeoutMs;
    if (timeoutMs > 0 && this.#timer === null) {
      this.#timer = this.#shared.services.timers.schedule(timeoutMs, () => this.#onTimeout());
    }
    if (!this.#reading) {
      this.#reading = true;
      this.#connection.startReading();
    }
  }

  onData(data: Buffer): void {
    this.#peeked = this.#peeked.length === 0 ? Buffer.from(data) : Buffer.concat([this.#peeked, data]);
    const filter = this.#waiting;
    if (filter === null) return;
    const status = this.#inspect(filter);
    if (status === ListenerFilterStatus.needData) return;
    this.#waiting = null;
    if (status === ListenerFilterStatus.continue) this.#run();
    else this.#fail(status);
  }

  #onTimeout(): void {
    this.#listener.stats.preCxTimeout.inc();
    this.#waiting = null;
    if (this.#listener.model.continueOnListenerFiltersTimeout) {
      this.#finish();
      return;
    }
    this.#close('listener_filters_timeout');
  }

  #fail(status: ListenerFilterStatus): void {
    if (status === ListenerFilterStatus.close) this.#listener.stats.filterError.inc();
    this.#close('listener_filter_error');
  }

  /** Bytes that nobody took make it a reset, as in Envoy, where they still are in the kernel. */
  #close(details: string): void {
    this.#connection.close(this.#peeked.length > 0 ? 'abort-reset' : 'no-flush', details);
  }

  /** The peer went away, or a filter refused it. */
  onClose(): void {
    if (this.#waiting !== null) this.#listener.stats.filterRemoteClose.inc();
    this.#leave();
    this.#released();
  }

  #leave(): void {
    if (this.#timer !== null) this.#shared.services.timers.cancel(this.#timer);
    this.#timer = null;
    this.#listener.stats.preCxActive.dec();
  }

  #finish(): void {
    if (this.#mayHandOver && this.info.localAddressRestored) {
      this.#mayHandOver = false;
      const target = this.#lookup(this.info);
      if (target !== null && target !== this.#listener) {
        this.#handOver(target);
        return;
      }
    }
    this.#leave();
    if (this.info.transportProtocol === '') this.info.transportProtocol = 'raw_buffer';
    const chain = this.#listener.findFilterChain(this.info);
    if (chain === null) {
      refuseConnection(this.#connection, this.#listener);
      this.#released();
      return;
    }
    // From here on the chain's transport socket and filters decide when to read.
    if (this.#reading) this.#connection.readDisable(true);
    const { timers } = this.#shared.services;
    new DownstreamConnection(this.#connection, this.#listener, chain, timers, this.#released).start(this.#peeked);
  }

  /** The other listener begins anew, with its own filters and timeout. */
  #handOver(target: ListenerRuntime): void {
    this.#leave();
    this.#listener = target;
    this.#next = 0;
    this.start();
  }
}
