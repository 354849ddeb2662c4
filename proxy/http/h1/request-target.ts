/** The first line of a request, its target and host: what Envoy's HTTP/1 codec accepts. */
import { isIPv6 } from 'node:net';
import type { HeaderMap } from '../header-map.ts';

const methods = new Set(
  (
    'ACL BIND CHECKOUT CONNECT COPY DELETE GET HEAD LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL MOVE MSEARCH NOTIFY OPTIONS PATCH ' +
    'POST PROPFIND PROPPATCH PURGE PUT REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNLINK UNLOCK UNSUBSCRIBE'
  ).split(' '),
);

export interface RequestLine {
  readonly method: string;
  readonly target: string;
  /** `HTTP/1.1`, or what stands in its place; empty if absent. */
  readonly version: string;
}

/** The usual shape; others take the slow way. */
const plainLine = /^([A-Z]+) ([!-~]+) (HTTP\/\d\.\d)$/;

/** Splits a first line; null if it is malformed. */
export function parseRequestLine(line: string): RequestLine | null {
  const plain = plainLine.exec(line);
  if (plain !== null)
    return methods.has(plain[1]) && isTargetValid(plain[2], plain[1])
      ? { method: plain[1], target: plain[2], version: plain[3] }
      : null;
  const [, method, target, version] = /^([^ \t\r]+)(?:[ \t\r]+([^ \t\r]+)(?:[ \t\r]+(.*))?)?$/.exec(line) ?? [];
  if (method === undefined || target === undefined || !methods.has(method) || !isTargetValid(target, method)) return null;
  if (version !== undefined && version !== '' && !/^HTTP\/\d\.\d$/.test(version)) return null;
  return { method, target, version: version ?? '' };
}

const schemeAndHost = /^[A-Za-z][A-Za-z0-9+.-]*:\/\/([^/?]*)/;
const hostBytes = /^[A-Za-z0-9!$%&'()*+,\-.:;=@[\]_~]*$/;
const pathBytes = /^[\t\f!-~]*$/;

function isTargetValid(target: string, method: string): boolean {
  const first = target.charCodeAt(0);
  if (first === 47 || first === 42) return pathBytes.test(target);
  const host = method === 'CONNECT' ? /^[^/?]*/.exec(target) : schemeAndHost.exec(target);
  if (host === null) return false;
  const authority = method === 'CONNECT' ? host[0] : host[1];
  return hostBytes.test(authority) && !authority.includes('@@') && pathBytes.test(target.slice(host[0].length));
}

/** Whether a `host` value has only bytes that an authority may have. */
export function isAuthorityValid(authority: string): boolean {
  return hostBytes.test(authority);
}

const hostAndPort = /^(?:([A-Za-z0-9.-]+)|\[([0-9A-Fa-f:.]+)\])(?::(\d+))?$/;

/** Whether the authority of an absolute or CONNECT target names a host, and a port if it must. The rule for `host` is wider. */
function isHostAndPort(authority: string, needsPort: boolean): boolean {
  const parsed = hostAndPort.exec(authority);
  if (parsed === null) return false;
  const [, , ipv6, port] = parsed;
  return (ipv6 === undefined || isIPv6(ipv6)) && (port === undefined ? !needsPort : Number(port) <= 65_535);
}

/**
 * Sets `:path`, and `:authority` of an absolute or CONNECT target.
 * @returns the details of an error, or an empty string.
 */
export function applyTarget(headers: HeaderMap, target: string, allowAbsoluteUrl: boolean): string {
  if (headers.method === 'CONNECT') {
    if (!isHostAndPort(target, true)) return 'http1.invalid_url';
    headers.authority = target;
    return '';
  }
  if (target.charCodeAt(0) === 47 || (target === '*' && headers.method === 'OPTIONS') || !allowAbsoluteUrl) {
    headers.path = target;
    return '';
  }
  const parsed = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/([^/?#]*)(.*)$/.exec(target);
  if (parsed === null || parsed[2] === '') return 'http1.invalid_url';
  const scheme = parsed[1].toLowerCase();
  if (scheme !== 'http' && scheme !== 'https') return 'http1.invalid_scheme';
  const host = parsed[2].slice(parsed[2].lastIndexOf('@') + 1);
  if (!isHostAndPort(host, false)) return 'http1.invalid_url';
  // RFC 9112 3.2.2: the target's host replaces the header's.
  headers.authority = host;
  headers.scheme = scheme;
  headers.path = parsed[3] === '' ? '/' : parsed[3];
  return '';
}
