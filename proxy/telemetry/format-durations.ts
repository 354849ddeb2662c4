/** Operators that tell the time between two points of a stream. */
import type { FormatValue, Operator } from './format-operator.ts';
import { FormatError } from './format-operator.ts';
import type { StreamInfo } from './stream-info.ts';

/** A point in time, monotonic milliseconds; null if it was not reached. */
type TimePoint = (info: StreamInfo) => number | null;

function reached(timeMs: number): number | null {
  return timeMs === 0 ? null : timeMs;
}

const timePoints: { readonly [name: string]: TimePoint | undefined } = {
  DS_RX_BEG: info => info.startMonotonicMs,
  DS_RX_END: info => reached(info.lastDownstreamRxByteMs),
  US_TX_BEG: info => reached(info.firstUpstreamTxByteMs),
  US_TX_END: info => reached(info.lastUpstreamTxByteMs),
  US_RX_BEG: info => reached(info.firstUpstreamRxByteMs),
  US_RX_END: info => reached(info.lastUpstreamRxByteMs),
  DS_TX_BEG: info => reached(info.firstDownstreamTxByteMs),
  DS_TX_END: info => reached(info.lastDownstreamTxByteMs),
  END: info => reached(info.endMonotonicMs),
};

const unitsPerMs: { readonly [unit: string]: number | undefined } = { ms: 1, us: 1e3, ns: 1e6 };

function between(from: string, to: string, unitPerMs: number): Operator {
  const start = timePoints[from];
  const end = timePoints[to];
  // Others may be set by filters, none of which is here, or are times of a connection.
  if (start === undefined || end === undefined) return () => null;
  return (context): FormatValue => {
    const startMs = start(context.info);
    const endMs = end(context.info);
    return startMs === null || endMs === null ? null : Math.floor(Math.max(0, endMs - startMs) * unitPerMs);
  };
}

/** `start:end:unit`, for COMMON_DURATION. */
export function compileCommonDuration(argument: string | null): Operator {
  const [from = '', to = '', unit = ''] = (argument ?? '').split(':');
  const unitPerMs = unitsPerMs[unit];
  if (unitPerMs === undefined) throw new FormatError(`Invalid COMMON_DURATION precision: ${unit}`);
  return between(from, to, unitPerMs);
}

/** Milliseconds each. */
export const durationOperators: { readonly [name: string]: Operator | undefined } = {
  DURATION: between('DS_RX_BEG', 'END', 1),
  REQUEST_DURATION: between('DS_RX_BEG', 'DS_RX_END', 1),
  REQUEST_TX_DURATION: between('DS_RX_BEG', 'US_TX_END', 1),
  RESPONSE_DURATION: between('DS_RX_BEG', 'US_RX_BEG', 1),
  RESPONSE_TX_DURATION: between('US_RX_BEG', 'DS_TX_END', 1),
};
