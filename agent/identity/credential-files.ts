/**
 * Where the files are by which the agent trusts istiod and proves itself to it.
 *
 * Source: FindRootCAForXDS and FindRootCAForCA of istio.io/istio.
 */
import { statSync } from 'node:fs';
import type { Environment } from '../config/environment.ts';
import type { ProxyConfig } from '../config/proxy-config.ts';

/** The token of the pod's service account. */
export const tokenPath = './var/run/secrets/tokens/istio-token';
const mountedRootPath = './etc/certs/root-cert.pem';
const istiodRootPath = './var/run/secrets/istio/root-cert.pem';

/** True for a regular file. */
export function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}

/**
 * The root certificate file for ADS; empty for the system's roots.
 * @throws if there is none.
 */
export function findXdsRoot(environment: Environment, proxyConfig: ProxyConfig): string {
  if (environment.xdsRoot === 'SYSTEM') return '';
  if (environment.xdsRoot !== '') return requireFile(environment.xdsRoot, 'XDS');
  if (isFile(mountedRootPath)) return mountedRootPath;
  if (environment.provisionedCertificates !== '') return `${environment.provisionedCertificates}/root-cert.pem`;
  if (environment.fileMountedCertificates) {
    return requireFile(proxyConfig.proxyMetadata?.ISTIO_META_TLS_CLIENT_ROOT_CERT ?? '', 'XDS');
  }
  if (environment.pilotCertProvider === 'none') {
    throw new Error('root CA file for XDS required but configured provider as none');
  }
  return requireFile(istiodRootPath, 'XDS');
}

/**
 * The root certificate file for the certificate authority; empty for the system's roots.
 * @throws if there is none.
 */
export function findCaRoot(environment: Environment): string {
  if (environment.caRoot === 'SYSTEM') return '';
  if (environment.caRoot !== '') return requireFile(environment.caRoot, 'CA');
  if (environment.pilotCertProvider === 'custom') return requireFile(mountedRootPath, 'CA');
  if (environment.provisionedCertificates !== '') return `${environment.provisionedCertificates}/root-cert.pem`;
  if (environment.pilotCertProvider === 'none') throw new Error('root CA file for CA required but configured provider as none');
  return requireFile(istiodRootPath, 'CA');
}

function requireFile(path: string, purpose: string): string {
  if (isFile(path)) return path;
  throw new Error(`root CA file for ${purpose} does not exist ${path}`);
}

/** Paths of the certificate that the agent itself presents; null if it proves itself by token only. */
export function findClientCertificate(
  environment: Environment,
  proxyConfig: ProxyConfig | null,
): { readonly key: string; readonly certificate: string } | null {
  const directory = environment.provisionedCertificates;
  if (directory !== '') return { key: `${directory}/key.pem`, certificate: `${directory}/cert-chain.pem` };
  const metadata = proxyConfig?.proxyMetadata;
  if (!environment.fileMountedCertificates || metadata === undefined) return null;
  const key = metadata.ISTIO_META_TLS_CLIENT_KEY ?? '';
  const certificate = metadata.ISTIO_META_TLS_CLIENT_CERT_CHAIN ?? '';
  return key === '' || certificate === '' ? null : { key, certificate };
}
