/**
 * The terminal HTTP filter: answers what needs no upstream, and forwards the rest (forwarded-request.ts).
 *
 * Source: Envoy's router filter; bodies, details and flags are Envoy's.
 */
import type { RouterModel } from '../extensions/filters/http/router/config.ts';
import type { FilterFactoryContext, HttpFilter, HttpFilterCallbacks, HttpFilterFactory } from '../http/filter.ts';
import { HookStatus } from '../http/filter.ts';
import type { HeaderMap } from '../http/header-map.ts';
import { ResponseFlag } from '../telemetry/response-flags.ts';
import { ForwardedRequest } from './forwarded-request.ts';
import { replacePath } from './request-preparation.ts';
import type { DirectEntry, ForwardEntry, RouteEntry } from './route-entry.ts';
import type { RouterConfig } from './router-config.ts';
import { RouterStats } from './router-stats.ts';
import { findInvalidHeader } from './strict-headers.ts';

class RouterFilter implements HttpFilter {
  readonly #config: RouterConfig;
  readonly #callbacks: HttpFilterCallbacks;
  #request: ForwardedRequest | null = null;

  constructor(config: RouterConfig, callbacks: HttpFilterCallbacks) {
    this.#config = config;
    this.#callbacks = callbacks;
  }

  onRequestHeaders(headers: HeaderMap, endStream: boolean): HookStatus {
    this.#config.stats.requestsTotal.inc();
    const route = this.#callbacks.route;
    if (route === null) {
      this.#config.stats.noRoute.inc();
      this.#reply(404, '', 'route_not_found', ResponseFlag.noRouteFound);
      return HookStatus.stop;
    }
    const entry = route.compiled as RouteEntry;
    if (entry.action.kind === 'direct-response') this.#respondDirectly(entry, entry.action, headers);
    else this.#forward(entry, entry.action, headers, endStream);
    return HookStatus.stop;
  }

  onRequestData(data: Buffer, endStream: boolean): HookStatus {
    this.#request?.onData(data, endStream);
    return HookStatus.stop;
  }

  onRequestTrailers(trailers: HeaderMap): HookStatus {
    this.#request?.onTrailers(trailers);
    return HookStatus.stop;
  }

  onDestroy(): void {
    this.#request?.finish();
  }

  #forward(entry: RouteEntry, action: ForwardEntry, headers: HeaderMap, endStream: boolean): void {
    const { context, stats, model } = this.#config;
    const cluster = context.services.clusters.find(entry.clusterNameOf(headers));
    if (cluster === null) {
      stats.noCluster.inc();
      const { streamInfo } = this.#callbacks;
      const status = action.model.clusterNotFoundStatus;
      this.#reply(status, '', 'cluster_not_found', ResponseFlag.noClusterFound, reply =>
        entry.responseEdits.apply(reply, streamInfo, headers, reply),
      );
      return;
    }
    this.#callbacks.streamInfo.cluster = cluster;
    const invalid = findInvalidHeader(headers, model.strictCheckHeaders);
    if (invalid !== null) {
      const details = `request_headers_failed_strict_check{${invalid.name}}`;
      const body = `invalid header '${invalid.name}' with value '${invalid.value}'`;
      this.#reply(400, body, details, ResponseFlag.invalidEnvoyRequestHeaders);
      return;
    }
    this.#request = new ForwardedRequest(this.#config, this.#callbacks, entry, action, cluster, headers);
    this.#request.begin(endStream);
  }

  #respondDirectly(entry: RouteEntry, action: DirectEntry, requestHeaders: HeaderMap): void {
    this.#config.stats.directResponse.inc();
    const path = action.rewritePath?.(requestHeaders.path) ?? '';
    if (path !== '') replacePath(requestHeaders, path, !this.#config.model.suppressEnvoyHeaders);
    const location = action.location(requestHeaders);
    this.#callbacks.sendLocalReply({
      status: action.status,
      body: action.body,
      details: 'direct_response',
      flags: 0,
      grpcStatus: null,
      modifyHeaders: headers => {
        const allowsLocation = action.status === 201 || (action.status >= 300 && action.status < 400);
        if (allowsLocation) headers.add('location', location);
        entry.responseEdits.apply(headers, this.#callbacks.streamInfo, requestHeaders, headers);
      },
    });
  }

  #reply(status: number, body: string, details: string, flags: number, modifyHeaders = (_headers: HeaderMap) => {}): void {
    this.#callbacks.sendLocalReply({ status, body, details, flags, grpcStatus: null, modifyHeaders });
  }
}

/** Makes the router's factory for one filter chain. */
export function createRouterFilterFactory(model: RouterModel, context: FilterFactoryContext): HttpFilterFactory {
  const stats = new RouterStats(context.stats, context.manager?.statPrefix ?? '');
  const config: RouterConfig = { model, context, stats };
  return callbacks => new RouterFilter(config, callbacks);
}
