/** Classes of `envoy.config.bootstrap.v3`. */
import { classify, type FieldTable } from '../field-table.ts';

const noWatchdog = 'a dead worker ends the process, a slow one is not timed';
const systemResolver = 'the system resolver is used';
const noTracer = 'no tracer is implemented';
const bootstrap = 'envoy.config.bootstrap.v3';

const process: FieldTable = {
  [`${bootstrap}.Bootstrap`]: classify({
    implemented: `node static_resources dynamic_resources cluster_manager stats_sinks stats_config stats_flush_interval
      stats_flush_on_admin deferred_stat_options layered_runtime admin
      overload_manager bootstrap_extensions application_log_config`,
    ignored: {
      node_context_params: 'only xdstp resources use them',
      flags_path: 'there are no flag files',
      watchdog: noWatchdog,
      watchdogs: noWatchdog,
      tracing: noTracer,
      enable_dispatcher_stats: 'there is no dispatcher',
      stats_server_version_override: 'the version is that of the build',
      use_tcp_for_dns_lookups: systemResolver,
      dns_resolution_config: systemResolver,
      typed_dns_resolver_config: systemResolver,
      fatal_actions: 'nothing runs after a crash',
      inline_headers: 'every header costs the same here',
      perf_tracing_file_path: 'there is no perf tracing',
      grpc_async_client_manager_config: 'gRPC clients live as long as their streams',
      memory_allocator_manager: 'the memory is that of the JavaScript engine',
    },
    rejected: `hds_config header_prefix config_sources default_config_source default_socket_interface
      certificate_provider_instances default_regex_engine xds_delegate_extension xds_config_tracker_extension listener_manager`,
  }),
  [`${bootstrap}.Bootstrap.DeferredStatOptions`]: classify({ implemented: 'enable_deferred_creation_stats' }),
  'envoy.config.core.v3.Node': classify({
    implemented: 'id cluster metadata locality',
    ignored: {
      dynamic_parameters: 'only xdstp resources use them',
      user_agent_name: 'the proxy says what it is',
      user_agent_version: 'the proxy says what it is',
      user_agent_build_version: 'the proxy says what it is',
      extensions: 'the proxy says what it has',
      client_features: 'the proxy says what it can do',
      listening_addresses: 'only a management server of old reads it',
    },
  }),
  [`${bootstrap}.Bootstrap.StaticResources`]: classify({ implemented: 'listeners clusters secrets' }),
  [`${bootstrap}.Bootstrap.DynamicResources`]: classify({
    implemented: 'lds_config cds_config ads_config',
    rejected: 'lds_resources_locator cds_resources_locator',
  }),
  [`${bootstrap}.ClusterManager`]: classify({
    implemented: 'local_cluster_name',
    ignored: {
      outlier_detection: 'ejections are logged and counted, not written to an event log',
      load_stats_config: 'load reports are not sent',
      enable_deferred_cluster_creation: 'workers make clusters when first used in any case',
    },
    rejected: 'upstream_bind_config',
  }),
  [`${bootstrap}.Admin`]: classify({
    implemented: 'access_log access_log_path profile_path address',
    ignored: { ignore_global_conn_limit: 'the admin listener is never limited' },
    rejected: 'socket_options',
  }),
  [`${bootstrap}.Bootstrap.ApplicationLogConfig`]: classify({ implemented: 'log_format' }),
  [`${bootstrap}.Bootstrap.ApplicationLogConfig.LogFormat`]: classify({ implemented: 'json_format text_format' }),
};

const runtimeAndStats: FieldTable = {
  [`${bootstrap}.LayeredRuntime`]: classify({ implemented: 'layers' }),
  [`${bootstrap}.RuntimeLayer`]: classify({ implemented: 'name static_layer admin_layer', rejected: 'disk_layer rtds_layer' }),
  [`${bootstrap}.RuntimeLayer.AdminLayer`]: classify({}),
  'envoy.config.metrics.v3.StatsSink': classify({ implemented: 'name typed_config' }),
  'envoy.config.metrics.v3.StatsConfig': classify({
    implemented: 'stats_tags use_all_default_tags stats_matcher histogram_bucket_settings',
  }),
  'envoy.config.metrics.v3.TagSpecifier': classify({ implemented: 'tag_name regex fixed_value' }),
  'envoy.config.metrics.v3.StatsMatcher': classify({ implemented: 'reject_all exclusion_list inclusion_list' }),
  'envoy.config.metrics.v3.HistogramBucketSettings': classify({ implemented: 'match buckets' }),
  'envoy.config.overload.v3.OverloadManager': classify({
    implemented: 'resource_monitors',
    ignored: { refresh_interval: 'the connection limit is checked with every connection' },
    rejected: 'actions loadshed_points buffer_factory_config',
  }),
  'envoy.config.overload.v3.ResourceMonitor': classify({ implemented: 'name typed_config' }),
  'envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig': classify({
    implemented: 'max_active_downstream_connections',
  }),
  'envoy.extensions.bootstrap.internal_listener.v3.InternalListener': classify({
    ignored: { buffer_size_kb: 'the buffer limit of the cluster holds at both ends' },
  }),
};

export const bootstrapFields: FieldTable = { ...process, ...runtimeAndStats };
