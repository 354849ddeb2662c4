/**
 * HTTP/1 connections to one host: one stream each at a time, the last used one first. Streams wait while connections are being
 * made; a failed connect fails all that wait, so that nothing is stuck behind a dead host.
 *
 * Source: Envoy's connection pool.
 */
import type { ResponseDecoder } from '../../http/codec.ts';
import type { PoolCallbacks, PoolFailureReason, PoolHandle, StreamOptions } from '../cluster-manager.ts';
import type { WorkerHost } from '../worker-host.ts';
import { Http1Connection } from './http1-connection.ts';

class PendingStream implements PoolHandle {
  readonly decoder: ResponseDecoder;
  readonly callbacks: PoolCallbacks;
  readonly #pool: Http1Pool;
  isDone = false;

  constructor(pool: Http1Pool, decoder: ResponseDecoder, callbacks: PoolCallbacks) {
    this.#pool = pool;
    this.decoder = decoder;
    this.callbacks = callbacks;
  }

  cancel(): void {
    if (!this.isDone) this.#pool.cancel(this);
  }
}

export class Http1Pool {
  readonly host: WorkerHost;
  readonly options: StreamOptions;
  readonly #ready: Http1Connection[] = [];
  readonly #all = new Set<Http1Connection>();
  readonly #pending: PendingStream[] = [];
  #connecting = 0;
  #draining = false;

  /** `options` are those of the first stream: all streams of this pool agree in what matters. */
  constructor(host: WorkerHost, options: StreamOptions) {
    this.host = host;
    // The stream info belongs to one stream only; the pool must not keep it alive.
    this.options = { ...options, streamInfo: null };
    host.cluster.stats.useBreaker(options.priority, 'cx_pool');
  }

  get isDraining(): boolean {
    return this.#draining;
  }

  get connectionCount(): number {
    return this.#all.size;
  }

  /** Calls back at once if a connection is free, and then returns null; else a handle of the waiting stream. */
  newStream(decoder: ResponseDecoder, callbacks: PoolCallbacks): PoolHandle | null {
    const { cluster } = this.host;
    const { priority } = this.options;
    for (let ready = this.#ready.pop(); ready !== undefined; ready = this.#ready.pop()) {
      if (!ready.isUsable) continue;
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

  /** Lets streams in flight finish and closes each connection after its last; waiting streams are still served. */
  drain(): void {
    this.#draining = true;
    for (const idle of this.#ready.splice(0)) idle.close();
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
    while (this.#pending.length > this.#connecting) {
      const { cluster } = this.host;
      if (!cluster.resources.tryConnection(this.options.priority)) {
        cluster.stats.cxOverflow.inc();
        // A pool without any connection would wait for ever: it may have one.
        if (this.#all.size > 0) return;
        cluster.resources.forceConnection(this.options.priority);
      }
      this.#connecting++;
      this.#all.add(new Http1Connection(this));
    }
  }

  #attach(connection: Http1Connection, decoder: ResponseDecoder, callbacks: PoolCallbacks): void {
    const { cluster } = this.host;
    if (!cluster.resources.tryRequest(this.options.priority)) {
      this.#ready.push(connection);
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

  onConnected(connection: Http1Connection): void {
    this.#connecting--;
    this.onIdle(connection);
  }

  /** The connection can take a stream: the longest waiting one, if any. */
  onIdle(connection: Http1Connection): void {
    const next = this.#pending.shift();
    if (next !== undefined) {
      this.#leaveQueue(next);
      this.#attach(connection, next.decoder, next.callbacks);
    } else if (this.#draining) {
      connection.close();
    } else {
      this.#ready.push(connection);
      connection.awaitStream();
    }
  }

  onStreamEnd(): void {
    const { cluster } = this.host;
    cluster.resources.releaseRequest(this.options.priority);
    cluster.stats.rqActive.dec();
    this.host.endRequest();
  }

  onClosed(connection: Http1Connection, failure: PoolFailureReason | null, transportFailureReason: string): void {
    this.#all.delete(connection);
    const index = this.#ready.indexOf(connection);
    if (index !== -1) this.#ready.splice(index, 1);
    if (failure !== null) {
      this.#connecting--;
      this.#failPending(failure, transportFailureReason);
    }
    this.#connectIfNeeded();
    // As in Envoy, where a pool that ends updates the breaker of the other priority.
    if (this.#all.size === 0) this.host.cluster.stats.useBreaker(1, 'cx_pool');
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
