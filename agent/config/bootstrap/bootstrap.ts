/**
 * The proxy's bootstrap file, as plain objects in ProtoJSON with .proto field names.
 *
 * Source: the defaults that Istio gives every sidecar (pkg/bootstrap of istio.io/istio); same meaning, own form.
 */
import { AgentLogger } from '../../log.ts';
import type { AddressFamily } from '../addresses.ts';
import type { Environment } from '../environment.ts';
import { mergeMetadata, type Node } from '../node-metadata.ts';
import type { Json, JsonObject } from '../proto-json.ts';
import type { ProxyConfig } from '../proxy-config.ts';
import { nameServiceCluster } from '../service-cluster.ts';
import { buildClusters } from './clusters.ts';
import { buildListeners } from './listeners.ts';
import { type SocketAddress, splitAddress } from './socket-address.ts';
import { buildStats } from './stats.ts';

const log = new AgentLogger('default');

export type BootstrapSources = {
  readonly node: Node;
  readonly proxyConfig: ProxyConfig;
  readonly environment: Environment;
  readonly family: AddressFamily;
  /** The first address of the node is an IPv6 one. */
  readonly firstIsV6: boolean;
  readonly logAsJson: boolean;
};

/** Addresses that depend on the families of the node. */
export type LocalAddresses = {
  readonly localhost: string;
  readonly wildcard: string;
  /** The other family's, with ISTIO_DUAL_STACK. */
  readonly additional: { readonly localhost: string; readonly wildcard: string } | null;
  readonly dnsLookupFamily: 'V4_ONLY' | 'V6_ONLY' | 'ALL';
};

/**
 * Builds the bootstrap.
 * @throws if an address of the ProxyConfig cannot be parsed.
 */
export function buildBootstrap(sources: BootstrapSources): JsonObject {
  const { node, proxyConfig, environment } = sources;
  const addresses = chooseAddresses(sources);
  const discovery = usesMetadataDiscovery(node, environment);
  const cluster = nameServiceCluster(proxyConfig, node);
  const tracer = chooseTracer(proxyConfig, environment.hostIp);
  return {
    application_log_config: { log_format: sources.logAsJson ? { json_format: jsonLogFormat } : { text_format: textLogFormat } },
    node: { id: node.id, cluster, locality: renderLocality(node), metadata: mergeMetadata(node) },
    layered_runtime: {
      layers: [
        { name: 'global config', static_layer: buildRuntimeFlags(proxyConfig, environment) },
        { name: 'admin', admin_layer: {} },
      ],
    },
    bootstrap_extensions: buildExtensions(discovery),
    ...buildStats({ node, proxyConfig, discovery, exitOnZero: environment.exitOnZeroActiveConnections }),
    admin: buildAdmin(addresses.localhost, proxyConfig.proxyAdminPort),
    dynamic_resources: buildDynamicResources(usesDelta(node, environment)),
    static_resources: {
      clusters: buildClusters({ node, proxyConfig, environment, addresses, tracer }),
      listeners: buildListeners({ proxyConfig, environment, addresses }),
    },
    overload_manager: buildOverloadManager(proxyConfig),
    ...(tracer === null ? {} : { tracing: { http: buildTracing(tracer, cluster, proxyConfig) } }),
    ...buildStatsSinks(proxyConfig, environment.hostIp),
    ...buildClusterManager(node),
    deferred_stat_options: { enable_deferred_creation_stats: true },
  };
}

const textLogFormat = '%Y-%m-%dT%T.%fZ\t%l\tenvoy %n %g:%#\t%v\tthread=%t';
const jsonLogFormat = {
  time: '%Y-%m-%dT%T.%fZ',
  level: '%l',
  scope: 'envoy %n',
  msg: '%j',
  caller: '%g:%#',
  thread: '%t',
} as const;

export type Tracer = { readonly kind: 'zipkin' | 'lightstep' | 'datadog'; readonly address: SocketAddress };

function chooseTracer(config: ProxyConfig, hostIp: string): Tracer | null {
  for (const kind of ['zipkin', 'lightstep', 'datadog'] as const) {
    const collector = config.tracing?.[kind];
    if (collector?.address !== undefined) return { kind, address: splitAddress(kind, collector.address, hostIp) };
  }
  return null;
}

