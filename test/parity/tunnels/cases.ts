/** CONNECT, tunnels and internal listeners: one case per shape and per way of ending. */
import { send, until } from '../connection-end.ts';
import { names, type TlsSide } from '../tls-scenarios.ts';
import type { Lane, LaneResources, TunnelCase } from './exchange.ts';
import {
  clientTls,
  cluster,
  connectionManager,
  connectRoute,
  http2,
  internalCluster,
  internalListener,
  listener,
  serverTls,
  setConnectionState,
  setRequestState,
  stateValue,
  tcpProxy,
} from './resources.ts';

const request = 'CONNECT target:80 HTTP/1.1\r\nhost: target:80\r\n\r\n';

/** The manager that ends CONNECT, listening where the client connects. */
function terminating(connect: object | null = {}, action: object = {}): TunnelCase['resources'] {
  return ({ name, port, upstreamPort, log }) => ({
    listeners: [listener(name, port, [connectionManager(name, log, { routes: [connectRoute(name, connect, action)] })])],
    clusters: [cluster(name, upstreamPort)],
  });
}

const termination: readonly TunnelCase[] = [
  {
    name: 'CONNECT of HTTP/1.1 ends at a TCP upstream, the client ends first',
    resources: terminating(),
    client: [send(request), until('200 OK'), send('ping'), until('pong'), 'fin', until('end')],
    upstream: [until('ping'), send('pong'), until('fin'), 'fin'],
    stats: /cluster\.|http\./,
  },
  {
    name: 'the upstream ends first',
    resources: terminating(),
    client: [send(request), until('200 OK'), until('bye'), until('end')],
    upstream: [send('bye'), 'fin', until('end')],
    stats: /cluster\.|http\./,
  },
  {
    name: 'the upstream resets',
    resources: terminating(),
    client: [send(request), until('200 OK'), send('x'), until('end')],
    upstream: [until('x'), 'reset'],
    stats: /cluster\.|http\./,
  },
  {
    name: 'the client resets',
    resources: terminating(),
    client: [send(request), until('200 OK'), send('x'), until('y'), 'reset'],
    upstream: [until('x'), send('y'), until('end')],
  },
  {
    name: 'the upstream refuses',
    resources: terminating(),
    client: [send(request), until('503')],
    refused: true,
    stats: /cluster\./,
  },
  {
    name: 'bytes right behind the request',
    resources: terminating(),
    client: [send(`${request}early`), until('late'), 'fin', until('end')],
    upstream: [until('early'), send('late'), until('fin'), 'fin'],
  },
  {
    name: 'a PROXY header before the payload',
    resources: terminating({ proxy_protocol_config: { version: 'V1' } }),
    client: [send(request), until('200 OK'), send('ping'), until('pong'), 'fin', until('end')],
    upstream: [until('ping'), send('pong'), until('fin'), 'fin'],
  },
  {
    name: 'CONNECT is passed on where it is not ended',
    resources: terminating(null, { upgrade_configs: [{ upgrade_type: 'CONNECT' }] }),
    client: [send(request), until('200 OK'), send('ping'), until('pong'), 'fin', until('end')],
    upstream: [until('CONNECT'), send('HTTP/1.1 200 OK\r\n\r\n'), until('ping'), send('pong'), until('fin'), 'fin'],
  },
  {
    name: 'the route forbids it',
    resources: terminating(null, { upgrade_configs: [{ upgrade_type: 'CONNECT', enabled: false }] }),
    client: [send(request), until('403')],
  },
  {
    name: 'POST in the place of CONNECT',
    resources: ({ name, port, upstreamPort, log }) => {
      const upgrade = { upgrade_type: 'CONNECT', connect_config: { allow_post: true } };
      const route = { match: { prefix: '/' }, route: { cluster: name, upgrade_configs: [upgrade] } };
      return {
        listeners: [listener(name, port, [connectionManager(name, log, { routes: [route] })])],
        clusters: [cluster(name, upstreamPort)],
      };
    },
    client: [
      send('POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n4\r\nping\r\n'),
      until('pong'),
      send('0\r\n\r\n'),
      until('0\r\n\r\n'),
    ],
    upstream: [until('ping'), send('pong'), until('fin'), 'fin'],
  },
];

