/**
 * Upgrades between the versions: what is `connection: upgrade` on HTTP/1 is an extended CONNECT on HTTP/2 (RFC 8441). Inside,
 * both look like HTTP/1.
 */
import type { HeaderMap } from '../header-map.ts';
import { hasToken } from '../h1/connection-header.ts';

/** A request of the form of HTTP/1 that asks for an upgrade; its type, or an empty string. */
export function readUpgradeType(headers: HeaderMap): string {
  const upgrade = headers.get('upgrade');
  if (upgrade === undefined || upgrade === '') return '';
  const connection = headers.get('connection');
  return connection !== undefined && hasToken(connection, 'upgrade') ? upgrade : '';
}

/** Received extended CONNECT to upgrade request, in place. A CONNECT for bytes stays what it is. */
export function requestFromHttp2(headers: HeaderMap): string {
  const { protocol } = headers;
  if (headers.method !== 'CONNECT' || protocol === '' || protocol === 'bytestream') return '';
  headers.method = 'GET';
  headers.set('upgrade', protocol);
  headers.set('connection', 'upgrade');
  headers.protocol = '';
  return protocol;
}

/** Upgrade request to extended CONNECT: a copy. */
export function requestToHttp2(headers: HeaderMap, type: string): HeaderMap {
  const copy = headers.clone();
  copy.method = 'CONNECT';
  copy.protocol = type;
  copy.remove('upgrade');
  copy.remove('connection');
  if (copy.get('content-length') === '0') copy.remove('content-length');
  return copy;
}

/** The answer to an upgrade that came as extended CONNECT: a copy if it changes. */
export function responseToHttp2(headers: HeaderMap): HeaderMap {
  if (headers.status !== 101) return headers;
  const copy = headers.clone();
  copy.status = 200;
  copy.remove('upgrade');
  copy.remove('connection');
  if (copy.get('content-length') === '0') copy.remove('content-length');
  return copy;
}

/** The received answer to an extended CONNECT that was an upgrade, in place. */
export function responseFromHttp2(headers: HeaderMap, type: string): void {
  if (headers.status !== 200) return;
  headers.status = 101;
  headers.set('upgrade', type);
  headers.set('connection', 'upgrade');
  if (headers.get('content-length') === '0') headers.remove('content-length');
}
