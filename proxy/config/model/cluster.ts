/** `envoy.config.cluster.v3.Cluster` and `ClusterLoadAssignment` after compilation. */
import type { Address } from './address.ts';
import type { Http1OptionsModel } from './http-connection-manager.ts';
import type { Http2ProtocolOptionsModel } from './http2-protocol-options.ts';
import type { HealthCheckModel } from './health-check.ts';
import type { FilterModel } from './listener.ts';
import type { Metadata } from './matchers.ts';
import type { SocketOptionModel } from './socket-option.ts';
import type { RawBufferModel, UpstreamTlsModel } from './tls.ts';

export interface ClusterModel {
  readonly name: string;
  /** The middle part of `cluster.<statName>.*`: alt_stat_name if set. Not unique. */
  readonly statName: string;
  readonly hash: string;
  readonly discovery:
    | { readonly kind: 'static' }
    /** `serviceName` is empty where the cluster's own name is asked for. */
    | { readonly kind: 'eds'; readonly serviceName: string }
    | {
        readonly kind: 'strict-dns' | 'logical-dns';
        readonly refreshRateMs: number;
        /** The time until the next lookup after failures: fully jittered, doubling up to the maximum. Absent: the refresh rate. */
        readonly failureRefresh?: { readonly baseMs: number; readonly maxMs: number };
        readonly jitterMs: number;
        readonly respectTtl: boolean;
        readonly family: 'auto' | 'v4-only' | 'v6-only' | 'v4-preferred' | 'all';
      }
    | {
        readonly kind: 'original-dst';
        readonly portOverride: number;
        readonly useHttpHeader: string;
        /** Where metadata of the request names the destination as `ip:port`; absent: nowhere. */
        readonly metadataKey?: { readonly namespace: string; readonly path: readonly string[] };
        readonly cleanupIntervalMs: number;
      };
  /** Inline endpoints of static and DNS clusters; null for the others. */
  readonly loadAssignment: LoadAssignmentModel | null;
  readonly connectTimeoutMs: number;
  readonly loadBalancer: LoadBalancerModel;
  /** Priority default, then high. */
  readonly circuitBreakers: readonly [CircuitBreakerModel, CircuitBreakerModel];
  readonly outlierDetection: OutlierDetectionModel | null;
  /** Active health check; absent: hosts are as healthy as discovery says. */
  readonly healthCheck?: HealthCheckModel;
  /** Hosts do not count before their first check. */
  readonly ignoreNewHostsUntilFirstCheck?: true;
  /** A host that discovery does not name any more leaves at once; absent: only once a check fails. */
  readonly ignoreHealthOnHostRemoval?: true;
  /** The first entry whose `match` is a subset of the endpoint's `envoy.transport_socket_match` metadata wins. */
  readonly transportSocketMatches: readonly TransportSocketMatch[];
  readonly transportSocket: UpstreamTlsModel | RawBufferModel;
  readonly protocol: UpstreamProtocolModel;
  /** Upstream network filters (metadata exchange). */
  readonly filters: readonly FilterModel[];
  /** Source addresses to bind, by family; empty: the kernel's choice. */
  readonly bindAddresses: readonly string[];
  /** Of upstream sockets, set before they are bound; absent: none. */
  readonly socketOptions?: readonly SocketOptionModel[];
  readonly tcpKeepalive: TcpKeepaliveModel | null;
  /** How the addresses of a host with several are tried; absent: Envoy's default. */
  readonly happyEyeballs?: HappyEyeballsModel;
  readonly maxRequestsPerConnection: number;
  readonly perConnectionBufferLimitBytes: number;
  readonly metadata: Metadata;
}

export interface TransportSocketMatch {
  readonly name: string;
  readonly match: { readonly [key: string]: unknown };
  readonly transportSocket: UpstreamTlsModel | RawBufferModel;
}

