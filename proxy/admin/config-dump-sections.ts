/**
 * The sections of `/config_dump`: one message of envoy.admin.v3 each, whose lists are made entry by entry from the resources
 * as they were received.
 */
import { findType } from '../../protos/messages.ts';
import { anyToJson, type JsonObject, messageToJson } from '../../protos/json-writer.ts';
import type { ResourceEntry, ResourceKind, ResourceVersion } from '../xds/resource-store.ts';
import type { AdminContext } from './admin-context.ts';
import { renderEndpointConfigs } from './endpoints-dump.ts';
import { nodeToJson } from './node-json.ts';

/** A named entry of a list, made when it is asked for. */
export interface DumpEntry {
  readonly name: string;
  toJson(): JsonObject;
}

export interface DumpList {
  readonly field: string;
  /** The message of its entries, without package. */
  readonly entryType: string;
  readonly entries: Iterable<DumpEntry>;
}

export interface DumpSection {
  /** Without package. */
  readonly type: string;
  /** Fields that are no lists. */
  readonly fields: JsonObject;
  readonly lists: readonly DumpList[];
}

const redacted = { redact: true } as const;

const messageOf: { readonly [K in ResourceKind]: string } = {
  cluster: 'envoy.config.cluster.v3.Cluster',
  endpoints: 'envoy.config.endpoint.v3.ClusterLoadAssignment',
  listener: 'envoy.config.listener.v3.Listener',
  route: 'envoy.config.route.v3.RouteConfiguration',
  secret: 'envoy.extensions.transport_sockets.tls.v3.Secret',
  extension: 'envoy.config.core.v3.TypedExtensionConfig',
};

/** A message without the fields that are at their default. */
function compact(fields: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== '' && value !== null && value !== undefined));
}

function formatTime(timeMs: number): string | null {
  return timeMs === 0 ? null : new Date(timeMs).toISOString();
}

function versionFields(version: ResourceVersion, kind: ResourceKind, field: string): JsonObject {
  return compact({
    version_info: version.versionInfo,
    [field]: anyToJson(messageOf[kind], version.bytes, redacted),
    last_updated: formatTime(version.lastUpdatedMs),
  });
}

/** `error_state`, or null. */
function failureFields({ failure }: ResourceEntry, kind: ResourceKind): JsonObject | null {
  if (failure === null) return null;
  return compact({
    failed_configuration: failure.bytes === null ? null : anyToJson(messageOf[kind], failure.bytes, redacted),
    last_update_attempt: formatTime(failure.lastAttemptMs),
    details: failure.details,
    version_info: failure.versionInfo,
  });
}

type Slot = 'active' | 'warming' | 'draining';

/** Entries of a kind whose version in `slot` exists. */
function* select(
  context: AdminContext,
  kind: ResourceKind,
  isStatic: boolean,
  slot: Slot,
): Generator<[ResourceEntry, ResourceVersion]> {
  for (const entry of context.resources.list(kind)) {
    const version = entry[slot];
    if (entry.isStatic === isStatic && version !== null) yield [entry, version];
  }
}

/** A list of one field per version, as clusters, routes and extensions have it. */
function versionList(
  context: AdminContext,
  kind: ResourceKind,
  options: { field: string; entryType: string; inner: string; isStatic: boolean; slot: Slot },
): DumpList {
  function* entries(): Generator<DumpEntry> {
    for (const [entry, version] of select(context, kind, options.isStatic, options.slot)) {
      const shown = options.isStatic ? { ...version, versionInfo: '' } : version;
      yield {
        name: entry.name,
        toJson: () => {
          const error = options.isStatic || options.slot === 'warming' ? null : failureFields(entry, kind);
          return { ...versionFields(shown, kind, options.inner), ...(error !== null && { error_state: error }) };
        },
      };
    }
  }
  return { field: options.field, entryType: options.entryType, entries: entries() };
}

/** Rejected resources of which no version was ever accepted. */
function* failuresOnly(
  context: AdminContext,
  kind: ResourceKind,
  toJson: (error: JsonObject, name: string) => JsonObject,
): Generator<DumpEntry> {
  for (const entry of context.resources.list(kind)) {
    if (entry.active !== null || entry.warming !== null) continue;
    const error = failureFields(entry, kind);
    if (error !== null) yield { name: entry.name, toJson: () => toJson(error, entry.name) };
  }
}