interface TunnelOptions {
  readonly hostname?: string;
  readonly tunneling?: object;
  readonly proxy?: object;
  readonly connect?: object | null;
  readonly protocol?: object;
  readonly filters?: readonly object[];
}

/** A TCP proxy that tunnels to the manager behind it, which ends the tunnel at the upstream. */
function tunneling(options: TunnelOptions = {}): TunnelCase['resources'] {
  const { hostname = 'target:80', tunneling = {}, proxy = {}, connect = {}, protocol = http2, filters = [] } = options;
  return ({ name, port, middlePort, upstreamPort, log }) => {
    const config = { tunneling_config: { hostname, ...tunneling }, ...proxy };
    const routes = [connectRoute(`${name}_end`, connect), { match: { prefix: '/' }, direct_response: { status: 404 } }];
    return {
      listeners: [
        listener(name, port, [...filters, tcpProxy(`${name}_tunnel`, `${name}_tunnel`, log, config)]),
        listener(`${name}_middle`, middlePort, [connectionManager(`${name}_end`, log, { routes })]),
      ],
      clusters: [cluster(`${name}_tunnel`, middlePort, protocol), cluster(`${name}_end`, upstreamPort)],
    };
  };
}

const pingPong = {
  client: [send('ping'), until('pong'), 'fin', until('end')],
  upstream: [until('ping'), send('pong'), until('fin'), 'fin'],
} as const;

const tunnels: readonly TunnelCase[] = [
  { name: 'a tunnel over HTTP/2', resources: tunneling(), ...pingPong, stats: /cluster\.|tcp\.|http\./ },
  { name: 'a tunnel over HTTP/1.1', resources: tunneling({ protocol: {} }), ...pingPong, stats: /tcp\.|http\./ },
  { name: 'one connection carries several tunnels', resources: tunneling(), ...pingPong, repeat: 3, stats: /cluster\./ },
  {
    name: 'a tunnel whose upstream ends first',
    resources: tunneling(),
    client: [until('bye'), until('end')],
    upstream: [send('bye'), 'fin', until('end')],
  },
  {
    name: 'a tunnel whose upstream resets',
    resources: tunneling(),
    client: [send('x'), until('end')],
    upstream: [until('x'), 'reset'],
  },
  {
    name: 'a tunnel whose client resets',
    resources: tunneling(),
    client: [send('x'), until('y'), 'reset'],
    upstream: [until('x'), send('y'), until('end')],
  },
  {
    name: 'a tunnel that is refused',
    resources: tunneling(),
    client: [send('x'), until('end')],
    refused: true,
    stats: /cluster\.|tcp\./,
  },
  {
    name: 'a tunnel by POST',
    resources: tunneling({ tunneling: { use_post: true, post_path: '/somewhere' } }),
    client: [send('x'), until('end')],
  },
  {
    name: 'headers of a tunnel',
    resources: tunneling({
      hostname: '%DOWNSTREAM_LOCAL_ADDRESS%',
      tunneling: { headers_to_add: [{ header: { key: 'x-a', value: '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%' } }] },
    }),
    ...pingPong,
  },
  {
    name: 'a host name from filter state',
    resources: tunneling({
      hostname: '%FILTER_STATE(probe:PLAIN)%:81',
      filters: [setConnectionState(stateValue('probe', 'named', 'NONE', 'envoy.string'))],
    }),
    ...pingPong,
  },
  {
    name: 'headers of the answer in filter state',
    resources: tunneling({ tunneling: { propagate_response_headers: true } }),
    ...pingPong,
  },
  {
    name: 'much through a tunnel',
    resources: tunneling(),
    client: [send('x'.repeat(600_000)), 'fin', until('end')],
    upstream: [until('fin'), send('y'.repeat(600_000)), 'fin'],
  },
];

