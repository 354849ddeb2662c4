/** `envoy.config.bootstrap.v3.Bootstrap` after compilation: what the main thread reads of it. */
import type { AccessLogModel } from './access-log.ts';
import type { SystemAddress } from './address.ts';
import type { StatsConfigModel } from './stats.ts';

export interface BootstrapModel {
  readonly node: {
    readonly id: string;
    readonly cluster: string;
    readonly locality: { readonly region: string; readonly zone: string; readonly subZone: string };
    /** Plain JSON. */
    readonly metadata: { readonly [key: string]: unknown };
  };
  /** Null: no admin listener. */
  readonly admin: {
    readonly address: SystemAddress;
    readonly accessLogs: readonly AccessLogModel[];
    readonly profilePath: string;
  } | null;
  /** Encoded messages, compiled in this order: secrets, clusters, listeners. */
  readonly staticSecrets: readonly StaticResource[];
  readonly staticClusters: readonly StaticResource[];
  readonly staticListeners: readonly StaticResource[];
  /** The aggregated stream; null if there is none. */
  readonly ads: GrpcSourceModel | null;
  readonly cds: ConfigSourceModel | null;
  readonly lds: ConfigSourceModel | null;
  readonly stats: StatsConfigModel;
  /** In order; later ones win. Numbers and booleans may be given as text. */
  readonly runtimeLayers: readonly {
    readonly name: string;
    readonly kind: 'static' | 'admin';
    readonly values: { readonly [key: string]: string | number | boolean };
  }[];
  /** The cluster whose hosts are the proxies of this service, for zone-aware routing; absent: none is named. */
  readonly localCluster?: string;
  /** Downstream connections of all listeners that do not ignore it; 0: no limit. */
  readonly globalConnectionLimit: number;
  /** `application_log_config` asks for JSON lines. */
  readonly jsonLog: boolean;
}

export interface StaticResource {
  /** Empty where a listener has none. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** `envoy.config.core.v3.ConfigSource`. */
export interface ConfigSourceModel {
  readonly source:
    | { readonly kind: 'ads' }
    | ({ readonly kind: 'grpc' } & GrpcSourceModel)
    | { readonly kind: 'path'; readonly path: string; readonly watchedDirectory: string | null };
  /** Milliseconds; 0: as long as it takes. Envoy's default is 15,000. */
  readonly initialFetchTimeoutMs: number;
}

/** `envoy.config.core.v3.ApiConfigSource` of a gRPC kind. */
export interface GrpcSourceModel {
  readonly protocol: 'delta' | 'sotw';
  /** The static cluster that carries it. */
  readonly cluster: string;
  readonly nodeOnFirstMessageOnly: boolean;
  readonly initialMetadata: readonly { readonly key: string; readonly value: string }[];
}
