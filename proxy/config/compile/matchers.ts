/** String, header, query and metadata matchers. Each regex is compiled here once, so that a bad one is refused. */
import { RE2JS } from 're2js';
import type { protos } from '../../../protos/messages.ts';
import { isWildcardPattern } from '../../matching/regex.ts';
import type { HeaderMatcher, QueryParameterMatcher, StringMatcher, ValueMatcher } from '../model/matchers.ts';
import type { MetadataMatcher } from '../model/route.ts';
import { ConfigError } from './config-error.ts';
import { requireText } from './scalars.ts';
import type { CompileScope } from './scope.ts';

type StringMatcherMessage = protos.envoy.type.matcher.v3.StringMatcher;
type RegexMessage = protos.envoy.type.matcher.v3.RegexMatcher;

/** Patterns that passed, with their program size; the same few come again with every push. */
const knownPrograms = new Map<string, number>();
const maxKnownPrograms = 10_000;

/**
 * The pattern, after it was compiled.
 * @throws ConfigError if the syntax is not RE2's or the program exceeds the runtime's limit.
 */
export function compileRegex(message: RegexMessage, path: string, scope: CompileScope): string {
  const pattern = requireText(message.regex, `${path}.regex`);
  const limits = [scope.context.maxRegexProgramSize];
  const own = message.google_re2?.max_program_size;
  if (own) limits.push(own.value);
  const limit = Math.min(...limits);
  // Loading the engine's tables is a tenth of a start.
  if (isWildcardPattern(pattern) && 2 * pattern.length + 4 <= limit) return pattern;
  const size = programSize(pattern, `${path}.regex`);
  if (size > limit) {
    throw new ConfigError(
      `${path}.regex`,
      `regex '${pattern}' RE2 program size of ${size} > max program size of ${limit} set for the error level threshold. ` +
        'Increase configured max program size if necessary.',
    );
  }
  return pattern;
}

function programSize(pattern: string, path: string): number {
  let size = knownPrograms.get(pattern);
  if (size !== undefined) return size;
  try {
    size = RE2JS.compile(pattern).programSize();
  } catch (error) {
    throw new ConfigError(path, (error as Error).message.replace(/^error parsing regexp: /, 'invalid regex: '));
  }
  if (knownPrograms.size >= maxKnownPrograms) knownPrograms.clear();
  knownPrograms.set(pattern, size);
  return size;
}

/** `envoy.type.matcher.v3.StringMatcher`. */
export function compileStringMatcher(message: StringMatcherMessage, path: string, scope: CompileScope): StringMatcher {
  const ignoreCase = message.ignore_case;
  const plain = (kind: StringMatcher['kind'], value: string): StringMatcher => ({ kind, value, ignoreCase });
  switch (message.match_pattern) {
    case 'exact':
      return plain('exact', message.exact!);
    case 'prefix':
      return plain('prefix', requireText(message.prefix!, `${path}.prefix`));
    case 'suffix':
      return plain('suffix', requireText(message.suffix!, `${path}.suffix`));
    case 'contains':
      return plain('contains', requireText(message.contains!, `${path}.contains`));
    case 'safe_regex':
      if (ignoreCase) throw new ConfigError(path, 'ignore_case has no effect for safe_regex.');
      return plain('regex', compileRegex(message.safe_regex!, `${path}.safe_regex`, scope));
    default:
      throw new ConfigError(path, 'match_pattern is required');
  }
}

/** `envoy.config.route.v3.HeaderMatcher`; a matcher without a kind asks for presence. */
export function compileHeaderMatcher(
  message: protos.envoy.config.route.v3.HeaderMatcher,
  path: string,
  scope: CompileScope,
): HeaderMatcher {
  return {
    name: requireHeaderName(message.name, `${path}.name`).toLowerCase(),
    match: compileHeaderMatch(message, path, scope),
    present: message.present_match ?? true,
    invert: message.invert_match,
    treatMissingAsEmpty: message.treat_missing_header_as_empty,
  };
}

