/** Durations as Go prints them (`1m30s`, environment variables) and as ProtoJSON does (`1.500s`). */

const unitMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** Parses Go's duration text into milliseconds, or returns null if it is none. */
export function parseGoDuration(text: string): number | null {
  if (text === '0') return 0;
  const sign = text.startsWith('-') ? -1 : 1;
  const body = text.replace(/^[-+]/, '');
  if (!/^(\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)((\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))*$/.test(body)) return null;
  let totalMs = 0;
  for (const [, amount, unit] of body.matchAll(/([\d.]+)(ns|us|µs|ms|s|m|h)/g)) totalMs += Number(amount) * unitMs[unit];
  return sign * totalMs;
}

/** Parses ProtoJSON's duration text (`45s`, `0.25s`) into milliseconds, or returns null if it is none. */
export function parseProtoDuration(text: string): number | null {
  const match = /^(-?)(\d+)(?:\.(\d{1,9}))?s$/.exec(text);
  if (match === null) return null;
  const ms = Number(match[2]) * 1000 + Number((match[3] ?? '').padEnd(9, '0')) / 1e6;
  return match[1] === '-' ? -ms : ms;
}

/** Renders milliseconds as ProtoJSON does: no fraction, or 3, 6 or 9 digits. */
export function renderProtoDuration(ms: number): string {
  const sign = ms < 0 ? '-' : '';
  const seconds = Math.floor(Math.abs(ms) / 1000);
  const nanos = Math.round((Math.abs(ms) - seconds * 1000) * 1e6);
  if (nanos === 0) return `${sign}${seconds}s`;
  const digits = String(nanos).padStart(9, '0');
  return `${sign}${seconds}.${digits.replace(/(000){1,2}$/, '')}s`;
}

/** Renders milliseconds as Go's Duration.String does (`1m30s`, `1.5s`, `100ms`). */
export function renderGoDuration(ms: number): string {
  if (ms === 0) return '0s';
  const sign = ms < 0 ? '-' : '';
  const magnitude = Math.abs(ms);
  if (magnitude < 1000) return `${sign}${magnitude >= 1 ? `${magnitude}ms` : `${magnitude * 1000}µs`}`;
  const hours = Math.floor(magnitude / 3_600_000);
  const minutes = Math.floor((magnitude % 3_600_000) / 60_000);
  const seconds = Number(((magnitude % 60_000) / 1000).toFixed(9));
  const minutesText = hours > 0 || minutes > 0 ? `${minutes}m` : '';
  return `${sign}${hours > 0 ? `${hours}h` : ''}${minutesText}${seconds}s`;
}
