/** HBONE with what istiod's generators make, listener by listener. */
import { send, until } from '../../connection-end.ts';
import type { Lane, TunnelCase } from '../exchange.ts';
import { fitResources } from '../recorded.ts';
import { pingPong } from './shared.ts';

const at = (port: number): object => ({ socket_address: { address: '127.0.0.1', port_value: port } });

/** Out to a service of ambient mesh, and in to its port. */
function hboneOf(listener: string, service: number, target: number): Pick<TunnelCase, 'resources' | 'behind'> {
  const cluster = `outbound|${service}||echo.hb.svc.cluster.local`;
  // The neighbours too: ranges of ports end before the next one.
  const ports = ({ upstreamPort, middlePort }: Lane) => ({
    [target - 1]: upstreamPort - 1,
    [target]: upstreamPort,
    [target + 1]: upstreamPort + 1,
    15008: middlePort,
  });
  return {
    resources: lane =>
      fitResources(
        {
          pod: 'hbone',
          listeners: [listener, 'connect_originate'],
          clusters: [cluster, 'connect_originate'],
          addresses: ({ port }) => ({ [listener]: at(port) }),
          ports,
        },
        lane,
      ),
    behind: lane =>
      fitResources(
        {
          pod: 'hbone',
          listeners: ['connect_terminate', 'main_internal'],
          clusters: ['main_internal', 'inbound|17000||', 'inbound|17001||', 'InboundPassthroughCluster'],
          addresses: ({ middlePort }) => ({ connect_terminate: at(middlePort) }),
          ports,
        },
        lane,
      ),
  };
}

const get = 'GET /path HTTP/1.1\r\nhost: echo.hb.svc.cluster.local:7001\r\nconnection: close\r\n\r\n';
const answer = 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello';

/** Tunnels of kept connections end with the proxy; times and identifiers make answers differ. */
const ofRequests = { log: /^(inbound|outbound)_/, anyEnd: true } as const;

export const recordedCases: readonly TunnelCase[] = [
  { name: "istiod's HBONE, TCP", ...hboneOf('10.77.0.1_7000', 7000, 17_000), ...pingPong },
  {
    name: "istiod's HBONE, HTTP",
    ...hboneOf('0.0.0.0_7001', 7001, 17_001),
    client: [send(get), until('hello'), 'fin', until('end')],
    upstream: [until('GET /path'), send(answer)],
    ...ofRequests,
  },
  {
    name: "istiod's HBONE to an application that refuses",
    ...hboneOf('0.0.0.0_7001', 7001, 17_001),
    client: [send(get), until('503'), 'fin', until('end')],
    refused: true,
    ...ofRequests,
  },
];
