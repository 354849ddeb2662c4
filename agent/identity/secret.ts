/** What the secret managers hand to the SDS server. */

/** A key and its chain, or trusted roots; all PEM. */
export type Secret =
  | { readonly kind: 'keyPair'; readonly name: string; readonly chainPem: string; readonly keyPem: string }
  | { readonly kind: 'roots'; readonly name: string; readonly rootsPem: string };

/** The proxy's names for the workload's own certificate and for the mesh's roots. */
export const workloadCertificateName = 'default';
export const rootsName = 'ROOTCA';
export const systemRootsName = 'file-root:system';

/** Provides secrets by name and says when one is to be fetched again. */
export interface SecretManager {
  /** Rejects if the secret cannot be made now; the proxy asks again. */
  getSecret(name: string): Promise<Secret>;
  /** Called with the name of a secret that changed. */
  onUpdate: (name: string) => void;
  close(): void;
}

/** The certificates of a PEM text, each with its lines; what is no certificate is dropped. */
export function splitCertificates(pem: string): readonly string[] {
  return (pem.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? []).map(text => `${text}\n`);
}
