/**
 * `HeaderMatcher` as a predicate over one message's headers. Repeated headers are matched as one value joined with ',', as
 * Envoy's router does; a missing header matches nothing, inverted or not, unless it is treated as empty or presence is asked.
 */
import type { HeaderMatcher } from '../config/model/matchers.ts';
import type { HeaderMap } from '../http/header-map.ts';
import { compileStringMatcher } from './string-matcher.ts';

export type HeaderPredicate = (headers: HeaderMap) => boolean;
type HeaderReader = (headers: HeaderMap) => string | undefined;

const pseudoHeaders: { readonly [name: string]: HeaderReader } = {
  ':method': headers => headers.method || undefined,
  ':path': headers => headers.path || undefined,
  ':authority': headers => headers.authority || undefined,
  // Envoy's maps know Host only as the authority.
  host: headers => headers.authority || headers.getJoined('host'),
  ':scheme': headers => headers.scheme || undefined,
  ':protocol': headers => headers.protocol || undefined,
  ':status': headers => (headers.status === 0 ? undefined : String(headers.status)),
};

/** Reads a header's joined value, pseudo headers included, or undefined if it is absent. */
export function compileHeaderReader(name: string): HeaderReader {
  const lowerCase = name.toLowerCase();
  return pseudoHeaders[lowerCase] ?? (headers => headers.getJoined(lowerCase));
}

/** An integer as strict as absl::SimpleAtoi: optional sign and digits, blanks around allowed. */
function parseInteger(text: string): number {
  return /^\s*[+-]?\d+\s*$/.test(text) ? Number(text) : Number.NaN;
}

/** Compiles one matcher. */
export function compileHeaderMatcher(model: HeaderMatcher): HeaderPredicate {
  const read = compileHeaderReader(model.name);
  const { match, invert, treatMissingAsEmpty } = model;
  if (match === null) {
    const wanted = model.present !== invert;
    return treatMissingAsEmpty ? () => wanted : headers => (read(headers) !== undefined) === wanted;
  }
  const accepts =
    match.kind === 'range'
      ? (text: string) => {
          const value = parseInteger(text);
          return value >= match.start && value < match.end;
        }
      : compileStringMatcher(match);
  return headers => {
    let value = read(headers);
    if (value === undefined) {
      if (!treatMissingAsEmpty) return false;
      value = '';
    }
    return accepts(value) !== invert;
  };
}

/** True if every matcher accepts the headers. */
export function compileHeaderMatchers(models: readonly HeaderMatcher[]): HeaderPredicate | null {
  if (models.length === 0) return null;
  const predicates = models.map(compileHeaderMatcher);
  if (predicates.length === 1) return predicates[0];
  return headers => {
    for (const predicate of predicates) if (!predicate(headers)) return false;
    return true;
  };
}
