/** Internal listeners, their metadata and filter state, and what runs inside their connections. */
import { send, until } from '../../connection-end.ts';
import type { TlsSide } from '../../tls-scenarios.ts';
import type { Lane, LaneResources, TunnelCase } from '../exchange.ts';
import {
  clientTls,
  cluster,
  connectionManager,
  internalCluster,
  internalListener,
  listener,
  serverTls,
  setConnectionState,
  setRequestState,
  stateValue,
  tcpProxy,
  type Sharing,
} from '../resources.ts';
import { get, textAnswer, pingPong } from './shared.ts';

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

export const internalCases: readonly TunnelCase[] = [
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

/** Both ends of an internal connection speak TLS. */
function internalTls(side: TlsSide): TunnelCase['resources'] {
  return lane => {
    const { name, log, folder } = lane;
    const filters = [tcpProxy(`${name}_inner`, `${name}_end`, log)];
    const filter_chains = [{ filters, transport_socket: serverTls(folder) }];
    return internal({ inner: clientTls(folder, side) }, { filter_chains })(lane);
  };
}

/** HTTP whose upstream is an internal listener, which answers by itself. */
const internalUpstream =
  (...values: object[]): TunnelCase['resources'] =>
  ({ name, port, log }) => {
    const routes = [{ match: { prefix: '/' }, route: { cluster: `${name}_inside` } }];
    const filters = values.length === 0 ? [] : [setRequestState(...values)];
    return {
      listeners: [
        listener(name, port, [connectionManager(`${name}_outer`, log, { routes, filters })]),
        internalListener(`${name}_internal`, [connectionManager(`${name}_inner`, log, { routes: [textAnswer] })]),
      ],
      clusters: [internalCluster(`${name}_inside`, `${name}_internal`)],
    };
  };

/** Two internal listeners, one behind the other. */
const twoInside =
  (sharing: Sharing): TunnelCase['resources'] =>
  ({ name, port, upstreamPort, log }) => ({
    listeners: [
      listener(name, port, [
        setConnectionState(stateValue('probe', 'far', sharing, 'envoy.string')),
        tcpProxy(`${name}_outer`, `${name}_first`, log),
      ]),
      internalListener(`${name}_one`, [tcpProxy(`${name}_first`, `${name}_second`, log)]),
      internalListener(`${name}_two`, [tcpProxy(`${name}_second`, `${name}_end`, log)]),
    ],
    clusters: [
      internalCluster(`${name}_first`, `${name}_one`),
      internalCluster(`${name}_second`, `${name}_two`),
      cluster(`${name}_end`, upstreamPort),
    ],
  });

const answered = { client: [send(get), until('hello'), 'fin', until('end')], repeat: 2 } as const;

export const nestedCases: readonly TunnelCase[] = [
  { name: 'TLS inside an internal connection', resources: internalTls({}), ...pingPong },
  {
    name: 'much through TLS inside an internal connection',
    resources: internalTls({}),
    client: [send('x'.repeat(1_000_000)), 'fin', until('end')],
    upstream: [until('fin'), send('y'.repeat(1_000_000)), 'fin'],
  },
  { name: 'HTTP with an internal upstream', resources: internalUpstream(), ...answered, stats: /cluster\.|http\./ },
  {
    name: 'HTTP with an internal upstream per value of shared state',
    resources: internalUpstream(stateValue('probe', '%DOWNSTREAM_REMOTE_ADDRESS%', 'ONCE', 'envoy.hashable_string')),
    ...answered,
    log: /never/,
    stats: /cluster\./,
  },
  { name: 'state that is shared once', resources: twoInside('ONCE'), ...pingPong },
  { name: 'state that is shared on', resources: twoInside('TRANSITIVE'), ...pingPong },
];

/** A TCP proxy whose upstream is an internal listener that answers HTTP. */
function internalHttp({ name, port, log }: Lane): LaneResources {
  return {
    listeners: [
      listener(name, port, [tcpProxy(`${name}_outer`, `${name}_inside`, log)]),
      internalListener(`${name}_internal`, [connectionManager(`${name}_inner`, log, { routes: [textAnswer] })]),
    ],
    clusters: [internalCluster(`${name}_inside`, `${name}_internal`)],
  };
}

function blackHole(): object {
  return tcpProxy('hole', 'hole', '/dev/null');
}
