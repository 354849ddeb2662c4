/** `envoy.config.bootstrap.v3.Bootstrap`: everything but the resources, which are compiled one by one. */
import { decodeMessage, encodeMessage, type MessageName, type protos } from '../../../protos/messages.ts';
import { structToJson } from '../../../protos/struct.ts';
import type { BootstrapModel, ConfigSourceModel, StaticResource } from '../model/bootstrap.ts';
import type { StatsConfigModel } from '../model/stats.ts';
import { compileAccessLogs } from './access-log.ts';
import { compileAddress } from './address.ts';
import { ConfigError } from './config-error.ts';
import { compileConfigSource, compileGrpcSource } from './config-source.ts';
import { compileStringMatcher } from './matchers.ts';
import { requireText, unwrap } from './scalars.ts';
import { type CompileContext, type CompileFindings, CompileScope } from './scope.ts';

type Bootstrap = protos.envoy.config.bootstrap.v3.Bootstrap;

/** Fields that are accepted without effect, and why. */
const inertFields: { readonly [field in keyof Bootstrap]?: string } = {
  hds_config: 'health discovery is not implemented',
  stats_sinks: 'statistics are pulled, not pushed',
  watchdog: 'a stuck thread is not watched',
  watchdogs: 'a stuck thread is not watched',
  tracing: 'tracers are not implemented',
  fatal_actions: 'there are no fatal actions',
  perf_tracing_file_path: 'there is no performance tracing',
};

export interface CompiledBootstrap extends CompileFindings {
  readonly model: BootstrapModel;
}

/** @throws ConfigError */
export function compileBootstrap(message: Bootstrap, context: CompileContext): CompiledBootstrap {
  const scope = new CompileScope(context, 'bootstrap');
  for (const [field, reason] of Object.entries(inertFields)) {
    const value = message[field as keyof Bootstrap];
    if (value !== null && value !== '' && !(Array.isArray(value) && value.length === 0)) scope.warn(field, reason as string);
  }
  const { static_resources: resources, dynamic_resources: dynamic } = message;
  const dynamicSource = (field: 'cds_config' | 'lds_config'): ConfigSourceModel | null => {
    const source = dynamic?.[field] ?? null;
    return source === null ? null : compileConfigSource(source, `dynamic_resources.${field}`);
  };
  const ads = dynamic?.ads_config ?? null;
  const model: BootstrapModel = {
    node: compileNode(message.node),
    admin: compileAdmin(message.admin, scope),
    staticSecrets: encodeAll('envoy.extensions.transport_sockets.tls.v3.Secret', resources?.secrets),
    staticClusters: encodeAll('envoy.config.cluster.v3.Cluster', resources?.clusters),
    staticListeners: encodeAll('envoy.config.listener.v3.Listener', resources?.listeners),
    ads: ads === null ? null : compileGrpcSource(ads, 'dynamic_resources.ads_config'),
    cds: dynamicSource('cds_config'),
    lds: dynamicSource('lds_config'),
    stats: compileStats(message.stats_config, scope),
    runtimeLayers: (message.layered_runtime?.layers ?? []).map(compileRuntimeLayer),
    globalConnectionLimit: compileConnectionLimit(message.overload_manager, scope),
    jsonLog: message.application_log_config?.log_format?.log_format === 'json_format',
  };
  return { model, ...scope.findings() };
}

function encodeAll(name: MessageName, messages: readonly { readonly name: string }[] = []): StaticResource[] {
  return messages.map(message => ({ name: message.name, bytes: encodeMessage(name, message as never) }));
}

function compileNode(node: Bootstrap['node']): BootstrapModel['node'] {
  const { region = '', zone = '', sub_zone: subZone = '' } = node?.locality ?? {};
  return {
    id: node?.id ?? '',
    cluster: node?.cluster ?? '',
    locality: { region, zone, subZone },
    metadata: structToJson(node?.metadata as never),
  };
}

