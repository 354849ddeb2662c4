/** How a worker's pools open connections: TLS of one compiled transport socket keeps its sessions in one place. */
import type { TimerWheel } from '../../common/timer-wheel.ts';
import type { RawBufferModel, UpstreamTlsModel } from '../config/model/tls.ts';
import { type ClientTransport, createClientTransport, openConnection } from '../network/client-connection.ts';
import type { SecretContexts } from '../network/tls/secret-contexts.ts';
import type { Connector } from '../upstream/pool/connector.ts';

export function createConnector(contexts: SecretContexts, timers: TimerWheel): Connector {
  const transports = new WeakMap<UpstreamTlsModel | RawBufferModel, ClientTransport>();
  return options => {
    let transport = transports.get(options.transportSocket);
    if (transport === undefined) {
      transport = createClientTransport(options.transportSocket, contexts, options.stats, options.statPrefix);
      transports.set(options.transportSocket, transport);
    }
    return openConnection({
      address: options.address,
      bindAddress: options.bindAddress?.kind === 'socket' ? options.bindAddress : null,
      socketSetup: options.socketSetup,
      transport,
      proxyHeader: options.proxyHeader,
      overrides: {
        alpnProtocols: options.alpnOverride,
        alpnFallback: options.alpnFallback,
        serverName: options.serverNameOverride,
        subjectAltNames: options.subjectAltNameOverride,
      },
      keepalive: options.keepalive,
      bufferLimitBytes: options.bufferLimitBytes,
      callbacks: options.callbacks,
      timers,
    });
  };
}
