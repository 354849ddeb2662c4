/**
 * Connections for the TCP proxy: made on demand, one for one downstream connection, counted like streams. The consumer gets a
 * connection whose callbacks pass through here, so that its end is accounted for.
 */
import type { CloseEvent, CloseType, Connection, ConnectionCallbacks, ConnectionInfo } from '../../network/connection.ts';
import type { PoolFailureReason, PoolHandle, StreamOptions, TcpPoolCallbacks } from '../cluster-manager.ts';
import type { WorkerHost } from '../worker-host.ts';
import { UpstreamConnection } from './upstream-connection.ts';
import type { UpstreamConnectionOwner } from './upstream-connection.ts';

/** Before the consumer installs its own. */
const ignoring: ConnectionCallbacks = { onData() {}, onClose() {} };

class TcpUpstream implements Connection, ConnectionCallbacks, UpstreamConnectionOwner, PoolHandle {
  callbacks: ConnectionCallbacks = ignoring;
  readonly #host: WorkerHost;
  readonly #priority: 0 | 1;
  readonly #waiting: TcpPoolCallbacks;
  readonly #upstream: UpstreamConnection;
  readonly #streamInfo: StreamOptions['streamInfo'];
  #isPending = true;
  #isCancelled = false;
  /** Established, and its user is not done with it. */
  #isInUse = false;

  constructor(host: WorkerHost, options: StreamOptions, waiting: TcpPoolCallbacks) {
    this.#host = host;
    this.#priority = options.priority;
    this.#waiting = waiting;
    this.#streamInfo = options.streamInfo;
    host.cluster.stats.useBreaker(options.priority, 'rq_pending');
    host.cluster.stats.rqPendingTotal.inc();
    host.cluster.stats.rqPendingActive.inc();
    this.#upstream = new UpstreamConnection(host, options, this, this);
  }

  cancel(): void {
    if (!this.#isPending) return;
    this.#isCancelled = true;
    this.#leaveQueue();
    this.#host.cluster.stats.rqCancelled.inc();
    this.#upstream.connection.close('no-flush');
  }

  #leaveQueue(): void {
    if (!this.#isPending) return;
    this.#isPending = false;
    this.#host.cluster.resources.releasePendingRequest(this.#priority);
    this.#host.cluster.stats.rqPendingActive.dec();
  }

  // Of the real connection

  onConnected(): void {
    if (this.#isCancelled) return;
    this.#upstream.installFilters(this.#streamInfo);
    if (this.state !== 'closed') this.#upstream.onConnected();
  }

  onData(data: Buffer, endStream: boolean): void {
    this.callbacks.onData(data, endStream);
  }

  onAboveWriteBufferHighWatermark(): void {
    this.callbacks.onAboveWriteBufferHighWatermark?.();
  }

  onBelowWriteBufferLowWatermark(): void {
    this.callbacks.onBelowWriteBufferLowWatermark?.();
  }

  onClose(event: CloseEvent): void {
    this.#upstream.onClose(event, this.#isInUse);
  }

  onEstablished(): void {
    const { cluster } = this.#host;
    this.#leaveQueue();
    this.#isInUse = true;
    cluster.resources.forceRequest(this.#priority);
    cluster.stats.useBreaker(this.#priority, 'rq');
    cluster.stats.rqTotal.inc();
    cluster.stats.rqActive.inc();
    this.#host.beginRequest();
    this.#waiting.onPoolReady(this, () => this.#endRequest());
  }

  onEnd(event: CloseEvent, failure: PoolFailureReason | null): void {
    const { cluster } = this.#host;
    if (failure === null) {
      this.#endRequest();
      this.callbacks.onClose(event);
      return;
    }
    this.#leaveQueue();
    if (this.#isCancelled) return;
    cluster.stats.rqPendingFailureEject.inc();
    this.#waiting.onPoolFailure(failure, this.info.transportFailureReason);
  }

  /** Once: at the end of the connection, or before if its user is done with it. */
  #endRequest(): void {
    if (!this.#isInUse) return;
    this.#isInUse = false;
    const { cluster } = this.#host;
    cluster.resources.releaseRequest(this.#priority);
    cluster.stats.rqActive.dec();
    this.#host.endRequest();
  }

  // Connection, by delegation

  get info(): ConnectionInfo {
    return this.#upstream.connection.info;
  }
  get state(): Connection['state'] {
    return this.#upstream.connection.state;
  }
  get bufferedBytes(): number {
    return this.#upstream.connection.bufferedBytes;
  }
  get bytesReceived(): number {
    return this.#upstream.connection.bytesReceived;
  }
  get bytesSent(): number {
    return this.#upstream.connection.bytesSent;
  }
  write(data: Buffer, endStream: boolean): void {
    this.#upstream.connection.write(data, endStream);
  }
  writeLatin1(text: string, endStream: boolean): void {
    this.#upstream.connection.writeLatin1(text, endStream);
  }
  readDisable(disable: boolean): void {
    this.#upstream.connection.readDisable(disable);
  }
  close(type: CloseType, details?: string): void {
    this.#upstream.connection.close(type, details);
  }
  get bufferLimitBytes(): number {
    return this.#upstream.connection.bufferLimitBytes;
  }

  setBufferLimit(bytes: number): void {
    this.#upstream.connection.setBufferLimit(bytes);
  }
  setNoDelay(enabled: boolean): void {
    this.#upstream.connection.setNoDelay(enabled);
  }
  enableHalfClose(enabled: boolean): void {
    this.#upstream.connection.enableHalfClose(enabled);
  }
  setDelayedCloseTimeoutMs(timeoutMs: number): void {
    this.#upstream.connection.setDelayedCloseTimeoutMs(timeoutMs);
  }
}

/** Opens a connection to a host, or fails at once with an overflow. */
export function connectTcp(host: WorkerHost, options: StreamOptions, callbacks: TcpPoolCallbacks): PoolHandle | null {
  const { cluster } = host;
  if (!cluster.resources.tryPendingRequest(options.priority)) {
    cluster.stats.countPendingOverflow();
    callbacks.onPoolFailure('overflow', '');
    return null;
  }
  if (!cluster.resources.tryConnection(options.priority)) {
    cluster.stats.cxOverflow.inc();
    cluster.resources.releasePendingRequest(options.priority);
    callbacks.onPoolFailure('overflow', '');
    return null;
  }
  return new TcpUpstream(host, options, callbacks);
}
