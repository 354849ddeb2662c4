/**
 * RE2 regular expressions over header text (latin1 characters that are bytes). Every use is a whole match or a replacement.
 * Patterns that are a literal with `.*` at an end, which is most of what control planes send, never reach the engine.
 *
 * Source: RE2 syntax; Envoy's `safe_regex`.
 */
import { RE2JS } from 're2js';

export type TextPredicate = (text: string) => boolean;

const literalPattern = /^[A-Za-z0-9_\-/:;,@!"'&=~<>% ]*$/;

/** The characters of a configured (UTF-8) string as header bytes. */
export function toHeaderText(text: string): string {
  return /^[\x00-\x7f]*$/.test(text) ? text : Buffer.from(text, 'utf8').toString('latin1');
}

/** The literal a pattern stands for (dots and slashes escaped), or null if it has other operators. */
function readLiteral(pattern: string): string | null {
  const unescaped = pattern.replace(/\\([./\-_])/g, (_, character: string) => (character === '.' ? '\u0001' : character));
  if (unescaped.includes('\\')) return null;
  const plain = unescaped.replaceAll('\u0001', '');
  return literalPattern.test(plain) ? unescaped.replaceAll('\u0001', '.') : null;
}

function compileFastPath(pattern: string): TextPredicate | null {
  if (pattern === '.*') return () => true;
  if (pattern === '.+') return text => text !== '';
  const literal = readLiteral(pattern);
  if (literal !== null) return text => text === literal;
  const wildcard = /^(\.\*)?(.*?)(\.\*|\.\+)?$/s.exec(pattern) as RegExpExecArray;
  const middle = readLiteral(wildcard[2]);
  if (middle === null) return null;
  const [, leading, , trailing] = wildcard;
  const minimum = middle.length + (trailing === '.+' ? 1 : 0);
  if (leading && trailing === '.*') return text => text.includes(middle);
  if (!leading && trailing) return text => text.length >= minimum && text.startsWith(middle);
  if (leading && !trailing) return text => text.endsWith(middle);
  return null;
}

/** The literal that every whole match of a pattern begins with; empty if none is certain. */
function readRequiredPrefix(pattern: string): string {
  if (pattern.includes('|')) return '';
  const literals = /^(?:[A-Za-z0-9_\-/:;,@!"'&=~<>% ]|\\[./\-_])*/.exec(pattern) as RegExpExecArray;
  const text = literals[0].replaceAll('\\', '');
  // The last character belongs to the operator behind it, if that makes it optional.
  return /^[*?{]/.test(pattern.slice(literals[0].length)) ? text.slice(0, -1) : text;
}

/**
 * Compiles a pattern into a whole-match predicate of linear time.
 * @throws Error if the syntax is not RE2's
 */
export function compileRegex(pattern: string): TextPredicate {
  const fast = compileFastPath(pattern);
  if (fast !== null) return text => fast(text) && !text.includes('\n');
  const compiled = RE2JS.compile(toHeaderText(pattern));
  const prefix = readRequiredPrefix(pattern);
  return text => text.startsWith(prefix) && compiled.matches(text);
}

/**
 * Compiles a global replacement; `\1` to `\9` and `\0` in the substitution name groups, as RE2's rewrite strings do.
 * @throws Error if the syntax is not RE2's
 */
export function compileReplacement(pattern: string, substitution: string): (text: string) => string {
  const compiled = RE2JS.compile(toHeaderText(pattern));
  // `$` is the engine's escape for groups.
  const template = toHeaderText(substitution)
    .replaceAll('$', '$$$$')
    .replace(/\\([0-9\\])/g, (_, what: string) => (what === '\\' ? '\\' : what === '0' ? '$&' : `$${what}`));
  return text => compiled.matcher(text).replaceAll(template);
}

/**
 * Compiles a pattern into a predicate that looks for it anywhere.
 * @throws Error if the syntax is not RE2's
 */
export function compileRegexSearch(pattern: string): TextPredicate {
  const compiled = RE2JS.compile(toHeaderText(pattern));
  return text => compiled.matcher(text).find();
}
