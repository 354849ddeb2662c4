/**
 * Envoy's substitution format strings: access log lines, JSON logs and header values. A format is compiled once; formatting
 * allocates only the result. Texts are byte strings (latin1 characters that are bytes), like header values.
 *
 * Source: Envoy, "Access logging", command operators.
 */
import type { AccessLogFormat, JsonFormat } from '../config/model/access-log.ts';
import { compileOperator } from './format-operators.ts';
import { FormatError } from './format-operator.ts';
import type { FormatContext, FormatValue, Operator } from './format-operator.ts';
import { appendJsonValue, toByteText } from './json-text.ts';

export { FormatError };
export type { FormatContext };

export interface CompiledFormat {
  /** True if the format has no operator. */
  readonly isLiteral: boolean;
  format(context: FormatContext): string;
}

export interface FormatOptions {
  /** A missing value is '' (header values) instead of '-'. */
  readonly omitEmpty?: boolean;
}

type Part = string | Operator;

/** An argument may hold parentheses: it ends where the operator does. */
const operatorPattern = /%([A-Z0-9_]+)(?:\((.*?)\)(?=(?::\d+)?%))?(?::(\d+))?%/y;

/** @throws FormatError for an unknown operator or a stray '%'. */
function parseFormat(format: string): Part[] {
  const parts: Part[] = [];
  let literal = '';
  let position = 0;
  while (position < format.length) {
    const percent = format.indexOf('%', position);
    if (percent === -1) break;
    literal += format.slice(position, percent);
    if (format[percent + 1] === '%') {
      literal += '%';
      position = percent + 2;
      continue;
    }
    operatorPattern.lastIndex = percent;
    const match = operatorPattern.exec(format);
    if (match === null)
      throw new FormatError(`Incorrect configuration: ${format}. Couldn't find valid command at position ${percent}`);
    if (literal !== '') parts.push(toByteText(literal));
    literal = '';
    parts.push(compileOperator(match[1], match[2] ?? null, match[3] === undefined ? null : Number(match[3])));
    position = operatorPattern.lastIndex;
  }
  literal += format.slice(position);
  if (literal !== '') parts.push(toByteText(literal));
  return parts;
}

function renderValue(value: FormatValue, missing: string): string {
  if (typeof value === 'string') return value;
  if (value === null) return missing;
  if (typeof value === 'object') return appendJsonValue('', value);
  return String(value);
}

/**
 * Compiles a text format.
 * @throws FormatError
 */
export function compileFormat(format: string, options: FormatOptions = {}): CompiledFormat {
  const parts = parseFormat(format);
  const missing = options.omitEmpty ? '' : '-';
  if (parts.every(part => typeof part === 'string')) {
    const text = parts.join('');
    return { isLiteral: true, format: () => text };
  }
  return {
    isLiteral: false,
    format(context) {
      let text = '';
      for (const part of parts) text += typeof part === 'string' ? part : renderValue(part(context), missing);
      return text;
    },
  };
}

/** Compiles a format that was checked when its resource came. */
export function compileLogFormat(format: AccessLogFormat): CompiledFormat {
  return format.kind === 'text' ? compileFormat(format.format, format) : compileJsonFormat(format.fields, format);
}

/** A piece of a JSON line: fixed text, or a value to render; `key` is written before it unless the value is omitted. */
type JsonNode = (context: FormatContext) => string | null;

/**
 * Compiles a JSON format into one line per event. Keys are sorted; a leaf of one operator keeps its type, a missing one is
 * null, or left out with `omitEmpty`.
 * @throws FormatError
 */
export function compileJsonFormat(fields: JsonFormat, options: FormatOptions = {}): CompiledFormat {
  const omitEmpty = options.omitEmpty === true;
  const node = compileJsonNode(fields, omitEmpty);
  return { isLiteral: false, format: context => `${node(context) ?? '{}'}\n` };
}

function compileJsonNode(value: unknown, omitEmpty: boolean): JsonNode {
  if (typeof value === 'string') return compileJsonLeaf(value, omitEmpty);
  if (typeof value !== 'object' || value === null) {
    const text = JSON.stringify(value ?? null);
    return () => text;
  }
  if (Array.isArray(value)) {
    const nodes = value.map(item => compileJsonNode(item, omitEmpty));
    // What is left out leaves no gap.
    return context =>
      `[${nodes
        .map(node => node(context))
        .filter(text => text !== null)
        .join(',')}]`;
  }
  const nodes = Object.entries(value)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, item]) => ({ prefix: `${appendJsonValue('', toByteText(key))}:`, node: compileJsonNode(item, omitEmpty) }));
  return context => {
    let text = '{';
    for (const { prefix, node } of nodes) {
      const rendered = node(context);
      if (rendered === null) continue;
      text += text === '{' ? prefix + rendered : `,${prefix}${rendered}`;
    }
    return `${text}}`;
  };
}

function compileJsonLeaf(format: string, omitEmpty: boolean): JsonNode {
  const parts = parseFormat(format);
  if (parts.length === 1 && typeof parts[0] !== 'string') {
    const operator = parts[0];
    return context => {
      const value = operator(context);
      return value === null && omitEmpty ? null : appendJsonValue('', value);
    };
  }
  const compiled = compileFormat(format, { omitEmpty });
  return context => appendJsonValue('', compiled.format(context));
}
