/** Paths as Envoy normalizes them: RFC 3986 dot segments, unreserved escapes decoded, odd bytes encoded, slashes merged. */

export type EscapedSlashes = 'keep' | 'reject' | 'unescape-and-redirect' | 'unescape-and-forward';

export interface PathOptions {
  readonly normalizePath: boolean;
  readonly mergeSlashes: boolean;
  readonly escapedSlashes: EscapedSlashes;
}

/** A path with its query, and what to do with the request. */
export interface NormalizedPath {
  readonly path: string;
  readonly action: 'forward' | 'redirect' | 'reject';
}

/** A path that normalization leaves alone: no escape, no odd byte, no segment that begins with a dot. */
const plainPath = /^(?:[A-Za-z0-9_~!$&'()*+,:;=@[\]-]|\/(?!\.)|(?<!\/)\.)*$/;
const passedByte = /[A-Za-z0-9_~!$&'()*+,:;=@[\]./-]/;
const unreservedByte = /[A-Za-z0-9._~-]/;
const escapedSlash = /%2[fF]|%5[cC]/;

/** Normalizes `path`, which begins with a slash and may hold a query. */
export function normalizeRequestPath(path: string, options: PathOptions): NormalizedPath {
  if (path.includes('#')) return { path, action: 'reject' };
  const queryAt = path.indexOf('?');
  let bare = queryAt === -1 ? path : path.slice(0, queryAt);
  const query = queryAt === -1 ? '' : path.slice(queryAt);
  let action: NormalizedPath['action'] = 'forward';
  if (options.escapedSlashes !== 'keep' && escapedSlash.test(bare)) {
    bare = bare.replaceAll(/%2[fF]/g, '/').replaceAll(/%5[cC]/g, '\\');
    if (options.escapedSlashes === 'reject') return { path: bare + query, action: 'reject' };
    if (options.escapedSlashes === 'unescape-and-redirect') action = 'redirect';
  }
  if (options.normalizePath && !plainPath.test(bare)) {
    const canonical = canonicalize(bare);
    if (canonical === null) return { path, action: 'reject' };
    bare = canonical;
  }
  if (options.mergeSlashes && bare.includes('//')) bare = bare.replaceAll(/\/{2,}/g, '/');
  return { path: bare + query, action };
}

function canonicalize(path: string): string | null {
  let text = '';
  for (let i = 0; i < path.length; i++) {
    const character = path[i];
    if (character === '%') {
      const hex = path.slice(i + 1, i + 3);
      if (!/^[0-9A-Fa-f]{2}$/.test(hex)) {
        text += character;
        continue;
      }
      if (hex === '00') return null;
      const decoded = String.fromCharCode(Number.parseInt(hex, 16));
      text += unreservedByte.test(decoded) ? decoded : `%${hex}`;
      i += 2;
    } else if (character === '\\') text += '/';
    else if (passedByte.test(character)) text += character;
    else text += `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return removeDotSegments(text);
}

function removeDotSegments(path: string): string {
  const kept: string[] = [];
  const segments = path.split('/');
  for (let i = 1; i < segments.length; i++) {
    const segment = segments[i];
    const isLast = i === segments.length - 1;
    if (segment === '.') {
      if (isLast) kept.push('');
    } else if (segment === '..') {
      kept.pop();
      if (isLast) kept.push('');
    } else kept.push(segment);
  }
  return `/${kept.join('/')}`;
}

/** Removes the port of a host if it is `port`, or any if `port` is null. */
export function stripHostPort(host: string, port: number | null): string {
  const match = /^(.*[^:\]]|\[.*\]):(\d+)$/.exec(host);
  if (match === null || (match[1].includes(':') && !match[1].startsWith('['))) return host;
  return port === null || Number(match[2]) === port ? match[1] : host;
}

/** Removes a dot at the end of a host's name, before its port. */
export function stripTrailingHostDot(host: string): string {
  return host.replace(/\.(:\d+)?$/, '$1');
}