function chooseAddresses({ family, firstIsV6, environment }: BootstrapSources): LocalAddresses {
  const v4 = { localhost: '127.0.0.1', wildcard: '0.0.0.0' };
  const v6 = { localhost: '::1', wildcard: '::' };
  if (family === 'v6') return { ...v6, additional: null, dnsLookupFamily: 'V6_ONLY' };
  if (family === 'v4' || !environment.dualStack) return { ...v4, additional: null, dnsLookupFamily: 'V4_ONLY' };
  return firstIsV6 ? { ...v6, additional: v4, dnsLookupFamily: 'ALL' } : { ...v4, additional: v6, dnsLookupFamily: 'ALL' };
}

function isWaypoint(node: Node): boolean {
  return node.id.startsWith('waypoint~');
}

function usesDelta(node: Node, environment: Environment): boolean {
  return environment.deltaXds || isWaypoint(node);
}

function usesMetadataDiscovery(node: Node, environment: Environment): boolean {
  const wanted = isWaypoint(node) || node.typed.METADATA_DISCOVERY === 'true';
  if (wanted && !usesDelta(node, environment)) {
    log.warn('disabling metadata discovery; not supported on SotW XDS');
    return false;
  }
  return wanted;
}

function renderLocality({ locality }: Node): JsonObject {
  return {
    ...(locality.region === undefined ? {} : { region: locality.region }),
    ...(locality.zone === undefined ? {} : { zone: locality.zone }),
    ...(locality.subZone === undefined ? {} : { sub_zone: locality.subZone }),
  };
}

/** Runtime values are strings in Istio's API, but Envoy wants real booleans; an empty one removes a default. */
function buildRuntimeFlags(config: ProxyConfig, environment: Environment): JsonObject {
  const flags: Record<string, Json> = {
    're2.max_program_size.error_level': '32768',
    'envoy.deprecated_features:envoy.config.listener.v3.Listener.hidden_envoy_deprecated_use_original_dst': true,
    'envoy.reloadable_features.http_reject_path_with_fragment': false,
    'envoy.reloadable_features.fixed_heap_use_allocated': true,
    'envoy.reloadable_features.coalesce_lb_rebuilds_on_batch_update': false,
  };
  if (environment.compliancePolicy === 'fips-140-2') {
    flags['envoy.reloadable_features.google_grpc_disable_tls_13'] = true;
  }
  if (!environment.stripFragment) {
    flags['envoy.reloadable_features.http_strip_fragment_from_path_unsafe_if_disabled'] = 'false';
  }
  for (const [name, value] of Object.entries(config.runtimeValues ?? {})) {
    if (value === '') delete flags[name];
    else flags[name] = value === 'true' ? true : value === 'false' ? false : value;
  }
  return flags;
}

function buildExtensions(discovery: boolean): readonly JsonObject[] {
  const extension = (name: string, typeUrl: string, value: JsonObject): JsonObject => ({
    name,
    typed_config: { '@type': 'type.googleapis.com/udpa.type.v1.TypedStruct', type_url: typeUrl, value },
  });
  const internalListener = 'type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener';
  const workloads = 'type.googleapis.com/istio.workload.BootstrapExtension';
  return [
    ...(discovery ? [extension('metadata_discovery', workloads, { config_source: { ads: {} } })] : []),
    extension('envoy.bootstrap.internal_listener', internalListener, { buffer_size_kb: 64 }),
  ];
}

function buildAdmin(localhost: string, port: number): JsonObject {
  const fileAccessLog = 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog';
  return {
    access_log: [{ name: 'envoy.access_loggers.file', typed_config: { '@type': fileAccessLog, path: '/dev/null' } }],
    profile_path: '/var/lib/istio/data/envoy.prof',
    address: { socket_address: { address: localhost, port_value: port } },
  };
}

