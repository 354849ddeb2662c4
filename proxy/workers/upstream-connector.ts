/** How a worker's pools open connections: TLS of one compiled transport socket keeps its sessions in one place. */
import type { TimerWheel } from '../../common/timer-wheel.ts';
import type { RawBufferModel, UpstreamTlsModel } from '../config/model/tls.ts';
import {
  type ClientTransport,
  createClientTransport,
  openConnection,
  openInternalConnection,
} from '../network/client-connection.ts';
import type { InternalAcceptor } from '../network/internal-connection.ts';
import type { SecretContexts } from '../network/tls/secret-contexts.ts';
import type { Connector } from '../upstream/pool/connector.ts';

/** `accept` takes what goes to internal listeners. */
export function createConnector(contexts: SecretContexts, timers: TimerWheel, accept: InternalAcceptor): Connector {
  const transports = new WeakMap<UpstreamTlsModel | RawBufferModel, ClientTransport>();
  return options => {
    const { address, bufferLimitBytes, callbacks, passthrough } = options;
    let transport = transports.get(options.transportSocket);
    if (transport === undefined) {
      transport = createClientTransport(options.transportSocket, contexts, options.stats, options.statPrefix);
      transports.set(options.transportSocket, transport);
    }
    const overrides = {
      alpnProtocols: options.alpnOverride,
      alpnFallback: options.alpnFallback,
      serverName: options.serverNameOverride,
      subjectAltNames: options.subjectAltNameOverride,
    };
    if (address.kind === 'internal') {
      return openInternalConnection({ address, passthrough, transport, overrides, bufferLimitBytes, callbacks, timers, accept });
    }
    return openConnection({
      address,
      bindAddress: options.bindAddress?.kind === 'socket' ? options.bindAddress : null,
      socketSetup: options.socketSetup,
      transport,
      proxyHeader: options.proxyHeader,
      overrides,
      keepalive: options.keepalive,
      bufferLimitBytes,
      callbacks,
      timers,
    });
  };
}
