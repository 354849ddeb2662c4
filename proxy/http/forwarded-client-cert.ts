/** x-forwarded-client-cert: what the next hop learns of the client's certificate. */
import type { HttpConnectionManagerModel } from '../config/model/http-connection-manager.ts';
import type { TlsInfo } from '../network/connection.ts';
import type { HeaderMap } from './header-map.ts';

const headerName = 'x-forwarded-client-cert';

/** The element for one connection: `By`, `Hash` and what the configuration asks for, in Envoy's order. */
export function describeClientCert(tls: TlsInfo, details: HttpConnectionManagerModel['setCurrentClientCert']): string {
  const parts: string[] = [];
  for (const uri of tls.local?.uriSans ?? []) parts.push(`By=${uri}`);
  const peer = tls.peer;
  if (peer !== null && peer.sha256 !== '') parts.push(`Hash=${peer.sha256}`);
  if (details.cert && peer !== null && peer.pem !== '') parts.push(`Cert="${peer.pem}"`);
  if (details.chain && peer !== null && peer.pem !== '') parts.push(`Chain="${peer.pemChain}"`);
  if (details.subject) parts.push(`Subject="${peer?.subject ?? ''}"`);
  if (details.uri) {
    const uris = peer?.uriSans ?? [];
    if (uris.length === 0) parts.push('URI=');
    for (const uri of uris) parts.push(`URI=${uri}`);
  }
  if (details.dns) for (const dns of peer?.dnsSans ?? []) parts.push(`DNS=${dns}`);
  return parts.join(';');
}

/** Removes, keeps, sets or extends the header. `describe` is asked only where the element is needed. */
export function applyClientCert(
  headers: HeaderMap,
  tls: TlsInfo | null,
  mode: HttpConnectionManagerModel['forwardClientCert'],
  describe: (tls: TlsInfo) => string,
): void {
  if (mode === 'always-forward-only') return;
  if (mode === 'sanitize' || tls === null || !tls.peerCertificatePresented) {
    headers.remove(headerName);
    return;
  }
  if (mode === 'append-forward') headers.append(headerName, describe(tls));
  else if (mode === 'sanitize-set') headers.set(headerName, describe(tls));
}
