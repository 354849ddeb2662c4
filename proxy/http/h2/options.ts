/** What the codecs of all connections of one filter chain or cluster share. */
import type { TimerWheel } from '../../../common/timer-wheel.ts';
import type { Http2ProtocolOptionsModel } from '../../config/model/http2-protocol-options.ts';
import type { Http2CodecStats } from './codec-stats.ts';

export interface Http2Options {
  readonly protocol: Http2ProtocolOptionsModel;
  /** Names and values of one header block together, in bytes. */
  readonly maxHeadersBytes: number;
  /** Headers of one block. */
  readonly maxHeadersCount: number;
  /** Of requests; a client codec allows them. */
  readonly headersWithUnderscores: 'allow' | 'reject' | 'drop';
  readonly stats: Http2CodecStats;
  /** Of the worker: for keepalive and for streams that their peer does not read. */
  readonly timers: TimerWheel;
}
