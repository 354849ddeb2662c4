/** Evaluates Common Expression Language expressions over attributes; compiled once into closures. */
import { compileRegexSearch } from '../../matching/regex.ts';
import type { BinaryOperator, CelNode } from './parser.ts';
import { parseCel } from './parser.ts';

/** Names to values: plain JSON, with maps as objects without surprises in their prototype. */
export type Attributes = { readonly [name: string]: unknown };

/** @returns the value, or undefined if evaluation failed (a missing key, a wrong type). */
export type CelExpression = (attributes: Attributes) => unknown;

type Evaluator = (attributes: Attributes) => unknown;

/** Evaluation failed; CEL's errors are values that `||` and `&&` can absorb. */
class CelError extends Error {}

function fail(reason: string): never {
  throw new CelError(reason);
}

/** @throws CelSyntaxError, or Error for a constant regex that is not RE2's. */
export function compileCel(text: string): CelExpression {
  const evaluate = compileNode(parseCel(text));
  return attributes => {
    try {
      return evaluate(attributes);
    } catch (error) {
      if (error instanceof CelError) return undefined;
      throw error;
    }
  };
}

/** The text of a value as a metric label; undefined for a failure. */
export function printCelValue(value: unknown): string | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'object' && value !== null) return JSON.stringify(value);
  return String(value);
}

function compileNode(node: CelNode): Evaluator {
  switch (node.kind) {
    case 'literal':
      return () => node.value;
    case 'identifier':
      return attributes => select(attributes, node.name);
    case 'member': {
      const object = compileNode(node.object);
      return attributes => select(object(attributes), node.name);
    }
    case 'index': {
      const object = compileNode(node.object);
      const index = compileNode(node.index);
      return attributes => select(object(attributes), index(attributes));
    }
    case 'call':
      return compileCall(node.name, node.args);
    case 'unary': {
      const operand = compileNode(node.operand);
      return node.op === '!'
        ? attributes => !requireBoolean(operand(attributes))
        : attributes => -requireNumber(operand(attributes));
    }
    case 'binary':
      return compileBinary(node.op, compileNode(node.left), compileNode(node.right));
    case 'conditional': {
      const [test, then, otherwise] = [node.test, node.then, node.otherwise].map(compileNode);
      return attributes => (requireBoolean(test(attributes)) ? then(attributes) : otherwise(attributes));
    }
    case 'list': {
      const items = node.items.map(compileNode);
      return attributes => items.map(item => item(attributes));
    }
    case 'map': {
      const entries = node.entries.map(([key, value]) => [compileNode(key), compileNode(value)] as const);
      return attributes => Object.fromEntries(entries.map(([key, value]) => [String(key(attributes)), value(attributes)]));
    }
  }
}

/** A field, map entry or list item. */
function select(object: unknown, key: unknown): unknown {
  if (Array.isArray(object)) {
    const item = typeof key === 'number' ? object[key] : undefined;
    return item === undefined ? fail('no such index') : item;
  }
  if (typeof object !== 'object' || object === null || typeof key !== 'string') return fail('no such field');
  const value = Object.hasOwn(object, key) ? (object as Attributes)[key] : undefined;
  return value === undefined ? fail(`no such key: ${key}`) : value;
}

function requireBoolean(value: unknown): boolean {
  return typeof value === 'boolean' ? value : fail('not a bool');
}

function requireNumber(value: unknown): number {
  return typeof value === 'number' ? value : fail('not a number');
}

function requireString(value: unknown): string {
  return typeof value === 'string' ? value : fail('not a string');
}

/** `||` and `&&` absorb an error on either side if the other decides. */
function compileLogical(decisive: boolean, left: Evaluator, right: Evaluator): Evaluator {
  return attributes => {
    let error: CelError | null = null;
    for (const side of [left, right]) {
      try {
        if (requireBoolean(side(attributes)) === decisive) return decisive;
      } catch (caught) {
        if (!(caught instanceof CelError)) throw caught;
        error = caught;
      }
    }
    if (error !== null) throw error;
    return !decisive;
  };
}

function isEqual(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  const keys = Object.keys(a);
  return (
    Array.isArray(a) === Array.isArray(b) &&
    keys.length === Object.keys(b).length &&
    keys.every(key => Object.hasOwn(b, key) && isEqual((a as Attributes)[key], (b as Attributes)[key]))
  );
}

