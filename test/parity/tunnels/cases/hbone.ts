/** HBONE as istiod configures it, in one proxy and between two. */
import { send, until } from '../../connection-end.ts';
import { names, type TlsSide } from '../../tls-scenarios.ts';
import type { Lane, LaneResources, TunnelCase } from '../exchange.ts';
import {
  clientTls,
  connectionManager,
  connectRoute,
  http2,
  internalCluster,
  internalListener,
  listener,
  serverTls,
  setRequestState,
  stateValue,
  tcpProxy,
} from '../resources.ts';
import { pingPong } from './shared.ts';

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

export const hboneCases: readonly TunnelCase[] = [
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
    log: /^lane\d+_(originate|terminate|inbound):/,
    anyEnd: true,
  },
  {
    name: 'HBONE from a client of a foreign authority',
    ...hboneOf({ server: {}, client: { certificate: 'foreign' } }),
    client: [until('end')],
    log: /^lane\d+_(originate|terminate|inbound):/,
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
