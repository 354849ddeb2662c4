/**
 * One route configuration, compiled: host to virtual host, then the first route that matches.
 *
 * Source: Envoy's `RouteConfiguration`: exact domain, then the longest `*.suffix`, then the longest `prefix.*`, then `*`.
 */
import type { RouteConfigModel, VirtualHostModel } from '../config/model/route.ts';
import type { HeaderMap } from '../http/header-map.ts';
import { internHeaderName } from '../http/header-name.ts';
import type { StreamInfo } from '../telemetry/stream-info.ts';
import { compileRequestEdits, compileResponseEdits } from './header-edits.ts';
import { RateLimitPolicy } from './rate-limit-descriptors.ts';
import type { RouteTableModel, VirtualHostSource } from './route-config-text.ts';
import { compileEntries, makeTlsRedirectEntry } from './route-entry.ts';
import type { EntryParent, RouteEntry } from './route-entry.ts';
import { compileRoutePredicate, readMatchedPath, readRouteRandom } from './route-predicate.ts';
import type { RoutePredicate } from './route-predicate.ts';
import { findPortStart } from './rewrite.ts';

/** Authorities remembered per table, so that a hostile client cannot make it grow. */
const maxCachedAuthorities = 1024;

interface CompiledRoute {
  readonly accepts: RoutePredicate;
  readonly entries: readonly RouteEntry[];
  /** Running sums of the weights; null for a single entry. */
  readonly thresholds: readonly number[] | null;
  readonly totalWeight: number;
  /** Of the header that chooses among the entries; empty: chance does. */
  readonly choiceHeader: string;
}

interface CompiledVirtualHost {
  readonly routes: readonly CompiledRoute[];
  readonly requireTls: VirtualHostModel['requireTls'];
  readonly tlsRedirect: RouteEntry | null;
}

/** Compiled when the first request comes to it: a table may have thousands, most of which nobody here calls. */
class VirtualHost {
  readonly #source: VirtualHostSource;
  readonly #config: RouteTableModel;
  #compiled: CompiledVirtualHost | null = null;

  constructor(source: VirtualHostSource, config: RouteTableModel) {
    this.#source = source;
    this.#config = config;
  }

  get compiled(): CompiledVirtualHost {
    this.#compiled ??= compileVirtualHost(this.#source.read(), this.#config);
    return this.#compiled;
  }
}

interface Wildcard {
  /** The domain without its '*'. */
  readonly text: string;
  readonly virtualHost: VirtualHost;
}

export class RouteTable {
  readonly model: RouteTableModel;
  readonly #exact = new Map<string, VirtualHost>();
  readonly #suffixes: readonly Wildcard[];
  readonly #prefixes: readonly Wildcard[];
  readonly #default: VirtualHost | null;
  /** Authority as received to virtual host. */
  readonly #cache = new Map<string, VirtualHost | null>();

  constructor(model: RouteTableModel, virtualHosts: readonly VirtualHostSource[]) {
    this.model = model;
    const suffixes: Wildcard[] = [];
    const prefixes: Wildcard[] = [];
    let fallback: VirtualHost | null = null;
    for (const source of virtualHosts) {
      const virtualHost = new VirtualHost(source, model);
      for (const domain of source.domains) {
        const text = domain.toLowerCase();
        if (text === '*') fallback = virtualHost;
        else if (text.startsWith('*')) suffixes.push({ text: text.slice(1), virtualHost });
        else if (text.endsWith('*')) prefixes.push({ text: text.slice(0, -1), virtualHost });
        else this.#exact.set(text, virtualHost);
      }
    }
    const byLength = (a: Wildcard, b: Wildcard) => b.text.length - a.text.length;
    this.#suffixes = suffixes.sort(byLength);
    this.#prefixes = prefixes.sort(byLength);
    this.#default = fallback;
  }

  /** The route of a request, or null. Several calls for one stream choose the same weighted cluster. */
  match(headers: HeaderMap, info: StreamInfo): RouteEntry | null {
    const virtualHost = this.#findVirtualHost(headers.authority)?.compiled;
    if (virtualHost === undefined) return null;
    // The connection manager adds the header where it is missing: empty it is the client's doing, and as in Envoy nothing matches.
    if (headers.get('x-forwarded-proto') === '') return null;
    if (virtualHost.tlsRedirect !== null && needsTlsRedirect(virtualHost, headers)) return virtualHost.tlsRedirect;
    const { routes } = virtualHost;
    const path = readMatchedPath(headers.path, this.model.ignorePathParameters === true);
    for (let i = 0; i < routes.length; i++) {
      const route = routes[i];
      if (route.accepts(path, headers, info)) return chooseEntry(route, headers, info);
    }
    return null;
  }

