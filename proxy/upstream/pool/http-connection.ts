/** One pooled HTTP connection: its codec, its streams, its idle and life time. */
import { Timer } from '../../../common/timer-wheel.ts';
import type { ClientCodec, ClientConnectionCallbacks, ResponseDecoder } from '../../http/codec.ts';
import type { CloseEvent, ConnectionCallbacks } from '../../network/connection.ts';
import type { PoolCallbacks, PoolFailureReason } from '../cluster-manager.ts';
import type { HttpPool, PoolKind } from './http-pool.ts';
import { UpstreamConnection } from './upstream-connection.ts';
import type { UpstreamConnectionOwner } from './upstream-connection.ts';

/** The ALPN on which the one upstream network filter there is, metadata exchange, has anything to do for HTTP. */
const peerExchangeProtocol = 'istio-peer-exchange';

/** What a TLS socket offers by ALPN where its configuration names nothing. */
const fallbackProtocols: { readonly [K in PoolKind]: readonly string[] } = {
  http1: ['http/1.1'],
  http2: ['h2'],
  auto: ['h2', 'http/1.1'],
};

export class HttpConnection implements ConnectionCallbacks, ClientConnectionCallbacks, UpstreamConnectionOwner {
  readonly #pool: HttpPool;
  readonly #upstream: UpstreamConnection;
  #codec: ClientCodec | null = null;
  #activeStreams = 0;
  /** Streams begun so far. */
  #streams = 0;
  /** 0: no limit. */
  readonly #maxStreams: number;
  #closing = false;
  /** Takes no further stream, and closes after its last. */
  #draining = false;
  #protocolError = false;
  #idleSinceMs = 0;
  #idleTimer: Timer | null = null;
  #lifeTimer: Timer | null = null;
  /** It is among the pool's connections that can take a stream. Kept by the pool. */
  isListed = false;

  constructor(pool: HttpPool) {
    this.#pool = pool;
    const { model } = pool.host.cluster;
    this.#maxStreams = model.protocol.maxRequestsPerConnection || model.maxRequestsPerConnection;
    if (pool.kind !== 'auto') pool.host.cluster.countConnection(pool.kind);
    this.#upstream = new UpstreamConnection(pool.host, pool.options, this, this, fallbackProtocols[pool.kind]);
  }

  get activeStreams(): number {
    return this.#activeStreams;
  }

