/**
 * How the agent trusts istiod and proves itself to it: root certificates, client certificates, the pod's token.
 *
 * Source: FindRootCAForXDS, FindRootCAForCA and the credential fetchers of istio.io/istio.
 */
import { readFileSync, statSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { type ChannelCredentials, Metadata } from '@grpc/grpc-js';
import type { Environment } from '../config/environment.ts';
import type { ProxyConfig } from '../config/proxy-config.ts';
import { splitHostPort } from '../config/proxy-config-validation.ts';
import { TlsCredentials } from './tls-credentials.ts';

const mountedRootPath = './etc/certs/root-cert.pem';
const istiodRootPath = './var/run/secrets/istio/root-cert.pem';
const tokenPath = './var/run/secrets/tokens/istio-token';

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

export type ChannelSettings = {
  readonly credentials: ChannelCredentials;
  readonly options: Readonly<Record<string, string | number>>;
};

/**
 * TLS to istiod. The name to verify is the address's host, which for local debugging is istiod's usual one.
 * @throws if a file cannot be read.
 */
export function buildTlsChannel(
  address: string,
  rootPath: string,
  client: { readonly key: string; readonly certificate: string } | null,
  serverName: string,
): ChannelSettings {
  const hasClient = client !== null && isFile(client.key) && isFile(client.certificate);
  const context = createSecureContext({
    ...(rootPath === '' ? {} : { ca: readFileSync(rootPath) }),
    ...(hasClient ? { key: readFileSync(client.key), cert: readFileSync(client.certificate) } : {}),
  });
  const host = splitHostPort(address)?.host ?? address;
  const name = serverName !== '' ? serverName : host === 'localhost' ? 'istiod.istio-system.svc' : host;
  return { credentials: new TlsCredentials(context, name), options: { 'grpc.default_authority': name } };
}

/** What every call to istiod carries. The kubelet renews the token's file, so it is read for each call. */
export function buildCallMetadata(environment: Environment, headers: Readonly<Record<string, string>>): Metadata {
  const metadata = new Metadata();
  metadata.set('ClusterID', environment.clusterId);
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  const token = readToken(environment);
  if (token !== '') metadata.set('authorization', `Bearer ${token}`);
  return metadata;
}

/** Empty if there is no token: istiod may still accept a client certificate. */
function readToken(environment: Environment): string {
  if (environment.jwtPolicy === 'none') return '';
  try {
    return readFileSync(tokenPath, 'utf8').trim();
  } catch {
    return '';
  }
}