  #findVirtualHost(authority: string): VirtualHost | null {
    if (this.#exact.size === 0 && this.#suffixes.length === 0 && this.#prefixes.length === 0) return this.#default;
    const cached = this.#cache.get(authority);
    if (cached !== undefined) return cached;
    const found = this.#searchVirtualHost(authority);
    if (this.#cache.size >= maxCachedAuthorities) this.#cache.clear();
    this.#cache.set(authority, found);
    return found;
  }

  #searchVirtualHost(authority: string): VirtualHost | null {
    const portStart = this.model.ignorePortInHostMatching ? findPortStart(authority) : -1;
    const host = (portStart === -1 ? authority : authority.slice(0, portStart)).toLowerCase();
    const exact = this.#exact.get(host);
    if (exact !== undefined) return exact;
    // The '*' stands for at least one character.
    for (const { text, virtualHost } of this.#suffixes) {
      if (host.length > text.length && host.endsWith(text)) return virtualHost;
    }
    for (const { text, virtualHost } of this.#prefixes) {
      if (host.length > text.length && host.startsWith(text)) return virtualHost;
    }
    return this.#default;
  }
}

function compileVirtualHost(virtualHost: VirtualHostModel, config: RouteTableModel): CompiledVirtualHost {
  const parent: EntryParent = {
    config,
    virtualHost,
    requestEdits: [compileRequestEdits(virtualHost.headers), compileRequestEdits(config.headers)],
    responseEdits: [compileResponseEdits(virtualHost.headers), compileResponseEdits(config.headers)],
    rateLimits: virtualHost.rateLimits === undefined ? null : new RateLimitPolicy(virtualHost.rateLimits),
  };
  const routes = virtualHost.routes.map(route => {
    const entries = compileEntries(route, parent);
    const { action } = route;
    const weights = action.kind === 'forward' && action.cluster.kind === 'weighted' ? action.cluster : null;
    let sum = 0;
    return {
      accepts: compileRoutePredicate(route.match),
      entries,
      thresholds: weights === null ? null : weights.clusters.map(cluster => (sum += cluster.weight)),
      totalWeight: weights === null ? 0 : Math.max(1, weights.totalWeight || sum),
      choiceHeader: internHeaderName(weights?.header ?? ''),
    };
  });
  return {
    routes,
    requireTls: virtualHost.requireTls,
    tlsRedirect: virtualHost.requireTls === 'none' ? null : makeTlsRedirectEntry(parent),
  };
}

function needsTlsRedirect(virtualHost: CompiledVirtualHost, headers: HeaderMap): boolean {
  const scheme = headers.get('x-forwarded-proto') ?? headers.scheme;
  if (scheme === 'https') return false;
  return virtualHost.requireTls === 'all' || headers.get('x-envoy-internal') !== 'true';
}

const maxChoice = 2n ** 64n;

/** A number of 64 bits, within the weights; null if the text is none. */
function readChoice(text: string, totalWeight: number): number | null {
  if (!/^\s*\+?\d+\s*$/.test(text)) return null;
  const value = BigInt(text.replace('+', ''));
  return value < maxChoice ? Number(value % BigInt(totalWeight)) : null;
}

function chooseEntry(route: CompiledRoute, headers: HeaderMap, info: StreamInfo): RouteEntry | null {
  const { thresholds, entries, totalWeight, choiceHeader } = route;
  if (thresholds === null) return entries[0];
  const chosen = choiceHeader === '' ? undefined : headers.get(choiceHeader);
  const point = (chosen === undefined ? null : readChoice(chosen, totalWeight)) ?? readRouteRandom(info) % totalWeight;
  for (let i = 0; i < thresholds.length; i++) if (point < thresholds[i]) return entries[i];
  return entries.at(-1) ?? null;
}

/** Indexes a route configuration that the main thread accepted, and so compiled once: nothing in it can fail later. */
export function buildRouteTable(model: RouteConfigModel): RouteTable {
  const virtualHosts = model.virtualHosts.map(virtualHost => ({ domains: virtualHost.domains, read: () => virtualHost }));
  return new RouteTable(model, virtualHosts);
}
