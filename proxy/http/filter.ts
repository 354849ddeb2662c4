/**
 * HTTP filters: Envoy's decoder and encoder hooks, flat. The factory runs per push; the filter it makes lives for one stream.
 * http/filter-chain.ts alone decides the order of calls.
 */
import type { FilterModel } from '../config/model/listener.ts';
import type { HttpConnectionManagerModel } from '../config/model/http-connection-manager.ts';
import type { PerFilterModel, RouteModel, VirtualHostModel } from '../config/model/route.ts';
import type { Connection } from '../network/connection.ts';
import type { StreamInfo } from '../telemetry/stream-info.ts';
import type { StatsStore } from '../telemetry/stats-store.ts';
import type { StreamResetReason } from './codec.ts';
import type { HeaderMap } from './header-map.ts';

/** What a hook answers. Stopping on headers also holds back the data behind them until `continue...` is called. */
export const HookStatus = {
  continue: 0,
  /** Stop here; data that arrives meanwhile comes to this filter. */
  stop: 1,
  /** Stop here; data is buffered up to the limit (413 or 500 above it) and comes when iteration continues. */
  stopAndBuffer: 2,
  /** Stop here; data is buffered and reading pauses at the watermark. */
  stopAndWatermark: 3,
} as const;
export type HookStatus = (typeof HookStatus)[keyof typeof HookStatus];

/** Hooks of one filter on one stream. A hook that is absent costs nothing: the chain's index lists skip it. */
export interface HttpFilter {
  onRequestHeaders?(headers: HeaderMap, endStream: boolean): HookStatus;
  onRequestData?(data: Buffer, endStream: boolean): HookStatus;
  onRequestTrailers?(trailers: HeaderMap): HookStatus;
  onResponse1xxHeaders?(headers: HeaderMap): HookStatus;
  onResponseHeaders?(headers: HeaderMap, endStream: boolean): HookStatus;
  onResponseData?(data: Buffer, endStream: boolean): HookStatus;
  onResponseTrailers?(trailers: HeaderMap): HookStatus;
  /** The stream is over and access logs are about to be written; every field of the stream info is final. */
  onStreamComplete?(): void;
  /** Last call: cancel timers and pending work. */
  onDestroy?(): void;
}

/** A failure that is answered by the proxy itself. */
export interface LocalReply {
  readonly status: number;
  readonly body: string;
  /** Response code details, Envoy's text. */
  readonly details: string;
  /** Bits of ResponseFlag. */
  readonly flags: number;
  /** Null: mapped from the HTTP status. */
  readonly grpcStatus: number | null;
  /** Adjusts the reply's headers. */
  readonly modifyHeaders?: (headers: HeaderMap) => void;
}

/** What a filter may do with its stream. */
export interface HttpFilterCallbacks {
  readonly connection: Connection;
  readonly streamInfo: StreamInfo;
  /** Null before the request headers arrived. */
  readonly requestHeaders: HeaderMap | null;
  readonly responseHeaders: HeaderMap | null;
  /** The matched route, from a per-request snapshot; null if none matches. */
  readonly route: RouteMatchView | null;
  /** Forgets the matched route: the next reader of `route` matches again. */
  clearRouteCache(): void;
  /** Resumes a stopped request (response) direction. */
  continueRequest(): void;
  continueResponse(): void;
  /** Passes bytes to the request filters behind this one: for a filter that took data (`stop`) and gives other bytes. */
  injectRequestData(data: Buffer, endStream: boolean): void;
  /** Passes bytes to the response filters behind this one: for a filter that took data (`stop`) and gives other bytes. */
  injectResponseData(data: Buffer, endStream: boolean): void;
  sendLocalReply(reply: LocalReply): void;
  resetStream(reason: StreamResetReason): void;
  /** The compiled per-route configuration of this filter (most specific level), or null. */
  perRouteConfig(): unknown;
  /** For the terminal filter: the response, in order. */
  encode1xxHeaders(headers: HeaderMap): void;
  encodeHeaders(headers: HeaderMap, endStream: boolean): void;
  encodeData(data: Buffer, endStream: boolean): void;
  encodeTrailers(trailers: HeaderMap): void;
  /**
   * For the terminal filter: the response is not passed on; the request, with its headers as they are now and this body, goes
   * through filters and routes once more. False if it has not arrived whole.
   */
  recreateStream(response: HeaderMap, body: Buffer): boolean;
  /** For the terminal filter: pauses the downstream's body when the upstream is slow; counted. */
  pauseDownstream(pause: boolean): void;
  /** For the terminal filter: told when the downstream is slow. */
  downstreamWatermarks: { onAboveHighWatermark(): void; onBelowLowWatermark(): void } | null;
  /** Buffer limit of the stream in bytes. */
  readonly bufferLimitBytes: number;
  /** Bytes of the request that were buffered for filters, if any; the router replays them on retries. */
  readonly bufferedRequestData: Buffer | null;
  /** True once request and its trailers arrived whole. */
  readonly requestComplete: boolean;
}

