/**
 * strftime patterns as access logs and certificate operators use them: the conversions of strftime(3) plus `%f` with an
 * optional digit count (fractions of a second), `%s` (seconds since the epoch), `%E*S` and `%Ez`.
 */
import type { OperatorFactory } from './format-operator.ts';
import type { StreamInfo } from './stream-info.ts';

const dayNames = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const monthNames = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
];

type Part = (date: Date, timeMs: number) => string;

function pad(value: number, width = 2, fill = '0'): string {
  return String(value).padStart(width, fill);
}

/** Fraction of the second with a number of digits; the clock has microseconds at most. */
function fraction(timeMs: number, digits: number): string {
  const nanoseconds = Math.round((timeMs - Math.floor(timeMs / 1000) * 1000) * 1000) * 1000;
  return pad(nanoseconds, 9).slice(0, digits);
}

function dayOfYear(date: Date): number {
  return Math.floor((date.getTime() - Date.UTC(date.getUTCFullYear(), 0, 1)) / 86_400_000) + 1;
}

const conversions: { readonly [letter: string]: Part } = {
  Y: date => String(date.getUTCFullYear()),
  y: date => pad(date.getUTCFullYear() % 100),
  C: date => pad(Math.floor(date.getUTCFullYear() / 100)),
  m: date => pad(date.getUTCMonth() + 1),
  d: date => pad(date.getUTCDate()),
  e: date => pad(date.getUTCDate(), 2, ' '),
  H: date => pad(date.getUTCHours()),
  I: date => pad(date.getUTCHours() % 12 || 12),
  M: date => pad(date.getUTCMinutes()),
  S: date => pad(date.getUTCSeconds()),
  p: date => (date.getUTCHours() < 12 ? 'AM' : 'PM'),
  j: date => pad(dayOfYear(date), 3),
  a: date => dayNames[date.getUTCDay()].slice(0, 3),
  A: date => dayNames[date.getUTCDay()],
  b: date => monthNames[date.getUTCMonth()].slice(0, 3),
  h: date => monthNames[date.getUTCMonth()].slice(0, 3),
  B: date => monthNames[date.getUTCMonth()],
  u: date => String(date.getUTCDay() || 7),
  w: date => String(date.getUTCDay()),
  s: (_date, timeMs) => String(Math.floor(timeMs / 1000)),
  z: () => '+0000',
  Z: () => 'UTC',
  n: () => '\n',
  t: () => '\t',
  '%': () => '%',
};
const composites: { readonly [letter: string]: string } = {
  T: '%H:%M:%S',
  R: '%H:%M',
  D: '%m/%d/%y',
  F: '%Y-%m-%d',
  c: '%a %b %e %H:%M:%S %Y',
  x: '%m/%d/%y',
  X: '%H:%M:%S',
  r: '%I:%M:%S %p',
};

const pattern = /%(?:([1-9]?)f|E(\d)([Sf])|E\*([Sf])|E(z)|([A-Za-z%]))/g;

/**
 * Compiles a pattern; times are UTC. Text that is no conversion stays as it is.
 * @returns a function of wall clock milliseconds.
 */
export function compileTimeFormat(format: string): (timeMs: number) => string {
  const expanded = format.replace(/%([TRDFcxXr])/g, (_match, letter: string) => composites[letter]);
  const parts: (string | Part)[] = [];
  let end = 0;
  for (const match of expanded.matchAll(pattern)) {
    if (match.index > end) parts.push(expanded.slice(end, match.index));
    parts.push(compileConversion(match));
    end = match.index + match[0].length;
  }
  if (end < expanded.length) parts.push(expanded.slice(end));
  return timeMs => {
    const date = new Date(timeMs);
    let text = '';
    for (const part of parts) text += typeof part === 'string' ? part : part(date, timeMs);
    return text;
  };
}

function compileConversion(match: RegExpExecArray): string | Part {
  const [whole, digits, fixed, fixedLetter, freeLetter, zone, letter] = match;
  if (digits !== undefined) return (_date, timeMs) => fraction(timeMs, digits === '' ? 9 : Number(digits));
  if (fixed !== undefined) {
    const withSeconds = fixedLetter === 'S';
    return (date, timeMs) =>
      (withSeconds ? pad(date.getUTCSeconds()) + (fixed === '0' ? '' : '.') : '') + fraction(timeMs, Number(fixed));
  }
  if (freeLetter !== undefined) return (date, timeMs) => `${pad(date.getUTCSeconds())}.${fraction(timeMs, 3)}`;
  if (zone !== undefined) return () => '+00:00';
  return conversions[letter] ?? whole;
}

/** Envoy's default: `2026-01-31T12:00:00.000Z`. */
export function formatDefaultTime(timeMs: number): string {
  return new Date(timeMs).toISOString();
}

/** The same in the zone of the machine: `2026-01-31T13:00:00.000+0100`. */
function formatLocalTime(timeMs: number): string {
  const offsetMinutes = -new Date(timeMs).getTimezoneOffset();
  const shifted = new Date(timeMs + offsetMinutes * 60_000).toISOString().slice(0, -1);
  const size = Math.abs(offsetMinutes);
  return `${shifted}${offsetMinutes < 0 ? '-' : '+'}${pad(Math.floor(size / 60))}${pad(size % 60)}`;
}

type TimeReader = (info: StreamInfo) => number | null;

function makeTimeOperator(read: TimeReader, formatDefault: (timeMs: number) => string): OperatorFactory {
  return argument => {
    const format = argument ? compileTimeFormat(argument) : formatDefault;
    return ({ info }) => {
      const timeMs = read(info);
      return timeMs === null ? null : format(timeMs);
    };
  };
}

/** An operator whose argument is the format of a time. */
export const timeOperator = (read: TimeReader): OperatorFactory => makeTimeOperator(read, formatDefaultTime);

/** Differs from Envoy: with a format of its own, the time is UTC too. */
export const localTimeOperator = (read: TimeReader): OperatorFactory => makeTimeOperator(read, formatLocalTime);
