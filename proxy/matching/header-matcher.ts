/**
 * `HeaderMatcher` as a predicate over one message's headers. Of a repeated header one value that matches is enough, and an
 * inverted matcher wants none that does; a missing header matches nothing, inverted or not, unless it is treated as empty or
 * presence is asked.
 */
import type { HeaderMatcher } from '../config/model/matchers.ts';
import type { HeaderMap } from '../http/header-map.ts';
import { internHeaderName } from '../http/header-name.ts';
import { compileStringMatcher } from './string-matcher.ts';

export type HeaderPredicate = (headers: HeaderMap) => boolean;
type HeaderReader = (headers: HeaderMap) => string | undefined;
/** Whether a value of the header is accepted; null if the header is absent. */
type ValueTest = (headers: HeaderMap, accepts: (text: string) => boolean) => boolean | null;

const pseudoHeaders: { readonly [name: string]: HeaderReader } = {
  ':method': headers => headers.method || undefined,
  ':path': headers => headers.path || undefined,
  ':authority': headers => headers.authority || undefined,
  // Envoy's maps know Host only as the authority.
  host: headers => headers.authority || headers.get('host'),
  ':scheme': headers => headers.scheme || undefined,
  ':protocol': headers => headers.protocol || undefined,
  ':status': headers => (headers.status === 0 ? undefined : String(headers.status)),
};

function compileValueTest(name: string): ValueTest {
  const lowerCase = internHeaderName(name);
  const read = pseudoHeaders[lowerCase];
  if (read !== undefined) {
    return (headers, accepts) => {
      const value = read(headers);
      return value === undefined ? null : accepts(value);
    };
  }
  return ({ entries }, accepts) => {
    let outcome: boolean | null = null;
    for (let i = 0; i < entries.length; i += 2) {
      if (entries[i] !== lowerCase) continue;
      if (accepts(entries[i + 1])) return true;
      outcome = false;
    }
    return outcome;
  };
}

const acceptAny = (): boolean => true;

/** An integer as strict as absl::SimpleAtoi: optional sign and digits, blanks around allowed. */
function parseInteger(text: string): number {
  return /^\s*[+-]?\d+\s*$/.test(text) ? Number(text) : Number.NaN;
}

/** Compiles one matcher. */
export function compileHeaderMatcher(model: HeaderMatcher): HeaderPredicate {
  const test = compileValueTest(model.name);
  const { match, invert, treatMissingAsEmpty } = model;
  if (match === null) {
    const wanted = model.present !== invert;
    return treatMissingAsEmpty ? () => wanted : headers => (test(headers, acceptAny) !== null) === wanted;
  }
  const accepts =
    match.kind === 'range'
      ? (text: string) => {
          const value = parseInteger(text);
          return value >= match.start && value < match.end;
        }
      : compileStringMatcher(match);
  const ofMissing = treatMissingAsEmpty && accepts('') !== invert;
  return headers => {
    const outcome = test(headers, accepts);
    return outcome === null ? ofMissing : outcome !== invert;
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
