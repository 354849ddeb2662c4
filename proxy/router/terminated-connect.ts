/**
 * A CONNECT request that ends here (`connect_config`): what would be an upstream stream is a plain connection, whose bytes are the
 * bodies. The answer is 200 as soon as the connection is there.
 *
 * Source: Envoy's TcpUpstream of the router.
 */
import type { ConnectModel, ForwardAction } from '../config/model/route.ts';
import type { RequestEncoder, ResponseDecoder } from '../http/codec.ts';
import { HeaderMap } from '../http/header-map.ts';
import type { CloseEvent, Connection, ConnectionCallbacks } from '../network/connection.ts';
import { encodeProxyHeader, type ProxyProtocolVersion } from '../network/proxy-protocol.ts';
import type { StreamInfo } from '../telemetry/stream-info.ts';
import type {
  Host,
  PoolCallbacks,
  PoolFailureReason,
  PoolHandle,
  StreamOptions,
  TcpPoolCallbacks,
} from '../upstream/cluster-manager.ts';
import { announceDownstream } from '../upstream/stream-options.ts';

const noBytes = Buffer.alloc(0);
const okStatus = 200;

/** Null unless the body of such a request goes to the upstream as it is. */
export function findTermination({ connect }: ForwardAction, method: string): ConnectModel | null {
  if (connect === undefined) return null;
  return method === 'CONNECT' || (connect.allowPost && method === 'POST') ? connect : null;
}

/** Opens the connection in the place of a stream: the results are those of `Host.newStream`. */
export function openTerminatedConnect(
  host: Host,
  options: StreamOptions,
  model: ConnectModel,
  info: StreamInfo,
  decoder: ResponseDecoder,
  callbacks: PoolCallbacks,
): PoolHandle | null {
  return host.connect(options, new TerminatedConnect(model.proxyProtocol ?? null, info, decoder, callbacks));
}

class TerminatedConnect implements RequestEncoder, TcpPoolCallbacks, ConnectionCallbacks {
  readonly #proxyProtocol: ProxyProtocolVersion | null;
  readonly #info: StreamInfo;
  readonly #decoder: ResponseDecoder;
  readonly #callbacks: PoolCallbacks;
  #connection: Connection | null = null;
  #release: () => void = () => {};
  /** Nothing is reported any more. */
  #isOver = false;
  #readEnded = false;
  #writeEnded = false;

  constructor(proxyProtocol: ProxyProtocolVersion | null, info: StreamInfo, decoder: ResponseDecoder, callbacks: PoolCallbacks) {
    this.#proxyProtocol = proxyProtocol;
    this.#info = info;
    this.#decoder = decoder;
    this.#callbacks = callbacks;
  }

  // TcpPoolCallbacks

  onPoolReady(connection: Connection, release: () => void): void {
    this.#connection = connection;
    this.#release = release;
    connection.callbacks = this;
    connection.enableHalfClose(true);
    this.#callbacks.onPoolReady(this, connection.info, '', false);
  }

  onPoolFailure(reason: PoolFailureReason, transportFailureReason: string): void {
    this.#callbacks.onPoolFailure(reason, transportFailureReason);
  }

  // RequestEncoder

  encodeHeaders(_headers: HeaderMap, endStream: boolean): void {
    const version = this.#proxyProtocol;
    if (version !== null) this.#write(encodeProxyHeader(version, announceDownstream(this.#info.downstream)), endStream);
    else if (endStream) this.#write(noBytes, true);
    // The router first sends what it has of the body.
    queueMicrotask(() => this.#respond());
  }

  #respond(): void {
    if (this.#isOver) return;
    const response = new HeaderMap();
    response.status = okStatus;
    this.#decoder.onResponseHeaders(response, false);
  }

  encodeData(data: Buffer, endStream: boolean): void {
    this.#write(data, endStream);
  }

  encodeTrailers(): void {
    this.#write(noBytes, true);
  }

  #write(data: Buffer, endStream: boolean): void {
    this.#writeEnded ||= endStream;
    this.#connection?.write(data, endStream);
  }

  reset(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#connection?.close('no-flush');
  }

  readDisable(disable: boolean): void {
    if (!this.#isOver) this.#connection?.readDisable(disable);
  }

  get bufferedBytes(): number {
    return this.#connection?.bufferedBytes ?? 0;
  }
  get wireBytesSent(): number {
    return this.#connection?.bytesSent ?? 0;
  }
  get wireBytesReceived(): number {
    return this.#connection?.bytesReceived ?? 0;
  }

  // ConnectionCallbacks

  onData(data: Buffer, endStream: boolean): void {
    if (this.#isOver) return;
    this.#readEnded ||= endStream;
    if (this.#readEnded && this.#writeEnded) this.#release();
    this.#decoder.onResponseData(data, endStream);
  }

  onClose(_event: CloseEvent): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (!this.#readEnded || !this.#writeEnded) this.#decoder.onReset('connection-termination', '');
  }

  onAboveWriteBufferHighWatermark(): void {
    if (!this.#isOver) this.#decoder.onAboveWriteBufferHighWatermark();
  }

  onBelowWriteBufferLowWatermark(): void {
    if (!this.#isOver) this.#decoder.onBelowWriteBufferLowWatermark();
  }
}