/** The outcome of route matching for one request. */
export interface RouteMatchView {
  readonly route: RouteModel;
  readonly virtualHostName: string;
  readonly virtualHost?: Pick<VirtualHostModel, 'metadata'>;
  /** Everything that was precomputed for the route, by the router that owns it. */
  readonly compiled: unknown;
  /** The most specific configuration of a filter, by its configured name: weighted cluster, route, virtual host. */
  perFilterConfig(filterName: string): PerFilterModel | null;
  /** The cluster that a request with these headers is for; empty if the route does not forward. */
  clusterNameOf(headers: HeaderMap): string;
}

/** Per-worker services that factories need. */
export interface FilterFactoryContext {
  readonly stats: StatsStore;
  readonly node: NodeModel;
  readonly manager: HttpConnectionManagerModel | null;
  readonly trafficDirection: 'unspecified' | 'inbound' | 'outbound';
  /** Shared by all factories of this worker; extensions find their worker-wide services here. */
  readonly services: WorkerServices;
}

/** The bootstrap's node, plain. */
export interface NodeModel {
  readonly id: string;
  readonly cluster: string;
  readonly locality: { readonly region: string; readonly zone: string; readonly subZone: string };
  readonly metadata: { readonly [key: string]: unknown };
}

/** Filled by workers/worker.ts; a type-only import cycle is avoided by naming the parts where they are used. */
export interface WorkerServices {
  readonly clusters: import('../upstream/cluster-manager.ts').ClusterManager;
  readonly timers: import('../../common/timer-wheel.ts').TimerWheel;
  readonly accessLogs: import('../telemetry/access-log.ts').AccessLogWriter;
  readonly runtime: { getNumber(key: string, fallback: number): number; getBoolean(key: string, fallback: boolean): boolean };
  readonly workerIndex: number;
  readonly drain: DrainState;
  readonly tokenBuckets: import('../network/shared-token-buckets.ts').SharedTokenBuckets;
  /** HTTP filters by kind (extensions/worker-manifest.ts); the connection manager builds its chain from them. */
  readonly httpFilters: HttpFilterBuilders;
  /** RDS: the current tables by name. */
  readonly routeConfigs: RouteTableSource;
  /** ECDS: the current filter configurations. */
  readonly extensionConfigs: ExtensionConfigSource;
}

/** The worker's store of discovered filter configurations (extensions/discovered/extension-configs.ts). */
export interface ExtensionConfigSource {
  get(category: string, name: string): ExtensionConfigHolder;
}
export interface ExtensionConfigHolder {
  /** Undefined: none has arrived. Null: a filter that has nothing to do. */
  readonly current: FilterModel | null | undefined;
}

/** The worker's store of RDS tables (router/route-configs.ts). */
export interface RouteTableSource {
  /** The holder of a name: its current table is replaced by each update, and null until the first arrived. */
  get(name: string): RouteTableHolder;
}
export interface RouteTableHolder {
  readonly current: RouteTableView | null;
}
export interface RouteTableView {
  match(headers: HeaderMap, info: StreamInfo): RouteMatchView | null;
}

/** Whether connections should be wound down. Codecs ask at the end of a response. */
export interface DrainState {
  /** True while the server (or inbound only) drains or health checks fail: answer `connection: close`. */
  isDraining(direction: 'unspecified' | 'inbound' | 'outbound'): boolean;
}

/** Compiled configuration to factory: at push time, on the worker; cannot fail. */
export type HttpFilterBuilder = (config: never, context: FilterFactoryContext) => HttpFilterFactory;
export type HttpFilterBuilders = { readonly [kind: string]: HttpFilterBuilder };

/** Made once per filter chain (push time); makes one filter per stream, or null if this stream does not need it. */
export type HttpFilterFactory = (callbacks: HttpFilterCallbacks) => HttpFilter | null;
