/** Wrapped scalars, durations and percentages of decoded messages. */
import type { protos } from '../../../protos/messages.ts';
import type { FractionalPercent } from '../model/matchers.ts';
import { ConfigError } from './config-error.ts';

type Duration = protos.google.protobuf.Duration;

/** The protobuf limit of a duration: 10,000 years. */
const maxDurationSeconds = 315_576_000_000;

/**
 * Milliseconds, truncated; may exceed 2^31.
 * @throws ConfigError if the duration is negative or out of range.
 */
export function durationMs<T extends number | null>(duration: Duration | null, fallback: T, path: string): number | T {
  if (duration === null) return fallback;
  const { seconds, nanos } = duration;
  if (seconds < 0 || nanos < 0) {
    throw new ConfigError(path, `Invalid duration: Expected positive duration: ${formatDuration(duration)}`);
  }
  if (nanos > 999_999_999 || seconds > maxDurationSeconds) {
    throw new ConfigError(path, `Invalid duration: Duration out-of-range: ${formatDuration(duration)}`);
  }
  return seconds * 1000 + Math.floor(nanos / 1_000_000);
}

/** The same, and zero is an error too. */
export function positiveDurationMs<T extends number | null>(duration: Duration | null, fallback: T, path: string): number | T {
  const ms = durationMs(duration, fallback, path);
  if (duration !== null && duration.seconds === 0 && duration.nanos === 0) {
    throw new ConfigError(path, 'value must be greater than 0s');
  }
  // A duration of less than a millisecond must not turn into "none".
  return duration !== null && ms === 0 ? 1 : ms;
}

function formatDuration(duration: Duration): string {
  return `seconds: ${duration.seconds} nanos: ${duration.nanos}`;
}

/** The value of a BoolValue, UInt32Value, StringValue ... or the fallback. */
export function unwrap<T, F>(wrapper: { readonly value: T } | null, fallback: F): T | F {
  return wrapper === null ? fallback : wrapper.value;
}

/**
 * An integer within limits.
 * @throws ConfigError
 */
export function requireRange(value: number, min: number, max: number, path: string): number {
  if (value < min || value > max) throw new ConfigError(path, `value must be inside range [${min}, ${max}], not ${value}`);
  return value;
}

/** @throws ConfigError if the text is empty. */
export function requireText(value: string, path: string): string {
  if (value === '') throw new ConfigError(path, 'value length must be at least 1 characters');
  return value;
}

const denominators = [100, 10_000, 1_000_000] as const;

/** `envoy.type.v3.FractionalPercent`. */
export function fractionalPercent(
  message: protos.envoy.type.v3.FractionalPercent,
  runtimeKey: string,
  path: string,
): FractionalPercent {
  const denominator = denominators[message.denominator];
  if (denominator === undefined) throw new ConfigError(`${path}.denominator`, 'value must be one of the defined enum values');
  return { numerator: message.numerator, denominator, runtimeKey };
}

/** `envoy.config.core.v3.RuntimeFractionalPercent`; null if absent. */
export function runtimeFraction(
  message: protos.envoy.config.core.v3.RuntimeFractionalPercent | null,
  path: string,
): FractionalPercent | null {
  if (message === null) return null;
  if (message.default_value === null) throw new ConfigError(`${path}.default_value`, 'value is required');
  return fractionalPercent(message.default_value, message.runtime_key, `${path}.default_value`);
}

/** `envoy.type.v3.Percent`, 0 to 100. */
export function percent(message: protos.envoy.type.v3.Percent | null, fallback: number, path: string): number {
  if (message === null) return fallback;
  if (!(message.value >= 0 && message.value <= 100)) {
    throw new ConfigError(`${path}.value`, `value must be inside range [0, 100], not ${message.value}`);
  }
  return message.value;
}