/** `envoy.extensions.upstreams.http.v3.HttpProtocolOptions`. */
export interface UpstreamProtocolModel {
  readonly kind: 'http1' | 'http2' | 'downstream' | 'auto';
  readonly http1: Http1OptionsModel;
  readonly http2: Http2ProtocolOptionsModel;
  /** Milliseconds; 0: none. Envoy's default is one hour. */
  readonly idleTimeoutMs: number;
  readonly maxConnectionDurationMs: number;
  readonly maxStreamDurationMs: number;
  readonly maxRequestsPerConnection: number;
  /** Of a response. */
  readonly maxHeadersCount: number;
  /** Of all headers of a response; absent: the default of the codec. */
  readonly maxResponseHeadersBytes?: number;
  readonly autoSni: boolean;
  readonly autoSanValidation: boolean;
}

export interface TcpKeepaliveModel {
  readonly probes: number | null;
  readonly timeSeconds: number | null;
  readonly intervalSeconds: number | null;
}

export interface HappyEyeballsModel {
  /** `default`: that of the host's main address. */
  readonly firstFamily: 'default' | 'v4' | 'v6';
  readonly firstFamilyCount: number;
}

export interface LoadBalancerModel {
  readonly policy: 'least-request' | 'round-robin' | 'random' | 'ring-hash' | 'maglev' | 'cluster-provided';
  readonly choiceCount: number;
  readonly activeRequestBias: number;
  readonly slowStart: { readonly windowMs: number; readonly aggression: number; readonly minWeightPercent: number } | null;
  readonly minimumRingSize: number;
  readonly maximumRingSize: number;
  readonly maglevTableSize: number;
  /** Percent. */
  readonly healthyPanicThreshold: number;
  readonly localityWeighted: boolean;
  readonly zoneAware: boolean;
  /** Percent of the requests that zone-aware routing concerns; absent: all. */
  readonly zoneRoutingPercent?: number;
  /** Healthy hosts below which requests go to all zones; absent: 6. */
  readonly zoneMinClusterSize?: number;
  /** Percent of its share of the requests in flight that a host of a hashing policy gets at most; absent: no limit. */
  readonly hashBalanceFactor?: number;
  /** Least request looks at every host. */
  readonly fullScan?: true;
  /** Absent: routes choose among all hosts. */
  readonly subsets?: SubsetsModel;
  /** What a host that a filter asks for may be; absent: unknown, healthy or degraded. */
  readonly overrideHostStatus?: readonly HostModel['health'][];
  /** Absent: in panic every host serves, whatever its health. */
  readonly failTrafficOnPanic?: true;
  readonly overprovisioningFactor: number;
  readonly useHostnameForHashing: boolean;
}

/** `envoy.config.cluster.v3.Cluster.LbSubsetConfig`: by the values of metadata under `envoy.lb`. */
export interface SubsetsModel {
  /** For requests that no subset is found for. */
  readonly fallback: 'no-fallback' | 'any-endpoint' | 'default-subset';
  readonly defaultSubset: { readonly [key: string]: unknown };
  readonly selectors: readonly SubsetSelectorModel[];
  readonly localityWeightAware: boolean;
  readonly scaleLocalityWeight: boolean;
  /** All hosts serve where the fallback has none. */
  readonly panicModeAny: boolean;
  readonly listAsAny: boolean;
  readonly allowRedundantKeys: boolean;
  /** The route's `fallback_list` is a list of criteria to try in turn. */
  readonly metadataFallback: boolean;
}

export interface SubsetSelectorModel {
  /** Sorted. */
  readonly keys: readonly string[];
  readonly singleHostPerSubset: boolean;
  readonly fallback: 'not-defined' | 'no-fallback' | 'any-endpoint' | 'default-subset' | 'keys-subset';
  readonly fallbackKeys: readonly string[];
}