/** A TCP proxy whose upstream is an internal listener with a TCP proxy of its own. */
function internal(
  first: object = {},
  second: object = {},
  filters: readonly object[] = [],
  inner: object = {},
): TunnelCase['resources'] {
  return ({ name, port, upstreamPort, log }) => ({
    listeners: [
      listener(name, port, [...filters, tcpProxy(`${name}_outer`, `${name}_inside`, log)]),
      internalListener(`${name}_internal`, [tcpProxy(`${name}_inner`, `${name}_end`, log, inner)], second),
    ],
    clusters: [internalCluster(`${name}_inside`, `${name}_internal`, first), cluster(`${name}_end`, upstreamPort)],
  });
}

const destination = { 'envoy.filters.listener.original_dst': { local: '10.1.2.3:8080' }, istio: { workload: 'w' } };

const internals: readonly TunnelCase[] = [
  { name: 'an internal listener', resources: internal(), ...pingPong, stats: /cluster\.|tcp\.|listener\./ },
  { name: 'with the identifier of an endpoint', resources: internal({ id: 'one' }), ...pingPong },
  {
    name: 'metadata of the host comes along',
    resources: internal({ id: 'one', metadata: destination, passHost: Object.keys(destination) }),
    ...pingPong,
  },
  {
    name: 'metadata of the cluster comes along',
    resources: internal({ passCluster: ['istio'], overrides: { metadata: { filter_metadata: { istio: { a: 'b' } } } } }),
    ...pingPong,
  },
  {
    name: 'filter state comes along',
    resources: internal({}, {}, [
      setConnectionState(
        stateValue('probe', 'shared', 'ONCE', 'envoy.string'),
        stateValue('envoy.filters.listener.original_dst.local_ip', '10.9.8.7:65', 'ONCE'),
        stateValue('envoy.filters.listener.original_dst.remote_ip', '10.9.8.6:64', 'ONCE'),
      ),
    ]),
    ...pingPong,
  },
  {
    name: 'filter state that is not shared stays',
    resources: internal({}, {}, [setConnectionState(stateValue('probe', 'mine', 'NONE', 'envoy.string'))]),
    ...pingPong,
  },
  {
    name: 'the inner upstream ends first',
    resources: internal(),
    client: [until('bye'), send('late'), 'fin', until('end')],
    upstream: [send('bye'), 'fin', until('late'), until('end')],
  },
  {
    name: 'the inner upstream resets',
    resources: internal(),
    client: [send('x'), until('end')],
    upstream: [until('x'), 'reset'],
  },
  {
    name: 'the client of an internal listener resets',
    resources: internal(),
    client: [send('x'), until('y'), 'reset'],
    upstream: [until('x'), send('y'), until('end')],
  },
  { name: 'the inner upstream refuses', resources: internal(), client: [until('end')], refused: true, stats: /cluster\.|tcp\./ },
  {
    name: 'there is no such internal listener',
    resources: lane => {
      const { listeners, clusters } = internal()(lane);
      return { listeners: listeners.slice(0, 1), clusters };
    },
    client: [until('end')],
    stats: /cluster\.|tcp\./,
  },
  {
    name: 'no filter chain of the internal listener fits',
    resources: internal({}, { filter_chains: [{ filter_chain_match: { destination_port: 1 }, filters: [blackHole()] }] }),
    client: [until('end')],
    stats: /cluster\.|tcp\.|listener\./,
  },
  {
    name: 'the inner proxy ends an idle connection',
    resources: internal({}, {}, [], { idle_timeout: '0.3s' }),
    client: [send('x'), until('y'), until('end')],
    upstream: [until('x'), send('y'), until('end')],
    stats: /cluster\.|tcp\./,
  },
  {
    name: 'HTTP behind an internal listener, to be closed',
    resources: lane => internalHttp(lane),
    client: [send('GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n'), until('hello'), until('end')],
    stats: /cluster\.|tcp\.|http\./,
  },
  {
    name: 'HTTP behind an internal listener whose client ends',
    resources: lane => internalHttp(lane),
    client: [send('GET / HTTP/1.1\r\nhost: a\r\n\r\n'), until('hello'), 'fin', until('end')],
    stats: /cluster\.|tcp\.|http\./,
  },
  {
    name: 'HTTP behind an internal listener that is no HTTP',
    resources: lane => internalHttp(lane),
    client: [send('nonsense\r\n\r\n'), until('400'), until('end')],
  },
  {
    name: 'much through an internal listener',
    resources: internal(),
    client: [send('x'.repeat(3_000_000)), 'fin', until('end')],
    upstream: [until('fin'), send('y'.repeat(3_000_000)), 'fin'],
  },
];

