/** What istiod sends to the called side. */
import { type Endpoint, type Service, trustDomain } from '../mesh-config.ts';
import {
  buildListenerFilter,
  buildManager,
  buildOriginalDestinationCluster,
  commonTls,
  type Json,
  type Resources,
  socketAddress,
  typed,
} from './pieces.ts';

function buildInboundCluster({ appPort }: Endpoint, isRedirected: boolean): Json {
  const name = `inbound|${appPort}||`;
  // The application sees 127.0.0.6, which the redirection leaves alone.
  if (isRedirected)
    return buildOriginalDestinationCluster(name, {
      upstream_bind_config: { source_address: { address: '127.0.0.6', port_value: 0 } },
    });
  const endpoint = { address: socketAddress('127.0.0.1', appPort) };
  return {
    name,
    alt_stat_name: `${name};`,
    type: 'STATIC',
    connect_timeout: '10s',
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint }] }] },
  };
}

function buildFilterChain({ appPort, address, port }: Endpoint, isRedirected: boolean): Json {
  const downstreamTls = typed('envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext', {
    require_client_certificate: true,
    common_tls_context: commonTls([{ prefix: `spiffe://${trustDomain}/` }], ['h2', 'http/1.1']),
  });
  const route = {
    match: { prefix: '/' },
    name: 'default',
    route: { cluster: `inbound|${appPort}||`, timeout: '0s' },
    decorator: { operation: `${address}:${appPort}/*` },
  };
  const virtualHost = { name: `inbound|http|${appPort}`, domains: ['*'], routes: [route] };
  return {
    name: `${address}_${port}`,
    filter_chain_match: {
      ...(isRedirected && { destination_port: appPort }),
      transport_protocol: 'tls',
      application_protocols: ['istio', 'istio-http/1.1', 'istio-h2'],
    },
    filters: [
      buildManager('inbound', address, port, { route_config: { name: `inbound|${appPort}||`, virtual_hosts: [virtualHost] } }),
    ],
    transport_socket: { name: 'envoy.transport_sockets.tls', typed_config: downstreamTls },
  };
}

const tlsInspector = buildListenerFilter('tls_inspector', 'TlsInspector');

/** One listener per endpoint, on ports of their own. */
function buildBoundListener(endpoint: Endpoint): Json {
  return {
    name: `${endpoint.address}_${endpoint.port}`,
    address: socketAddress(endpoint.address, endpoint.port),
    traffic_direction: 'INBOUND',
    listener_filters: [tlsInspector],
    filter_chains: [buildFilterChain(endpoint, false)],
  };
}

/** One listener that redirection leads to, with a chain per port. */
function buildVirtualInbound(endpoints: readonly Endpoint[]): Json {
  return {
    name: 'virtualInbound',
    address: socketAddress('0.0.0.0', 15006),
    traffic_direction: 'INBOUND',
    listener_filters: [buildListenerFilter('original_dst', 'OriginalDst'), tlsInspector],
    filter_chains: endpoints.map(endpoint => buildFilterChain(endpoint, true)),
  };
}

/** What the server sidecar gets: it stands before every endpoint of every service. */
export function buildServerResources(services: readonly Service[], isRedirected: boolean): Resources {
  const endpoints = services.flatMap(service => service.endpoints);
  return {
    clusters: endpoints.map(endpoint => buildInboundCluster(endpoint, isRedirected)),
    endpoints: [],
    listeners: isRedirected ? [buildVirtualInbound(endpoints)] : endpoints.map(buildBoundListener),
    routes: [],
  };
}
