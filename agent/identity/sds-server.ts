/**
 * Secret discovery for the proxy over a Unix socket: state of the world only, a response per change.
 *
 * Source: istio.io/istio security/pkg/nodeagent/sds.
 */
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { type ServerDuplexStream, type ServiceDefinition, Server, status } from '@grpc/grpc-js';
import { decodeMessage, encodeMessage, typeUrlPrefix } from '../../protos/messages.ts';
import { AgentLogger } from '../log.ts';
import { rawMethod, serveOn } from '../raw-service.ts';
import type { UnixListener } from '../unix-listener.ts';
import { rootsName, type Secret, type SecretManager, workloadCertificateName } from './secret.ts';

const log = new AgentLogger('sds');

const secretType = `${typeUrlPrefix}envoy.extensions.transport_sockets.tls.v3.Secret` as const;
const firstWarmRetryMs = 500;
const maxWarmRetryMs = 60_000;

const service: ServiceDefinition = {
  StreamSecrets: rawMethod('/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets', true),
};

type SecretStream = ServerDuplexStream<Buffer, Buffer>;

export type SdsServerOptions = {
  readonly secrets: SecretManager;
  readonly listener: UnixListener;
  readonly maxStreams: number;
  /** Names a revocation list beside the roots if one is mounted. */
  /** The list of revoked certificates, used where the file exists; null never. */
  readonly crlPath: string | null;
};

export class SdsServer {
  readonly #options: SdsServerOptions;
  readonly #server: Server;
  readonly #watches = new Set<SecretWatch>();
  #warmRetry: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(options: SdsServerOptions) {
    this.#options = options;
    this.#server = new Server({ 'grpc.max_concurrent_streams': options.maxStreams });
    // Delta and single fetches are unimplemented on purpose: istiod never sends them.
    this.#server.addService(service, { StreamSecrets: (stream: SecretStream) => this.#accept(stream) });
    options.secrets.onUpdate = name => this.#push(name);
  }

  serve(): void {
    log.info('Starting SDS grpc server');
    serveOn(this.#server, this.#options.listener);
  }

  /** Requests the certificate before the proxy does, again and again until it is there. */
  warm(retryMs = firstWarmRetryMs): void {
    const { secrets } = this.#options;
    secrets
      .getSecret(workloadCertificateName)
      .then(() => secrets.getSecret(rootsName))
      .catch((error: Error) => {
        if (this.#closed) return;
        log.warn(`failed to warm certificate: ${error.message}`);
        this.#warmRetry = setTimeout(() => this.warm(Math.min(retryMs * 1.5, maxWarmRetryMs)), retryMs * (0.5 + Math.random()));
      });
  }

  close(): void {
    this.#closed = true;
    if (this.#warmRetry !== null) clearTimeout(this.#warmRetry);
    this.#options.listener.close();
    this.#server.forceShutdown();
    this.#options.secrets.close();
  }

  #accept(stream: SecretStream): void {
    const watch = new SecretWatch(stream, this.#options.secrets, this.#options.crlPath);
    this.#watches.add(watch);
    const forget = (): void => {
      this.#watches.delete(watch);
    };
    stream.on('data', (bytes: Buffer) => watch.onRequest(bytes));
    stream.on('end', () => {
      forget();
      stream.end();
    });
    stream.on('cancelled', forget);
    stream.on('error', forget);
  }

  #push(name: string): void {
    log.debug(`Trigger on secret update, resource name: ${name}`);
    for (const watch of this.#watches) watch.push(name);
  }
}

/** What one stream subscribed to. */
class SecretWatch {
  static #version = 0;
  readonly #stream: SecretStream;
  readonly #secrets: SecretManager;
  readonly #crlPath: string | null;
  #names: ReadonlySet<string> = new Set();
  #nonce = '';
  #failed = false;

  constructor(stream: SecretStream, secrets: SecretManager, crlPath: string | null) {
    this.#stream = stream;
    this.#secrets = secrets;
    this.#crlPath = crlPath;
  }

  onRequest(bytes: Buffer): void {
    const request = decodeMessage('envoy.service.discovery.v3.DiscoveryRequest', bytes);
    const names = new Set(request.resource_names);
    if (request.error_detail) {
      log.warn(`SDS: ACK ERROR ${request.error_detail.message}`);
      return;
    }
    // A stale nonce answers a response that was overtaken by another.
    if (request.response_nonce !== '' && this.#nonce !== '' && request.response_nonce !== this.#nonce) return;
    const isAck = request.response_nonce !== '' && this.#nonce !== '';
    const wanted = isAck ? [...names].filter(name => !this.#names.has(name)) : [...names];
    this.#names = names;
    if (wanted.length > 0) void this.#send(wanted);
  }

  push(name: string): void {
    if (this.#names.has(name)) void this.#send([name]);
  }

  async #send(names: readonly string[]): Promise<void> {
    try {
      const secrets = await Promise.all(names.map(name => this.#secrets.getSecret(name)));
      if (this.#failed || this.#stream.destroyed || this.#stream.cancelled) return;
      this.#nonce = randomUUID();
      const response = {
        type_url: secretType,
        version_info: `${new Date().toISOString()}/${++SecretWatch.#version}`,
        nonce: this.#nonce,
        resources: secrets.map(secret => ({ type_url: secretType, value: encodeSecret(secret, this.#crlPath) })),
      };
      this.#stream.write(encodeMessage('envoy.service.discovery.v3.DiscoveryResponse', response));
    } catch (error) {
      // The proxy asks again with back-off; what it has goes on being used.
      this.#failed = true;
      const details = `failed to generate secret for ${names.join(',')}: ${(error as Error).message}`;
      this.#stream.emit('error', { code: status.UNKNOWN, details });
    }
  }
}

function encodeSecret(secret: Secret, crlPath: string | null): Buffer {
  const inline = (pem: string): { inline_bytes: Buffer } => ({ inline_bytes: Buffer.from(pem) });
  const crl = crlPath !== null && existsSync(crlPath) ? { crl: { filename: crlPath } } : {};
  return encodeMessage('envoy.extensions.transport_sockets.tls.v3.Secret', {
    name: secret.name,
    ...(secret.kind === 'roots'
      ? { validation_context: { trusted_ca: inline(secret.rootsPem), ...crl } }
      : { tls_certificate: { certificate_chain: inline(secret.chainPem), private_key: inline(secret.keyPem) } }),
  });
}
