/**
 * An HTTP stream in the place of an upstream connection (`tunneling_config`): a CONNECT or POST request whose body is what the
 * downstream sends, once the upstream has agreed.
 *
 * Source: Envoy's HttpUpstream of the TCP proxy.
 */
import type { CloseEvent, CloseType, Connection, ConnectionCallbacks, ConnectionInfo } from '../../../../network/connection.ts';
import type { RequestEncoder, ResponseDecoder, StreamResetReason } from '../../../../http/codec.ts';
import { HeaderMap } from '../../../../http/header-map.ts';
import { HeaderEdits } from '../../../../router/header-edits.ts';
import { type CompiledFormat, compileFormat } from '../../../../telemetry/formatter.ts';
import type { Protocol, StreamInfo } from '../../../../telemetry/stream-info.ts';
import type { Host, PoolCallbacks, PoolFailureReason, PoolHandle, StreamOptions } from '../../../../upstream/cluster-manager.ts';
import type { TunnelingModel } from './config.ts';

/** What the TCP proxy needs of its upstream: a connection, or a tunnel. */
export type TcpUpstream = Pick<
  Connection,
  'callbacks' | 'info' | 'state' | 'write' | 'readDisable' | 'close' | 'enableHalfClose'
>;

export interface TunnelCallbacks {
  onPoolReady(upstream: TcpUpstream): void;
  onPoolFailure(reason: PoolFailureReason, transportFailureReason: string): void;
}

/** Filter state where the answer is kept, on request. */
const responseHeadersKey = 'envoy.tcp_proxy.propagate_response_headers';
const responseTrailersKey = 'envoy.tcp_proxy.propagate_response_trailers';
const noBytes = Buffer.alloc(0);
const ignoring: ConnectionCallbacks = { onData() {}, onClose() {} };

/** The tunneling configuration of one TCP proxy. */
export class Tunneling {
  readonly model: TunnelingModel;
  readonly #hostname: CompiledFormat;
  readonly #edits: HeaderEdits;

  constructor(model: TunnelingModel) {
    this.model = model;
    this.#hostname = compileFormat(model.hostname);
    this.#edits = new HeaderEdits(model.headersToAdd, []);
  }

  /** Asks the host for a tunnel; null if that failed at once. */
  open(host: Host, options: StreamOptions, streamInfo: StreamInfo, callbacks: TunnelCallbacks): PoolHandle | null {
    const tunnel = new HttpTunnel(this, host, streamInfo, callbacks);
    tunnel.waiting = host.newStream(options, tunnel, tunnel);
    return tunnel.isOver ? null : tunnel;
  }

  makeRequest(streamInfo: StreamInfo, isTls: boolean): HeaderMap {
    const context = { info: streamInfo, requestHeaders: null, responseHeaders: null, responseTrailers: null };
    const headers = new HeaderMap();
    headers.method = this.model.usePost ? 'POST' : 'CONNECT';
    headers.authority = this.#hostname.format(context);
    headers.hasAuthority = true;
    if (this.model.usePost) {
      headers.path = this.model.postPath;
      headers.scheme = isTls ? 'https' : 'http';
    }
    this.#edits.apply(headers, context);
    return headers;
  }
}

class HttpTunnel implements TcpUpstream, ResponseDecoder, PoolCallbacks, PoolHandle {
  callbacks: ConnectionCallbacks = ignoring;
  state: Connection['state'] = 'connecting';
  info!: ConnectionInfo;
  /** Of the pool; null once it has answered. */
  waiting: PoolHandle | null = null;
  readonly #tunneling: Tunneling;
  readonly #host: Host;
  readonly #streamInfo: StreamInfo;
  readonly #opening: TunnelCallbacks;
  #encoder: RequestEncoder | null = null;
  #isHttp2 = false;
  #writeEnded = false;
  #readEnded = false;

  constructor(tunneling: Tunneling, host: Host, streamInfo: StreamInfo, opening: TunnelCallbacks) {
    this.#tunneling = tunneling;
    this.#host = host;
    this.#streamInfo = streamInfo;
    this.#opening = opening;
  }

  get isOver(): boolean {
    return this.state === 'closed';
  }

