/**
 * Redirects that the proxy follows itself: the request, with the target of the upstream's `location`, goes through filters and
 * routes once more.
 *
 * Source: Envoy's InternalRedirectPolicy and its predicates.
 */
import type { InternalRedirectModel, RedirectPredicate } from '../config/model/route.ts';
import type { HttpFilterCallbacks } from '../http/filter.ts';
import type { HeaderMap } from '../http/header-map.ts';
import type { RouterStats } from './router-stats.ts';

/** What a request remembers from redirect to redirect. */
export interface RedirectHistory {
  count: number;
  /** The targets of each route that asks for `previous_routes`, by its name. */
  readonly targets: Map<string, Set<string>>;
}

const location = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/(?:[^/?#@]*@)?([^/?#@]+)([^#]*)/;
/** The only one that turns any request into a GET. */
const seeOther = 303;

/** How the redirected request goes on. */
export type RedirectVerdict = 'refused' | 'with-body' | 'without-body';

/** Changes the headers to those of the redirected request; refused they are as before. */
export function redirectHeaders(
  policy: InternalRedirectModel,
  callbacks: HttpFilterCallbacks,
  routeName: string,
  headers: HeaderMap,
  response: HeaderMap,
  stats: RouterStats,
): RedirectVerdict {
  const given = response.get('location');
  if (given === undefined) return 'refused';
  const target = location.exec(given);
  if (target === null) return refuse(stats, 'bad_location');
  const [, scheme, authority, pathAndQuery] = target;
  const isHttps = headers.scheme !== 'http' && callbacks.connection.info.tls !== null;
  const isTargetHttps = scheme.toLowerCase() !== 'http';
  if (!policy.allowsCrossScheme && isHttps !== isTargetHttps) return refuse(stats, 'unsafe_scheme');
  const info = callbacks.streamInfo;
  info.redirects ??= { count: 0, targets: new Map() };
  if (info.redirects.count >= policy.maxRedirects) return refuse(stats, 'too_many_redirects');
  const before = headers.clone();
  copyHeaders(policy.headersToCopy, response, headers);
  headers.scheme = scheme;
  headers.authority = authority;
  headers.path = pathAndQuery || '/';
  callbacks.clearRouteCache();
  const route = callbacks.route;
  const problem =
    route === null ? 'no_route' : findProblem(policy, info.redirects, routeName, route.route.name, isHttps, isTargetHttps);
  if (problem !== null) {
    headers.assign(before);
    return refuse(stats, problem);
  }
  const becomesGet = response.status === seeOther && headers.method !== 'GET' && headers.method !== 'HEAD';
  if (becomesGet) {
    headers.method = 'GET';
    headers.remove('content-length');
  }
  info.redirects.count++;
  headers.set('x-envoy-original-url', `${isHttps ? 'https' : 'http'}://${before.authority}${before.path}`);
  return becomesGet ? 'without-body' : 'with-body';
}

function refuse(stats: RouterStats, problem: RedirectProblem): 'refused' {
  stats.redirectsPassed[problem].inc();
  return 'refused';
}

type RedirectProblem = keyof RouterStats['redirectsPassed'];

/** What the response does not have is removed from the request. */
function copyHeaders(names: readonly string[], response: HeaderMap, headers: HeaderMap): void {
  for (const name of names) {
    headers.remove(name);
    for (const value of response.getAll(name)) headers.add(name, value);
  }
}

function findProblem(
  policy: InternalRedirectModel,
  history: RedirectHistory,
  routeName: string,
  targetName: string,
  isHttps: boolean,
  isTargetHttps: boolean,
): 'predicate' | null {
  const accepts = (predicate: RedirectPredicate): boolean => {
    switch (predicate.kind) {
      case 'safe-cross-scheme':
        return isHttps || !isTargetHttps;
      case 'allow-listed-routes':
        return predicate.routes.includes(targetName);
      case 'previous-routes': {
        const targets = history.targets.get(routeName) ?? new Set();
        history.targets.set(routeName, targets);
        return !targets.has(targetName) && targets.add(targetName) !== undefined;
      }
    }
  };
  return policy.predicates.every(accepts) ? null : 'predicate';
}
