/**
 * HTTP connections to one host, of either version: the one that was ready last takes the next stream, as many streams at once
 * as its protocol and its peer allow. Streams wait while connections are being made; a failed connect fails all that wait, so
 * that nothing is stuck behind a dead host.
 *
 * Source: Envoy's connection pool.
 */
import type { ResponseDecoder } from '../../http/codec.ts';
import type { PoolCallbacks, PoolFailureReason, PoolHandle, StreamOptions } from '../cluster-manager.ts';
import type { WorkerHost } from '../worker-host.ts';
import { HttpConnection } from './http-connection.ts';

/** `auto`: what ALPN negotiates, HTTP/1 without it. */
export type PoolKind = 'http1' | 'http2' | 'auto';

class PendingStream implements PoolHandle {
  readonly decoder: ResponseDecoder;
  readonly callbacks: PoolCallbacks;
  readonly #pool: HttpPool;
  isDone = false;

  constructor(pool: HttpPool, decoder: ResponseDecoder, callbacks: PoolCallbacks) {
    this.#pool = pool;
    this.decoder = decoder;
    this.callbacks = callbacks;
  }

  cancel(): void {
    if (!this.isDone) this.#pool.cancel(this);
  }
}

export class HttpPool {
  readonly host: WorkerHost;
  readonly kind: PoolKind;
  readonly options: StreamOptions;
  /** Connections with capacity; the last one takes the next stream. Those that lost it meanwhile are dropped when met. */
  readonly #ready: HttpConnection[] = [];
  readonly #connecting = new Set<HttpConnection>();
  readonly #all = new Set<HttpConnection>();
  readonly #pending: PendingStream[] = [];
  readonly #onIdle: () => void;
  #draining = false;

  /**
   * `options` are those of the first stream: all streams of this pool agree in what matters. `onIdle` is told when the last connection
   * is gone and no stream waits.
   */
  constructor(host: WorkerHost, kind: PoolKind, options: StreamOptions, onIdle: () => void = () => {}) {
    this.#onIdle = onIdle;
    this.host = host;
    this.kind = kind;
    // The stream info belongs to one stream only; the pool must not keep it alive.
    this.options = { ...options, streamInfo: null };
    host.cluster.stats.useBreaker(options.priority, 'cx_pool');
  }

  /** Calls back at once if a connection is free, and then returns null; else a handle of the waiting stream. */
  newStream(decoder: ResponseDecoder, callbacks: PoolCallbacks): PoolHandle | null {
    const { cluster } = this.host;
    const { priority } = this.options;
    const ready = this.#findReady();
    if (ready !== null) {
      this.#attach(ready, decoder, callbacks);
      return null;
    }
    if (!cluster.resources.tryPendingRequest(priority)) {
      cluster.stats.countPendingOverflow();
      callbacks.onPoolFailure('overflow', '');
      return null;
    }
    const stream = new PendingStream(this, decoder, callbacks);
    cluster.stats.useBreaker(priority, 'rq_pending');
    cluster.stats.rqPendingTotal.inc();
    cluster.stats.rqPendingActive.inc();
    this.#pending.push(stream);
    this.#connectIfNeeded();
    return stream.isDone ? null : stream;
  }

  #findReady(): HttpConnection | null {
    for (let last = this.#ready.at(-1); last !== undefined; last = this.#ready.at(-1)) {
      if (last.unusedCapacity > 0) return last;
      this.#ready.pop();
      last.isListed = false;
    }
    return null;
  }

  /** Lets streams in flight finish and closes each connection after its last; waiting streams are still served. */
  drain(): void {
    this.#draining = true;
    for (const connection of [...this.#all]) if (!this.#connecting.has(connection)) connection.drain();
  }

  cancel(stream: PendingStream): void {
    const index = this.#pending.indexOf(stream);
    if (index === -1) return;
    this.#pending.splice(index, 1);
    this.#leaveQueue(stream);
    this.host.cluster.stats.rqCancelled.inc();
  }

  #leaveQueue(stream: PendingStream): void {
    stream.isDone = true;
    this.host.cluster.resources.releasePendingRequest(this.options.priority);
    this.host.cluster.stats.rqPendingActive.dec();
  }

  #connectIfNeeded(): void {
    if (this.#pending.length === 0) return;
    let expected = 0;
    for (const connection of this.#connecting) expected += connection.unusedCapacity;
    while (this.#pending.length > expected) {
      const { cluster } = this.host;
      if (!cluster.resources.tryConnection(this.options.priority)) {
        cluster.stats.cxOverflow.inc();
        // A pool without any connection would wait for ever: it may have one.
        if (this.#all.size > 0) return;
        cluster.resources.forceConnection(this.options.priority);
      }
      const connection = new HttpConnection(this);
      this.#connecting.add(connection);
      this.#all.add(connection);
      expected += connection.unusedCapacity;
    }
  }

  #attach(connection: HttpConnection, decoder: ResponseDecoder, callbacks: PoolCallbacks): void {
    const { cluster } = this.host;
    if (!cluster.resources.tryRequest(this.options.priority)) {
      cluster.stats.rqActiveOverflow.inc();
      callbacks.onPoolFailure('overflow', '');
      return;
    }
    cluster.stats.useBreaker(this.options.priority, 'rq');
    cluster.stats.rqTotal.inc();
    cluster.stats.rqActive.inc();
    this.host.beginRequest();
    connection.beginStream(decoder, callbacks);
  }

  // Reports of the connections

  onConnected(connection: HttpConnection): void {
    this.#connecting.delete(connection);
    this.onCapacity(connection);
  }

  /** The connection can take streams: those that wait, the longest waiting ones first. */
  onCapacity(connection: HttpConnection): void {
    while (this.#pending.length > 0 && connection.unusedCapacity > 0) {
      const next = this.#pending.shift() as PendingStream;
      this.#leaveQueue(next);
      this.#attach(connection, next.decoder, next.callbacks);
    }
    if (connection.unusedCapacity > 0) this.#list(connection);
    this.#connectIfNeeded();
  }

  #list(connection: HttpConnection): void {
    if (connection.activeStreams === 0) {
      if (this.#draining) {
        connection.close();
        return;
      }
      connection.awaitStream();
    }
    if (connection.isListed) return;
    connection.isListed = true;
    this.#ready.push(connection);
  }

  onStreamEnd(): void {
    const { cluster } = this.host;
    cluster.resources.releaseRequest(this.options.priority);
    cluster.stats.rqActive.dec();
    this.host.endRequest();
  }

  onClosed(connection: HttpConnection, failure: PoolFailureReason | null, transportFailureReason: string): void {
    this.#all.delete(connection);
    this.#connecting.delete(connection);
    const index = this.#ready.indexOf(connection);
    if (index !== -1) this.#ready.splice(index, 1);
    if (failure !== null) this.#failPending(failure, transportFailureReason);
    this.#connectIfNeeded();
    if (this.#all.size > 0) return;
    // As in Envoy, where a pool that ends updates the breaker of the other priority.
    this.host.cluster.stats.useBreaker(1, 'cx_pool');
    this.#onIdle();
  }

  #failPending(reason: PoolFailureReason, transportFailureReason: string): void {
    const failed = this.#pending.splice(0);
    for (const stream of failed) this.#leaveQueue(stream);
    for (const stream of failed) {
      this.host.cluster.stats.rqPendingFailureEject.inc();
      stream.callbacks.onPoolFailure(reason, transportFailureReason);
    }
  }
}
