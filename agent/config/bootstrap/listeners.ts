/** The static listeners of the bootstrap: statistics on 15090, readiness on 15021, and optional metrics over mutual TLS. */
import type { Environment } from '../environment.ts';
import type { JsonObject } from '../proto-json.ts';
import type { ProxyConfig } from '../proxy-config.ts';
import type { LocalAddresses } from './bootstrap.ts';
import { sdsSecret } from './upstream-tls.ts';

type ListenerSources = {
  readonly proxyConfig: ProxyConfig;
  readonly environment: Environment;
  readonly addresses: LocalAddresses;
};

type Route = { readonly prefix: string; readonly cluster: string };
const statsRoute: Route = { prefix: '/stats/prometheus', cluster: 'prometheus_stats' };

export function buildListeners({ proxyConfig, environment, addresses }: ListenerSources): readonly JsonObject[] {
  const { wildcard, localhost, additional } = addresses;
  const localOnly = proxyConfig.proxyMetadata?.METRICS_LOCALHOST_ACCESS_ONLY === 'true';
  const listeners = [
    buildListener({
      address: localOnly ? localhost : wildcard,
      additional: additional === null ? null : localOnly ? additional.localhost : additional.wildcard,
      port: environment.envoyPrometheusPort,
      statPrefix: 'stats',
      routes: [statsRoute],
      filters: proxyConfig.statsCompression === false ? [] : compressors.map(buildCompressor),
    }),
  ];
  const merged = ['/stats/prometheus', '/metrics'].map(prefix => ({ prefix, cluster: 'agent' }));
  for (const { port, statPrefix, routes } of [
    { port: environment.envoySecureMetricsPort, statPrefix: 'secure_stats', routes: [statsRoute] },
    { port: environment.envoySecureMergedMetricsPort, statPrefix: 'secure_merged_stats', routes: merged },
  ]) {
    if (port !== 0) listeners.push(buildSecureListener(wildcard, port, statPrefix, routes));
  }
  listeners.push({
    ...buildListener({
      address: wildcard,
      additional: additional?.wildcard ?? null,
      port: environment.envoyStatusPort,
      statPrefix: 'agent',
      routes: [{ prefix: '/healthz/ready', cluster: 'agent' }],
      filters: [],
    }),
    ...(environment.envoyStatusPortProxyProtocol ? { listener_filters: [proxyProtocolFilter] } : {}),
  });
  return listeners;
}

const proxyProtocolFilter: JsonObject = {
  name: 'envoy.listener.proxy_protocol',
  typed_config: {
    '@type': 'type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol',
    allow_requests_without_proxy_protocol: true,
  },
};

type ListenerOptions = {
  readonly address: string;
  readonly additional: string | null;
  readonly port: number;
  readonly statPrefix: string;
  readonly routes: readonly Route[];
  /** HTTP filters before the router. */
  readonly filters: readonly JsonObject[];
};

function tcpAddress(address: string, port: number): JsonObject {
  return { socket_address: { protocol: 'TCP', address, port_value: port } };
}

function buildListener({ address, additional, port, ...http }: ListenerOptions): JsonObject {
  return {
    name: `${address}_${port}`,
    address: tcpAddress(address, port),
    ...(additional === null ? {} : { additional_addresses: [{ address: tcpAddress(additional, port) }] }),
    // Probes and scrapes must get through when the proxy is full.
    ignore_global_conn_limit: true,
    bypass_overload_manager: true,
    filter_chains: [{ filters: [buildConnectionManager(http)] }],
  };
}

function buildConnectionManager({
  statPrefix,
  routes,
  filters,
}: Omit<ListenerOptions, 'address' | 'additional' | 'port'>): JsonObject {
  const http = 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';
  const router = 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router';
  const virtualHost = {
    name: 'backend',
    domains: ['*'],
    routes: routes.map(({ prefix, cluster }) => ({ match: { prefix }, route: { cluster } })),
  };
  return {
    name: 'envoy.filters.network.http_connection_manager',
    typed_config: {
      '@type': http,
      codec_type: 'AUTO',
      stat_prefix: statPrefix,
      route_config: { virtual_hosts: [virtualHost] },
      http_filters: [...filters, { name: 'envoy.filters.http.router', typed_config: { '@type': router } }],
    },
  };
}

/** In the order of preference for a scraper that accepts several. */
const compressors = ['brotli', 'zstd', 'gzip'] as const;
const scrapeTypes = [
  'text/plain',
  'application/vnd.google.protobuf',
  'application/openmetrics-text',
  'application/openmetrics-protobuf',
] as const;

function buildCompressor(algorithm: (typeof compressors)[number]): JsonObject {
  const message = `${algorithm[0].toUpperCase()}${algorithm.slice(1)}`;
  const library = `type.googleapis.com/envoy.extensions.compression.${algorithm}.compressor.v3.${message}`;
  return {
    name: `envoy.filters.http.compressor.${algorithm}`,
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.filters.http.compressor.v3.Compressor',
      compressor_library: { name: `stats_${algorithm}`, typed_config: { '@type': library } },
      response_direction_config: { common_config: { content_type: scrapeTypes } },
    },
  };
}

function buildSecureListener(address: string, port: number, statPrefix: string, routes: readonly Route[]): JsonObject {
  const tlsInspector = 'type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector';
  const downstreamTls = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext';
  const transportSocket = {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      '@type': downstreamTls,
      require_client_certificate: true,
      common_tls_context: {
        tls_certificate_sds_secret_configs: [sdsSecret('default')],
        combined_validation_context: {
          default_validation_context: {},
          validation_context_sds_secret_config: sdsSecret('ROOTCA'),
        },
      },
    },
  };
  return {
    ...buildListener({ address, additional: null, port, statPrefix, routes, filters: [] }),
    listener_filters: [{ name: 'envoy.filters.listener.tls_inspector', typed_config: { '@type': tlsInspector } }],
    filter_chains: [
      {
        filter_chain_match: { transport_protocol: 'tls' },
        transport_socket: transportSocket,
        filters: [buildConnectionManager({ statPrefix, routes, filters: [] })],
      },
    ],
  };
}
