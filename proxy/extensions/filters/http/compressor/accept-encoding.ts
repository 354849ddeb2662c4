/** The choice of a content coding, RFC 9110 12.5.3 as Envoy reads it. */

/** How a choice came about; the names are those of Envoy's counters. */
export type EncodingChoice =
  | { readonly kind: 'valid' | 'wildcard'; readonly coding: string }
  | { readonly kind: 'identity' | 'not-valid'; readonly coding: 'identity' };

const identity: EncodingChoice = { kind: 'identity', coding: 'identity' };
const notValid: EncodingChoice = { kind: 'not-valid', coding: 'identity' };

/** Chooses among the codings that compressors of the stream offer, in their order. */
export function chooseEncoding(acceptEncoding: string, offered: readonly string[]): EncodingChoice {
  const allowed = new Set(offered);
  let choice = 'identity';
  let quality = 0;
  const accepted = acceptEncoding
    .split(',')
    .filter(part => part.trim() !== '')
    .map(parseElement);
  for (const { coding, q } of accepted) if (q === 0) allowed.delete(coding);
  for (const { coding, q } of accepted) {
    if (q <= quality || !(allowed.has(coding) || coding === 'identity' || coding === '*')) continue;
    choice = coding;
    quality = q;
  }
  if (quality === 0) return notValid;
  if (choice === 'identity') return identity;
  if (choice !== '*') return { kind: 'valid', coding: choice };
  const first = offered.find(coding => allowed.has(coding));
  return first === undefined ? identity : { kind: 'wildcard', coding: first };
}

function parseElement(part: string): { coding: string; q: number } {
  const [coding, ...parameters] = part.split(';');
  const weight = parameters.map(parameter => /^\s*q\s*=\s*([\d.]+)\s*$/i.exec(parameter)).find(match => match !== null);
  return { coding: coding.trim().toLowerCase(), q: weight ? Number(weight[1]) || 0 : 1 };
}
