/** The `connection` header of requests: what it nominates is removed, and what must not be nominated is refused. */
import type { HeaderMap } from '../header-map.ts';

const maxNominatedHeaders = 10;
const maxTeBytes = 256;
const notNominations = new Set(['close', 'keep-alive', 'upgrade', 'http2-settings']);
const forbiddenNominations = new Set(['x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto']);

/** Whether one of the comma-separated tokens of `connection` is `token`, in any case. */
export function isConnectionValueWith(headers: HeaderMap, token: string): boolean {
  const value = headers.get('connection');
  return value !== undefined && hasToken(value, token);
}

/** Whether a comma-separated list holds a token, in any case. */
export function hasToken(list: string, token: string): boolean {
  if (list.length === token.length) return list.toLowerCase() === token;
  return list.split(',').some(part => part.trim().toLowerCase() === token);
}

/** Removes nominated headers; false if the request must be refused. */
export function sanitizeConnectionHeader(headers: HeaderMap): boolean {
  const value = headers.get('connection') as string;
  if (notNominations.has(value.toLowerCase())) return true;
  const tokens = value
    .split(',')
    .map(token => token.trim())
    .filter(token => token !== '');
  if (tokens.length >= maxNominatedHeaders) return false;
  const kept: string[] = [];
  for (const token of tokens) {
    const name = token.toLowerCase();
    if (notNominations.has(name)) {
      kept.push(token);
      continue;
    }
    if (forbiddenNominations.has(name) || name.startsWith(':')) return false;
    if (name === 'te') {
      const te = headers.get('te');
      if (te !== undefined && te.length >= maxTeBytes) return false;
      if (te?.split(',').some(coding => coding.trim().toLowerCase() === 'trailers')) {
        headers.set('te', 'trailers');
        kept.push(token);
        continue;
      }
    }
    if (name === 'host') removeHost(headers);
    else if (name !== 'connection') headers.remove(name);
  }
  if (kept.length === 0) headers.remove('connection');
  else headers.set('connection', kept.join(','));
  return true;
}

function removeHost(headers: HeaderMap): void {
  headers.authority = '';
  headers.hasAuthority = false;
}

/** Drops an offer of h2c; true if another upgrade remains. */
export function sanitizeUpgrade(headers: HeaderMap): boolean {
  const upgrade = headers.get('upgrade') as string;
  if (!hasToken(upgrade, 'h2c')) return true;
  const others = upgrade
    .split(',')
    .map(token => token.trim())
    .filter(token => token.toLowerCase() !== 'h2c');
  headers.remove('http2-settings');
  const connection = (headers.get('connection') ?? '')
    .split(',')
    .map(token => token.trim())
    .filter(token => token.toLowerCase() !== 'http2-settings' && (others.length > 0 || token.toLowerCase() !== 'upgrade'));
  if (connection.length === 0) headers.remove('connection');
  else headers.set('connection', connection.join(','));
  if (others.length === 0) headers.remove('upgrade');
  else headers.set('upgrade', others.join(','));
  return others.length > 0;
}
