/** `envoy.config.bootstrap.v3.Bootstrap`. Static resources stay encoded: they are compiled as if they had been pushed. */
import { findType, type protos } from '../../../protos/messages.ts';
import { type StructMessage, structToJson } from '../../../protos/struct.ts';
import type { AccessLogModel } from '../model/access-log.ts';
import type { BootstrapModel, StaticResource } from '../model/bootstrap.ts';
import { compileAccessLogs } from './access-log.ts';
import { compileSystemAddress } from './address.ts';
import { ConfigError } from './config-error.ts';
import { compileConfigSource, compileGrpcSource } from './config-source.ts';
import { defaultHttpFormat } from './format.ts';
import { type CompileContext, type CompileFindings, CompileScope } from './scope.ts';
import { compileStatsConfig } from './stats-config.ts';
import { openExpected, typeNameOf, unknownExtension } from './typed-config.ts';

type Bootstrap = protos.envoy.config.bootstrap.v3.Bootstrap;

const connectionMonitor = 'envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig';
const internalListener = 'envoy.extensions.bootstrap.internal_listener.v3.InternalListener';
const workloadDiscovery = 'istio.workload.BootstrapExtension';

export interface CompiledBootstrap extends CompileFindings {
  readonly model: BootstrapModel;
}

/** @throws ConfigError */
export function compileBootstrap(message: Bootstrap, context: CompileContext): CompiledBootstrap {
  const scope = new CompileScope(context, 'bootstrap');
  checkFields(message, scope);
  noteExtensions(message, scope);
  const statics = message.static_resources;
  const dynamics = message.dynamic_resources;
  const adsConfig = dynamics?.ads_config ?? null;
  const source = (field: 'cds_config' | 'lds_config') => {
    const config = dynamics?.[field] ?? null;
    return config === null ? null : compileConfigSource(config, `dynamic_resources.${field}`);
  };
  const model: BootstrapModel = {
    node: compileNode(message.node),
    admin: compileAdmin(message.admin, scope),
    staticSecrets: encodeAll('envoy.extensions.transport_sockets.tls.v3.Secret', statics?.secrets ?? []),
    staticClusters: encodeAll('envoy.config.cluster.v3.Cluster', statics?.clusters ?? []),
    staticListeners: encodeAll('envoy.config.listener.v3.Listener', statics?.listeners ?? []),
    ads: adsConfig === null ? null : compileGrpcSource(adsConfig, 'dynamic_resources.ads_config'),
    cds: source('cds_config'),
    lds: source('lds_config'),
    stats: compileStatsConfig(message.stats_config, 'stats_config', scope, message),
    runtimeLayers: compileRuntime(message.layered_runtime),
    ...compileLocalCluster(message),
    globalConnectionLimit: compileConnectionLimit(message.overload_manager, scope),
    jsonLog: message.application_log_config?.log_format?.json_format != null,
  };
  requireStaticNames(model);
  return { model, ...scope.findings() };
}

function checkFields(message: Bootstrap, scope: CompileScope): void {
  const type = findType('envoy.config.bootstrap.v3.Bootstrap')!;
  scope.context.fields.check(type, message, '', {
    onIgnored: (path, reason) => scope.noteIgnored(path, reason),
    onUnknown: (path, count) => scope.noteUnknown(path, count),
  });
}

/** Extensions of the process, and sinks, which are observers. */
function noteExtensions(message: Bootstrap, scope: CompileScope): void {
  for (const [i, extension] of message.bootstrap_extensions.entries()) {
    const path = `bootstrap_extensions[${i}].typed_config`;
    const any = extension.typed_config;
    const typeName = any === null ? '' : typeNameOf(any, path);
    if (any !== null && typeName === internalListener) openExpected(any, internalListener, path, scope);
    else if (typeName === workloadDiscovery) scope.warn(path, 'workload discovery is not implemented: accepted without effect');
    else throw unknownExtension('bootstrap extension', extension.name, any, path);
  }
  for (const [i, sink] of message.stats_sinks.entries()) {
    scope.warn(`stats_sinks[${i}]`, `statistics sink ${sink.name} is not implemented: accepted without effect`);
  }
}

function compileNode(node: protos.envoy.config.core.v3.Node | null): BootstrapModel['node'] {
  const locality = node?.locality;
  return {
    id: node?.id ?? '',
    cluster: node?.cluster ?? '',
    locality: { region: locality?.region ?? '', zone: locality?.zone ?? '', subZone: locality?.sub_zone ?? '' },
    metadata: structToJson(node?.metadata as StructMessage | null | undefined),
  };
}

