/**
 * Decides where certificates come from: istiod's authority, mounted files, or somebody else's socket (SPIRE), beside which the
 * agent serves only files.
 */
import { basename } from 'node:path';
import type { Environment } from '../config/environment.ts';
import { AgentLogger } from '../log.ts';
import { isSocketServed } from '../unix-listener.ts';
import { isFile, tokenPath } from './credential-files.ts';
import type { GceToken } from './gce-token.ts';

const log = new AgentLogger('default');

const workloadSocketDirectory = './var/run/secrets/workload-spiffe-uds';
const defaultSocketName = 'socket';
const googleFetcherType = 'GoogleComputeEngine';
const filesSocketPath = './var/run/secrets/credential-uds/files-socket';

export type CertificateFiles = { readonly chain: string; readonly key: string; readonly roots: string };

export type IdentityPlan = {
  /** Beside somebody else's SDS server. */
  readonly servesOnlyFiles: boolean;
  /** No authority is asked: all certificates are mounted. */
  readonly fromFiles: boolean;
  readonly files: CertificateFiles;
  readonly socketPath: string;
};

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

/** Rejects if the configuration contradicts itself or a needed file or socket is missing. */
export async function planIdentity(environment: Environment): Promise<IdentityPlan> {
  checkCredentialFetcher(environment.credentialFetcherType);
  const servesOnlyFiles = await findForeignServer(environment.workloadIdentitySocketFile);
  const { files, fromFiles } = chooseFiles(environment);
  const socketPath = servesOnlyFiles ? filesSocketPath : `${workloadSocketDirectory}/${defaultSocketName}`;
  return { servesOnlyFiles, fromFiles, files, socketPath };
}

function checkCredentialFetcher(type: string): void {
  if (type === 'JWT' || type === '' || type === googleFetcherType) return;
  throw new Error(`invalid credential fetcher type ${type} (CREDENTIAL_FETCHER_TYPE): JWT or ${googleFetcherType}`);
}

/** Where the token comes from Google's metadata server: what keeps it, after its first attempt; null elsewhere. */
export async function startMachineToken(environment: Environment): Promise<GceToken | null> {
  const { credentialFetcherType, jwtPolicy, gceMetadataHost, trustDomain } = environment;
  if (credentialFetcherType !== googleFetcherType || jwtPolicy === 'none') return null;
  const { GceToken } = await import('./gce-token.ts');
  const token = new GceToken({ metadataHost: gceMetadataHost, audience: trustDomain, path: tokenPath });
  await token.start();
  return token;
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
