/** `StringMatcher` as a predicate. */
import type { StringMatcher } from '../config/model/matchers.ts';
import { compileRegex, toHeaderText } from './regex.ts';
import type { TextPredicate } from './regex.ts';

/** Lower case of the ASCII letters only: other characters are bytes. */
export function toAsciiLowerCase(text: string): string {
  return text.replace(/[A-Z]+/g, letters => letters.toLowerCase());
}

/** Compiles one matcher. `ignoreCase` has no effect on a regex. */
export function compileStringMatcher(model: StringMatcher): TextPredicate {
  if (model.kind === 'regex') return compileRegex(model.value);
  const value = toHeaderText(model.value);
  if (model.ignoreCase) return compileIgnoringCase(model.kind, toAsciiLowerCase(value));
  switch (model.kind) {
    case 'exact':
      return text => text === value;
    case 'prefix':
      return text => text.startsWith(value);
    case 'suffix':
      return text => text.endsWith(value);
    case 'contains':
      return text => text.includes(value);
  }
}

function compileIgnoringCase(kind: Exclude<StringMatcher['kind'], 'regex'>, value: string): TextPredicate {
  switch (kind) {
    case 'exact':
      return text => text.length === value.length && toAsciiLowerCase(text) === value;
    case 'prefix':
      return text => toAsciiLowerCase(text.slice(0, value.length)) === value;
    case 'suffix':
      return text => text.length >= value.length && toAsciiLowerCase(text.slice(text.length - value.length)) === value;
    case 'contains':
      return text => toAsciiLowerCase(text).includes(value);
  }
}
