/** Hands the admin API what it shows and controls. */
import type { AdminCluster, AdminContext } from './admin/admin-context.ts';
import type { BootstrapModel } from './config/model/bootstrap.ts';
import type { Server } from './server.ts';
import type { HostCounterValues } from './upstream/host-slots.ts';
import type { RegisteredCluster, RegisteredHost } from './upstream/registered-hosts.ts';

export function createAdminContext(server: Server, admin: NonNullable<BootstrapModel['admin']>): AdminContext {
  const { resources, registry, listeners, discovery, runtime } = server;
  return {
    address: admin.address,
    accessLogs: admin.accessLogs,
    bootstrap: server.bootstrap,
    bootstrapLoadedMs: server.startTimeMs,
    commandLineOptions: describeOptions(server),
    resources,
    versionInfo: kind => (kind === 'cluster' ? discovery.clusterSubscription : discovery.listenerSubscription).versionInfo,
    stats: server.merger,
    clusters: { list: () => registry.list().map(cluster => toAdminCluster(cluster, server)) },
    listeners: { list: () => listeners.list().map(({ model, addresses }) => ({ name: model.name, boundAddresses: addresses })) },
    secrets: discovery.secrets,
    runtime,
    server: {
      get state() {
        return server.state;
      },
      startTimeMs: server.startTimeMs,
      listUnready: () => discovery.pending,
      quit: () => server.quit(),
      setHealthCheckFailed: failed => server.setHealthCheckFailed(failed),
      drainListeners: options => server.drainListeners(options),
      setLogLevels: (level, components) => server.setLogLevels(level, components),
      reopenLogs: () => server.reopenLogs(),
    },
  };
}

function toAdminCluster(cluster: RegisteredCluster, server: Server): AdminCluster {
  const { model, hosts, dynamicHosts, successRates } = cluster;
  return {
    model,
    successRates,
    addedViaApi: !server.resources.get('cluster', model.name)?.isStatic,
    hosts: [...hosts, ...dynamicHosts.map(describeDynamicHost)].map(
      ({ model: host, locality, localityWeight, priority, ejected, counters }) => ({
        host,
        locality,
        localityWeight,
        priority,
        ejected,
        counters,
      }),
    ),
  };
}

/** A host that a worker made for an original destination. Its counters stay with the worker. */
function describeDynamicHost(address: string): RegisteredHost {
  const colon = address.lastIndexOf(':');
  const ip = address.slice(0, colon).replace(/[[\]]/g, '');
  return {
    model: {
      address: { kind: 'socket', address: ip, port: Number(address.slice(colon + 1)) },
      additionalAddresses: [],
      hostname: '',
      weight: 1,
      health: 'healthy',
      metadata: {},
      slot: -1,
    },
    locality: { region: '', zone: '', subZone: '' },
    localityWeight: 0,
    priority: 0,
    ejected: false,
    counters: noCounters,
  };
}

const noCounters: HostCounterValues = {
  connectionsActive: 0,
  connectFailures: 0,
  connectionsTotal: 0,
  requestsActive: 0,
  requestsFailed: 0,
  requestsSucceeded: 0,
  requestsTimedOut: 0,
  requestsTotal: 0,
};

/** `CommandLineOptions` as Envoy prints them. */
function describeOptions({ options, workerCount }: Server): AdminContext['commandLineOptions'] {
  const components = Object.entries(options.componentLogLevels).map(([component, level]) => `${component}:${level}`);
  return {
    base_id: String(options.baseId),
    concurrency: workerCount,
    config_path: options.configPath,
    config_yaml: options.configYaml,
    allow_unknown_static_fields: options.allowUnknownStaticFields,
    admin_address_path: options.adminAddressPath,
    local_address_ip_version: options.localAddressIpVersion,
    log_level: options.logLevel,
    component_log_level: components.join(','),
    log_format: options.logFormat,
    log_path: options.logPath,
    service_cluster: options.serviceCluster,
    service_node: options.serviceNode,
    service_zone: options.serviceZone,
    file_flush_interval: `${options.fileFlushIntervalMs / 1000}s`,
    drain_time: `${options.drainTimeMs / 1000}s`,
    parent_shutdown_time: `${options.parentShutdownTimeMs / 1000}s`,
    mode: options.mode === 'validate' ? 'Validate' : 'Serve',
    disable_hot_restart: options.disableHotRestart,
    enable_mutex_tracing: false,
    restart_epoch: options.restartEpoch,
    cpuset_threads: false,
    reject_unknown_dynamic_fields: options.rejectUnknownDynamicFields,
    log_format_escaped: false,
    disabled_extensions: [],
    ignore_unknown_dynamic_fields: options.ignoreUnknownDynamicFields,
    use_dynamic_base_id: false,
    base_id_path: '',
    drain_strategy: options.drainStrategy === 'immediate' ? 'Immediate' : 'Gradual',
    enable_fine_grain_logging: false,
    socket_path: '@envoy_domain_socket',
    socket_mode: 0,
    enable_core_dump: false,
    stats_tag: [],
    skip_hot_restart_on_no_parent: false,
    skip_hot_restart_parent_stats: false,
    skip_deprecated_logs: options.skipDeprecatedLogs,
    file_flush_min_size: options.fileFlushMinBytes,
    log_stacktrace_single_entry: false,
  };
}
