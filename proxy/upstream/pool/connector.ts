/** How pools get connections: network/client-connection.ts opens them, tests bring their own. */
import type { Address } from '../../config/model/address.ts';
import type { TcpKeepaliveModel, UpstreamProtocolModel } from '../../config/model/cluster.ts';
import type { RawBufferModel, UpstreamTlsModel } from '../../config/model/tls.ts';
import type { ClientCodec, ClientConnectionCallbacks } from '../../http/codec.ts';
import type { Http2Options } from '../../http/h2/options.ts';
import type { Connection, ConnectionCallbacks } from '../../network/connection.ts';
import type { PassthroughState } from '../../network/passthrough-state.ts';
import type { SocketSetup } from '../../network/socket-options.ts';
import type { StatsStore } from '../../telemetry/stats-store.ts';

export interface ConnectOptions {
  readonly address: Address;
  /** Source address; null: the kernel's choice. */
  readonly bindAddress: Address | null;
  /** For a source address that is not ours; null: none. */
  readonly socketSetup: Pick<SocketSetup, 'transparent' | 'mark' | 'options'> | null;
  readonly transportSocket: UpstreamTlsModel | RawBufferModel;
  /** For the connection of an internal listener; null: nothing comes along. */
  readonly passthrough: PassthroughState | null;
  /** Of the PROXY protocol, to be sent before anything else; null: none. */
  readonly proxyHeader: Buffer | null;
  /** Overrides of the transport socket for this connection; null: as configured. */
  readonly alpnOverride: readonly string[] | null;
  /** Offered if neither the transport socket nor an override names any. */
  readonly alpnFallback: readonly string[];
  readonly serverNameOverride: string | null;
  readonly subjectAltNameOverride: readonly string[] | null;
  readonly keepalive: TcpKeepaliveModel | null;
  readonly bufferLimitBytes: number;
  /** The cluster's, for the counters of TLS. */
  readonly stats: StatsStore;
  /** `cluster.<name>` */
  readonly statPrefix: string;
  /** Installed before the connection can report anything. */
  readonly callbacks: ConnectionCallbacks;
}

/** Begins to connect. Results come by the callbacks, never during the call. */
export type Connector = (options: ConnectOptions) => Connection;

export type Http1CodecFactory = (
  connection: Connection,
  options: UpstreamProtocolModel,
  callbacks: ClientConnectionCallbacks,
) => ClientCodec;

export type Http2CodecFactory = (
  connection: Connection,
  options: Http2Options,
  callbacks: ClientConnectionCallbacks,
) => ClientCodec;
