/** HTTP/1 and HTTP/2 options, which connection managers and clusters share. Envoy's defaults are here and nowhere else. */
import type { protos } from '../../../protos/messages.ts';
import type { Http1OptionsModel, Http2OptionsModel } from '../model/http-connection-manager.ts';
import { durationMs, requireRange, unwrap } from './scalars.ts';
import type { CompileScope } from './scope.ts';
import { openExpected } from './typed-config.ts';

const preserveCaseType = 'envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig';

/** Null means that nothing is set. */
export function compileHttp1Options(
  message: protos.envoy.config.core.v3.Http1ProtocolOptions | null,
  path: string,
  scope: CompileScope,
): Http1OptionsModel {
  const formatter = message?.header_key_format?.stateful_formatter?.typed_config ?? null;
  if (formatter !== null) {
    openExpected(formatter, preserveCaseType, `${path}.header_key_format.stateful_formatter.typed_config`, scope);
  }
  return {
    acceptHttp10: message?.accept_http_10 ?? false,
    defaultHostForHttp10: message?.default_host_for_http_10 ?? '',
    allowAbsoluteUrl: unwrap(message?.allow_absolute_url ?? null, true),
    enableTrailers: message?.enable_trailers ?? false,
    allowChunkedLength: message?.allow_chunked_length ?? false,
    preserveCase: formatter !== null,
    sendFullyQualifiedUrl: message?.send_fully_qualified_url ?? false,
  };
}

const maxWindowBytes = 2 ** 31 - 1;
const minWindowBytes = 65_535;

export function compileHttp2Options(
  message: protos.envoy.config.core.v3.Http2ProtocolOptions | null,
  path: string,
): Http2OptionsModel {
  const limited = (field: 'max_concurrent_streams', min: number, fallback: number): number =>
    requireRange(unwrap(message?.[field] ?? null, fallback), min, maxWindowBytes, `${path}.${field}`);
  const window = (field: 'initial_stream_window_size' | 'initial_connection_window_size', fallback: number): number =>
    requireRange(unwrap(message?.[field] ?? null, fallback), minWindowBytes, maxWindowBytes, `${path}.${field}`);
  return {
    maxConcurrentStreams: limited('max_concurrent_streams', 1, 1024),
    initialStreamWindowBytes: window('initial_stream_window_size', 16 * 1024 * 1024),
    initialConnectionWindowBytes: window('initial_connection_window_size', 24 * 1024 * 1024),
    allowConnect: message?.allow_connect ?? false,
  };
}

/** `envoy.config.core.v3.HttpProtocolOptions`; times in milliseconds, 0: none. */
export interface CommonHttpOptions {
  readonly idleTimeoutMs: number;
  readonly maxConnectionDurationMs: number;
  readonly maxStreamDurationMs: number;
  readonly maxRequestsPerConnection: number;
  readonly maxHeadersCount: number;
  readonly headersWithUnderscores: 'allow' | 'reject' | 'drop';
}

const underscoreActions = ['allow', 'reject', 'drop'] as const;

export function compileCommonHttpOptions(
  message: protos.envoy.config.core.v3.HttpProtocolOptions | null,
  path: string,
): CommonHttpOptions {
  return {
    idleTimeoutMs: durationMs(message?.idle_timeout ?? null, 3_600_000, `${path}.idle_timeout`),
    maxConnectionDurationMs: durationMs(message?.max_connection_duration ?? null, 0, `${path}.max_connection_duration`),
    maxStreamDurationMs: durationMs(message?.max_stream_duration ?? null, 0, `${path}.max_stream_duration`),
    maxRequestsPerConnection: unwrap(message?.max_requests_per_connection ?? null, 0),
    maxHeadersCount: requireRange(unwrap(message?.max_headers_count ?? null, 100), 1, 0xffff_ffff, `${path}.max_headers_count`),
    headersWithUnderscores: underscoreActions[message?.headers_with_underscores_action ?? 0],
  };
}
