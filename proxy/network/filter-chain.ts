/**
 * The network filters of one connection: bytes from the peer pass the read filters first to last, bytes to the peer the write
 * filters last to first. Downstream the last filter consumes; upstream the consumer is whoever sets `connection.callbacks`.
 */
import type { StreamInfo } from '../telemetry/stream-info.ts';
import type { CloseEvent, CloseType, Connection, ConnectionCallbacks, ConnectionInfo } from './connection.ts';
import { FilterStatus, type NetworkFilter, type NetworkFilterCallbacks, type NetworkFilterFactory } from './filter.ts';

const noCallbacks: ConnectionCallbacks = { onData() {}, onClose() {} };

export class NetworkFilterChain implements ConnectionCallbacks {
  /** The connection as filters and consumer see it: what is written there passes the write filters. */
  readonly connection: FilteredConnection;
  readonly streamInfo: StreamInfo;
  readonly #inner: Connection;
  readonly #filters: NetworkFilter[] = [];
  /** The first filter that was not told of the connection yet. */
  #initialized = 0;
  /** Bytes that arrived while a filter held back the ones behind it. */
  #held: Buffer[] = [];
  #heldEnd = false;
  #stopped = false;

  /** Takes over the connection's callbacks. Nothing happens before `start`. */
  constructor(connection: Connection, streamInfo: StreamInfo, factories: readonly NetworkFilterFactory[]) {
    this.#inner = connection;
    this.streamInfo = streamInfo;
    this.connection = new FilteredConnection(connection, this);
    for (const [index, factory] of factories.entries()) this.#filters.push(factory(new FilterPlace(this, index)));
    connection.callbacks = this;
  }

  /** Tells the filters, in order, that the connection is established. */
  start(): void {
    while (this.#initialized < this.#filters.length) {
      const filter = this.#filters[this.#initialized++];
      if (filter.onNewConnection?.() === FilterStatus.stop) {
        this.#stopped = true;
        this.#inner.readDisable(true);
        return;
      }
      if (this.#isClosed()) return;
    }
  }

  /** Asked again after a filter ran: it may have closed. */
  #isClosed(): boolean {
    return this.#inner.state === 'closed';
  }

  /** The filter at `index` lets the connection go on. */
  continueReading(index: number): void {
    if (!this.#stopped || index !== this.#initialized - 1 || this.#isClosed()) return;
    this.#stopped = false;
    this.start();
    if (this.#stopped || this.#isClosed()) return;
    const held = this.#held;
    this.#held = [];
    for (const [i, data] of held.entries()) this.passRead(0, data, this.#heldEnd && i === held.length - 1);
    this.#inner.readDisable(false);
  }

  onConnected(): void {
    this.start();
    if (this.#inner.state !== 'closed') this.connection.callbacks.onConnected?.();
  }

  onData(data: Buffer, endStream: boolean): void {
    if (this.#stopped) {
      this.#held.push(Buffer.from(data));
      this.#heldEnd ||= endStream;
      return;
    }
    this.passRead(0, data, endStream);
  }

  /** Read filters from `from` up to the last, then the consumer. */
  passRead(from: number, data: Buffer, endStream: boolean): void {
    const filters = this.#filters;
    for (let i = from; i < filters.length; i++) {
      const filter = filters[i];
      if (filter.onData !== undefined && filter.onData(data, endStream) === FilterStatus.stop) return;
      if (this.#inner.state === 'closed') return;
    }
    this.connection.callbacks.onData(data, endStream);
  }

  /** Write filters from `from` down to the first, then the connection. */
  passWrite(from: number, data: Buffer, endStream: boolean): void {
    for (let i = from; i >= 0; i--) {
      const filter = this.#filters[i];
      if (filter.onWrite !== undefined && filter.onWrite(data, endStream) === FilterStatus.stop) return;
    }
    this.#inner.write(data, endStream);
  }

  /** All write filters. */
  write(data: Buffer, endStream: boolean): void {
    this.passWrite(this.#filters.length - 1, data, endStream);
  }

  get hasWriteFilters(): boolean {
    return this.#filters.some(filter => filter.onWrite !== undefined);
  }

  onClose(event: CloseEvent): void {
    for (const filter of this.#filters) filter.onClose?.(event);
    this.connection.callbacks.onClose(event);
  }

  onAboveWriteBufferHighWatermark(): void {
    for (const filter of this.#filters) filter.onAboveWriteBufferHighWatermark?.();
    this.connection.callbacks.onAboveWriteBufferHighWatermark?.();
  }

  onBelowWriteBufferLowWatermark(): void {
    for (const filter of this.#filters) filter.onBelowWriteBufferLowWatermark?.();
    this.connection.callbacks.onBelowWriteBufferLowWatermark?.();
  }
}

/** One filter's place in its chain. */
class FilterPlace implements NetworkFilterCallbacks {
  readonly #chain: NetworkFilterChain;
  readonly #index: number;

  constructor(chain: NetworkFilterChain, index: number) {
    this.#chain = chain;
    this.#index = index;
  }

  get connection(): Connection {
    return this.#chain.connection;
  }
  get streamInfo(): StreamInfo {
    return this.#chain.streamInfo;
  }
  continueReading(): void {
    this.#chain.continueReading(this.#index);
  }
  passReadData(data: Buffer, endStream: boolean): void {
    this.#chain.passRead(this.#index + 1, data, endStream);
  }
  passWriteData(data: Buffer, endStream: boolean): void {
    this.#chain.passWrite(this.#index - 1, data, endStream);
  }
}

/** A connection whose writes pass the write filters of its chain. */
class FilteredConnection implements Connection {
  callbacks: ConnectionCallbacks = noCallbacks;
  readonly #inner: Connection;
  readonly #chain: NetworkFilterChain;
  #filtersWrites: boolean | null = null;

  constructor(inner: Connection, chain: NetworkFilterChain) {
    this.#inner = inner;
    this.#chain = chain;
  }

  get info(): ConnectionInfo {
    return this.#inner.info;
  }
  get state(): Connection['state'] {
    return this.#inner.state;
  }
  get bufferedBytes(): number {
    return this.#inner.bufferedBytes;
  }
  get bytesReceived(): number {
    return this.#inner.bytesReceived;
  }
  get bytesSent(): number {
    return this.#inner.bytesSent;
  }

  #isFiltered(): boolean {
    this.#filtersWrites ??= this.#chain.hasWriteFilters;
    return this.#filtersWrites;
  }

  write(data: Buffer, endStream: boolean): void {
    if (this.#isFiltered()) this.#chain.write(data, endStream);
    else this.#inner.write(data, endStream);
  }
  writeLatin1(text: string, endStream: boolean): void {
    if (this.#isFiltered()) this.#chain.write(Buffer.from(text, 'latin1'), endStream);
    else this.#inner.writeLatin1(text, endStream);
  }
  readDisable(disable: boolean): void {
    this.#inner.readDisable(disable);
  }
  close(type: CloseType, details?: string): void {
    this.#inner.close(type, details);
  }
  get bufferLimitBytes(): number {
    return this.#inner.bufferLimitBytes;
  }
  setBufferLimit(bytes: number): void {
    this.#inner.setBufferLimit(bytes);
  }
  setNoDelay(enabled: boolean): void {
    this.#inner.setNoDelay(enabled);
  }
  enableHalfClose(enabled: boolean): void {
    this.#inner.enableHalfClose(enabled);
  }
  setDelayedCloseTimeoutMs(timeoutMs: number): void {
    this.#inner.setDelayedCloseTimeoutMs(timeoutMs);
  }
}
