/**
 * Rewrites of path and host, and the target of a redirect, compiled per route.
 *
 * Source: Envoy's `RouteAction` and `RedirectAction`.
 */
import type { ForwardAction, RedirectAction, RouteMatch } from '../config/model/route.ts';
import type { HeaderMap } from '../http/header-map.ts';
import { internHeaderName } from '../http/header-name.ts';
import { compileReplacement, toHeaderText } from '../matching/regex.ts';
import { findPathEnd } from './route-predicate.ts';

/** Path and query to path and query; '' keeps the old one. */
export type PathRewrite = (pathAndQuery: string) => string;

/** How much of the path a route's match covers. */
function measureMatch(match: RouteMatch['path'], pathAndQuery: string): number {
  return match.kind === 'regex' || match.kind === 'connect' ? findPathEnd(pathAndQuery) : toHeaderText(match.value).length;
}

function isCovered(match: RouteMatch['path'], start: string): boolean {
  if (match.kind === 'regex' || match.kind === 'connect') return true;
  const value = toHeaderText(match.value);
  return start === value || (match.ignoreCase && start.toLowerCase() === value.toLowerCase());
}

/** Compiles a route's rewrite of the path, or null if there is none. */
export function compilePathRewrite(
  match: RouteMatch['path'],
  prefixRewrite: string,
  regexRewrite: ForwardAction['regexRewrite'],
): PathRewrite | null {
  if (prefixRewrite !== '') {
    const prefix = toHeaderText(prefixRewrite);
    return path => {
      const length = measureMatch(match, path);
      // Parameters that the match ignored may stand within what it covers.
      return isCovered(match, path.slice(0, length)) ? prefix + path.slice(length) : '';
    };
  }
  if (regexRewrite === null) return null;
  const replace = compileReplacement(regexRewrite.pattern, regexRewrite.substitution);
  return path => {
    const end = findPathEnd(path);
    return replace(path.slice(0, end)) + path.slice(end);
  };
}

/** Computes the new authority from the request's headers; '' keeps the old one. */
export type HostRewrite = (headers: HeaderMap) => string;

/** Compiles a host rewrite; null for none and for `auto`, which needs the chosen host. */
export function compileHostRewrite(model: ForwardAction['hostRewrite']): HostRewrite | null {
  if (model === null || model.kind === 'auto') return null;
  if (model.kind === 'literal') {
    const host = toHeaderText(model.value);
    return () => host;
  }
  if (model.kind === 'header') {
    const name = internHeaderName(model.value);
    return headers => headers.get(name) ?? '';
  }
  if (model.kind !== 'path-regex') return null;
  const replace = compileReplacement(model.pattern, model.substitution);
  return headers => replace(headers.path.slice(0, findPathEnd(headers.path)));
}

/** Replaces the authority and, if asked, keeps the old one in `x-forwarded-host` and `x-envoy-original-host`. */
export function rewriteHost(headers: HeaderMap, host: string, appendXForwardedHost: boolean, insertsOriginal: boolean): void {
  if (host === '') return;
  const original = headers.authority;
  if (insertsOriginal) headers.set('x-envoy-original-host', original);
  if (appendXForwardedHost) {
    // The same host is not appended again by the next hop that rewrites it.
    const forwarded = headers.getJoined('x-forwarded-host');
    if (forwarded === undefined || forwarded.split(',').at(-1)?.trim() !== original) {
      headers.append('x-forwarded-host', original);
    }
  }
  headers.authority = host;
}

/** Where the port begins (its ':'), or -1; brackets of IPv6 respected. */
export function findPortStart(authority: string): number {
  const colon = authority.lastIndexOf(':');
  if (colon === -1) return -1;
  return authority.lastIndexOf(']') > colon ? -1 : colon;
}

function keepHost(authority: string, requestScheme: string, scheme: string, replacesPort: boolean): string {
  const start = findPortStart(authority);
  if (start === -1) return authority;
  const port = authority.slice(start);
  const isDefault = (requestScheme === 'https' && port === ':443') || (requestScheme === 'http' && port === ':80');
  return replacesPort || (scheme !== requestScheme && isDefault) ? authority.slice(0, start) : authority;
}

const slash = 0x2f;

/** Compiles a redirect into the value of `location` for a request whose path is rewritten. */
export function compileRedirect(action: RedirectAction): (headers: HeaderMap) => string {
  const port = action.port === 0 ? '' : `:${action.port}`;
  return headers => {
    const requestScheme = headers.scheme || headers.get('x-forwarded-proto') || 'http';
    const scheme = action.scheme ?? requestScheme;
    const host = action.host !== '' ? action.host : keepHost(headers.authority, requestScheme, scheme, port !== '');
    let path = headers.path;
    if (action.path !== '') {
      const query = path.indexOf('?');
      const keepsQuery = !action.stripQuery && query !== -1 && !action.path.includes('?');
      path = keepsQuery ? action.path + path.slice(query) : action.path;
    } else {
      const query = action.stripQuery ? path.indexOf('?') : -1;
      if (query !== -1) path = path.slice(0, query);
    }
    return `${scheme}://${host}${port}${path.charCodeAt(0) === slash ? '' : '/'}${path}`;
  };
}
