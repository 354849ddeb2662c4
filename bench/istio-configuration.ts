/**
 * Parts of bootstraps as a real istiod makes them, out of the pushes that were recorded for the tests: an HTTP service as its
 * client's and its server's sidecar see it. What ties them to a mesh is replaced: routes lead to one cluster, secrets are files.
 */
import { bytesToJson, type JsonObject } from '../protos/json-writer.ts';
import { type Kind, type Pod, readPush } from '../test/golden/pushes.ts';

const service = 'echo.held.svc.cluster.local';
const port = 7070;

interface NamedFilter extends JsonObject {
  name: string;
  typed_config: JsonObject;
}

interface FilterChain {
  filters: NamedFilter[];
  transport_socket?: NamedFilter;
}

export interface VirtualHost extends JsonObject {
  domains: string[];
  routes: { readonly route: object }[];
}

function read<T>(pod: Pod, kind: Kind, message: string, name: string): T {
  const resource = readPush(pod, kind).find(candidate => candidate.name === name);
  if (resource === undefined) throw new Error(`bench: ${pod} was sent no ${name}`);
  return bytesToJson(message, resource.bytes, { redact: false }) as T;
}

function readListener(pod: Pod, name: string): { filter_chains: FilterChain[] } {
  return read(pod, 'lds', 'envoy.config.listener.v3.Listener', name);
}

const managerName = 'envoy.filters.network.http_connection_manager';

/** The server's chain for mutual TLS on the service's port. */
function readInboundChain(): FilterChain {
  const chains = readListener('default-server', 'virtualInbound').filter_chains as (FilterChain & JsonObject)[];
  const found = chains.find(chain => chain.name === `0.0.0.0_${port}` && chain.transport_socket !== undefined);
  if (found === undefined) throw new Error(`bench: no inbound chain for port ${port}`);
  return found;
}

function readOutboundHosts(): VirtualHost[] {
  const { virtual_hosts: hosts } = read<{ virtual_hosts: VirtualHost[] }>(
    'default-client',
    'rds',
    'envoy.config.route.v3.RouteConfiguration',
    String(port),
  );
  return hosts;
}

function findManager({ filters }: FilterChain): JsonObject {
  return filters.find(({ name }) => name === managerName)?.typed_config as JsonObject;
}

/** A stock Envoy has none of Istio's own filters. */
function withoutIstio(filters: readonly NamedFilter[]): NamedFilter[] {
  return filters.filter(({ name }) => !name.startsWith('istio.'));
}

export interface ManagerOptions {
  readonly direction: 'inbound' | 'outbound';
  readonly cluster: string;
  /** With Istio's own filters. */
  readonly istioFilters: boolean;
}

interface Manager extends JsonObject {
  readonly route_config: { readonly name: string; readonly virtual_hosts: VirtualHost[] };
}

/** The configuration of the HTTP connection manager, for any host. */
export function readManager({ direction, cluster, istioFilters }: ManagerOptions): Manager {
  const isInbound = direction === 'inbound';
  const chain = isInbound ? readInboundChain() : readListener('default-client', `0.0.0.0_${port}`).filter_chains[0];
  const { rds: _, ...manager } = findManager(chain);
  const hosts = isInbound
    ? (manager.route_config as { virtual_hosts: VirtualHost[] }).virtual_hosts
    : readOutboundHosts().filter(({ domains }) => domains.includes(service));
  const virtualHosts = hosts.map(host => ({
    ...host,
    domains: ['*'],
    routes: host.routes.map(route => ({ ...route, route: { ...route.route, cluster } })),
  }));
  const httpFilters = manager.http_filters as NamedFilter[];
  return {
    ...manager,
    http_filters: istioFilters ? httpFilters : withoutIstio(httpFilters),
    route_config: { name: 'local', virtual_hosts: virtualHosts },
  };
}

/** Limits, balancing and timeouts of the service's cluster. */
export function readCluster(): JsonObject {
  const name = `outbound|${port}||${service}`;
  const cluster = read<JsonObject>('default-client', 'cds', 'envoy.config.cluster.v3.Cluster', name);
  const kept = ['connect_timeout', 'lb_policy', 'circuit_breakers', 'common_lb_config', 'metadata'];
  return Object.fromEntries(kept.flatMap(key => (cluster[key] === undefined ? [] : [[key, cluster[key]]])));
}

export interface Secrets {
  readonly tls_certificates: readonly object[];
  readonly validation_context: object;
}

/** TLS as the server's sidecar accepts it, with `secrets` in the place of what SDS brings. */
export function readDownstreamTls(secrets: Secrets): JsonObject {
  const context = readInboundChain().transport_socket?.typed_config as JsonObject;
  return { ...context, common_tls_context: replaceSecrets(context.common_tls_context as JsonObject, secrets) };
}

function replaceSecrets(common: JsonObject, { tls_certificates, validation_context }: Secrets): JsonObject {
  const { combined_validation_context: combined, ...rest } = common;
  delete rest.tls_certificate_sds_secret_configs;
  const { default_validation_context: names } = combined as { default_validation_context: JsonObject };
  return { ...rest, tls_certificates, validation_context: { ...names, ...validation_context } };
}
