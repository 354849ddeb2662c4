/** A connection from the moment its filter chain is known to its end: transport socket, filters, log and counters. */
import { performance } from 'node:perf_hooks';
import type { TimerWheel } from '../../common/timer-wheel.ts';
import type { AcceptedConnection, CloseEvent } from '../network/connection.ts';
import { NetworkFilterChain } from '../network/filter-chain.ts';
import { InternalStream } from '../network/internal-stream.ts';
import { ignoreConnection, SocketConnection } from '../network/socket-connection.ts';
import { ResponseFlag } from '../telemetry/response-flags.ts';
import { StreamInfo } from '../telemetry/stream-info.ts';
import type { DrainableConnection, FilterChainRuntime } from './filter-chain-runtime.ts';
import type { ListenerRuntime } from './listener-runtime.ts';

export class DownstreamConnection implements DrainableConnection {
  #connection: AcceptedConnection;
  readonly #listener: ListenerRuntime;
  readonly #chain: FilterChainRuntime;
  readonly #released: () => void;
  readonly #streamInfo: StreamInfo;
  readonly #timers: TimerWheel;

  /** `released` is told when the connection is over. */
  constructor(
    connection: AcceptedConnection,
    listener: ListenerRuntime,
    chain: FilterChainRuntime,
    timers: TimerWheel,
    released: () => void,
  ) {
    this.#connection = connection;
    this.#timers = timers;
    this.#listener = listener;
    this.#chain = chain;
    this.#released = released;
    this.#streamInfo = new StreamInfo(connection.info, connection.info.startTimeMs, performance.now());
    const { stats } = listener;
    stats.cxTotal.inc();
    stats.cxActive.inc();
    stats.workerCxTotal.inc();
    stats.workerCxActive.inc();
    chain.connections.add(this);
    connection.info.filterChainName = chain.model.name;
    connection.info.listenerMetadata = listener.model.metadata;
    connection.info.filterChainMetadata = chain.model.metadata;
    this.#takePassthrough();
    connection.setBufferLimit(listener.model.perConnectionBufferLimitBytes);
  }

  /** What came with the connection of an internal listener is its own from here on. */
  #takePassthrough(): void {
    const { passthrough } = this.#connection.info;
    if (passthrough === null) return;
    this.#streamInfo.dynamicMetadata = { ...passthrough.metadata };
    for (const [key, object] of passthrough.filterState ?? []) {
      if (object.isTransitive) this.#streamInfo.shareFilterState(key, object);
      else this.#streamInfo.setFilterState(key, object.value);
    }
  }

  /** `peeked` are the bytes that listener filters have looked at. */
  start(peeked: Buffer): void {
    const { serverTls } = this.#chain;
    if (serverTls === null) {
      this.#startFilters(peeked);
      return;
    }
    const connection = this.#socketConnection();
    serverTls.accept(connection, peeked, accepted => {
      if (accepted) this.#startFilters(null);
      else this.#onRefused();
    });
  }

  /** What TLS wraps: an internal connection becomes a stream first. */
  #socketConnection(): SocketConnection {
    const inner = this.#connection;
    if (inner instanceof SocketConnection) return inner;
    const connection = new SocketConnection(inner.info, this.#timers, 'open');
    connection.adoptStream(new InternalStream(inner));
    connection.setBufferLimit(inner.bufferLimitBytes);
    inner.startReading();
    this.#connection = connection;
    return connection;
  }

  #onRefused(): void {
    const lengthMs = performance.now() - this.#streamInfo.startMonotonicMs;
    for (const factory of this.#chain.factories) factory.countRefused?.(lengthMs);
    this.#onClose('remote-close');
  }

  /**
   * Differs from Envoy: filters of a TLS connection begin when the peer was verified, not before the handshake; no byte and no
   * upstream connection is spent on a peer that is refused.
   */
  #startFilters(peeked: Buffer | null): void {
    const connection = this.#connection;
    this.#streamInfo.connectionFilterState = new Map();
    const filters = new NetworkFilterChain(connection, this.#streamInfo, this.#chain.factories);
    filters.connection.callbacks = { onData() {}, onClose: event => this.#onClose(event) };
    filters.start();
    if (peeked === null) return;
    if (peeked.length > 0 && connection.isOpen) connection.deliverPeeked(peeked);
    connection.startReading();
  }

  #onClose(_event: CloseEvent): void {
    const info = this.#streamInfo;
    const { stats } = this.#listener;
    info.endMonotonicMs = performance.now();
    this.#chain.connections.delete(this);
    stats.cxActive.dec();
    stats.workerCxActive.dec();
    stats.cxDestroy.inc();
    stats.cxLengthMs.record(info.endMonotonicMs - info.startMonotonicMs);
    for (const log of this.#listener.accessLogs) log.log(info, null, null, null);
    this.#released();
  }

  closeForDrain(): void {
    this.#connection.close('no-flush', 'filter_chain_is_being_removed');
  }
}

/** Ends a connection that no chain wants, as Envoy does: closed at once, logged with NR. */
export function refuseConnection(connection: AcceptedConnection, listener: ListenerRuntime): void {
  listener.stats.noFilterChainMatch.inc();
  const info = new StreamInfo(connection.info, connection.info.startTimeMs, performance.now());
  info.setFlag(ResponseFlag.noRouteFound);
  info.responseCodeDetails = 'filter_chain_not_found';
  info.endMonotonicMs = performance.now();
  for (const log of listener.accessLogs) log.log(info, null, null, null);
  connection.callbacks = ignoreConnection;
  connection.close('no-flush', 'filter_chain_not_found');
}