function compileHeaderMatch(
  message: protos.envoy.config.route.v3.HeaderMatcher,
  path: string,
  scope: CompileScope,
): HeaderMatcher['match'] {
  const plain = (kind: StringMatcher['kind'], value: string): StringMatcher => ({ kind, value, ignoreCase: false });
  switch (message.header_match_specifier) {
    case 'exact_match':
      return plain('exact', message.exact_match!);
    case 'prefix_match':
      return plain('prefix', requireText(message.prefix_match!, `${path}.prefix_match`));
    case 'suffix_match':
      return plain('suffix', requireText(message.suffix_match!, `${path}.suffix_match`));
    case 'contains_match':
      return plain('contains', requireText(message.contains_match!, `${path}.contains_match`));
    case 'safe_regex_match':
      return plain('regex', compileRegex(message.safe_regex_match!, `${path}.safe_regex_match`, scope));
    case 'string_match':
      return compileStringMatcher(message.string_match!, `${path}.string_match`, scope);
    case 'range_match':
      return { kind: 'range', start: message.range_match!.start, end: message.range_match!.end };
    default:
      return null;
  }
}

export function compileHeaderMatchers(
  messages: readonly protos.envoy.config.route.v3.HeaderMatcher[],
  path: string,
  scope: CompileScope,
): readonly HeaderMatcher[] {
  return messages.map((message, i) => compileHeaderMatcher(message, `${path}[${i}]`, scope));
}

export function compileQueryParameterMatcher(
  message: protos.envoy.config.route.v3.QueryParameterMatcher,
  path: string,
  scope: CompileScope,
): QueryParameterMatcher {
  const name = requireText(message.name, `${path}.name`);
  if (message.string_match !== null) {
    return { name, match: compileStringMatcher(message.string_match, `${path}.string_match`, scope), present: true };
  }
  return { name, match: null, present: message.present_match ?? true };
}

/** `envoy.type.matcher.v3.MetadataMatcher`. */
export function compileMetadataMatcher(
  message: protos.envoy.type.matcher.v3.MetadataMatcher,
  path: string,
  scope: CompileScope,
): MetadataMatcher {
  if (message.path.length === 0) throw new ConfigError(`${path}.path`, 'value must contain at least 1 item(s)');
  if (message.value === null) throw new ConfigError(`${path}.value`, 'value is required');
  return {
    namespace: requireText(message.filter, `${path}.filter`),
    path: message.path.map((segment, i) => requireText(segment.key ?? '', `${path}.path[${i}].key`)),
    value: compileValueMatcher(message.value, `${path}.value`, scope),
    invert: message.invert,
  };
}

/** `envoy.type.matcher.v3.ValueMatcher`. */
export function compileValueMatcher(
  message: protos.envoy.type.matcher.v3.ValueMatcher,
  path: string,
  scope: CompileScope,
): ValueMatcher {
  switch (message.match_pattern) {
    case 'null_match':
      return { kind: 'null' };
    case 'bool_match':
      return { kind: 'bool', value: message.bool_match! };
    case 'present_match':
      return { kind: 'present', value: message.present_match! };
    case 'string_match':
      return { kind: 'string', match: compileStringMatcher(message.string_match!, `${path}.string_match`, scope) };
    case 'double_match': {
      const { exact, range } = message.double_match!;
      if (range !== null) return { kind: 'range', start: range.start, end: range.end };
      if (exact === null) throw new ConfigError(`${path}.double_match`, 'match_pattern is required');
      return { kind: 'number', value: exact };
    }
    case 'list_match': {
      const oneOf = message.list_match!.one_of;
      if (oneOf === null) throw new ConfigError(`${path}.list_match`, 'match_pattern is required');
      return { kind: 'list', oneOf: compileValueMatcher(oneOf, `${path}.list_match.one_of`, scope) };
    }
    case 'or_match': {
      const matchers = message.or_match!.value_matchers;
      return {
        kind: 'or',
        matchers: matchers.map((matcher, i) => compileValueMatcher(matcher, `${path}.or_match.value_matchers[${i}]`, scope)),
      };
    }
    default:
      throw new ConfigError(path, 'match_pattern is required');
  }
}

/**
 * A header name as given.
 * @throws ConfigError for characters that no header name may have.
 */
export function requireHeaderName(name: string, path: string): string {
  requireText(name, path);
  if (/[\0\r\n]/.test(name)) throw new ConfigError(path, 'value does not match regex pattern "^[^\\x00\\n\\r]*$"');
  return name;
}
