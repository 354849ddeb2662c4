/** Content negotiation between a scraper and what is scraped on its behalf. */

export const textFormat = 'text/plain; version=0.0.4; charset=utf-8';
const openMetricsType = 'application/openmetrics-text';
const defaultAccept = 'text/plain;version=0.0.4';

type MediaRange = { readonly type: string; readonly parameters: Readonly<Record<string, string>> };

/** The format of the merged answer, given the application's content type. */
export function negotiateFormat(contentType: string): string {
  const range = parseRange(contentType);
  if (range === null || range.type !== openMetricsType) return textFormat;
  const version = range.parameters.version ?? '0.0.1';
  const known = version === '1.0.0' || version === '0.0.1' || version === '';
  return known ? `${openMetricsType}; version=${version || '0.0.1'}; charset=utf-8` : textFormat;
}

/** The Accept header of a scraper, restricted to types that can be merged, with falling quality. */
export function restrictAccept(accept: string, allowed: readonly string[]): string {
  const kept: MediaRange[] = [];
  const addOnce = (range: MediaRange): void => {
    const text = renderRange(range);
    if (!kept.some(existing => renderRange(existing) === text)) kept.push(range);
  };
  for (const part of accept.split(',')) {
    const range = parseRange(part);
    if (range === null) return defaultAccept;
    if (range.type === '*/*' || range.type === '*') {
      if (allowed.includes('text/plain')) addOnce({ type: 'text/plain', parameters: { version: '0.0.4' } });
    } else if (range.type === 'application/*') {
      if (allowed.includes(openMetricsType)) addOnce({ type: openMetricsType, parameters: { version: '0.0.1' } });
    } else if (allowed.includes(range.type)) kept.push(range);
  }
  if (kept.length === 0) return defaultAccept;
  return kept
    .map(({ type, parameters }, i) => renderRange({ type, parameters: { ...parameters, q: `0.${kept.length - i}` } }, '; '))
    .join(',');
}

function parseRange(text: string): MediaRange | null {
  const [type, ...rest] = text.split(';').map(part => part.trim());
  if (type === '') return null;
  const parameters: Record<string, string> = {};
  for (const parameter of rest.filter(part => part !== '')) {
    const [name, ...value] = parameter.split('=');
    if (value.length === 0) return null;
    if (name.trim().toLowerCase() !== 'q')
      parameters[name.trim().toLowerCase()] = value
        .join('=')
        .trim()
        .replace(/^"(.*)"$/, '$1');
  }
  return { type: type.toLowerCase(), parameters };
}

function renderRange({ type, parameters }: MediaRange, separator = ';'): string {
  const names = Object.keys(parameters).toSorted();
  return [type, ...names.map(name => `${name}=${parameters[name]}`)].join(separator);
}
