/**
 * Has istiod's certificate authority sign certificate requests.
 *
 * Source: istio.io/istio security/pkg/nodeagent/caclient and pkg/security (retries).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, credentials as grpcCredentials, type ServiceError, status } from '@grpc/grpc-js';
import { decodeMessage, encodeMessage } from '../../protos/messages.ts';
import type { Environment } from '../config/environment.ts';
import { describeIstiodFailure } from '../failure-text.ts';
import { buildKeepaliveOptions } from '../istiod-keepalive.ts';
import { AgentLogger } from '../log.ts';
import { agentMetrics } from '../metrics.ts';
import { findCaRoot, findClientCertificate, isFile } from './credential-files.ts';
import { buildCallMetadata, buildTlsChannel } from './istiod-credentials.ts';

const log = new AgentLogger('citadelclient');
const caLog = new AgentLogger('ca');

const createCertificatePath = '/istio.v1.auth.IstioCertificateService/CreateCertificate';
const maxAttempts = 5;
const firstRetryMs = 100;
const retryJitter = 0.1;
const retriableCodes: ReadonlySet<number> = new Set([
  status.CANCELLED,
  status.DEADLINE_EXCEEDED,
  status.RESOURCE_EXHAUSTED,
  status.ABORTED,
  status.INTERNAL,
  status.UNAVAILABLE,
]);

/** Signs requests. */
export interface CertificateAuthority {
  /** Resolves to PEM certificates, leaf first and root last. Rejects when retries are used up. */
  sign(requestPem: string, validitySeconds: number): Promise<readonly string[]>;
  close(): void;
}

export class CaClient implements CertificateAuthority {
  readonly #environment: Environment;
  readonly #address: string;
  readonly #serverName: string;
  #client: Client;

  /** @throws if the root certificate is missing. */
  constructor(environment: Environment, address: string, serverName: string) {
    this.#environment = environment;
    this.#address = address;
    this.#serverName = serverName;
    this.#client = this.#connect();
    // Meanwhile the key is made.
    this.#client.getChannel().getConnectivityState(true);
  }

  async sign(requestPem: string, validitySeconds: number): Promise<readonly string[]> {
    const request = encodeMessage('istio.v1.auth.IstioCertificateRequest', {
      csr: requestPem,
      validity_duration: validitySeconds,
      metadata: { fields: { CertSigner: { string_value: this.#environment.certificateSigner } } },
    } as never);
    try {
      return await this.#signWithRetries(request);
    } catch (error) {
      log.error(`failed to sign CSR: ${(error as Error).message}`);
      // The root may have been replaced: only a new connection reads it.
      this.#reconnect();
      throw error;
    }
  }

  close(): void {
    this.#client.close();
  }

  async #signWithRetries(request: Buffer): Promise<readonly string[]> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#call(request);
      } catch (error) {
        const { code, details } = error as ServiceError;
        if (attempt >= maxAttempts || !retriableCodes.has(code)) {
          const reason = details === undefined ? (error as Error).message : `${status[code]}: ${describeIstiodFailure(details)}`;
          throw new Error(`create certificate: ${reason}`, { cause: error });
        }
        const waitMs = firstRetryMs * 2 ** (attempt - 1) * (1 + retryJitter * (2 * Math.random() - 1));
        caLog.warn(`ca request failed, starting attempt ${attempt} in ${waitMs.toFixed(3)}ms`);
        agentMetrics.outgoingRetries.increment({ request_type: 'csr' });
        await sleep(waitMs);
      }
    }
  }

  #call(request: Buffer): Promise<readonly string[]> {
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        createCertificatePath,
        (bytes: Buffer) => bytes,
        (bytes: Buffer) => bytes,
        request,
        buildCallMetadata(this.#environment, this.#environment.caHeaders),
        (error, bytes) => {
          if (error !== null) return reject(error);
          const chain = decodeMessage('istio.v1.auth.IstioCertificateResponse', bytes as Buffer).cert_chain;
          if (chain.length <= 1) return reject(new Error('invalid empty CertChain'));
          resolve(chain);
        },
      );
    });
  }

  #connect(): Client {
    const options = {
      ...buildKeepaliveOptions(this.#environment),
      // A channel of its own: a pooled one would go on with the old root.
      'grpc.use_local_subchannel_pool': 1,
      'grpc.service_config_disable_resolution': 1,
    };
    if (this.#address.endsWith(':15010')) {
      log.warn('Debug mode or IP-secure network');
      return new Client(this.#address, grpcCredentials.createInsecure(), options);
    }
    const root = findCaRoot(this.#environment);
    if (root !== '' && !isFile(root)) throw new Error(`invalid config - ${this.#address} missing a root certificate ${root}`);
    log.info(`Using CA ${this.#address} cert with ${root === '' ? 'system certs' : `certs: ${root}`}`);
    const client = findClientCertificate(this.#environment, null);
    const channel = buildTlsChannel(this.#address, root, client, this.#serverName, this.#environment.compliancePolicy);
    return new Client(this.#address, channel.credentials, { ...options, ...channel.options });
  }

  #reconnect(): void {
    this.#client.close();
    try {
      this.#client = this.#connect();
      log.info('recreated connection');
    } catch (error) {
      log.error(`failed reconnect: ${(error as Error).message}`);
    }
  }
}