function buildDynamicResources(delta: boolean): JsonObject {
  const fromAds = { ads: {}, initial_fetch_timeout: '0s', resource_api_version: 'V3' };
  return {
    lds_config: fromAds,
    cds_config: fromAds,
    ads_config: {
      api_type: delta ? 'DELTA_GRPC' : 'GRPC',
      set_node_on_first_message_only: true,
      transport_api_version: 'V3',
      grpc_services: [{ envoy_grpc: { cluster_name: 'xds-grpc' } }],
    },
  };
}

const unlimitedConnections = 2 ** 31 - 1;

function buildOverloadManager(config: ProxyConfig): JsonObject {
  const limits = [
    config.proxyMetadata?.ISTIO_META_GLOBAL_DOWNSTREAM_MAX_CONNECTIONS,
    config.runtimeValues?.['overload.global_downstream_max_connections'],
  ];
  const limit = limits.find(text => text !== undefined && /^[-+]?\d+$/.test(text));
  const typeName = 'envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig';
  return {
    resource_monitors: [
      {
        name: 'envoy.resource_monitors.global_downstream_max_connections',
        typed_config: {
          '@type': `type.googleapis.com/${typeName}`,
          max_active_downstream_connections: limit === undefined ? unlimitedConnections : Number(limit),
        },
      },
    ],
  };
}

function buildTracing(tracer: Tracer, cluster: string, config: ProxyConfig): JsonObject {
  const provider = (name: string, type: string, fields: JsonObject): JsonObject => ({
    name: `envoy.tracers.${name}`,
    typed_config: { '@type': `type.googleapis.com/envoy.config.trace.v3.${type}`, ...fields },
  });
  switch (tracer.kind) {
    case 'zipkin':
      return provider('zipkin', 'ZipkinConfig', {
        collector_cluster: 'zipkin',
        collector_endpoint: '/api/v2/spans',
        collector_endpoint_version: 'HTTP_JSON',
        trace_id_128bit: true,
        shared_span_context: false,
      });
    case 'lightstep':
      return provider('lightstep', 'LightstepConfig', {
        collector_cluster: 'lightstep',
        access_token_file: lightstepTokenPath(config),
      });
    case 'datadog':
      return provider('datadog', 'DatadogConfig', { collector_cluster: 'datadog_agent', service_name: cluster });
  }
}

/** Where the agent writes the token that the Lightstep tracer reads. */
export function lightstepTokenPath(config: ProxyConfig): string {
  return `${config.configPath.replace(/^\.\//, '').replace(/\/$/, '')}/lightstep_access_token.txt`;
}

function buildStatsSinks(config: ProxyConfig, hostIp: string): JsonObject {
  const sinks: JsonObject[] = [];
  const sink = (name: string, type: string, fields: JsonObject): JsonObject => ({
    name: `envoy.stat_sinks.${name}`,
    typed_config: { '@type': `type.googleapis.com/envoy.config.metrics.v3.${type}`, ...fields },
  });
  if (config.envoyMetricsService?.address !== undefined) {
    const service = { envoy_grpc: { cluster_name: 'envoy_metrics_service' } };
    sinks.push(sink('metrics_service', 'MetricsServiceConfig', { transport_api_version: 'V3', grpc_service: service }));
  }
  if (config.statsdUdpAddress !== undefined) {
    const address = { socket_address: splitAddress('statsd', config.statsdUdpAddress, hostIp) };
    sinks.push(sink('statsd', 'StatsdSink', { address }));
  }
  return sinks.length === 0 ? {} : { stats_sinks: sinks };
}

function buildClusterManager(node: Node): JsonObject {
  const outlierLogPath = node.typed.OUTLIER_LOG_PATH;
  const loadStats = node.raw.LOAD_STATS_CONFIG_JSON;
  const selfDiscovery = node.typed.ENABLE_SELF_DISCOVERY === 'true';
  if (outlierLogPath === undefined && typeof loadStats !== 'string' && !selfDiscovery) return {};
  return {
    cluster_manager: {
      ...(selfDiscovery ? { local_cluster_name: 'local_cluster' } : {}),
      ...(outlierLogPath === undefined ? {} : { outlier_detection: { event_log_path: outlierLogPath } }),
      ...(typeof loadStats === 'string' ? { load_stats_config: JSON.parse(loadStats) as Json } : {}),
      enable_deferred_cluster_creation: true,
    },
  };
}