  /** Nobody waits for the tunnel any more. */
  cancel(): void {
    if (this.state !== 'connecting') return;
    this.state = 'closed';
    if (this.#encoder !== null) this.#reset();
    else this.waiting?.cancel();
  }

  // PoolCallbacks

  onPoolReady(encoder: RequestEncoder, connection: ConnectionInfo, protocol: Protocol): void {
    if (this.isOver) return;
    this.waiting = null;
    this.#encoder = encoder;
    this.info = connection;
    this.#isHttp2 = protocol === 'HTTP/2';
    this.#streamInfo.upstreamConnection = connection;
    encoder.enableTcpTunneling?.();
    encoder.encodeHeaders(this.#tunneling.makeRequest(this.#streamInfo, connection.tls !== null), false);
  }

  onPoolFailure(reason: PoolFailureReason, transportFailureReason: string): void {
    if (this.isOver) return;
    this.state = 'closed';
    this.#opening.onPoolFailure(reason, transportFailureReason);
  }

  // ResponseDecoder

  onResponse1xxHeaders(): void {}

  onResponseHeaders(headers: HeaderMap, endStream: boolean): void {
    if (this.isOver) return;
    if (this.#tunneling.model.propagateResponseHeaders) {
      this.#streamInfo.setFilterState(responseHeadersKey, describe(headers, [{ key: ':status', value: String(headers.status) }]));
    }
    if (endStream || !this.#accepts(headers.status)) {
      this.#refuse(headers.status);
      return;
    }
    this.state = 'open';
    this.#opening.onPoolReady(this);
  }

  #accepts(status: number): boolean {
    return this.#isHttp2 ? status === 200 : status >= 200 && status < 300;
  }

  #refuse(status: number): void {
    this.state = 'closed';
    this.#reset();
    this.#opening.onPoolFailure('remote-connection-failure', `tunnel_response:${status}`);
  }

  #reset(): void {
    if (this.#isHttp2) this.#host.cluster.stats.countStreamReset('local-reset');
    this.#encoder?.reset('local-reset');
  }

  onResponseData(data: Buffer, endStream: boolean): void {
    if (this.isOver) return;
    this.callbacks.onData(data, endStream);
    if (endStream) this.#endRead();
  }

  onResponseTrailers(trailers: HeaderMap): void {
    if (this.isOver) return;
    if (this.#tunneling.model.propagateResponseTrailers) {
      this.#streamInfo.setFilterState(responseTrailersKey, describe(trailers, []));
    }
    this.callbacks.onData(noBytes, true);
    this.#endRead();
  }

  #endRead(): void {
    this.#readEnded = true;
    if (this.#writeEnded) this.#end('remote-close');
  }

  /** A reset that the other end of the tunnel asked for goes on as one; a tunnel that failed on its way just ends. */
  onReset(reason: StreamResetReason, transportFailureReason: string): void {
    if (this.isOver) return;
    if (this.#isHttp2) this.#host.cluster.stats.countStreamReset(reason);
    if (this.state !== 'connecting') {
      this.#end(reason === 'remote-reset' ? 'remote-reset' : 'local-close');
      return;
    }
    this.state = 'closed';
    this.#opening.onPoolFailure('remote-connection-failure', transportFailureReason);
  }

  #end(event: CloseEvent): void {
    if (this.isOver) return;
    this.state = 'closed';
    this.callbacks.onClose(event);
  }

  onAboveWriteBufferHighWatermark(): void {
    this.callbacks.onAboveWriteBufferHighWatermark?.();
  }

  onBelowWriteBufferLowWatermark(): void {
    this.callbacks.onBelowWriteBufferLowWatermark?.();
  }

  // TcpUpstream

  write(data: Buffer, endStream: boolean): void {
    if (this.isOver || this.#writeEnded) return;
    this.#writeEnded = endStream;
    this.#encoder?.encodeData(data, endStream);
    if (endStream && this.#readEnded) this.#end('remote-close');
  }

  /** A tunnel always knows half closes. */
  enableHalfClose(): void {}

  readDisable(disable: boolean): void {
    if (!this.isOver) this.#encoder?.readDisable(disable);
  }

  close(_type: CloseType): void {
    if (this.isOver) return;
    this.state = 'closed';
    this.#reset();
  }
}

/** As `envoy.config.core.v3.HeaderMap`. */
function describe({ entries }: HeaderMap, headers: { key: string; value: string }[]): object {
  for (let i = 0; i < entries.length; i += 2) headers.push({ key: entries[i], value: entries[i + 1] });
  return { headers };
}
