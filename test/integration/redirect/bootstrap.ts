/** A static bootstrap of the shape that istiod gives a sidecar: virtual listeners, listeners without sockets, original destinations. */
import { httpFilter, tcpFilter } from '../static-bootstrap.ts';
import { addresses, type Family, versionsOf } from './pod.ts';

export const ports = { web: 18_080, tcp: 19_000, virtualTcp: 9000, appHttp: 8080, appTcp: 9090 } as const;

const typeUrl = (name: string): string => `type.googleapis.com/envoy.extensions.${name}`;
export const listenerFilter = (name: string, extra: object = {}, config: object = {}): object => {
  const message = name.replace(/(?:^|_)(.)/g, (_, letter: string) => letter.toUpperCase());
  return {
    name: `envoy.filters.listener.${name}`,
    typed_config: { '@type': typeUrl(`filters.listener.${name}.v3.${message}`), ...config },
    ...extra,
  };
};

type AddressKind = 'any' | 'virtual';

function socketAddress(address: string, port: number): object {
  return { socket_address: { address, port_value: port } };
}

/** The first address and the additional ones, one per version. */
function listenOn(family: Family, kind: AddressKind, port: number): object {
  const [first, ...others] = versionsOf(family).map(version => socketAddress(addresses[version][kind], port));
  return { address: first, ...(others.length > 0 && { additional_addresses: others.map(address => ({ address })) }) };
}

function originalDestination(name: string, family: Family, boundSource: boolean): object {
  const [first, ...others] = versionsOf(family).map(version => ({ address: addresses[version].source, port_value: 0 }));
  const bind = {
    source_address: first,
    ...(others.length > 0 && { extra_source_addresses: others.map(address => ({ address })) }),
  };
  return {
    name,
    type: 'ORIGINAL_DST',
    connect_timeout: '2s',
    lb_policy: 'CLUSTER_PROVIDED',
    ...(boundSource && { upstream_bind_config: bind }),
  };
}

function staticCluster(name: string, family: Family, where: 'outside' | 'pod', port: number): object {
  const endpoints = versionsOf(family).map(version => ({
    endpoint: { address: socketAddress(addresses[version][where], port) },
  }));
  return {
    name,
    type: 'STATIC',
    connect_timeout: '2s',
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: endpoints.slice(0, 1) }] },
  };
}

function outboundRoutes(): object {
  const route = (cluster: string): object => ({ match: { prefix: '/' }, route: { cluster } });
  return {
    name: '80',
    virtual_hosts: [
      { name: 'web', domains: ['web.test'], routes: [route('web')] },
      { name: 'self', domains: ['self.test'], routes: [route('self')] },
      { name: 'allow_any', domains: ['*'], routes: [route('PassthroughCluster')] },
    ],
  };
}

const httpProtocols = ['http/1.1', 'h2c'];

function virtualInbound(family: Family, transparent: boolean): object {
  const range = (port: number): object => ({ destination_port_range: { start: port, end: port + 1 } });
  return {
    name: 'virtualInbound',
    ...listenOn(family, 'any', 15_006),
    traffic_direction: 'INBOUND',
    transparent,
    listener_filters_timeout: '0s',
    continue_on_listener_filters_timeout: true,
    listener_filters: [
      listenerFilter('original_dst'),
      ...(transparent ? [listenerFilter('original_src', {}, { mark: 1337 })] : []),
      listenerFilter('tls_inspector', { filter_disabled: range(15_006) }),
      listenerFilter('http_inspector', { filter_disabled: { or_match: { rules: [range(ports.appHttp), range(15_006)] } } }),
    ],
    filter_chains: [
      { name: 'blackhole', filter_chain_match: { destination_port: 15_006 }, filters: [tcpFilter('BlackHoleCluster')] },
      {
        name: 'catchall-http',
        filter_chain_match: { transport_protocol: 'raw_buffer', application_protocols: httpProtocols },
        filters: [httpFilter('InboundPassthroughCluster')],
      },
      {
        name: 'catchall',
        filter_chain_match: { transport_protocol: 'raw_buffer' },
        filters: [tcpFilter('InboundPassthroughCluster')],
      },
      {
        name: 'catchall-tls',
        filter_chain_match: { transport_protocol: 'tls' },
        filters: [tcpFilter('InboundPassthroughCluster')],
      },
      {
        name: 'http',
        filter_chain_match: { destination_port: ports.appHttp, transport_protocol: 'raw_buffer' },
        filters: [httpFilter(`inbound|${ports.appHttp}||`)],
      },
      {
        name: 'tcp',
        filter_chain_match: { destination_port: ports.appTcp, transport_protocol: 'raw_buffer' },
        filters: [tcpFilter(`inbound|${ports.appTcp}||`)],
      },
    ],
  };
}

/** A listener of a port that services of several protocols share. */
function httpOrTcp(family: Family, port: number): object {
  return {
    name: `0.0.0.0_${port}`,
    ...listenOn(family, 'any', port),
    bind_to_port: false,
    traffic_direction: 'OUTBOUND',
    listener_filters: [listenerFilter('http_inspector')],
    listener_filters_timeout: '0s',
    continue_on_listener_filters_timeout: true,
    filter_chains: [
      {
        filter_chain_match: { transport_protocol: 'raw_buffer', application_protocols: httpProtocols },
        filters: [httpFilter('web', { route_config: outboundRoutes() })],
      },
    ],
    default_filter_chain: { filters: [tcpFilter('PassthroughCluster')] },
  };
}

function outboundListeners(family: Family, transparent: boolean): object[] {
  return [
    {
      name: 'virtualOutbound',
      ...listenOn(family, 'any', 15_001),
      use_original_dst: true,
      transparent,
      traffic_direction: 'OUTBOUND',
      filter_chains: [
        { name: 'blackhole', filter_chain_match: { destination_port: 15_001 }, filters: [tcpFilter('BlackHoleCluster')] },
        { name: 'catchall', filters: [tcpFilter('PassthroughCluster')] },
      ],
    },
    httpOrTcp(family, 80),
    httpOrTcp(family, 81),
    {
      name: `virtual_${ports.virtualTcp}`,
      ...listenOn(family, 'virtual', ports.virtualTcp),
      bind_to_port: false,
      traffic_direction: 'OUTBOUND',
      filter_chains: [{ filters: [tcpFilter('tcp')] }],
    },
  ];
}

/** `transparent`: as in TPROXY mode. */
export function sidecarBootstrap(family: Family, transparent = false): object {
  return {
    node: { id: 'sidecar', cluster: 'redirect' },
    static_resources: {
      listeners: [virtualInbound(family, transparent), ...outboundListeners(family, transparent)],
      clusters: [
        { name: 'BlackHoleCluster', type: 'STATIC', connect_timeout: '2s' },
        originalDestination('PassthroughCluster', family, false),
        originalDestination('InboundPassthroughCluster', family, true),
        originalDestination(`inbound|${ports.appHttp}||`, family, true),
        originalDestination(`inbound|${ports.appTcp}||`, family, true),
        staticCluster('web', family, 'outside', ports.web),
        staticCluster('self', family, 'pod', ports.appHttp),
        staticCluster('tcp', family, 'outside', ports.tcp),
      ],
    },
  };
}