/** A TCP proxy whose upstream is an internal listener that answers HTTP. */
function internalHttp({ name, port, log }: Lane): LaneResources {
  const body = { inline_string: 'hello' };
  const routes = [{ match: { prefix: '/' }, direct_response: { status: 200, body } }];
  return {
    listeners: [
      listener(name, port, [tcpProxy(`${name}_outer`, `${name}_inside`, log)]),
      internalListener(`${name}_internal`, [connectionManager(`${name}_inner`, log, { routes })]),
    ],
    clusters: [internalCluster(`${name}_inside`, `${name}_internal`)],
  };
}

function blackHole(): object {
  return tcpProxy('hole', 'hole', '/dev/null');
}

interface HboneOptions {
  /** Of mutual TLS; absent: there is none. */
  readonly server?: TlsSide;
  readonly client?: TlsSide;
}

/** How istiod sends connections out: a host behind connect_originate, which asks the peer's port for a tunnel. */
const outward =
  ({ server, client }: HboneOptions): TunnelCase['resources'] =>
  ({ name, port, middlePort, upstreamPort, log, folder }) => {
    const target = `127.0.0.1:${upstreamPort}`;
    const metadata = { 'envoy.filters.listener.original_dst': { local: target }, istio: { workload: 'a;b;c' } };
    const originate = tcpProxy(`${name}_originate`, `${name}_originate`, log, {
      tunneling_config: { hostname: '%DOWNSTREAM_LOCAL_ADDRESS%' },
    });
    const passHost = Object.keys(metadata);
    return {
      listeners: [
        listener(name, port, [tcpProxy(`${name}_outbound`, `${name}_outbound`, log)]),
        internalListener(`${name}_connect_originate`, [originate], { use_original_dst: false }),
      ],
      clusters: [
        internalCluster(`${name}_outbound`, `${name}_connect_originate`, { id: target, metadata, passHost }),
        {
          name: `${name}_originate`,
          type: 'ORIGINAL_DST',
          lb_policy: 'CLUSTER_PROVIDED',
          connect_timeout: '1s',
          original_dst_lb_config: {
            upstream_port_override: middlePort,
            metadata_key: { key: 'envoy.filters.listener.original_dst', path: [{ key: 'waypoint' }] },
          },
          ...(server !== undefined && { transport_socket: clientTls(folder, client) }),
          ...http2,
        },
      ],
    };
  };

