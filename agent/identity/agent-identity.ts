/**
 * Chooses where certificates come from and serves them to the proxy: istiod's authority, mounted files, or somebody else's
 * socket (SPIRE), beside which the agent serves only files.
 */
import { basename } from 'node:path';
import type { Environment } from '../config/environment.ts';
import type { ProxyConfig } from '../config/proxy-config.ts';
import { AgentLogger } from '../log.ts';
import { isSocketServed } from '../unix-socket.ts';
import { CaClient } from './ca-client.ts';
import type { CertificateFiles } from './file-secrets.ts';
import { isFile } from './istiod-credentials.ts';
import { SdsServer } from './sds-server.ts';
import { rootsName, workloadCertificateName } from './secret.ts';
import { WorkloadSecrets } from './workload-secrets.ts';

const log = new AgentLogger('default');

const workloadSocketDirectory = './var/run/secrets/workload-spiffe-uds';
const defaultSocketName = 'socket';
const filesSocketPath = './var/run/secrets/credential-uds/files-socket';

function certificateFiles(directory: string): CertificateFiles {
  return { chain: `${directory}/cert-chain.pem`, key: `${directory}/key.pem`, roots: `${directory}/root-cert.pem` };
}

const mountedFiles = certificateFiles('./etc/certs');
const platformFiles = certificateFiles('./var/run/secrets/workload-spiffe-credentials');
const gkeFiles: CertificateFiles = {
  chain: './var/run/secrets/workload-spiffe-credentials/certificates.pem',
  key: './var/run/secrets/workload-spiffe-credentials/private_key.pem',
  roots: './var/run/secrets/workload-spiffe-credentials/ca_certificates.pem',
};

function areAllFiles(files: CertificateFiles): boolean {
  return [files.chain, files.key, files.roots].every(isFile);
}

export class AgentIdentity {
  /** True beside somebody else's SDS server. */
  readonly servesOnlyFiles: boolean;
  readonly secrets: WorkloadSecrets;
  readonly #server: SdsServer | null;

  constructor(secrets: WorkloadSecrets, server: SdsServer | null, servesOnlyFiles: boolean) {
    this.secrets = secrets;
    this.#server = server;
    this.servesOnlyFiles = servesOnlyFiles;
  }

  /** Rejects if the configuration contradicts itself or a needed file or socket is missing. */
  static async start(environment: Environment, proxyConfig: ProxyConfig): Promise<AgentIdentity> {
    const servesOnlyFiles = await findForeignServer(environment.workloadIdentitySocketFile);
    const { files, fromFiles } = chooseFiles(environment);
    log.info('Starting default Istio SDS Server');
    const authority = fromFiles || servesOnlyFiles ? null : createAuthority(environment, proxyConfig);
    if (authority === null) log.info('Workload is using file mounted certificates. Skipping connecting to CA');
    const caCertificatesPem = proxyConfig.caCertificatesPem ?? [];
    const secrets = new WorkloadSecrets({ environment, authority, files, caCertificatesPem });
    if (environment.disableEnvoy) {
      keepWritten(secrets);
      return new AgentIdentity(secrets, null, servesOnlyFiles);
    }
    const server = new SdsServer({
      secrets,
      socketPath: servesOnlyFiles ? filesSocketPath : `${workloadSocketDirectory}/${defaultSocketName}`,
      maxStreams: environment.maxStreams,
      useCrl: environment.caCrl,
    });
    await server.listen();
    if (authority !== null) server.warm();
    return new AgentIdentity(secrets, server, servesOnlyFiles);
  }

  close(): void {
    if (this.#server === null) this.secrets.close();
    else this.#server.close();
  }
}

async function findForeignServer(socketName: string): Promise<boolean> {
  if (socketName !== basename(socketName)) {
    throw new Error(`workload identity socket file override must be a filename, not a path: ${socketName}`);
  }
  const path = `${workloadSocketDirectory}/${socketName}`;
  if (await isSocketServed(path)) {
    log.info(`Existing workload SDS socket found at ${path}. Default Istio SDS Server will only serve files`);
    return true;
  }
  if (socketName !== defaultSocketName) {
    throw new Error(`agent configured for non-default SDS socket path: ${path} but no socket found`);
  }
  return false;
}

function chooseFiles(environment: Environment): { readonly files: CertificateFiles; readonly fromFiles: boolean } {
  const fromFiles = environment.fileMountedCertificates;
  if (environment.provisionedCertificates !== '' && fromFiles) {
    throw new Error('invalid options: PROV_CERT and FILE_MOUNTED_CERTS are mutually exclusive');
  }
  if (environment.caProvider === 'GkeWorkloadCertificate') {
    if (!areAllFiles(gkeFiles)) throw new Error('GKE workload certificate files not present');
    return { files: gkeFiles, fromFiles: true };
  }
  if (areAllFiles(platformFiles)) {
    log.info('workload certificate files detected, creating secret manager without caClient');
    return { files: platformFiles, fromFiles: true };
  }
  return { files: mountedFiles, fromFiles };
}

function createAuthority(environment: Environment, proxyConfig: ProxyConfig): CaClient {
  if (environment.caProvider !== 'Citadel') throw new Error(`CA provider "${environment.caProvider}" not registered`);
  const own = environment.caAddress !== '';
  const address = own ? environment.caAddress : proxyConfig.discoveryAddress;
  log.info(`CA Endpoint ${address}, provider ${environment.caProvider}`);
  return new CaClient(environment, address, own ? '' : environment.istiodSan);
}

const firstRetryMs = 500;
const maxRetryMs = 60_000;

/** Without a proxy nobody asks for the certificate, but OUTPUT_CERTS wants it written and renewed. */
function keepWritten(secrets: WorkloadSecrets): void {
  const write = (retryMs: number): void => {
    secrets
      .getSecret(workloadCertificateName)
      .then(() => secrets.getSecret(rootsName))
      .catch((error: Error) => {
        log.warn(`failed to get certificate: ${error.message}`);
        setTimeout(() => write(Math.min(retryMs * 1.5, maxRetryMs)), retryMs).unref();
      });
  };
  secrets.onUpdate = () => write(firstRetryMs);
  write(firstRetryMs);
}
