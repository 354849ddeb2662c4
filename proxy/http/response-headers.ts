/** What the connection manager does to response headers behind all filters. The order of additions is Envoy's. */
import type { HttpConnectionManagerModel } from '../config/model/http-connection-manager.ts';
import { formatDate } from './date-header.ts';
import type { HeaderMap } from './header-map.ts';
import { isUpgrade } from './request-headers.ts';

export function applyResponseHeaders(
  headers: HeaderMap,
  requestHeaders: HeaderMap | null,
  model: HttpConnectionManagerModel,
): void {
  if (!headers.has('date')) headers.add('date', formatDate(Date.now()));
  const transformation = model.serverHeaderTransformation;
  if (transformation === 'overwrite' || (transformation === 'append-if-absent' && !headers.has('server'))) {
    headers.set('server', model.serverName);
  }
  const keepsUpgrade = requestHeaders !== null && isUpgrade(requestHeaders) && isUpgrade(headers) && headers.status === 101;
  removeHopByHop(headers, keepsUpgrade);
  if (requestHeaders !== null && model.alwaysSetRequestIdInResponse) {
    const id = requestHeaders.get('x-request-id');
    if (id !== undefined) headers.set('x-request-id', id);
  }
  if (model.via !== '') {
    const via = headers.getJoined('via');
    headers.set('via', via === undefined ? model.via : `${via}, ${model.via}`);
  }
}

function removeHopByHop(headers: HeaderMap, keepsUpgrade: boolean): void {
  const entries = headers.entries;
  let kept = 0;
  for (let i = 0; i < entries.length; i += 2) {
    const name = entries[i];
    if (name === 'transfer-encoding' || name === 'keep-alive' || name === 'proxy-connection') continue;
    if (!keepsUpgrade && (name === 'connection' || name === 'upgrade')) continue;
    if (kept !== i) {
      entries[kept] = name;
      entries[kept + 1] = entries[i + 1];
    }
    kept += 2;
  }
  entries.length = kept;
}

/** Whether the client wants, or with HTTP/1.0 does not forbid, that the connection ends with this request. */
export function shouldCloseConnection(protocol: string, headers: HeaderMap): boolean {
  const connection = headers.get('connection');
  const proxyConnection = headers.get('proxy-connection');
  if (connection === undefined && proxyConnection === undefined) return protocol === 'HTTP/1.0';
  const tokens = `${connection ?? ''},${proxyConnection ?? ''}`.toLowerCase().split(',');
  if (protocol === 'HTTP/1.0') return !tokens.some(token => token.trim() === 'keep-alive');
  return tokens.some(token => token.trim() === 'close');
}
