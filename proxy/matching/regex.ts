/**
 * RE2 regular expressions over header text (latin1 characters that are bytes). Every use is a whole match or a replacement.
 * Patterns that are literals with `.*` between them, which is most of what control planes send, never reach the engine.
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

/** Literals with `.*` between them; `.+` may stand at the end. Null for any other pattern. */
function compileFastPath(pattern: string): TextPredicate | null {
  const needsRest = pattern.endsWith('.+');
  const parts = (needsRest ? `${pattern.slice(0, -2)}.*` : pattern).split('.*').map(readLiteral);
  if (!parts.every(part => part !== null)) return null;
  if (parts.length === 1) return text => text === parts[0];
  const [first, ...between] = parts;
  const last = between.pop() as string;
  const restLength = last.length + (needsRest ? 1 : 0);
  return text => {
    if (!text.startsWith(first) || !text.endsWith(last)) return false;
    let position = first.length;
    for (const part of between) {
      const found = text.indexOf(part, position);
      if (found < 0) return false;
      position = found + part.length;
    }
    return text.length - position >= restLength;
  };
}

/** Whether a pattern is literals and wildcards only: sound without a look at it, and a program no longer than twice its text. */
export function isWildcardPattern(pattern: string): boolean {
  return compileFastPath(pattern) !== null;
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
 * Compiles a global replacement; `\1` to `\9` and `\0` in the substitution name groups, as RE2's rewrite strings do. A substitution
 * that names a group which the pattern does not have replaces nothing.
 * @throws Error if the syntax is not RE2's
 */
export function compileReplacement(pattern: string, substitution: string): (text: string) => string {
  const compiled = RE2JS.compile(toHeaderText(pattern));
  const groups = substitution.match(/\\[0-9\\]/g) ?? [];
  if (groups.some(group => Number(group.slice(1)) > compiled.groupCount())) return text => text;
  // `$` is the engine's escape for groups.
  const template = toHeaderText(substitution)
    .replaceAll('$', '$$$$')
    .replace(/\\([0-9\\])/g, (_, what: string) => (what === '\\' ? '\\' : what === '0' ? '$&' : `$${what}`));
  return text => compiled.matcher(text).replaceAll(template);
}

/** Literals, anchors and alternatives: JavaScript and RE2 read them alike, and without repetition there is no backtracking. */
const plainSearch = /^(?:[A-Za-z0-9_\-/:;,=^$|() ]|\\[./\-_])*$/;

/**
 * Compiles a pattern into a predicate that looks for it anywhere.
 * @throws Error if the syntax is not RE2's
 */
export function compileRegexSearch(pattern: string): TextPredicate {
  if (plainSearch.test(pattern)) {
    try {
      const regex = new RegExp(pattern);
      return text => regex.test(text);
    } catch {
      // The engine tells what is wrong.
    }
  }
  const compiled = RE2JS.compile(toHeaderText(pattern));
  return text => compiled.matcher(text).find();
}
