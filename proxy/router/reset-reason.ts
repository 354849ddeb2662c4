/** Why an attempt failed without a response: Envoy's text, the response flag, and what retries look at. */
import type { StreamResetReason } from '../http/codec.ts';
import { ResponseFlag } from '../telemetry/response-flags.ts';
import type { PoolFailureReason } from '../upstream/cluster-manager.ts';

export interface ResetReason {
  /** As in bodies and details. */
  readonly text: string;
  /** Bit of ResponseFlag. */
  readonly flag: number;
  readonly status: 502 | 503;
  readonly kind: 'overflow' | 'connect-failure' | 'refused-stream' | 'other';
}

function reason(text: string, flag: number, kind: ResetReason['kind'] = 'other', status: 502 | 503 = 503): ResetReason {
  return { text, flag, kind, status };
}

const connectionFailure = ResponseFlag.upstreamConnectionFailure;
const localConnectionFailure = reason('local connection failure', connectionFailure, 'connect-failure');
const remoteConnectionFailure = reason('remote connection failure', connectionFailure, 'connect-failure');
const connectionTimeout = reason('connection timeout', connectionFailure, 'connect-failure');
const overflow = reason('overflow', ResponseFlag.upstreamOverflow, 'overflow');

/** An attempt that the router itself ended, by a per-try timeout. */
export const localReset = reason('local reset', ResponseFlag.localReset);

export const streamResetReasons: { readonly [R in StreamResetReason]: ResetReason } = {
  'local-reset': localReset,
  'local-refused-stream-reset': reason('local refused stream reset', ResponseFlag.localReset),
  'remote-reset': reason('remote reset', ResponseFlag.upstreamRemoteReset),
  'remote-reset-no-error': reason('remote reset', ResponseFlag.upstreamRemoteReset),
  'remote-refused-stream-reset': reason('remote refused stream reset', ResponseFlag.upstreamRemoteReset, 'refused-stream'),
  'connection-failure': remoteConnectionFailure,
  'connection-timeout': connectionTimeout,
  'connection-termination': reason('connection termination', ResponseFlag.upstreamConnectionTermination),
  overflow,
  'protocol-error': reason('protocol error', ResponseFlag.upstreamProtocolError, 'other', 502),
  'connect-error': reason('remote error with CONNECT request', ResponseFlag.upstreamRemoteReset),
};

export const poolFailureReasons: { readonly [R in PoolFailureReason]: ResetReason } = {
  overflow,
  'local-connection-failure': localConnectionFailure,
  'remote-connection-failure': remoteConnectionFailure,
  timeout: connectionTimeout,
};

/** The body of the reply to a request whose last attempt was reset. Why a transport failed is for logs, not for clients. */
export function formatResetBody(reason: ResetReason, isRetried: boolean): string {
  const retried = isRetried ? 'retried and the latest ' : '';
  return `upstream connect error or disconnect/reset before headers. ${retried}reset reason: ${reason.text}`;
}

/** Response code details; they hold no blanks. */
export function formatResetDetails(reason: ResetReason, transportFailureReason: string, responseStarted: boolean): string {
  const basic = responseStarted ? 'upstream_reset_after_response_started' : 'upstream_reset_before_response_started';
  const cause = transportFailureReason === '' ? reason.text : `${reason.text}|${transportFailureReason}`;
  return `${basic}{${cause}}`.replaceAll(/\s/g, '_');
}
