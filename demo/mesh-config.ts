/** The demo's mesh: who calls whom, at which addresses. */

export interface Endpoint {
  readonly version: string;
  /** Where the application listens. */
  readonly appPort: number;
  /** Where calls to it go: the sidecar accepts there, itself or through redirection. */
  readonly address: string;
  readonly port: number;
  /** How long the application thinks, so that least-request has something to prefer. */
  readonly delayMs: number;
}

export interface Service {
  readonly name: string;
  /** Where the client calls it: the sidecar listens there, or redirection brings the call to it. */
  readonly address: string;
  readonly port: number;
  readonly endpoints: readonly Endpoint[];
}

export const namespace = 'demo';
export const trustDomain = 'cluster.local';
export const clientAccount = 'storefront';
export const serverAccount = 'backend';

export function hostOf(service: string): string {
  return `${service}.${namespace}.svc.cluster.local`;
}

export function clusterOf(service: string): string {
  return `outbound|80||${hostOf(service)}`;
}

export function identityOf(account: string): string {
  return `spiffe://${trustDomain}/ns/${namespace}/sa/${account}`;
}