function* concat(...lists: readonly Iterable<DumpEntry>[]): Generator<DumpEntry> {
  for (const list of lists) yield* list;
}

export function bootstrapSection(context: AdminContext): DumpSection {
  const type = findType('envoy.config.bootstrap.v3.Bootstrap');
  const bootstrap = type === null ? {} : (messageToJson(type, context.bootstrap, redacted) as JsonObject);
  return {
    type: 'BootstrapConfigDump',
    fields: {
      bootstrap: { node: nodeToJson(context.bootstrap.node, false), ...omit(bootstrap, 'node') },
      last_updated: formatTime(context.bootstrapLoadedMs),
    },
    lists: [],
  };
}

function omit(json: JsonObject, key: string): JsonObject {
  const { [key]: _, ...rest } = json;
  return rest;
}

export function clustersSection(context: AdminContext): DumpSection {
  const dynamic = { entryType: 'ClustersConfigDump.DynamicCluster', inner: 'cluster', isStatic: false } as const;
  const active = versionList(context, 'cluster', { field: 'dynamic_active_clusters', ...dynamic, slot: 'active' });
  const warming = versionList(context, 'cluster', { field: 'dynamic_warming_clusters', ...dynamic, slot: 'warming' });
  const failed = failuresOnly(context, 'cluster', error => ({ error_state: error }));
  return {
    type: 'ClustersConfigDump',
    fields: compact({ version_info: context.versionInfo('cluster') }),
    lists: [
      versionList(context, 'cluster', {
        field: 'static_clusters',
        entryType: 'ClustersConfigDump.StaticCluster',
        inner: 'cluster',
        isStatic: true,
        slot: 'active',
      }),
      active,
      { ...warming, entries: concat(warming.entries, failed) },
    ],
  };
}

export function endpointsSection(context: AdminContext): DumpSection {
  return {
    type: 'EndpointsConfigDump',
    fields: {},
    lists: [
      {
        field: 'static_endpoint_configs',
        entryType: 'EndpointsConfigDump.StaticEndpointConfig',
        entries: renderEndpointConfigs(context, false),
      },
      {
        field: 'dynamic_endpoint_configs',
        entryType: 'EndpointsConfigDump.DynamicEndpointConfig',
        entries: renderEndpointConfigs(context, true),
      },
    ],
  };
}

function* dynamicListeners(context: AdminContext): Generator<DumpEntry> {
  for (const entry of context.resources.list('listener')) {
    if (entry.isStatic) continue;
    const { active, warming, draining, failure } = entry;
    if (active === null && warming === null && draining === null && failure === null) continue;
    yield {
      name: entry.name,
      toJson: () => ({
        name: entry.name,
        ...(active !== null && { active_state: versionFields(active, 'listener', 'listener') }),
        ...(warming !== null && { warming_state: versionFields(warming, 'listener', 'listener') }),
        ...(draining !== null && { draining_state: versionFields(draining, 'listener', 'listener') }),
        ...(failure !== null && { error_state: failureFields(entry, 'listener') }),
      }),
    };
  }
}

export function listenersSection(context: AdminContext): DumpSection {
  return {
    type: 'ListenersConfigDump',
    fields: compact({ version_info: context.versionInfo('listener') }),
    lists: [
      versionList(context, 'listener', {
        field: 'static_listeners',
        entryType: 'ListenersConfigDump.StaticListener',
        inner: 'listener',
        isStatic: true,
        slot: 'active',
      }),
      { field: 'dynamic_listeners', entryType: 'ListenersConfigDump.DynamicListener', entries: dynamicListeners(context) },
    ],
  };
}

export function scopedRoutesSection(): DumpSection {
  return { type: 'ScopedRoutesConfigDump', fields: {}, lists: [] };
}

const managerType = 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';