function compileAdmin(admin: protos.envoy.config.bootstrap.v3.Admin | null, scope: CompileScope): BootstrapModel['admin'] {
  if (admin === null || admin.address === null) return null;
  const accessLogs: AccessLogModel[] = [...compileAccessLogs(admin.access_log, 'admin.access_log', scope)];
  if (admin.access_log_path !== '') {
    const format = { kind: 'text', format: defaultHttpFormat, omitEmpty: false } as const;
    accessLogs.push({ kind: 'file', path: admin.access_log_path, format, filter: null });
  }
  return { address: compileSystemAddress(admin.address, 'admin.address'), accessLogs, profilePath: admin.profile_path };
}

function encodeAll(typeName: string, messages: readonly { readonly name: string }[]): readonly StaticResource[] {
  const type = findType(typeName)!;
  return messages.map(message => ({ name: message.name, bytes: type.encode(message).finish() }));
}

function compileLocalCluster({
  cluster_manager: manager,
  static_resources: resources,
}: Bootstrap): Pick<BootstrapModel, 'localCluster'> {
  const name = manager?.local_cluster_name ?? '';
  if (name === '') return {};
  if (resources?.clusters.some(cluster => cluster.name === name)) return { localCluster: name };
  throw new ConfigError('cluster_manager.local_cluster_name', `local cluster '${name}' must be defined`);
}

function requireStaticNames(model: BootstrapModel): void {
  const seen = new Set<string>();
  for (const [i, { name }] of model.staticClusters.entries()) {
    if (seen.has(name))
      throw new ConfigError(`static_resources.clusters[${i}].name`, `cluster manager: duplicate cluster '${name}'`);
    seen.add(name);
  }
  // The stream's cluster must be there before anything dynamic can be.
  for (const source of [model.ads, model.cds?.source, model.lds?.source]) {
    if (source && 'cluster' in source && !seen.has(source.cluster)) {
      throw new ConfigError('dynamic_resources', `Unknown gRPC client cluster '${source.cluster}'`);
    }
  }
}

type RuntimeValues = { [key: string]: string | number | boolean };

function compileRuntime(runtime: protos.envoy.config.bootstrap.v3.LayeredRuntime | null): BootstrapModel['runtimeLayers'] {
  const names = new Set<string>();
  let adminLayers = 0;
  return (runtime?.layers ?? []).map((layer, i) => {
    const path = `layered_runtime.layers[${i}]`;
    if (layer.name === '') throw new ConfigError(`${path}.name`, 'value length must be at least 1 characters');
    if (names.has(layer.name)) throw new ConfigError(path, `Duplicate layer name: ${layer.name}`);
    names.add(layer.name);
    if (layer.admin_layer !== null) {
      if (adminLayers++ > 0)
        throw new ConfigError(path, 'Too many admin layers specified in LayeredRuntime, at most one may be specified');
      return { name: layer.name, kind: 'admin', values: {} };
    }
    if (layer.static_layer === null) throw new ConfigError(path, 'layer_specifier is required');
    const values: RuntimeValues = {};
    flattenRuntime(structToJson(layer.static_layer as StructMessage), '', values, `${path}.static_layer`);
    return { name: layer.name, kind: 'static', values };
  });
}

/** Nested objects are keys with dots. */
function flattenRuntime(json: { readonly [key: string]: unknown }, prefix: string, values: RuntimeValues, path: string): void {
  for (const [key, value] of Object.entries(json)) {
    const name = prefix === '' ? key : `${prefix}.${key}`;
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') values[name] = value;
    else if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      flattenRuntime(value as { [key: string]: unknown }, name, values, path);
    } else throw new ConfigError(`${path}["${name}"]`, `Invalid runtime entry value for ${name}`);
  }
}

function compileConnectionLimit(manager: protos.envoy.config.overload.v3.OverloadManager | null, scope: CompileScope): number {
  let limit = 0;
  for (const [i, monitor] of (manager?.resource_monitors ?? []).entries()) {
    const path = `overload_manager.resource_monitors[${i}]`;
    const any = monitor.typed_config;
    if (any === null || typeNameOf(any, `${path}.typed_config`) !== connectionMonitor) {
      throw unknownExtension('resource monitor', monitor.name, any, path);
    }
    const config = openExpected(any, connectionMonitor, `${path}.typed_config`, scope);
    limit = (config as { max_active_downstream_connections: number }).max_active_downstream_connections;
    if (!(limit > 0)) {
      throw new ConfigError(`${path}.typed_config.max_active_downstream_connections`, 'value must be greater than 0');
    }
  }
  return limit;
}
