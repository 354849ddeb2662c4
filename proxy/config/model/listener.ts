/** `envoy.config.listener.v3.Listener` after compilation. */
import type { AccessLogModel } from './access-log.ts';
import type { Address, CidrRange } from './address.ts';
import type { Metadata } from './matchers.ts';
import type { SocketOptionModel } from './socket-option.ts';
import type { DownstreamTlsModel, RawBufferModel } from './tls.ts';

/** Any listener, network or HTTP filter: `kind` selects the extension in the manifest, its file defines the rest. */
export interface FilterModel {
  /** The extension's canonical name, e.g. `envoy.filters.network.tcp_proxy`. */
  readonly kind: string;
  /** The name in the configuration, which per-route configuration refers to. */
  readonly name: string;
  readonly config: unknown;
  /** Of an HTTP filter: it takes part only where a route says so. */
  readonly disabled?: true;
}

/** A filter whose configuration comes by ECDS under its name. */
export interface DiscoveredFilterModel extends FilterModel {
  readonly kind: 'discovered';
  readonly config: {
    readonly name: string;
    readonly category: 'http_filter' | 'network_filter';
    /** What runs until a configuration arrives; null: nothing. */
    readonly fallback: FilterModel | null;
    /** False: until then, nothing gets past the filter. */
    readonly hasFallback: boolean;
  };
}

export interface ListenerModel {
  readonly name: string;
  /** SHA-256 of the accepted resource: equal hashes are equal listeners. */
  readonly hash: string;
  /** First the main address, then the additional ones. An internal listener has one, its name, and no socket. */
  readonly addresses: readonly Address[];
  readonly bindToPort: boolean;
  /** Hand connections over to the listener that matches the original destination. */
  readonly useOriginalDst: boolean;
  readonly transparent: boolean;
  readonly freebind: boolean;
  /** Of the listening sockets; absent: none. Accepted sockets inherit most. */
  readonly socketOptions?: readonly SocketOptionModel[];
  readonly trafficDirection: 'unspecified' | 'inbound' | 'outbound';
  readonly statPrefix: string;
  readonly listenerFilters: readonly ListenerFilterModel[];
  /** Milliseconds; 0: none. */
  readonly listenerFiltersTimeoutMs: number;
  readonly continueOnListenerFiltersTimeout: boolean;
  readonly filterChains: readonly FilterChainModel[];
  readonly defaultFilterChain: FilterChainModel | null;
  readonly perConnectionBufferLimitBytes: number;
  readonly maxConnectionsToAcceptPerSocketEvent: number;
  readonly tcpBacklogSize: number;
  readonly ignoreGlobalConnectionLimit: boolean;
  readonly exactBalance: boolean;
  readonly accessLogs: readonly AccessLogModel[];
  readonly metadata: Metadata;
}

export interface ListenerFilterModel extends Omit<FilterModel, 'disabled'> {
  readonly disabled: ListenerFilterPredicate | null;
}

/** `ListenerFilterChainMatchPredicate`; a port range is half open. */
export type ListenerFilterPredicate =
  | { readonly kind: 'any' }
  | { readonly kind: 'destination-port-range'; readonly start: number; readonly end: number }
  | { readonly kind: 'not'; readonly rule: ListenerFilterPredicate }
  | { readonly kind: 'and' | 'or'; readonly rules: readonly ListenerFilterPredicate[] };

export interface FilterChainModel {
  readonly name: string;
  /** SHA-256 of the chain's bytes: connections of an unchanged chain survive an update of the listener. */
  readonly hash: string;
  readonly match: FilterChainMatch;
  readonly transportSocket: DownstreamTlsModel | RawBufferModel;
  /** Milliseconds for the handshake; 0: none. */
  readonly transportSocketConnectTimeoutMs: number;
  /** Network filters; the last one is terminal. */
  readonly filters: readonly FilterModel[];
  readonly metadata: Metadata;
}

/** Empty lists and null do not constrain. The order of precedence is that of Envoy's `FilterChainMatch`. */
export interface FilterChainMatch {
  readonly destinationPort: number | null;
  readonly prefixRanges: readonly CidrRange[];
  /** Lower case; `*.x` is a suffix. */
  readonly serverNames: readonly string[];
  readonly transportProtocol: string;
  readonly applicationProtocols: readonly string[];
  readonly directSourcePrefixRanges: readonly CidrRange[];
  readonly sourceType: 'any' | 'same-ip-or-loopback' | 'external';
  readonly sourcePrefixRanges: readonly CidrRange[];
  readonly sourcePorts: readonly number[];
}
