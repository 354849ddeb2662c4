/** `envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager` after compilation. */
import type { AccessLogFilter, AccessLogFormat, AccessLogModel } from './access-log.ts';
import type { CidrRange } from './address.ts';
import type { Http2ProtocolOptionsModel } from './http2-protocol-options.ts';
import type { FilterModel } from './listener.ts';
import type { HeaderValueOption, RouteConfigModel } from './route.ts';

export interface HttpConnectionManagerModel {
  readonly kind: 'envoy.filters.network.http_connection_manager';
  readonly codecType: 'auto' | 'http1' | 'http2';
  /** As sent, with its trailing ';' if any. */
  readonly statPrefix: string;
  readonly route:
    | { readonly kind: 'inline'; readonly config: RouteConfigModel }
    | { readonly kind: 'rds'; readonly name: string };
  readonly httpFilters: readonly FilterModel[];
  readonly accessLogs: readonly AccessLogModel[];
  /** Absent: local replies stay as they are made. */
  readonly localReply?: LocalReplyModel;
  readonly serverName: string;
  readonly serverHeaderTransformation: 'overwrite' | 'append-if-absent' | 'pass-through';
  readonly schemeOverwrite: 'http' | 'https' | null;
  readonly useRemoteAddress: boolean;
  readonly xffNumTrustedHops: number;
  readonly skipXffAppend: boolean;
  readonly appendXForwardedPort: boolean;
  readonly via: string;
  readonly internalAddresses: { readonly unixSockets: boolean; readonly cidrRanges: readonly CidrRange[] };
  readonly forwardClientCert: 'sanitize' | 'forward-only' | 'append-forward' | 'sanitize-set' | 'always-forward-only';
  readonly setCurrentClientCert: {
    readonly subject: boolean;
    readonly cert: boolean;
    readonly chain: boolean;
    readonly dns: boolean;
    readonly uri: boolean;
  };
  readonly proxy100Continue: boolean;
  readonly generateRequestId: boolean;
  readonly preserveExternalRequestId: boolean;
  readonly alwaysSetRequestIdInResponse: boolean;
  readonly requestId: { readonly packTraceReason: boolean; readonly useForTraceSampling: boolean };
  readonly tracing: TracingModel | null;
  readonly normalizePath: boolean;
  readonly mergeSlashes: boolean;
  readonly escapedSlashes: 'keep' | 'reject' | 'unescape-and-redirect' | 'unescape-and-forward';
  readonly stripPort: 'none' | 'any' | 'matching';
  readonly stripTrailingHostDot: boolean;
  readonly upgrades: readonly {
    readonly type: string;
    readonly enabled: boolean;
    readonly filters: readonly FilterModel[] | null;
  }[];
  readonly http1: Http1OptionsModel;
  readonly http2: Http2ProtocolOptionsModel;
  readonly headersWithUnderscores: 'allow' | 'reject' | 'drop';
  /** Milliseconds; 0 disables each. */
  readonly idleTimeoutMs: number;
  readonly maxConnectionDurationMs: number;
  readonly maxStreamDurationMs: number;
  readonly streamIdleTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly requestHeadersTimeoutMs: number;
  readonly delayedCloseTimeoutMs: number;
  readonly drainTimeoutMs: number;
  /** 0: no limit. */
  readonly maxRequestsPerConnection: number;
  readonly maxRequestHeadersBytes: number;
  readonly maxHeadersCount: number;
}

/** What becomes of the answers that the proxy makes itself. */
export interface LocalReplyModel {
  /** The first that fits applies. */
  readonly mappers: readonly LocalReplyMapper[];
  /** Null: the body itself. */
  readonly bodyFormat: BodyFormat | null;
}

export interface LocalReplyMapper {
  readonly filter: AccessLogFilter;
  /** Null: unchanged. */
  readonly status: number | null;
  readonly body: string | null;
  readonly bodyFormat: BodyFormat | null;
  readonly headers: readonly HeaderValueOption[];
}

export interface BodyFormat {
  readonly format: AccessLogFormat;
  readonly contentType: string;
}

export interface Http1OptionsModel {
  readonly acceptHttp10: boolean;
  readonly defaultHostForHttp10: string;
  readonly allowAbsoluteUrl: boolean;
  readonly enableTrailers: boolean;
  readonly allowChunkedLength: boolean;
  readonly preserveCase: boolean;
  readonly sendFullyQualifiedUrl: boolean;
}

export interface TracingModel {
  /** Percent. */
  readonly clientSampling: number;
  readonly randomSampling: number;
  readonly overallSampling: number;
}
