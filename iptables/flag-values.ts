/** Values of flags in the forms that Go reads; errors are in Go's words, without the name of the flag. */

const trueTexts = new Set(['1', 't', 'T', 'TRUE', 'true', 'True']);
const falseTexts = new Set(['0', 'f', 'F', 'FALSE', 'false', 'False']);
const unitMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};
/** A duration is a signed 64-bit number of nanoseconds. */
const maxDurationMs = 2 ** 63 / 1e6;
const maxPort = 65_535;
const integerForms = [
  { pattern: /^0[xX](_?[0-9a-fA-F])+$/, prefix: '0x', digitsFrom: 2 },
  { pattern: /^0[bB](_?[01])+$/, prefix: '0b', digitsFrom: 2 },
  { pattern: /^0[oO](_?[0-7])+$/, prefix: '0o', digitsFrom: 2 },
  { pattern: /^0(_?[0-7])+$/, prefix: '0o', digitsFrom: 1 },
  { pattern: /^(0|[1-9](_?[0-9])*)$/, prefix: '', digitsFrom: 0 },
] as const;

/** Throws an Error for anything but Go's spellings of true and false. */
export function parseBool(text: string): boolean {
  if (trueTexts.has(text)) return true;
  if (falseTexts.has(text)) return false;
  throw new Error(`strconv.ParseBool: parsing ${JSON.stringify(text)}: invalid syntax`);
}

/** Throws an Error for what is no integer literal, and above 65535. */
export function parsePort(text: string): number {
  const form = integerForms.find(({ pattern }) => pattern.test(text));
  const reject = (reason: string): never => {
    throw new Error(`strconv.ParseUint: parsing ${JSON.stringify(text)}: ${reason}`);
  };
  if (form === undefined) return reject('invalid syntax');
  const port = Number(form.prefix + text.slice(form.digitsFrom).replaceAll('_', ''));
  return port > maxPort ? reject('value out of range') : port;
}

/** Milliseconds. Throws an Error for what is no duration. */
export function parseDuration(text: string): number {
  const reject = (reason: string): never => {
    throw new Error(`time: ${reason} ${JSON.stringify(text)}`);
  };
  const sign = /^[+-]?/.exec(text)?.[0] ?? '';
  const terms = text.slice(sign.length);
  if (terms === '0') return 0;
  if (terms === '') return reject('invalid duration');
  let sum = 0;
  for (let rest = terms; rest !== ''; ) {
    const [term, number, unit] = /^(\d*\.?\d*)([^\d.]*)/.exec(rest) as RegExpExecArray;
    if (!/\d/.test(number)) return reject('invalid duration');
    if (unit === '') return reject('missing unit in duration');
    if (!Object.hasOwn(unitMs, unit)) return reject(`unknown unit ${JSON.stringify(unit)} in duration`);
    sum += Number(number) * unitMs[unit];
    rest = rest.slice(term.length);
  }
  if (sum >= maxDurationMs) return reject('invalid duration');
  return sign === '-' ? -sum : sum;
}
