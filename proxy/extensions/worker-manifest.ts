/**
 * Every extension that runs on the request path, by the `kind` of its compiled model. Nothing registers itself by being
 * imported: what is not listed here does not exist.
 */
import { createDiscoveredHttpFilter, createDiscoveredNetworkFilter } from './discovered/discovered-filter.ts';
import { buildDenyFilter } from './filters/http/deny/deny-filter.ts';
import { createAlpnFilter } from './filters/http/alpn/alpn-filter.ts';
import { createCompressorFilter } from './filters/http/compressor/compressor-filter.ts';
import { createCorsFilter } from './filters/http/cors/cors-filter.ts';
import { createFaultFilter } from './filters/http/fault/fault-filter.ts';
import { createGrpcStatsFilter } from './filters/http/grpc-stats/grpc-stats-filter.ts';
import { createGrpcWebFilter } from './filters/http/grpc-web/grpc-web-filter.ts';
import { createIstioStatsFilter } from './filters/http/istio-stats/filter.ts';
import { createLocalRateLimitFilter } from './filters/http/local-ratelimit/local-ratelimit-filter.ts';
import { createPeerMetadataFilter } from './filters/http/peer-metadata/filter.ts';
import { createSetFilterStateFilter } from './filters/http/set-filter-state/set-filter-state-filter.ts';
import { createStatefulSessionFilter } from './filters/http/stateful-session/stateful-session-filter.ts';
import { buildDenyNetworkFilter } from './filters/network/deny/deny-filter.ts';
import { createIstioStatsTcpFilter } from './filters/network/istio-stats/filter.ts';
import { createConnectionRateLimitFilter } from './filters/network/local-ratelimit/local-ratelimit-filter.ts';
import { createMetadataExchangeFilter } from './filters/network/metadata-exchange/filter.ts';
import { createSetConnectionStateFilter } from './filters/network/set-filter-state/set-filter-state-filter.ts';
import { buildTcpProxy } from './filters/network/tcp-proxy/tcp-proxy-filter.ts';
import { buildConnectionManager } from '../http/connection-manager.ts';
import type { HttpFilterBuilders } from '../http/filter.ts';
import type { NetworkFilterBuilders } from '../network/filter.ts';
import { createRouterFilterFactory } from '../router/router-filter.ts';

/** Network filters, downstream and upstream. */
export const networkFilters: NetworkFilterBuilders = {
  discovered: createDiscoveredNetworkFilter(() => networkFilters),
  'envoy.filters.network.ext_authz': buildDenyNetworkFilter,
  'envoy.filters.network.http_connection_manager': buildConnectionManager,
  'envoy.filters.network.local_ratelimit': createConnectionRateLimitFilter,
  'envoy.filters.network.metadata_exchange': createMetadataExchangeFilter,
  'envoy.filters.network.rbac': buildDenyNetworkFilter,
  'envoy.filters.network.set_filter_state': createSetConnectionStateFilter,
  'envoy.filters.network.tcp_proxy': buildTcpProxy,
  'istio.stats': createIstioStatsTcpFilter,
};

/** HTTP filters. */
export const httpFilters: HttpFilterBuilders = {
  discovered: createDiscoveredHttpFilter,
  'envoy.filters.http.compressor': createCompressorFilter,
  'envoy.filters.http.cors': createCorsFilter,
  'envoy.filters.http.fault': createFaultFilter,
  'envoy.filters.http.grpc_stats': createGrpcStatsFilter,
  'envoy.filters.http.grpc_web': createGrpcWebFilter,
  'istio.alpn': createAlpnFilter,
  'envoy.filters.http.ext_authz': buildDenyFilter,
  'envoy.filters.http.jwt_authn': buildDenyFilter,
  'envoy.filters.http.local_ratelimit': createLocalRateLimitFilter,
  'envoy.filters.http.peer_metadata': createPeerMetadataFilter,
  'envoy.filters.http.rbac': buildDenyFilter,
  'envoy.filters.http.router': createRouterFilterFactory,
  'envoy.filters.http.set_filter_state': createSetFilterStateFilter,
  'envoy.filters.http.stateful_session': createStatefulSessionFilter,
  'istio.stats': createIstioStatsFilter,
};