/** Counts; 4,294,967,295 is Istio's "no limit". */
export interface CircuitBreakerModel {
  readonly maxConnections: number;
  readonly maxPendingRequests: number;
  readonly maxRequests: number;
  readonly maxRetries: number;
  readonly retryBudget: { readonly percent: number; readonly minConcurrency: number } | null;
  readonly trackRemaining: boolean;
}

/** Milliseconds, counts and percent, with Envoy's defaults filled in. */
export interface OutlierDetectionModel {
  readonly consecutive5xx: number;
  readonly enforcingConsecutive5xx: number;
  readonly consecutiveGatewayFailure: number;
  readonly enforcingConsecutiveGatewayFailure: number;
  readonly consecutiveLocalOriginFailure: number;
  readonly enforcingConsecutiveLocalOriginFailure: number;
  readonly splitExternalLocalOriginErrors: boolean;
  readonly intervalMs: number;
  readonly baseEjectionTimeMs: number;
  readonly maxEjectionTimeMs: number;
  readonly maxEjectionPercent: number;
  /** One host is ejected whatever the percentage; absent: only within it. */
  readonly alwaysEjectOneHost?: true;
  /** A check that succeeds does not end an ejection; absent: it does. */
  readonly keepEjectedWhenHealthy?: true;
  /** An ejection lasts up to this much longer, by chance; absent: none. */
  readonly maxEjectionTimeJitterMs?: number;
  readonly enforcingSuccessRate: number;
  readonly successRateMinimumHosts: number;
  readonly successRateRequestVolume: number;
  readonly successRateStdevFactor: number;
  readonly enforcingFailurePercentage: number;
  readonly enforcingLocalOriginSuccessRate: number;
  readonly enforcingLocalOriginFailurePercentage: number;
  readonly failurePercentageThreshold: number;
  readonly failurePercentageMinimumHosts: number;
  readonly failurePercentageRequestVolume: number;
}

export interface LoadAssignmentModel {
  readonly clusterName: string;
  readonly localities: readonly LocalityModel[];
  readonly overprovisioningFactor: number;
}

export interface LocalityModel {
  readonly region: string;
  readonly zone: string;
  readonly subZone: string;
  readonly priority: number;
  /** 0: unset. */
  readonly weight: number;
  readonly hosts: readonly HostModel[];
}

export interface HostModel {
  readonly address: Address;
  readonly additionalAddresses: readonly Address[];
  readonly hostname: string;
  readonly weight: number;
  readonly health: 'healthy' | 'unhealthy' | 'draining' | 'timeout' | 'degraded' | 'unknown';
  readonly metadata: Metadata;
  /** Absent: it is checked where it serves. */
  readonly healthCheck?: HostHealthCheckModel;
}

/** `envoy.config.endpoint.v3.Endpoint.HealthCheckConfig`. */
export interface HostHealthCheckModel {
  /** 0: that of the address. */
  readonly port: number;
  /** Where it is checked; null: at its address. */
  readonly address: Address | null;
  /** The host of the requests; empty: as the check says. */
  readonly hostname: string;
  /** It is not checked, and as healthy as discovery says. */
  readonly isDisabled: boolean;
}

/** A cluster's hosts as the main thread hands them to a worker: every host has its slots in the shared tables. */
export interface HostSetModel {
  readonly cluster: string;
  readonly localities: readonly (Omit<LocalityModel, 'hosts'> & { readonly hosts: readonly SlottedHostModel[] })[];
  readonly overprovisioningFactor: number;
}

export interface SlottedHostModel extends HostModel {
  /** Index of the host's row in the shared host table; stable while the address stays in the cluster. */
  readonly slot: number;
  /** Wall clock at which the host joined, for slow start; absent where there is none. */
  readonly addedAtMs?: number;
  /** What active checks have found, bits of upstream/health/health-flags.ts; absent: it is not checked. */
  readonly healthFlags?: number;
  /** Discovery does not name it any more, but its checks succeed. */
  readonly isLeaving?: true;
}