/** How istiod takes them in: connect_terminate says who and whereto, main_internal has the chains of the ports. */
const inward =
  ({ server }: HboneOptions): TunnelCase['resources'] =>
  ({ name, middlePort, log, folder }) => {
    const authority = setRequestState(
      stateValue('envoy.filters.listener.original_dst.local_ip', '%REQ(:AUTHORITY)%', 'ONCE'),
      stateValue('probe', '%REQ(:AUTHORITY)%', 'ONCE', 'envoy.hashable_string'),
      stateValue('envoy.filters.listener.original_dst.remote_ip', '%DOWNSTREAM_REMOTE_ADDRESS%', 'ONCE'),
      stateValue('io.istio.peer_principal', '%DOWNSTREAM_PEER_URI_SAN%', 'ONCE', 'envoy.hashable_string'),
    );
    const manager = connectionManager(`${name}_terminate`, log, {
      routes: [connectRoute(`${name}_main`)],
      filters: [authority],
    });
    const chain = { filters: [manager], ...(server !== undefined && { transport_socket: serverTls(folder, server) }) };
    return {
      listeners: [
        listener(`${name}_connect_terminate`, middlePort, [], { filter_chains: [chain] }),
        internalListener(`${name}_main_internal`, [tcpProxy(`${name}_inbound`, `${name}_inbound`, log)]),
      ],
      clusters: [
        internalCluster(`${name}_main`, `${name}_main_internal`),
        { name: `${name}_inbound`, type: 'ORIGINAL_DST', lb_policy: 'CLUSTER_PROVIDED', connect_timeout: '1s' },
      ],
    };
  };

/** Both in one process, without TLS. */
function hbone(lane: Lane): LaneResources {
  const [out, into] = [outward({})(lane), inward({})(lane)];
  return { listeners: [...out.listeners, ...into.listeners], clusters: [...out.clusters, ...into.clusters] };
}

const hboneOf = (options: HboneOptions): Pick<TunnelCase, 'resources' | 'behind'> => ({
  resources: outward(options),
  behind: inward(options),
});

const hboneCases: readonly TunnelCase[] = [
  { name: 'HBONE, out and in', resources: hbone, ...pingPong, stats: /cluster\.|tcp\.|http\./ },
  { name: 'HBONE of several connections', resources: hbone, ...pingPong, repeat: 3 },
  {
    name: 'HBONE whose application ends first',
    resources: hbone,
    anyEnd: true,
    client: [until('bye'), until('end')],
    upstream: [send('bye'), 'fin', until('end')],
  },
  {
    name: 'HBONE whose client resets',
    resources: hbone,
    client: [send('x'), until('y'), 'reset'],
    upstream: [until('x'), send('y'), until('end')],
  },
  { name: 'HBONE to an application that refuses', resources: hbone, client: [send('x'), until('end')], refused: true },
];

/** Between two proxies, also of different make. */
export const crossedCases: readonly TunnelCase[] = [
  { name: 'HBONE with mutual TLS', ...hboneOf({ server: {} }), ...pingPong, stats: /cluster\.|tcp\.|http\./ },
  { name: 'HBONE by name of the peer', ...hboneOf({ server: {}, client: { names: [names.server] } }), ...pingPong },
  {
    name: 'HBONE to a peer of another name',
    ...hboneOf({ server: {}, client: { names: [names.client] } }),
    client: [until('end')],
    log: /_originate|_terminate|_inbound/,
    anyEnd: true,
  },
  {
    name: 'HBONE from a client of a foreign authority',
    ...hboneOf({ server: {}, client: { certificate: 'foreign' } }),
    client: [until('end')],
    log: /_originate|_terminate|_inbound/,
    anyEnd: true,
  },
  { name: 'HBONE without TLS', ...hboneOf({}), ...pingPong, repeat: 3 },
  {
    name: 'much over HBONE',
    ...hboneOf({ server: {} }),
    client: [send('x'.repeat(2_000_000)), 'fin', until('end')],
    upstream: [until('fin'), send('y'.repeat(2_000_000)), 'fin'],
  },
  {
    name: 'HBONE whose client resets',
    ...hboneOf({ server: {} }),
    client: [send('x'), until('y'), 'reset'],
    upstream: [until('x'), send('y'), until('end')],
  },
  {
    name: 'HBONE to an application that refuses',
    ...hboneOf({ server: {} }),
    client: [until('end')],
    refused: true,
    anyEnd: true,
  },
];

export const tunnelCases: readonly TunnelCase[] = [...termination, ...tunnels, ...internals, ...hboneCases];
