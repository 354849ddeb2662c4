/**
 * Every extension that a `typed_config` may hold, by category. A new extension adds its definition here (how its message is
 * compiled) and its factory to worker-manifest.ts (what runs). A type that is in no list is refused with its URL.
 */
import type { CompileContext } from '../config/compile/scope.ts';
import type { Extensions } from '../config/compile/extension.ts';
import { FieldChecker, type FieldTable } from '../config/compile/field-table.ts';
import { coreFields } from '../config/compile/core-fields.ts';
import { fileAccessLogger } from './access-loggers/file/config.ts';
import { inertAccessLoggers } from './access-loggers/inert/config.ts';
import { stderrAccessLogger, stdoutAccessLogger } from './access-loggers/stream/config.ts';
import { denyingHttpFilters } from './filters/http/deny/config.ts';
import { alpnFilter } from './filters/http/alpn/config.ts';
import { compressorFilter } from './filters/http/compressor/config.ts';
import { corsFilter } from './filters/http/cors/config.ts';
import { faultFilter } from './filters/http/fault/config.ts';
import { grpcStatsFilter } from './filters/http/grpc-stats/config.ts';
import { grpcWebFilter } from './filters/http/grpc-web/config.ts';
import { istioStatsHttpFilter } from './filters/http/istio-stats/config.ts';
import { localRateLimitFilter } from './filters/http/local-ratelimit/config.ts';
import { peerMetadataFilter } from './filters/http/peer-metadata/config.ts';
import { routerFilter } from './filters/http/router/config.ts';
import { setFilterStateHttpFilter } from './filters/http/set-filter-state/config.ts';
import { statefulSessionFilter } from './filters/http/stateful-session/config.ts';
import { denyingNetworkFilters } from './filters/network/deny/config.ts';
import { mongoProxyFilter } from './filters/network/mongo-proxy/config.ts';
import { setFilterStateNetworkFilter } from './filters/network/set-filter-state/config.ts';
import { istioStatsNetworkFilter } from './filters/network/istio-stats/config.ts';
import { connectionRateLimitFilter } from './filters/network/local-ratelimit/config.ts';
import { metadataExchangeFilter } from './filters/network/metadata-exchange/config.ts';
import { httpInspectorFilter } from './filters/listener/http-inspector/config.ts';
import { originalDstFilter } from './filters/listener/original-dst/config.ts';
import { originalSrcFilter } from './filters/listener/original-src/config.ts';
import { proxyProtocolFilter } from './filters/listener/proxy-protocol/config.ts';
import { tlsInspectorFilter } from './filters/listener/tls-inspector/config.ts';
import { httpConnectionManagerFilter } from './filters/network/http-connection-manager/config.ts';
import { tcpProxyFilter } from './filters/network/tcp-proxy/config.ts';

export const extensions: Extensions = {
  httpFilters: [
    alpnFilter,
    compressorFilter,
    corsFilter,
    faultFilter,
    grpcStatsFilter,
    grpcWebFilter,
    istioStatsHttpFilter,
    localRateLimitFilter,
    peerMetadataFilter,
    routerFilter,
    setFilterStateHttpFilter,
    statefulSessionFilter,
    ...denyingHttpFilters,
  ],
  networkFilters: [
    istioStatsNetworkFilter,
    connectionRateLimitFilter,
    metadataExchangeFilter,
    httpConnectionManagerFilter,
    setFilterStateNetworkFilter,
    tcpProxyFilter,
    mongoProxyFilter,
    ...denyingNetworkFilters,
  ],
  listenerFilters: [originalDstFilter, originalSrcFilter, tlsInspectorFilter, httpInspectorFilter, proxyProtocolFilter],
  accessLoggers: [fileAccessLogger, stdoutAccessLogger, stderrAccessLogger, ...inertAccessLoggers],
};

/** The classes of every field: the core resources' and each extension's. */
export function collectFields(): FieldTable {
  const definitions = Object.values(extensions).flat();
  const perRoute = extensions.httpFilters.flatMap(filter => filter.perRoute);
  return Object.assign({}, coreFields, ...[...definitions, ...perRoute].map(definition => definition.fields));
}

/** Envoy's limit of a regex program as istiod sets it. */
const defaultMaxRegexProgramSize = 32_768;

/** What compile functions need; made once per process. */
export function createCompileContext(
  options: { rejectUnknownFields?: boolean; maxRegexProgramSize?: number } = {},
): CompileContext {
  return {
    extensions,
    fields: new FieldChecker(collectFields()),
    rejectUnknownFields: options.rejectUnknownFields ?? false,
    maxRegexProgramSize: options.maxRegexProgramSize ?? defaultMaxRegexProgramSize,
  };
}