  /** Streams that it can take now or, while it is being made, will be able to take. Below zero if the peer lowered its limit. */
  get unusedCapacity(): number {
    if (this.#closing || this.#draining) return 0;
    const { state } = this.#upstream.connection;
    if (state !== 'open' && state !== 'connecting') return 0;
    const { kind, host } = this.#pool;
    const expected = kind === 'http1' ? 1 : host.cluster.model.protocol.http2.maxConcurrentStreams;
    const concurrent = (this.#codec?.maxConcurrentStreams ?? expected) - this.#activeStreams;
    return this.#maxStreams === 0 ? concurrent : Math.min(concurrent, this.#maxStreams - this.#streams);
  }

  beginStream(decoder: ResponseDecoder, callbacks: PoolCallbacks): void {
    const codec = this.#codec as ClientCodec;
    const isReused = this.#streams > 0;
    this.#streams++;
    this.#activeStreams++;
    if (this.#streams === this.#maxStreams) {
      this.#pool.host.cluster.stats.cxMaxRequests.inc();
      this.#draining = true;
    }
    callbacks.onPoolReady(codec.newStream(decoder), this.#upstream.connection.info, codec.protocol, isReused);
  }

  /** The pool has no stream for this connection. The timer runs on through later streams and looks at the clock when it fires. */
  awaitStream(): void {
    const { idleTimeoutMs } = this.#pool.host.cluster.model.protocol;
    if (idleTimeoutMs === 0) return;
    const { timers } = this.#pool.host.cluster.services;
    this.#idleSinceMs = timers.now();
    this.#idleTimer ??= new Timer(() => this.#onIdleTimer());
    if (!this.#idleTimer.armed) timers.arm(this.#idleTimer, idleTimeoutMs);
  }

  /** No stream begins any more; those under way finish. */
  drain(): void {
    this.#draining = true;
    if (this.#activeStreams === 0) this.close();
  }

  close(): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#upstream.connection.close('no-flush');
  }

  #onIdleTimer(): void {
    if (this.#activeStreams > 0 || this.#closing) return;
    const { cluster } = this.#pool.host;
    const { timers } = cluster.services;
    const leftMs = this.#idleSinceMs + cluster.model.protocol.idleTimeoutMs - timers.now();
    if (leftMs > 0) {
      timers.arm(this.#idleTimer as Timer, leftMs);
      return;
    }
    cluster.stats.cxIdleTimeout.inc();
    this.close();
  }

  #onLifeTimer(): void {
    this.#pool.host.cluster.stats.cxMaxDurationReached.inc();
    this.drain();
  }

  // ConnectionCallbacks

  onData(data: Buffer, endStream: boolean): void {
    this.#codec?.dispatch(data, endStream);
  }

  onConnected(): void {
    const alpn = this.#upstream.connection.info.tls?.alpn ?? '';
    if (alpn === peerExchangeProtocol) this.#upstream.installFilters(null);
    const { connection } = this.#upstream;
    if (connection.state === 'closed') return;
    connection.setNoDelay(true);
    const { kind, host } = this.#pool;
    const isHttp2 = kind === 'http2' || (kind === 'auto' && alpn === 'h2');
    if (kind === 'auto') host.cluster.countConnection(isHttp2 ? 'http2' : 'http1');
    this.#codec = isHttp2 ? host.cluster.createHttp2Codec(connection, this) : host.cluster.createHttp1Codec(connection, this);
    this.#upstream.onConnected();
  }

  onClose(event: CloseEvent): void {
    this.#closing = true;
    const { timers } = this.#pool.host.cluster.services;
    if (this.#idleTimer !== null) timers.cancel(this.#idleTimer);
    if (this.#lifeTimer !== null) timers.cancel(this.#lifeTimer);
    // This may complete a response that lasts until the end of its connection.
    this.#codec?.onConnectionClose(this.#protocolError ? 'protocol-error' : 'connection-termination');
    // As in Envoy, where the streams of a broken HTTP/2 connection were reset before it is closed.
    const hadStream = this.#activeStreams > 0 && !(this.#protocolError && this.#codec?.protocol === 'HTTP/2');
    while (this.#activeStreams > 0) this.#endStream();
    if (this.#upstream.isEstablished) this.#pool.host.cluster.stats.rqPerCx.record(this.#streams);
    this.#upstream.onClose(event, hadStream);
  }

  onAboveWriteBufferHighWatermark(): void {
    this.#codec?.onAboveWriteBufferHighWatermark();
  }

  onBelowWriteBufferLowWatermark(): void {
    this.#codec?.onBelowWriteBufferLowWatermark();
  }

  // UpstreamConnectionOwner

  onEstablished(): void {
    const { cluster } = this.#pool.host;
    const { maxConnectionDurationMs } = cluster.model.protocol;
    if (maxConnectionDurationMs > 0) {
      this.#lifeTimer = new Timer(() => this.#onLifeTimer());
      cluster.services.timers.arm(this.#lifeTimer, maxConnectionDurationMs);
    }
    this.#pool.onConnected(this);
  }

  onEnd(_event: CloseEvent, failure: PoolFailureReason | null): void {
    this.#pool.onClosed(this, failure, this.#upstream.connection.info.transportFailureReason);
  }

  // ClientConnectionCallbacks

  onStreamComplete(reusable: boolean): void {
    if (this.#activeStreams === 0) return;
    this.#endStream();
    this.#upstream.countBytes();
    if (this.#closing) return;
    if (!reusable || this.#upstream.connection.state !== 'open') this.#draining = true;
    if (this.#draining) {
      if (this.#activeStreams === 0) this.close();
    } else if (this.unusedCapacity > 0) {
      this.#pool.onCapacity(this);
    } else if (this.#activeStreams === 0) {
      this.awaitStream();
    }
  }

  onCloseAnnounced(): void {
    this.#pool.host.cluster.stats.cxCloseNotify.inc();
  }

  onGoAway(): void {
    if (this.#closing) return;
    this.#pool.host.cluster.stats.cxCloseNotify.inc();
    this.drain();
  }

  onMaxConcurrentStreams(): void {
    if (this.unusedCapacity > 0) this.#pool.onCapacity(this);
  }

  onProtocolError(): void {
    this.#pool.host.cluster.stats.cxProtocolError.inc();
    this.#protocolError = true;
    this.close();
  }

  #endStream(): void {
    this.#activeStreams--;
    this.#pool.onStreamEnd();
  }
}
