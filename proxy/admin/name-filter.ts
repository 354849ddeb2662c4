/** Regexes of query parameters: RE2, whole match or search. */
import { compileRegex, compileRegexSearch } from '../matching/regex.ts';
import type { TextPredicate } from '../matching/regex.ts';

/** A parameter's filter, or Envoy's reason why it is none. Null: not given. */
export type ParsedFilter = { readonly matches: TextPredicate | null } | { readonly error: string };

export function parseFilter(pattern: string | null, isWholeMatch: boolean): ParsedFilter {
  if (pattern === null || pattern === '') return { matches: null };
  try {
    return { matches: isWholeMatch ? compileRegex(pattern) : compileRegexSearch(pattern) };
  } catch (error) {
    return { error: reasonOf(error as Error, pattern) };
  }
}

/** `missing closing ): ...` of the engine in RE2's words. */
function reasonOf(error: Error, pattern: string): string {
  const reason = error.message
    .replace(/^error parsing regexp: /, '')
    .replace(/: `.*$/s, '')
    .replace('missing closing', 'missing');
  return `${reason}: ${pattern}`;
}
