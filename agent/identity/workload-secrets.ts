/**
 * The workload's certificate: requested when the proxy first asks for it, kept, and renewed at half of its life.
 *
 * Source: SecretManagerClient in istio.io/istio security/pkg/nodeagent/cache.
 */
import { X509Certificate } from 'node:crypto';
import type { Environment } from '../config/environment.ts';
import { renderGoDuration } from '../config/duration.ts';
import { AgentLogger } from '../log.ts';
import { agentMetrics } from '../metrics.ts';
import type { CertificateAuthority } from './ca-client.ts';
import { writeCertificates } from './certificate-output.ts';
import { createCertificateRequest } from './certificate-request.ts';
import { FileSecrets } from './file-secrets.ts';
import type { CertificateFiles } from './identity-plan.ts';
import { rootsName, type Secret, type SecretManager, splitCertificates, workloadCertificateName } from './secret.ts';

const log = new AgentLogger('cache');

/** setTimeout's limit. */
const maxTimerMs = 2 ** 31 - 1;

type WorkloadCertificate = {
  readonly chainPem: string;
  readonly keyPem: string;
  readonly rootsPem: string;
  readonly createdMs: number;
  readonly expiresMs: number;
};

export type WorkloadSecretOptions = {
  readonly environment: Environment;
  /** Null if certificates come from files only. */
  readonly authority: CertificateAuthority | null;
  readonly files: CertificateFiles;
  /** Further roots of the mesh (PEM). */
  readonly caCertificatesPem: readonly string[];
};

export class WorkloadSecrets implements SecretManager {
  onUpdate: (name: string) => void = () => {};
  readonly #environment: Environment;
  readonly #authority: CertificateAuthority | null;
  readonly #files: FileSecrets;
  #extraRoots: readonly string[];
  #certificate: WorkloadCertificate | null = null;
  #request: Promise<WorkloadCertificate> | null = null;
  #lastRootsPem: string | null = null;
  #rotation: NodeJS.Timeout | null = null;
  #closed = false;

  constructor({ environment, authority, files, caCertificatesPem }: WorkloadSecretOptions) {
    this.#environment = environment;
    this.#authority = authority;
    this.#files = new FileSecrets(files, environment.fileDebounceMs, name => this.onUpdate(name));
    this.#extraRoots = caCertificatesPem;
  }

  async getSecret(name: string): Promise<Secret> {
    const secret = this.#merge((await this.#files.read(name)) ?? (await this.#getRequested(name)));
    if (name === workloadCertificateName || name === rootsName) this.#output(secret);
    return secret;
  }

