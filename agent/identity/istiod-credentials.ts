/** Secured channels to istiod, and what a call carries: the pod's token, the cluster's name, headers of the environment. */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { type ChannelCredentials, Metadata } from '@grpc/grpc-js';
import type { Environment } from '../config/environment.ts';
import { splitHostPort } from '../config/proxy-config-validation.ts';
import { explainSystemError } from '../failure-text.ts';
import { AgentLogger } from '../log.ts';
import { isFile, tokenPath } from './credential-files.ts';
import { splitCertificates } from './secret.ts';
import { restrictTls } from './tls-compliance.ts';
import { TlsCredentials } from './tls-credentials.ts';

const log = new AgentLogger('default');

export type ChannelSettings = {
  readonly credentials: ChannelCredentials;
  readonly options: Readonly<Record<string, string | number>>;
};

/**
 * TLS to istiod. The name to verify is the address's host, which for local debugging is istiod's usual one.
 * @throws if a file cannot be read or the root is no certificate.
 */
export function buildTlsChannel(
  address: string,
  rootPath: string,
  client: { readonly key: string; readonly certificate: string } | null,
  serverName: string,
  compliancePolicy = '',
): ChannelSettings {
  const hasClient = client !== null && isFile(client.key) && isFile(client.certificate);
  const context = createSecureContext({
    ...restrictTls(compliancePolicy),
    ...(rootPath === '' ? {} : { ca: readRoots(rootPath) }),
    ...(hasClient ? { key: readFileSync(client.key), cert: readFileSync(client.certificate) } : {}),
  });
  const host = splitHostPort(address)?.host ?? address;
  const name = serverName !== '' ? serverName : host === 'localhost' ? 'istiod.istio-system.svc' : host;
  return { credentials: new TlsCredentials(context, name), options: { 'grpc.default_authority': name } };
}

/** Node takes any text for roots, and would then trust nothing. */
function readRoots(path: string): string {
  const attempt = `read root certificates of istiod from ${path}`;
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw explainSystemError(attempt, error);
  }
  const certificates = splitCertificates(text);
  if (certificates.length === 0) throw new Error(`failed to ${attempt}: there is no PEM certificate in it`);
  try {
    for (const certificate of certificates) new X509Certificate(certificate);
  } catch (error) {
    throw new Error(`failed to ${attempt}: ${(error as Error).message}`, { cause: error });
  }
  return text;
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
  } catch (error) {
    log.warn(explainSystemError(`fetch token from file ${tokenPath}`, error).message);
    return '';
  }
}
