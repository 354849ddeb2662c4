/** What all connections of one connection manager share: made once per filter chain and push. */
import type { HttpConnectionManagerModel } from '../config/model/http-connection-manager.ts';
import type { NetworkFactoryContext } from '../network/filter.ts';
import { buildRouteTable } from '../router/route-table.ts';
import type { AccessLogger } from '../telemetry/access-log.ts';
import type { FilterModel } from '../config/model/listener.ts';
import type { FilterFactoryContext, RouteTableHolder, WorkerServices } from './filter.ts';
import type { NamedFactory } from './filter-chain.ts';
import type { ServerCodecOptions } from './h1/server-codec.ts';
import { Http2CodecStats } from './h2/codec-stats.ts';
import type { Http2Options } from './h2/options.ts';
import { LocalReplyRewrite } from './local-reply-rewrite.ts';
import { ManagerStats } from './manager-stats.ts';
import { RequestHeaderEdits } from './request-headers.ts';

export interface ManagerContext {
  readonly model: HttpConnectionManagerModel;
  readonly stats: ManagerStats;
  readonly services: WorkerServices;
  readonly trafficDirection: 'unspecified' | 'inbound' | 'outbound';
  readonly filters: readonly NamedFactory[];
  /** Upgrade type, lower case, to its filters (the common ones if it has none of its own); disabled ones are absent. */
  readonly upgrades: ReadonlyMap<string, readonly NamedFactory[]>;
  readonly accessLogs: readonly AccessLogger[];
  /** Null: local replies stay as they are made. */
  readonly localReplies: LocalReplyRewrite | null;
  readonly routes: RouteTableHolder;
  readonly requestEdits: RequestHeaderEdits;
  readonly codecOptions: ServerCodecOptions;
  /** Made when the first connection speaks HTTP/2: so long its statistics do not exist. */
  readonly http2Options: () => Http2Options;
}

function buildFilters(models: readonly FilterModel[], context: FilterFactoryContext): NamedFactory[] {
  return models.map(({ kind, name, config, disabled = false }) => {
    const builder = context.services.httpFilters[kind];
    if (builder === undefined) throw new Error(`HTTP filter ${kind} was compiled but is not in the manifest`);
    return { name, disabled, create: builder(config as never, context) };
  });
}

/** @throws Error if a compiled filter has no factory, which is a mistake in the manifest. */
export function buildManagerContext(model: HttpConnectionManagerModel, context: NetworkFactoryContext): ManagerContext {
  const { stats, node, trafficDirection, services } = context;
  const filterContext: FilterFactoryContext = { stats, node, manager: model, trafficDirection, services };
  const filters = buildFilters(model.httpFilters, filterContext);
  const upgrades = new Map<string, readonly NamedFactory[]>();
  for (const upgrade of model.upgrades) {
    if (!upgrade.enabled) continue;
    upgrades.set(upgrade.type.toLowerCase(), upgrade.filters === null ? filters : buildFilters(upgrade.filters, filterContext));
  }
  const { http1 } = model;
  let http2Options: Http2Options | null = null;
  return {
    model,
    stats: new ManagerStats(stats, model.statPrefix, context.listener?.statName ?? null),
    services,
    trafficDirection,
    filters,
    upgrades,
    accessLogs: services.accessLogs.create(model.accessLogs),
    localReplies: model.localReply === undefined ? null : new LocalReplyRewrite(model.localReply),
    routes:
      model.route.kind === 'rds' ? services.routeConfigs.get(model.route.name) : { current: buildRouteTable(model.route.config) },
    requestEdits: new RequestHeaderEdits(model),
    codecOptions: {
      acceptHttp10: http1.acceptHttp10,
      defaultHostForHttp10: http1.defaultHostForHttp10,
      allowAbsoluteUrl: http1.allowAbsoluteUrl,
      enableTrailers: http1.enableTrailers,
      allowChunkedLength: http1.allowChunkedLength,
      preserveCase: http1.preserveCase,
      headersWithUnderscores: model.headersWithUnderscores,
      maxHeadersCount: model.maxHeadersCount,
      maxHeadBytes: model.maxRequestHeadersBytes,
    },
    http2Options: () => {
      http2Options ??= {
        protocol: model.http2,
        maxHeadersBytes: model.maxRequestHeadersBytes,
        maxHeadersCount: model.maxHeadersCount,
        headersWithUnderscores: model.headersWithUnderscores,
        stats: new Http2CodecStats(stats, 'http2.'),
        timers: services.timers,
      };
      return http2Options;
    },
  };
}
