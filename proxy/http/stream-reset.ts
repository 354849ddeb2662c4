/** What logs know of a stream that its client, or the codec, has ended. */
import { ResponseFlag } from '../telemetry/response-flags.ts';
import type { StreamInfo } from '../telemetry/stream-info.ts';
import type { ResponseEncoder, StreamResetReason } from './codec.ts';

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
