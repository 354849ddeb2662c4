/** One pooled HTTP/1 connection: its codec, its stream, its idle and life time. */
import { Timer } from '../../../common/timer-wheel.ts';
import type { ClientCodec, ClientConnectionCallbacks, ResponseDecoder } from '../../http/codec.ts';
import type { CloseEvent, ConnectionCallbacks } from '../../network/connection.ts';
import type { PoolCallbacks, PoolFailureReason } from '../cluster-manager.ts';
import type { Http1Pool } from './http1-pool.ts';
import { UpstreamConnection } from './upstream-connection.ts';
import type { UpstreamConnectionOwner } from './upstream-connection.ts';

/** The ALPN on which the one upstream network filter there is, metadata exchange, has anything to do for HTTP. */
const peerExchangeProtocol = 'istio-peer-exchange';

export class Http1Connection implements ConnectionCallbacks, ClientConnectionCallbacks, UpstreamConnectionOwner {
  readonly #pool: Http1Pool;
  readonly #upstream: UpstreamConnection;
  #codec: ClientCodec | null = null;
  #hasStream = false;
  #streams = 0;
  /** 0: no limit. */
  readonly #maxStreams: number;
  #closing = false;
  #expired = false;
  #idleSinceMs = 0;
  #idleTimer: Timer | null = null;
  #lifeTimer: Timer | null = null;

  constructor(pool: Http1Pool) {
    this.#pool = pool;
    const { model } = pool.host.cluster;
    this.#maxStreams = model.protocol.maxRequestsPerConnection || model.maxRequestsPerConnection;
    pool.host.cluster.stats.countHttp1Connection();
    this.#upstream = new UpstreamConnection(pool.host, pool.options, this, this);
  }

  /** Open, and not about to be closed by either side. */
  get isUsable(): boolean {
    return !this.#closing && this.#upstream.connection.state === 'open';
  }

  beginStream(decoder: ResponseDecoder, callbacks: PoolCallbacks): void {
    const codec = this.#codec as ClientCodec;
    const isReused = this.#streams > 0;
    this.#streams++;
    this.#hasStream = true;
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

  close(): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#upstream.connection.close('no-flush');
  }

  #onIdleTimer(): void {
    if (this.#hasStream || this.#closing) return;
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
    this.#expired = true;
    if (!this.#hasStream) this.close();
  }

  // ConnectionCallbacks

  onData(data: Buffer, endStream: boolean): void {
    this.#codec?.dispatch(data, endStream);
  }

  onConnected(): void {
    const { cluster } = this.#pool.host;
    if (this.#upstream.connection.info.tls?.alpn === peerExchangeProtocol) this.#upstream.installFilters(null);
    const { connection } = this.#upstream;
    if (connection.state === 'closed') return;
    connection.setNoDelay(true);
    this.#codec = cluster.services.createHttp1Codec(connection, cluster.model.protocol.http1, this);
    this.#upstream.onConnected();
  }

  onClose(event: CloseEvent): void {
    this.#closing = true;
    const hadStream = this.#hasStream;
    const { timers } = this.#pool.host.cluster.services;
    if (this.#idleTimer !== null) timers.cancel(this.#idleTimer);
    if (this.#lifeTimer !== null) timers.cancel(this.#lifeTimer);
    this.#codec?.onConnectionClose('connection-termination');
    this.#endStream();
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
    this.#endStream();
    this.#upstream.countBytes();
    const { stats } = this.#pool.host.cluster;
    const isSpent = this.#maxStreams > 0 && this.#streams >= this.#maxStreams;
    if (reusable && !isSpent && !this.#expired && this.isUsable) {
      this.#pool.onIdle(this);
      return;
    }
    if (isSpent) stats.cxMaxRequests.inc();
    if (!reusable && this.isUsable) stats.cxCloseNotify.inc();
    this.close();
  }

  onGoAway(): void {
    this.#expired = true;
  }

  onProtocolError(): void {
    this.#pool.host.cluster.stats.cxProtocolError.inc();
    this.close();
  }

  #endStream(): void {
    if (!this.#hasStream) return;
    this.#hasStream = false;
    this.#pool.onStreamEnd();
  }
}
