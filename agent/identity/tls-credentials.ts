/**
 * TLS of the agent's gRPC connections. grpc-js sends the name it verifies as SNI, which TLS forbids for an address (RFC 6066);
 * this one verifies an address against the certificate's IP names and sends none, as Go does.
 */
import { isIP, type Socket } from 'node:net';
import { checkServerIdentity, connect, type SecureContext } from 'node:tls';
import { CallCredentials, ChannelCredentials, type experimental } from '@grpc/grpc-js';

type SecureConnector = experimental.SecureConnector;

export class TlsCredentials extends ChannelCredentials {
  readonly #context: SecureContext;
  readonly #serverName: string;

  /** `serverName` is the DNS name or address that the server's certificate must hold. */
  constructor(context: SecureContext, serverName: string) {
    super();
    this.#context = context;
    this.#serverName = serverName;
  }

  override _isSecure(): boolean {
    return true;
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  override _createSecureConnector(_target: unknown, _options: unknown, callCredentials?: CallCredentials): SecureConnector {
    return {
      connect: async socket => ({ socket: await this.#handshake(socket), secure: true }),
      waitForReady: async () => {},
      getCallCredentials: () => callCredentials ?? CallCredentials.createEmpty(),
      destroy: () => {},
    };
  }

  #handshake(socket: Socket): Promise<Socket> {
    const name = this.#serverName;
    return new Promise((resolve, reject) => {
      const secured = connect({
        socket,
        secureContext: this.#context,
        ALPNProtocols: ['h2'],
        ...(isIP(name) === 0 ? { servername: name } : {}),
        checkServerIdentity: (_host, certificate) => checkServerIdentity(name, certificate),
      });
      secured.once('secureConnect', () => resolve(secured));
      secured.on('error', reject);
    });
  }
}
