/** What logs know of a stream that its client, or the codec, has ended, and what the client knows of one that this side ends. */
import type { CloseEvent } from '../network/connection.ts';
import { ResponseFlag } from '../telemetry/response-flags.ts';
import type { StreamInfo } from '../telemetry/stream-info.ts';
import type { ResponseEncoder, StreamResetReason } from './codec.ts';
import type { HeaderMap } from './header-map.ts';

export function noteReset(
  info: StreamInfo,
  reason: StreamResetReason,
  { responseDetails = '' }: ResponseEncoder,
  isMultiplexed: boolean,
  responseEnded: boolean,
): void {
  if (!isMultiplexed) {
    if (info.responseCodeDetails !== '' && responseEnded) return;
    info.setFlag(ResponseFlag.downstreamConnectionTermination);
    info.responseCodeDetails = 'downstream_remote_disconnect';
  } else if (responseDetails !== '' && reason !== 'remote-reset-no-error') {
    info.responseCodeDetails = responseDetails;
    info.setFlag(reason === 'protocol-error' ? ResponseFlag.downstreamProtocolError : ResponseFlag.downstreamRemoteReset);
  }
}

export function noteConnectionClose(info: StreamInfo, event: CloseEvent): void {
  if (event === 'local-close' || event === 'local-reset') {
    info.responseCodeDetails ||= 'downstream_local_disconnect';
    return;
  }
  info.responseCodeDetails = 'downstream_remote_disconnect';
  info.setFlag(ResponseFlag.downstreamConnectionTermination);
}

const tunnelFailures = ResponseFlag.upstreamConnectionFailure | ResponseFlag.upstreamConnectionTermination;

/** What the client is told of a stream that this side gives up. */
export function chooseResetReason(request: HeaderMap | null, info: StreamInfo): StreamResetReason {
  const hasFailed = (info.responseFlags & tunnelFailures) !== 0;
  return request?.method === 'CONNECT' && hasFailed ? 'connect-error' : 'local-reset';
}
