/** HTTP/1 and HTTP/2 options, which connection managers and clusters share. Envoy's defaults are here and nowhere else. */
import type { protos } from '../../../protos/messages.ts';
import type { Http1OptionsModel } from '../model/http-connection-manager.ts';
import type { ConnectionKeepaliveModel, Http2ProtocolOptionsModel } from '../model/http2-protocol-options.ts';
import { ConfigError } from './config-error.ts';
import { durationMs, percent, requireRange, unwrap } from './scalars.ts';
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

const maxUint32 = 0xffff_ffff;
const maxWindowBytes = 2 ** 31 - 1;
const minWindowBytes = 65_535;

/** Null means that nothing is set. `managerStreamError` is the connection manager's own setting, which gives way to theirs. */
export function compileHttp2Options(
  message: protos.envoy.config.core.v3.Http2ProtocolOptions | null,
  path: string,
  managerStreamError: boolean | null = null,
): Http2ProtocolOptionsModel {
  const limited = (field: keyof typeof fallbacks, min: number, max: number): number =>
    requireRange(unwrap(message?.[field] ?? null, fallbacks[field]), min, max, `${path}.${field}`);
  const keepalive = message?.connection_keepalive ?? null;
  return {
    hpackTableBytes: limited('hpack_table_size', 0, maxUint32),
    maxConcurrentStreams: limited('max_concurrent_streams', 1, maxWindowBytes),
    initialStreamWindowBytes: limited('initial_stream_window_size', minWindowBytes, maxWindowBytes),
    initialConnectionWindowBytes: limited('initial_connection_window_size', minWindowBytes, maxWindowBytes),
    allowConnect: message?.allow_connect ?? false,
    maxOutboundFrames: limited('max_outbound_frames', 1, maxUint32),
    maxOutboundControlFrames: limited('max_outbound_control_frames', 1, maxUint32),
    maxConsecutiveInboundFramesWithEmptyPayload: limited('max_consecutive_inbound_frames_with_empty_payload', 0, maxUint32),
    maxInboundPriorityFramesPerStream: limited('max_inbound_priority_frames_per_stream', 0, maxUint32),
    maxInboundWindowUpdateFramesPerDataFrameSent: limited('max_inbound_window_update_frames_per_data_frame_sent', 1, maxUint32),
    streamErrorOnInvalidHttpMessaging: unwrap(
      message?.override_stream_error_on_invalid_http_message ?? null,
      managerStreamError ?? message?.stream_error_on_invalid_http_messaging ?? false,
    ),
    connectionKeepalive: keepalive === null ? null : compileKeepalive(keepalive, `${path}.connection_keepalive`),
  };
}

const fallbacks = {
  hpack_table_size: 4096,
  max_concurrent_streams: 1024,
  initial_stream_window_size: 16 * 1024 * 1024,
  initial_connection_window_size: 24 * 1024 * 1024,
  max_outbound_frames: 10_000,
  max_outbound_control_frames: 1000,
  max_consecutive_inbound_frames_with_empty_payload: 1,
  max_inbound_priority_frames_per_stream: 100,
  max_inbound_window_update_frames_per_data_frame_sent: 10,
} as const;

const defaultJitterPercent = 15;

function compileKeepalive(message: protos.envoy.config.core.v3.KeepaliveSettings, path: string): ConnectionKeepaliveModel {
  if (message.timeout === null) throw new ConfigError(`${path}.timeout`, 'value is required');
  const atLeastOneMs = (field: 'interval' | 'timeout' | 'connection_idle_interval'): number =>
    message[field] === null
      ? 0
      : requireRange(durationMs(message[field], 0, `${path}.${field}`), 1, Infinity, `${path}.${field}`);
  return {
    intervalMs: atLeastOneMs('interval'),
    timeoutMs: atLeastOneMs('timeout'),
    intervalJitterPercent: percent(message.interval_jitter, defaultJitterPercent, `${path}.interval_jitter`),
    connectionIdleIntervalMs: atLeastOneMs('connection_idle_interval'),
  };
}

/** `envoy.config.core.v3.HttpProtocolOptions`; times in milliseconds, 0: none. */
export interface CommonHttpOptions {
  readonly idleTimeoutMs: number;
  readonly maxConnectionDurationMs: number;
  readonly maxStreamDurationMs: number;
  readonly maxRequestsPerConnection: number;
  readonly maxHeadersCount: number;
  /** Absent: the default of the codec. */
  readonly maxResponseHeadersBytes?: number;
  readonly headersWithUnderscores: 'allow' | 'reject' | 'drop';
}

const underscoreActions = ['allow', 'reject', 'drop'] as const;

export function compileCommonHttpOptions(
  message: protos.envoy.config.core.v3.HttpProtocolOptions | null,
  path: string,
): CommonHttpOptions {
  const responseKb = unwrap(message?.max_response_headers_kb ?? null, null);
  return {
    idleTimeoutMs: durationMs(message?.idle_timeout ?? null, 3_600_000, `${path}.idle_timeout`),
    maxConnectionDurationMs: durationMs(message?.max_connection_duration ?? null, 0, `${path}.max_connection_duration`),
    maxStreamDurationMs: durationMs(message?.max_stream_duration ?? null, 0, `${path}.max_stream_duration`),
    maxRequestsPerConnection: unwrap(message?.max_requests_per_connection ?? null, 0),
    maxHeadersCount: requireRange(unwrap(message?.max_headers_count ?? null, 100), 1, 0xffff_ffff, `${path}.max_headers_count`),
    ...(responseKb !== null && {
      maxResponseHeadersBytes: requireRange(responseKb, 1, 8192, `${path}.max_response_headers_kb`) * 1024,
    }),
    headersWithUnderscores: underscoreActions[message?.headers_with_underscores_action ?? 0],
  };
}
