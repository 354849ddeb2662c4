/**
 * What istiod's generators make for a proxy (test/golden), fitted for a lane: names, ports, certificates and logs are the lane's,
 * routes and endpoints stand in the listeners and clusters, and Istio's own filters, which a stock Envoy lacks, are left out.
 */
import { bytesToJson } from '../../../protos/json-writer.ts';
import { type Kind, type Pod, readPush } from '../../golden/pushes.ts';
import { commonContext } from '../tls-scenarios.ts';
import type { Lane, LaneResources } from './exchange.ts';
import { accessLog, type Json } from './resources.ts';

const messages: { readonly [K in Kind]: string } = {
  cds: 'envoy.config.cluster.v3.Cluster',
  eds: 'envoy.config.endpoint.v3.ClusterLoadAssignment',
  lds: 'envoy.config.listener.v3.Listener',
  rds: 'envoy.config.route.v3.RouteConfiguration',
};

export interface Recorded {
  readonly pod: Pod;
  /** Names of what is taken. */
  readonly listeners: readonly string[];
  readonly clusters: readonly string[];
  /** Where listeners that are bound listen; those without an entry stay as they are. */
  readonly addresses: (lane: Lane) => { readonly [listener: string]: object };
  /** Texts of the recorded configuration, and what they are in the lane. */
  readonly texts?: (lane: Lane) => { readonly [text: string]: string };
  /** Ports of the recorded configuration, and what they are in the lane. */
  readonly ports: (lane: Lane) => { readonly [port: number]: number };
}

function read(pod: Pod, kind: Kind, name: string): Json {
  const found = readPush(pod, kind).find(resource => resource.name === name);
  if (found === undefined) throw new Error(`${pod} has no ${kind} ${name}`);
  return bytesToJson(messages[kind], found.bytes, { redact: false }) as Json;
}

/** The same value with each object replaced by what `edit` makes of it, from the inside out. */
function rewrite(value: unknown, edit: (object: Json) => unknown): unknown {
  if (Array.isArray(value)) return value.map(item => rewrite(item, edit)).filter(item => item !== undefined);
  if (typeof value !== 'object' || value === null) return value;
  return edit(Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, rewrite(inner, edit)])));
}

const istioType = /istio|metadataexchange|stats\.PluginConfig/i;

/** Istio's own extensions are taken out of the list they stand in. */
function withoutIstio(object: Json): unknown {
  const config = object.typed_config as Json | undefined;
  return istioType.test(`${config?.['@type']} ${config?.type_url ?? ''}`) ? undefined : object;
}

function withCertificates(object: Json, { folder }: Lane): Json {
  const context = object.common_tls_context as Json | undefined;
  if (context === undefined) return object;
  const role = String(object['@type']).includes('Downstream') ? 'server' : 'client';
  const own = commonContext(folder, {}, role) as { tls_certificates: object; validation_context: object };
  const { combined_validation_context: combined, tls_certificate_sds_secret_configs: _, ...rest } = context;
  const names = (combined as { default_validation_context?: object } | undefined)?.default_validation_context;
  return { ...object, common_tls_context: { ...rest, ...own, validation_context: { ...own.validation_context, ...names } } };
}

function withOwnLog(object: Json, { log }: Lane): Json {
  if (!('access_log' in object)) return object;
  // A listener's own log is of connections that no chain took.
  return 'filter_chains' in object
    ? { ...object, access_log: [] }
    : { ...object, access_log: accessLog(log, String(object.stat_prefix)) };
}

/** Routes and endpoints in place. */
function inline(object: Json, pod: Pod): Json {
  if (object.rds !== undefined) {
    const { rds, ...rest } = object;
    const route_config = read(pod, 'rds', (rds as { route_config_name: string }).route_config_name);
    return { ...rest, route_config: { ...route_config, validate_clusters: false } };
  }
  if (object.eds_cluster_config === undefined) return object;
  const { eds_cluster_config: _, type: __, ...rest } = object;
  return { ...rest, type: 'STATIC', load_assignment: read(pod, 'eds', String(object.name)) };
}

const ownNames =
  /"((?:main_internal|connect_(?:originate|terminate)|InboundPassthroughCluster|\d+\.\d+\.\d+\.\d+_\d+|(?:inbound|outbound)\|[^"]*?);?)"/g;

function rename(text: string, lane: Lane, ports: { readonly [port: number]: number }): string {
  // A factory that a stock Envoy has makes the same objects.
  const known = text.replaceAll('istio.hashable_string', 'envoy.hashable_string');
  let renamed = known.replace(ownNames, (_, name) => `"${lane.name}_${name}"`);
  for (const [port, own] of Object.entries(ports)) renamed = renamed.replace(new RegExp(`\\b${port}\\b`, 'g'), String(own));
  return renamed;
}

export function fitResources(recorded: Recorded, lane: Lane): LaneResources {
  const { pod } = recorded;
  const addresses = recorded.addresses(lane);
  const edit = (object: Json): unknown => withoutIstio(withOwnLog(withCertificates(inline(object, pod), lane), lane));
  const fit = (kind: Kind, name: string): object => {
    const address = addresses[name];
    const { bind_to_port: bindToPort, ...resource } = read(pod, kind, name);
    const placed = address === undefined ? resource : { ...resource, address };
    const fitted = JSON.stringify(rewrite(placed, edit));
    let text = rename(fitted, lane, recorded.ports(lane));
    for (const [own, other] of Object.entries(recorded.texts?.(lane) ?? {})) text = text.replaceAll(own, other);
    return JSON.parse(text);
  };
  return {
    listeners: recorded.listeners.map(name => fit('lds', name)),
    clusters: recorded.clusters.map(name => fit('cds', name)),
  };
}