/** Route configurations that stand in the connection managers of a listener. */
function inlineRoutes(listener: JsonObject): JsonObject[] {
  const chains = [...((listener.filter_chains as JsonObject[]) ?? []), listener.default_filter_chain as JsonObject | undefined];
  return chains
    .flatMap(chain => (chain?.filters as JsonObject[] | undefined) ?? [])
    .map(filter => filter.typed_config as JsonObject | undefined)
    .filter(config => config?.['@type'] === managerType && config.route_config !== undefined)
    .map(config => (config as JsonObject).route_config as JsonObject);
}

function* inlineRouteEntries(context: AdminContext): Generator<DumpEntry> {
  for (const { active } of context.resources.list('listener')) {
    if (active === null) continue;
    for (const route of inlineRoutes(anyToJson(messageOf.listener, active.bytes, redacted))) {
      const json = {
        route_config: { '@type': `type.googleapis.com/${messageOf.route}`, ...route },
        last_updated: formatTime(active.lastUpdatedMs),
      };
      yield { name: typeof route.name === 'string' ? route.name : '', toJson: () => json };
    }
  }
}

export function routesSection(context: AdminContext): DumpSection {
  const entryType = 'RoutesConfigDump.DynamicRouteConfig';
  const dynamic = versionList(context, 'route', {
    field: 'dynamic_route_configs',
    entryType,
    inner: 'route_config',
    isStatic: false,
    slot: 'active',
  });
  const failed = failuresOnly(context, 'route', error => ({ error_state: error }));
  return {
    type: 'RoutesConfigDump',
    fields: {},
    lists: [
      { field: 'static_route_configs', entryType: 'RoutesConfigDump.StaticRouteConfig', entries: inlineRouteEntries(context) },
      { ...dynamic, entries: concat(dynamic.entries, failed) },
    ],
  };
}

function* secretEntries(context: AdminContext, isStatic: boolean, slot: Slot): Generator<DumpEntry> {
  for (const entry of context.resources.list('secret')) {
    const version = entry[slot];
    const error = slot === 'active' && !isStatic ? failureFields(entry, 'secret') : null;
    if (entry.isStatic !== isStatic || version === null) continue;
    yield {
      name: entry.name,
      toJson: () => ({
        ...compact({
          name: entry.name,
          version_info: isStatic ? '' : version.versionInfo,
          last_updated: formatTime(version.lastUpdatedMs),
          secret: anyToJson(messageOf.secret, version.resolvedBytes ?? version.bytes, redacted),
        }),
        ...(error !== null && { error_state: error }),
      }),
    };
  }
}

/** Secrets that something waits for. */
function* awaitedSecrets(context: AdminContext): Generator<DumpEntry> {
  for (const entry of context.resources.list('secret')) {
    if (entry.isStatic || entry.active !== null || entry.warming !== null) continue;
    const error = failureFields(entry, 'secret');
    yield {
      name: entry.name,
      toJson: () => ({
        name: entry.name,
        version_info: 'uninitialized',
        secret: { '@type': `type.googleapis.com/${messageOf.secret}`, name: entry.name },
        ...(error !== null && { error_state: error }),
      }),
    };
  }
}

export function secretsSection(context: AdminContext): DumpSection {
  const dynamicType = 'SecretsConfigDump.DynamicSecret';
  return {
    type: 'SecretsConfigDump',
    fields: {},
    lists: [
      { field: 'static_secrets', entryType: 'SecretsConfigDump.StaticSecret', entries: secretEntries(context, true, 'active') },
      { field: 'dynamic_active_secrets', entryType: dynamicType, entries: secretEntries(context, false, 'active') },
      {
        field: 'dynamic_warming_secrets',
        entryType: dynamicType,
        entries: concat(secretEntries(context, false, 'warming'), awaitedSecrets(context)),
      },
    ],
  };
}

export function extensionsSection(context: AdminContext): DumpSection {
  return {
    type: 'EcdsConfigDump',
    fields: {},
    lists: [
      versionList(context, 'extension', {
        field: 'ecds_filters',
        entryType: 'EcdsConfigDump.EcdsFilterConfig',
        inner: 'ecds_filter',
        isStatic: false,
        slot: 'active',
      }),
    ],
  };
}