  /** Replaces the further roots of the mesh; the certificate is requested anew, since its issuer may have changed with them. */
  updateTrustBundle(certificatesPem: readonly string[]): void {
    if (certificatesPem.join('\n') === this.#extraRoots.join('\n')) return;
    this.#extraRoots = certificatesPem;
    this.onUpdate(rootsName);
    this.#certificate = null;
    this.onUpdate(workloadCertificateName);
  }

  close(): void {
    this.#closed = true;
    if (this.#rotation !== null) clearTimeout(this.#rotation);
    this.#files.close();
    this.#authority?.close();
  }

  async #getRequested(name: string): Promise<Secret> {
    if (name !== workloadCertificateName && name !== rootsName) {
      throw new Error(`failed to generate secret: no certificate is known by the name ${name}`);
    }
    if (this.#authority === null) {
      throw new Error('failed to generate workload certificate: attempted to fetch secret, but ca client is nil');
    }
    const certificate = this.#certificate ?? (await this.#requestOnce(this.#authority));
    if (name === rootsName) return { kind: 'roots', name, rootsPem: certificate.rootsPem };
    return { kind: 'keyPair', name, chainPem: certificate.chainPem, keyPem: certificate.keyPem };
  }

  /** Two names asked for at once share one request. */
  #requestOnce(authority: CertificateAuthority): Promise<WorkloadCertificate> {
    this.#request ??= this.#requestCertificate(authority).finally(() => {
      this.#request = null;
    });
    return this.#request;
  }

  async #requestCertificate(authority: CertificateAuthority): Promise<WorkloadCertificate> {
    const environment = this.#environment;
    const spiffeUri = `spiffe://${environment.trustDomain}/ns/${environment.podNamespace}/sa/${environment.serviceAccount}`;
    const startMs = Date.now();
    const { requestPem, keyPem } = await createCertificateRequest(spiffeUri, environment);
    agentMetrics.outgoingRequests.increment({ request_type: 'csr' });
    let chain: readonly string[];
    try {
      chain = await authority.sign(requestPem, Math.floor(environment.secretTtlMs / 1000));
    } catch (error) {
      agentMetrics.failedOutgoingRequests.increment({ request_type: 'csr' });
      throw new Error(`failed to generate workload certificate: ${(error as Error).message}`, { cause: error });
    } finally {
      agentMetrics.outgoingLatencyMs.set(Date.now() - startMs, { request_type: 'csr' });
    }
    const certificate: WorkloadCertificate = {
      chainPem: chain.map((pem, i) => (pem.endsWith('\n') || i === chain.length - 1 ? pem : `${pem}\n`)).join(''),
      keyPem,
      rootsPem: chain[chain.length - 1],
      createdMs: Date.now(),
      expiresMs: new X509Certificate(chain[0]).validToDate.getTime(),
    };
    log.info('generated new workload certificate', {
      latency: renderGoDuration(Date.now() - startMs),
      ttl: renderGoDuration(certificate.expiresMs - Date.now()),
    });
    this.#keep(certificate);
    return certificate;
  }

  #keep(certificate: WorkloadCertificate): void {
    if (this.#closed) return;
    this.#certificate = certificate;
    agentMetrics.certExpirySeconds.set(() => (certificate.expiresMs - Date.now()) / 1000, {
      resource_name: workloadCertificateName,
    });
    const { rotationRatio, rotationRatioJitter } = this.#environment;
    const delayMs = computeRotationDelay(certificate, rotationRatio, rotationRatioJitter, Math.random());
    log.debug(`scheduled certificate for rotation in ${renderGoDuration(delayMs)}`);
    this.#scheduleRotation(certificate, Date.now() + delayMs);
    const changed = this.#lastRootsPem !== null && this.#lastRootsPem !== certificate.rootsPem;
    this.#lastRootsPem = certificate.rootsPem;
    if (!changed) return;
    log.info('Root cert has changed, start rotating root cert');
    this.onUpdate(rootsName);
  }

  #scheduleRotation(certificate: WorkloadCertificate, atMs: number): void {
    if (this.#rotation !== null) clearTimeout(this.#rotation);
    this.#rotation = setTimeout(
      () => {
        if (this.#certificate !== certificate) return;
        if (Date.now() < atMs) {
          this.#scheduleRotation(certificate, atMs);
          return;
        }
        log.debug('rotating certificate');
        this.#certificate = null;
        this.onUpdate(workloadCertificateName);
      },
      Math.min(Math.max(0, atMs - Date.now()), maxTimerMs),
    );
  }

  #merge(secret: Secret): Secret {
    if (secret.name !== rootsName || secret.kind !== 'roots') return secret;
    const anchors = [secret.rootsPem, ...this.#extraRoots].flatMap(splitCertificates).map(pem => pem.trim());
    return { ...secret, rootsPem: [...new Set(anchors)].sort().join('\n') };
  }

  #output(secret: Secret): void {
    const directory = this.#environment.outputCertificates;
    if (directory === '') return;
    try {
      writeCertificates(directory, secret, this.#environment.kubernetesServiceHost !== '');
    } catch (error) {
      log.error(`error when output the resource: ${(error as Error).message}`);
    }
  }
}

/**
 * Milliseconds from now to the renewal of a certificate: `ratio` of its life before its end, moved by up to `jitter` so that a
 * fleet does not renew at once. `random` is in [0, 1).
 */
export function computeRotationDelay(
  certificate: { readonly createdMs: number; readonly expiresMs: number },
  ratio: number,
  jitter: number,
  random: number,
): number {
  const movedRatio = Math.min(1, Math.max(0, ratio + jitter * (2 * random - 1)));
  const graceMs = movedRatio * (certificate.expiresMs - certificate.createdMs);
  return Math.max(0, certificate.expiresMs - graceMs - Date.now());
}
