/** Tunnels that the TCP proxy asks for. */
import { send, until } from '../../connection-end.ts';
import type { Lane, LaneResources, TunnelCase } from '../exchange.ts';
import {
  cluster,
  connectionManager,
  connectRoute,
  http2,
  internalCluster,
  internalListener,
  listener,
  setConnectionState,
  stateValue,
  tcpProxy,
} from '../resources.ts';
import { pingPong } from './shared.ts';

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

/** CONNECT over HTTP/2 that is passed on, over HTTP/2 again, to a manager behind an internal listener, which ends it. */
function passedOn({ name, port, middlePort, upstreamPort, log }: Lane): LaneResources {
  const action = { upgrade_configs: [{ upgrade_type: 'CONNECT' }] };
  const config = { tunneling_config: { hostname: 'target:80' } };
  return {
    listeners: [
      listener(name, port, [tcpProxy(`${name}_tunnel`, `${name}_tunnel`, log, config)]),
      listener(`${name}_middle`, middlePort, [
        connectionManager(`${name}_middle`, log, { routes: [connectRoute(`${name}_inside`, null, action)] }),
      ]),
      internalListener(`${name}_internal`, [connectionManager(`${name}_inner`, log, { routes: [connectRoute(`${name}_end`)] })]),
    ],
    clusters: [
      cluster(`${name}_tunnel`, middlePort, http2),
      internalCluster(`${name}_inside`, `${name}_internal`, { overrides: http2 }),
      cluster(`${name}_end`, upstreamPort),
    ],
  };
}

export const tunnelCases: readonly TunnelCase[] = [
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
  { name: 'CONNECT over HTTP/2 that is passed on', resources: passedOn, ...pingPong, stats: /cluster\.|http\./ },
  {
    name: 'CONNECT over HTTP/2 that is passed on and whose upstream resets',
    resources: passedOn,
    client: [send('x'), until('end')],
    upstream: [until('x'), 'reset'],
  },
  {
    name: 'much through a tunnel',
    resources: tunneling(),
    client: [send('x'.repeat(600_000)), 'fin', until('end')],
    upstream: [until('fin'), send('y'.repeat(600_000)), 'fin'],
  },
];