function compileAdmin(admin: Bootstrap['admin'], scope: CompileScope): BootstrapModel['admin'] {
  if (admin === null || admin.address === null) return null;
  const accessLogs = [...compileAccessLogs(admin.access_log, 'admin.access_log', scope)];
  return { address: compileAddress(admin.address, 'admin.address'), accessLogs, profilePath: admin.profile_path };
}

function compileStats(config: Bootstrap['stats_config'], scope: CompileScope): StatsConfigModel {
  const path = 'stats_config';
  const matcher = config?.stats_matcher ?? null;
  const list = matcher?.inclusion_list ?? matcher?.exclusion_list ?? null;
  const kinds = {
    reject_all: matcher?.reject_all ? 'none' : 'all',
    inclusion_list: 'inclusion',
    exclusion_list: 'exclusion',
  } as const;
  const kind = matcher?.stats_matcher === undefined ? 'all' : kinds[matcher.stats_matcher];
  return {
    useAllDefaultTags: unwrap(config?.use_all_default_tags ?? null, true),
    tags: (config?.stats_tags ?? []).map(tag => ({
      name: tag.tag_name,
      regex: tag.regex || null,
      fixedValue: tag.fixed_value || null,
    })),
    matcher: {
      kind,
      patterns: (list?.patterns ?? []).map((pattern, i) =>
        compileStringMatcher(pattern, `${path}.stats_matcher.patterns[${i}]`, scope),
      ),
    },
    histogramBuckets: (config?.histogram_bucket_settings ?? []).map(({ match, buckets }, i) => {
      const at = `${path}.histogram_bucket_settings[${i}]`;
      if (match === null) throw new ConfigError(`${at}.match`, 'value is required');
      const ascending = buckets.every((bound, j) => j === 0 || bound > buckets[j - 1]);
      if (!ascending) throw new ConfigError(`${at}.buckets`, 'values must be in ascending order');
      return { match: compileStringMatcher(match, `${at}.match`, scope), bounds: [...buckets] };
    }),
  };
}

function compileRuntimeLayer(
  layer: protos.envoy.config.bootstrap.v3.RuntimeLayer,
  index: number,
): BootstrapModel['runtimeLayers'][number] {
  const path = `layered_runtime.layers[${index}]`;
  const name = requireText(layer.name, `${path}.name`);
  switch (layer.layer_specifier) {
    case 'static_layer':
      return { name, kind: 'static', values: flattenRuntime(structToJson(layer.static_layer as never), '') };
    case 'admin_layer':
      return { name, kind: 'admin', values: {} };
    case undefined:
      throw new ConfigError(path, 'layer_specifier is required');
    default:
      throw new ConfigError(`${path}.${layer.layer_specifier}`, 'is not implemented');
  }
}

/** Nested objects are keys with dots, as in Envoy. */
function flattenRuntime(json: { readonly [key: string]: unknown }, prefix: string): { [key: string]: string | number | boolean } {
  const values: { [key: string]: string | number | boolean } = {};
  for (const [key, value] of Object.entries(json)) {
    const name = prefix + key;
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') values[name] = value;
    else if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      const nested = value as { readonly [key: string]: unknown };
      // A fractional percent stays one value: its numerator counts in percent.
      if ('numerator' in nested) values[name] = Number(nested.numerator);
      else Object.assign(values, flattenRuntime(nested, `${name}.`));
    }
  }
  return values;
}

const connectionMonitor = 'envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig';

function compileConnectionLimit(manager: Bootstrap['overload_manager'], scope: CompileScope): number {
  let limit = 0;
  for (const [i, { typed_config: config, name }] of (manager?.resource_monitors ?? []).entries()) {
    const path = `overload_manager.resource_monitors[${i}]`;
    if (config?.type_url.endsWith(`/${connectionMonitor}`)) {
      limit = decodeMessage(connectionMonitor, config.value).max_active_downstream_connections;
      if (limit <= 0)
        throw new ConfigError(`${path}.typed_config.max_active_downstream_connections`, 'value must be greater than 0');
    } else {
      scope.warn(path, `the resource monitor ${name} is not implemented`);
    }
  }
  if ((manager?.actions.length ?? 0) > 0) scope.warn('overload_manager.actions', 'overload actions are not implemented');
  return limit;
}