function compare(a: unknown, b: unknown): number {
  if (typeof a !== typeof b || !['number', 'string', 'boolean'].includes(typeof a)) return fail('values cannot be compared');
  const [left, right] = [a as number, b as number];
  return left < right ? -1 : left > right ? 1 : 0;
}

function isIn(item: unknown, container: unknown): boolean {
  if (Array.isArray(container)) return container.some(each => isEqual(each, item));
  if (typeof container === 'object' && container !== null) return Object.hasOwn(container, String(item));
  return fail('not a list or map');
}

function add(a: unknown, b: unknown): unknown {
  if (typeof a === 'string') return a + requireString(b);
  if (Array.isArray(a) && Array.isArray(b)) return [...a, ...b];
  return requireNumber(a) + requireNumber(b);
}

function divide(a: number, b: number, isRemainder: boolean): number {
  if (b === 0 && Number.isInteger(a)) return fail('divided by zero');
  if (isRemainder) return a % b;
  return Number.isInteger(a) && Number.isInteger(b) ? Math.trunc(a / b) : a / b;
}

const operators: { readonly [O in Exclude<BinaryOperator, '||' | '&&'>]: (a: unknown, b: unknown) => unknown } = {
  '==': isEqual,
  '!=': (a, b) => !isEqual(a, b),
  '<': (a, b) => compare(a, b) < 0,
  '<=': (a, b) => compare(a, b) <= 0,
  '>': (a, b) => compare(a, b) > 0,
  '>=': (a, b) => compare(a, b) >= 0,
  in: isIn,
  '+': add,
  '-': (a, b) => requireNumber(a) - requireNumber(b),
  '*': (a, b) => requireNumber(a) * requireNumber(b),
  '/': (a, b) => divide(requireNumber(a), requireNumber(b), false),
  '%': (a, b) => divide(requireNumber(a), requireNumber(b), true),
};

function compileBinary(op: BinaryOperator, left: Evaluator, right: Evaluator): Evaluator {
  if (op === '||' || op === '&&') return compileLogical(op === '||', left, right);
  const operate = operators[op];
  return attributes => operate(left(attributes), right(attributes));
}

function toInteger(value: unknown): number {
  const number = typeof value === 'string' && value !== '' ? Number(value) : requireNumber(value);
  return Number.isFinite(number) ? Math.trunc(number) : fail('not an integer');
}

function sizeOf(value: unknown): number {
  if (typeof value === 'string') return [...value].length;
  if (Array.isArray(value)) return value.length;
  return typeof value === 'object' && value !== null ? Object.keys(value).length : fail('has no size');
}

const functions: { readonly [name: string]: (a: unknown, b: unknown) => unknown } = {
  size: sizeOf,
  string: value => printCelValue(value),
  int: toInteger,
  uint: toInteger,
  double: value => (typeof value === 'string' ? Number(value) : requireNumber(value)),
  startsWith: (a, b) => requireString(a).startsWith(requireString(b)),
  endsWith: (a, b) => requireString(a).endsWith(requireString(b)),
  contains: (a, b) => requireString(a).includes(requireString(b)),
};

function compileCall(name: string, args: readonly CelNode[]): Evaluator {
  if (name === 'has') return compileHas(args[0]);
  if (name === 'matches') return compileMatches(args[0], args[1]);
  const operate = functions[name];
  const [first, second] = args.map(compileNode);
  return attributes => operate(first(attributes), second?.(attributes));
}

function compileHas(field: CelNode): Evaluator {
  if (field.kind !== 'member') return () => fail('has() takes a field selection');
  const object = compileNode(field.object);
  return attributes => {
    const value = object(attributes);
    if (typeof value !== 'object' || value === null) return fail('has() of no map');
    return Object.hasOwn(value, field.name) && (value as Attributes)[field.name] !== undefined;
  };
}

function compileMatches(text: CelNode, pattern: CelNode): Evaluator {
  const read = compileNode(text);
  if (pattern.kind !== 'literal' || typeof pattern.value !== 'string')
    return () => fail('the pattern of matches() must be a literal');
  const matches = compileRegexSearch(pattern.value);
  return attributes => matches(requireString(read(attributes)));
}
