/**
 * What is known of one stream (an HTTP request, or a TCP connection): filled in along the request path, read by access logs,
 * istio.stats and header formatters. All fields exist from the start, so that every stream has one hidden class.
 */
import type { Metadata } from '../config/model/matchers.ts';
import type { RouteModel } from '../config/model/route.ts';
import type { RedirectHistory } from '../router/internal-redirect.ts';
import type { ConnectionInfo } from '../network/connection.ts';
import type { SharedObject, SharedObjects } from '../network/passthrough-state.ts';
import type { HostView, ClusterView } from '../upstream/views.ts';
import { appendFlags } from './response-flags.ts';

export type Protocol = 'HTTP/1.0' | 'HTTP/1.1' | 'HTTP/2' | '';

const noHosts: readonly HostView[] = [];

export class StreamInfo {
  readonly downstream: ConnectionInfo;
  /** Wall clock, milliseconds. */
  readonly startTimeMs: number;
  /** Monotonic, milliseconds with fraction. */
  readonly startMonotonicMs: number;
  protocol: Protocol = '';
  /** 0 until a response or local reply began. */
  responseCode = 0;
  responseCodeDetails = '';
  connectionTerminationDetails = '';
  /** Bits of ResponseFlag. */
  responseFlags = 0;
  /** The same in the order in which they were set (response-flags.ts). */
  responseFlagSequence = 0;
  /** Body bytes, as %BYTES_RECEIVED% and %BYTES_SENT%. */
  bytesReceived = 0;
  bytesSent = 0;
  /** Bytes on the wire with heads and framing (istio_request_bytes, istio_response_bytes). */
  wireBytesReceived = 0;
  wireBytesSent = 0;
  /** The same towards the upstream, over all attempts. */
  upstreamWireBytesSent = 0;
  upstreamWireBytesReceived = 0;
  /** Monotonic; 0: has not happened. */
  lastDownstreamRxByteMs = 0;
  firstUpstreamTxByteMs = 0;
  lastUpstreamTxByteMs = 0;
  firstUpstreamRxByteMs = 0;
  lastUpstreamRxByteMs = 0;
  firstDownstreamTxByteMs = 0;
  lastDownstreamTxByteMs = 0;
  /** Monotonic end; 0 while the stream runs. */
  endMonotonicMs = 0;
  route: RouteModel | null = null;
  routeName = '';
  virtualHostName = '';
  virtualHostMetadata: Metadata | null = null;
  cluster: ClusterView | null = null;
  upstreamHost: HostView | null = null;
  #earlierHosts: readonly HostView[] = noHosts;
  /** Of the last attempt. */
  upstreamConnection: ConnectionInfo | null = null;
  upstreamProtocol: Protocol = '';
  upstreamTransportFailureReason = '';
  upstreamRequestAttemptCount = 0;
  /** gRPC status of the response, -1 if none. */
  grpcStatus = -1;
  healthCheck = false;
  traceId = '';
  /** Unsigned 32 bits that decide every random choice of this stream's route; -1 until first asked. */
  routeRandom = -1;
  /** Internal redirects so far; null: none. */
  redirects: RedirectHistory | null = null;
  /** Set by filters for this stream; `upstream_peer` and the like. */
  filterState: Map<string, unknown> | null = null;
  /** The connection's filter state, shared by its streams. */
  connectionFilterState: Map<string, unknown> | null = null;
  /** What of the filter state upstream connections share; null: nothing. */
  shared: Map<string, SharedObject> | null = null;
  /** The same of the connection. */
  connectionShared: Map<string, SharedObject> | null = null;
  dynamicMetadata: { [namespace: string]: { [key: string]: unknown } } | null = null;

  constructor(downstream: ConnectionInfo, startTimeMs: number, startMonotonicMs: number) {
    this.downstream = downstream;
    this.startTimeMs = startTimeMs;
    this.startMonotonicMs = startMonotonicMs;
  }

  /** For the same request, which goes through filters and routes once more. */
  startAnew(): StreamInfo {
    const info = new StreamInfo(this.downstream, this.startTimeMs, this.startMonotonicMs);
    info.protocol = this.protocol;
    info.bytesReceived = this.bytesReceived;
    info.lastDownstreamRxByteMs = this.lastDownstreamRxByteMs;
    info.redirects = this.redirects;
    return info;
  }

  /** An attempt goes to this host. */
  setUpstreamHost(host: HostView): void {
    if (this.upstreamHost !== null && this.upstreamHost !== host) this.#earlierHosts = [...this.#earlierHosts, this.upstreamHost];
    this.upstreamHost = host;
  }

  /** Hosts of all attempts, each once. */
  get attemptedHosts(): readonly HostView[] {
    return this.upstreamHost === null ? [] : [...new Set([...this.#earlierHosts, this.upstreamHost])];
  }

  setFlag(flag: number): void {
    const added = flag & ~this.responseFlags;
    if (added === 0) return;
    this.responseFlags |= added;
    this.responseFlagSequence = appendFlags(this.responseFlagSequence, added);
  }

  hasFlag(flag: number): boolean {
    return (this.responseFlags & flag) !== 0;
  }

  setFilterState(key: string, value: unknown): void {
    this.filterState ??= new Map();
    this.filterState.set(key, value);
  }

  /** Sets what upstream connections see as well. */
  shareFilterState(key: string, object: SharedObject): void {
    this.setFilterState(key, object.value);
    this.shared ??= new Map();
    this.shared.set(key, object);
  }

  /** All that an upstream connection of this stream shares; null: nothing. */
  get sharedObjects(): SharedObjects | null {
    if (this.shared === null || this.connectionShared === null) return this.shared ?? this.connectionShared;
    return new Map([...this.connectionShared, ...this.shared]);
  }

  getFilterState(key: string): unknown {
    return this.filterState?.get(key) ?? this.connectionFilterState?.get(key);
  }
}
