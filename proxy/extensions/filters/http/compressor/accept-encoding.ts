/** The choice of a content coding, RFC 9110 12.5.3 as Envoy reads it. */

/**
 * Chooses among the codings that compressors of the stream offer, in their order.
 * @returns the coding, `identity` for none, or null if the header is unusable.
 */
export function chooseEncoding(acceptEncoding: string, offered: readonly string[]): string | null {
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
  if (quality === 0)
    return accepted.some(({ coding }) => offered.includes(coding) || coding === 'identity' || coding === '*') ? null : 'identity';
  if (choice !== '*') return choice;
  return offered.find(coding => allowed.has(coding)) ?? 'identity';
}

function parseElement(part: string): { coding: string; q: number } {
  const [coding, ...parameters] = part.split(';');
  const weight = parameters.map(parameter => /^\s*q\s*=\s*([\d.]+)\s*$/i.exec(parameter)).find(match => match !== null);
  return { coding: coding.trim().toLowerCase(), q: weight ? Number(weight[1]) || 0 : 1 };
}
